//! What reading a file has to know about link-layer types (LINKTYPE_ values, <https://www.tcpdump.org/linktypes.html>).
//! What is inside a packet is `dissect`'s to know.

use super::{MAX_BLOCK_LEN, MAX_PACKET_LEN};

/// Whether Wireshark 4.0 opens a pcap file of this link type: measured with one file a type. The others would be read
/// from a wrong guess of what the number means, so a pcap file of such a type is refused; an interface of a pcapng file is
/// listed and its packets stay undissected, there as here.
pub(super) fn is_known(link_type: u32) -> bool {
    matches!(link_type,
        0..=3 | 6..=14 | 16 | 18 | 19 | 32 | 50 | 51 | 99..=101 | 104..=109 | 112..=114 | 117..=119 | 121..=123
        | 127..=131 | 133 | 135..=144 | 147..=163 | 165 | 167 | 169..=173 | 177..=181 | 183 | 184 | 186..=190
        | 192 | 195..=197 | 199..=204 | 209..=215 | 220 | 224..=231 | 235..=237 | 239..=243 | 245 | 248..=256
        | 258..=260 | 264 | 266 | 268 | 270..=276 | 279 | 280 | 283 | 287 | 288 | 290 | 292..=295)
}

/// Bytes before each packet that tell about it and are not part of it: neither of its lengths counts them, as in
/// Wireshark (wiretap/pcap-common.c, `pcap_process_pseudo_header`).
pub(super) fn pseudo_header(link_type: u32) -> usize {
    match link_type {
        123 => 4,  // SunATM
        139 => 4,  // MTP2 with pseudo-header
        144 => 16, // IrDA
        177 => 16, // Linux LAPD
        196 => 5,  // SITA
        201 => 4,  // Bluetooth H4 with direction
        204 => 1,  // PPP with direction
        209 => 5,  // I2C on Linux
        245 => 2,  // NFC LLCP
        254 => 4,  // Bluetooth Linux Monitor
        _ => 0,
    }
}

/// A packet's length on the wire from the length in the file, which may be nonsense: no more than 31 bits, as in Wireshark.
#[inline]
pub(super) fn wire_len(in_file: u32, pseudo_header: usize) -> u32 {
    in_file.saturating_sub(pseudo_header as u32).min(i32::MAX as u32)
}

/// The most bytes of one packet: Wireshark's bound, but never longer than a block (it allows D-Bus and USB 128 MiB).
pub(super) fn longest_packet(link_type: u32) -> u32 {
    const DBUS: u32 = 231;
    const USBPCAP: u32 = 249;
    const EBHSCR: u32 = 279;
    match link_type {
        DBUS | USBPCAP | EBHSCR => MAX_BLOCK_LEN,
        _ => MAX_PACKET_LEN,
    }
}

/// The link type that AIX means: its libpcap wrote interface types of RFC 1573 into files of version 2.2.
pub(super) fn from_aix(interface_type: u32) -> Option<u32> {
    match interface_type {
        6 => Some(1),
        9 => Some(6),
        15 => Some(10),
        24 => Some(0),
        _ => None,
    }
}
