//! LLC (IEEE 802.2) and SNAP.

use super::link;
use super::walk::{Kind, Next, Walk};
use super::{ethertype, ipv4};

/// Destination and source service access point, control, and what they name.
pub(super) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Logical-Link Control", "llc"));
    let header = walk.header::<3>("llc")?;
    // Unnumbered frames have one byte of control, the others two.
    walk.at += if header[2] & 3 == 3 { 3 } else { 4 };
    match (header[0] & 0xfe, header[2]) {
        (0xaa, 0x03) if header[1] == 0xaa => snap(walk),
        (0x06, _) => Some(Next(ipv4::read)),
        // A network layer protocol identifier of OSI's, among which is IP (RFC 2684 section 5.1, RFC 1390).
        (0xfe, 0x03) if walk.rest().first() == Some(&0xcc) => {
            walk.at += 1;
            Some(Next(ipv4::read))
        }
        _ => None,
    }
}

/// An organisation's code and what it means by the two bytes after it.
pub(super) fn snap(walk: &mut Walk<'_>) -> Option<Next> {
    let header = walk.header::<5>("llc")?;
    walk.at += 5;
    let protocol = u16::from_be_bytes([header[3], header[4]]);
    match [header[0], header[1], header[2]] {
        // Encapsulated Ethernet; with 802.1H's tunnelling of some types.
        [0, 0, 0] | [0, 0, 0xf8] => ethertype::next(protocol),
        // Bridged Ethernet (RFC 2427 section 4.2), with or without its checksum.
        [0, 0x80, 0xc2] if matches!(protocol, 1 | 7) => Some(Next(link::ethernet)),
        _ => None,
    }
}
