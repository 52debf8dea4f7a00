//! 802.11 data frames to IP, bare or behind radiotap, AVS, Prism or PPI.

use super::{Link, link};
use crate::dissect::packet::Why;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ethertype, llc};

pub(super) const LINK: Link = Link { numbers: &[105], slug: "wifi", name: "802.11", read };
pub(super) const RADIOTAP: Link = Link { numbers: &[127], slug: "wifi-radiotap", name: "802.11 with radiotap", read: radiotap };
pub(super) const AVS: Link = Link { numbers: &[163], slug: "wifi-avs", name: "802.11 with AVS", read: avs };
pub(super) const PRISM: Link = Link { numbers: &[119], slug: "wifi-prism", name: "802.11 with Prism", read: prism };
pub(super) const PPI: Link = Link { numbers: &[192], slug: "ppi", name: "Per-Packet Information", read: ppi };

/// An 802.11 frame (IEEE 802.11 clause 9.2).
pub(in crate::dissect) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    frame(walk, false, false)
}

/// One whose Frame Control stands the other way round, as in CAPWAP.
pub(in crate::dissect) fn read_swapped(walk: &mut Walk<'_>) -> Option<Next> {
    frame(walk, true, false)
}

fn frame(walk: &mut Walk<'_>, is_swapped: bool, is_padded: bool) -> Option<Next> {
    walk.enter(Kind::Named("IEEE 802.11", "wlan"));
    let [first, second] = *walk.header::<2>("wlan")?;
    let (control, flags) = if is_swapped { (second, first) } else { (first, second) };
    let (kind, subtype) = (control >> 2 & 3, control >> 4);
    let is_qos = subtype & 8 != 0;
    // Data frames of version 0 but those without data; encrypted ones and fragments cannot be read.
    if control & 3 != 0 || kind != 2 || subtype & 4 != 0 || flags & 0x44 != 0 {
        return None;
    }
    let mut len = 24;
    if flags & 0x03 == 0x03 {
        len += 6;
    }
    let qos_at = len;
    if is_qos {
        len += 2;
        if flags & 0x80 != 0 {
            len += 4;
        }
    }
    let whole = walk.take("wlan", len)?;
    let is_aggregate = is_qos && whole[qos_at] & 0x80 != 0;
    // Between stations of a mesh: 6 bytes and up to two addresses (clause 9.2.4.8.3).
    let is_mesh = is_qos && flags & 0x03 == 0x03 && whole[qos_at + 1] & 1 != 0;
    walk.at += if is_padded { len.next_multiple_of(4) } else { len };
    if is_mesh && walk.rest().first().is_some_and(|flags| *flags < 3) {
        let control = walk.header::<6>("wlan")?;
        walk.at += 6 + 6 * usize::from(control[0] & 3);
    }
    if is_aggregate { aggregate(walk) } else { data(walk) }
}

/// An A-MSDU (clause 9.3.2.2): subframes of two addresses, a length, data, and padding to a multiple of 4 bytes. As in
/// Wireshark, the packet in the last of them is the innermost, and that in the first the outermost.
fn aggregate(walk: &mut Walk<'_>) -> Option<Next> {
    let is_inside_another = std::mem::replace(&mut walk.is_aggregate, true);
    loop {
        let subframe = walk.header::<14>("wlan")?;
        let len = usize::from(u16::from_be_bytes([subframe[12], subframe[13]]));
        let following = (14 + len).next_multiple_of(4);
        // Also when nothing behind it was kept.
        let is_last = walk.told_len() <= following + 14 || walk.rest().len() <= following;
        let next = walk.at + following;
        walk.at += 14;
        // One in another is never sent; of it the first subframe is read, so that this nests but once.
        if is_last || is_inside_another {
            walk.limit(len);
            return data(walk);
        }
        walk.run_part(len, next, data);
    }
}

fn data(walk: &mut Walk<'_>) -> Option<Next> {
    // Some drivers hand up an Ethernet frame's type in LLC's place.
    match walk.rest() {
        [0xaa, 0xaa, ..] | [0x06, 0x06, ..] => Some(Next(llc::read)),
        [high, low, ..] if u16::from_be_bytes([*high, *low]) > 1500 => {
            walk.at += 2;
            ethertype::next(u16::from_be_bytes([*high, *low]))
        }
        _ => Some(Next(llc::read)),
    }
}

/// Radiotap (radiotap.org): its flags say whether the frame ends in a checksum and whether its header is padded.
fn radiotap(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Radiotap Header", "radiotap"));
    let header = walk.header::<8>("radiotap")?;
    let len = usize::from(u16::from_le_bytes([header[2], header[3]]));
    let whole = walk.take("radiotap", len.max(8))?;
    let flags = radiotap_flags(whole);
    walk.at += whole.len();
    if flags & 0x10 != 0 {
        walk.limit(walk.told_len().saturating_sub(4));
    }
    if flags & 0x20 != 0 { Some(Next(padded_frame)) } else { Some(Next(read)) }
}

fn padded_frame(walk: &mut Walk<'_>) -> Option<Next> {
    frame(walk, false, true)
}

/// The Flags field: bit 1 of the first presence word, after TSFT, which is aligned to 8 bytes.
fn radiotap_flags(header: &[u8]) -> u8 {
    let words = header[4..].as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
    let more = words.clone().take_while(|word| word & 0x8000_0000 != 0).count();
    let first = words.clone().next().unwrap_or(0);
    let mut at = 4 + 4 * (more + 1);
    if first & 1 != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    if first & 2 != 0 { header.get(at).copied().unwrap_or(0) } else { 0 }
}

fn avs(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("AVS WLAN Capture header", "wlancap"));
    let header = walk.header::<8>("wlancap")?;
    let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
    skip(walk, "wlancap", len)
}

/// Prism's header tells its length in the byte order of the host; an AVS header may stand in its place.
fn prism(walk: &mut Walk<'_>) -> Option<Next> {
    let header = walk.header::<8>("prism")?;
    if header[..3] == [0x80, 0x21, 0x10] {
        return avs(walk);
    }
    walk.enter(Kind::Named("Prism capture header", "prism"));
    let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    skip(walk, "prism", len.min(len.swap_bytes()) as usize)
}

fn skip(walk: &mut Walk<'_>, layer: &'static str, len: usize) -> Option<Next> {
    walk.take(layer, len)?;
    walk.at += len;
    Some(Next(read))
}

fn ppi(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("PPI", "ppi"));
    let header = walk.header::<8>("ppi")?;
    let len = usize::from(u16::from_le_bytes([header[2], header[3]]));
    let number = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    walk.take("ppi", len.max(8))?;
    walk.at += len.max(8);
    match link(number) {
        Some(link) => Some(Next(link.read)),
        None => {
            walk.stop("ppi", Why::UnknownLink(number), false);
            None
        }
    }
}
