//! Which packet header a pcap file has, where its magic number does not say.
//!
//! In 1999 three patches of libpcap added fields to the packet header; one of them, and Nokia's IPSO, kept the standard
//! magic number. As Wireshark does (wiretap/libpcap.c, `libpcap_try_variants`), the first three packets are read in each
//! way until nothing is odd about them. Where each way is odd, Wireshark takes the least odd one and reads a damaged file of
//! the usual kind as one of Nokia's; here such a file is taken for what it nearly always is, the usual kind.

use crate::log::MAX_PACKET_LEN;
use crate::log::bytes::ByteOrder;

/// A layout of the packet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// Time, lengths.
    Plain,
    /// And interface, protocol, packet type, one byte of padding (patches of 1999-04-17 and 1999-10-29).
    Patched,
    /// And interface, protocol, packet type, five bytes of padding (patch of 1999-09-15).
    PatchedLong,
    /// And four bytes of Nokia's.
    Nokia,
}

impl Variant {
    /// Length of the packet header in bytes.
    pub(super) fn packet_header(self) -> usize {
        match self {
            Self::Plain => 16,
            Self::Patched => 24,
            Self::PatchedLong => 28,
            Self::Nokia => 20,
        }
    }
}

/// Packets that are looked at.
const PACKETS: usize = 3;
/// No packet on a wire of that time was as long.
const LONGEST_ON_WIRE: u32 = 128 << 20;

/// The variant of the packets at the beginning of `bytes`; otherwise how many bytes it takes to tell.
pub(super) fn guess(bytes: &[u8], last: bool, order: ByteOrder, modified: bool, snaplen: u32) -> Result<Variant, usize> {
    let oddities = |variant| oddities(bytes, last, order, variant, snaplen);
    if modified {
        let (short, long) = (Variant::Patched, Variant::PatchedLong);
        let odd = oddities(short)?;
        return Ok(if odd == 0 || odd <= oddities(long)? { short } else { long });
    }
    for variant in [Variant::Plain, Variant::Patched, Variant::Nokia] {
        if oddities(variant)? == 0 {
            return Ok(variant);
        }
    }
    Ok(Variant::Plain)
}

/// How many things are odd about the first packets when they are read as `variant`.
fn oddities(bytes: &[u8], last: bool, order: ByteOrder, variant: Variant, snaplen: u32) -> Result<u32, usize> {
    let mut odd = 0;
    let mut at = 0;
    for _ in 0..PACKETS {
        let header_ends_at = at + variant.packet_header();
        let Some(header) = bytes.get(at..header_ends_at) else {
            match () {
                () if !last => return Err(header_ends_at),
                () if bytes.len() == at => return Ok(odd),
                () => return Ok(odd + 1),
            }
        };
        let kept = order.u32(header, 8);
        let on_wire = order.u32(header, 12);
        let too_long = kept > MAX_PACKET_LEN;
        odd += u32::from(order.u32(header, 4) >= 1_000_000);
        odd += u32::from(too_long);
        odd += u32::from(kept > snaplen);
        odd += u32::from(on_wire > LONGEST_ON_WIRE);
        odd += u32::from(kept > on_wire);
        odd += match variant {
            Variant::Plain => 0,
            Variant::Patched | Variant::PatchedLong => odd_fields_of_patch(&header[16..], order),
            Variant::Nokia => u32::from(!is_nokia(order.u32(header, 16))),
        };
        if too_long {
            return Ok(odd);
        }
        at = header_ends_at + kept as usize;
        if bytes.len() < at {
            return if last { Ok(odd + 1) } else { Err(at) };
        }
    }
    Ok(odd)
}

fn odd_fields_of_patch(fields: &[u8], order: ByteOrder) -> u32 {
    let interface = order.u32(fields, 0);
    let protocol = order.u16(fields, 4);
    let packet_type = fields[6];
    // EtherTypes, and the protocols of linux/if_ether.h that are not EtherTypes.
    let is_protocol = matches!(protocol, 0x0600..|0x0060| 0x0200 | 0x0400 | 0x0000..=0x0017);
    // PACKET_HOST to PACKET_OUTGOING, linux/if_packet.h.
    u32::from(interface > 10_000) + u32::from(!is_protocol) + u32::from(packet_type > 4)
}

/// The values that were seen in Nokia's four bytes, as Wireshark lists them.
fn is_nokia(field: u32) -> bool {
    field & 0x0fff_00f0 == 0x0fbf_0000
        && matches!(field >> 28, 0x9 | 0xb)
        && matches!(field >> 12 & 0xf, 0xb | 0xd)
        && matches!(field >> 8 & 0xf, 0x6 | 0x9)
        && matches!(field & 0xf, 1 | 2)
}
