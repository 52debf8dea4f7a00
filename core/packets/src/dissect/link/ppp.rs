//! PPP (RFC 1661): bare, in HDLC framing (RFC 1662), with a direction byte before it, and what PPPoE carries.

use super::{Link, ethernet, hdlc};
use crate::dissect::ethertype;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ipv4, ipv6, tunnel};

/// The direction byte of 204 is not part of the packet.
pub(super) const LINK: Link = Link { numbers: &[9, 204], slug: "ppp", name: "PPP", read: read_or_hdlc };
pub(super) const SERIAL: Link =
    Link { numbers: &[50], slug: "ppp", name: "PPP over serial with HDLC framing", read: read_or_hdlc };
pub(super) const ETHERNET: Link = Link { numbers: &[51], slug: "ppp-ether", name: "PPP over Ethernet", read: tunnel::pppoe };
pub(super) const DIRECTION: Link = Link { numbers: &[166], slug: "ppp", name: "PPP with direction", read: read_direction };

/// With or without address and control, with a protocol of one or two bytes (RFC 1661 section 6.5).
pub(in crate::dissect) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Point-to-Point Protocol", "ppp"));
    // No protocol number begins with the address, so that alone tells.
    if walk.rest().starts_with(&[0xff]) {
        walk.at += 2;
    }
    let first = walk.header::<1>("ppp")?[0];
    let protocol = if first & 1 == 1 {
        walk.at += 1;
        u16::from(first)
    } else {
        let header = walk.header::<2>("ppp")?;
        walk.at += 2;
        u16::from_be_bytes(*header)
    };
    match protocol {
        0x0021 => Some(Next(ipv4::read)),
        0x0057 => Some(Next(ipv6::read)),
        // Bridging (RFC 3518): flags, kind of frame; 1 is Ethernet.
        0x0031 => {
            let header = walk.header::<2>("ppp")?;
            walk.at += 2;
            if header[1] == 1 { Some(Next(ethernet::read)) } else { None }
        }
        // A packet that is whole in one fragment of a bundle (RFC 1990), with the long sequence number.
        0x003d => {
            let header = walk.header::<4>("mp")?;
            walk.at += 4;
            if header[0] & 0xc0 == 0xc0 { Some(Next(read)) } else { None }
        }
        0x0281 => ethertype::next(ethertype::MPLS),
        _ => None,
    }
}

/// Cisco HDLC may stand where PPP is said (the list of link types allows it).
fn read_or_hdlc(walk: &mut Walk<'_>) -> Option<Next> {
    match walk.rest().first() {
        Some(0x0f | 0x8f) => hdlc::read(walk),
        _ => read(walk),
    }
}

fn read_direction(walk: &mut Walk<'_>) -> Option<Next> {
    walk.header::<1>("ppp")?;
    walk.at += 1;
    read_or_hdlc(walk)
}
