//! Ethernet (IEEE 802.3).

use super::Link;
use crate::dissect::ethertype;
use crate::dissect::walk::{Kind, Next, Walk};

pub(super) const LINK: Link = Link { numbers: &[1], slug: "ethernet", name: "Ethernet", read };

/// A frame as it is on the wire: preamble and start of frame, 8 bytes, may come first (IEEE 802.3br).
pub(super) const MPACKET: Link = Link { numbers: &[274], slug: "ethernet-mpacket", name: "Ethernet mPacket", read: read_mpacket };

fn read_mpacket(walk: &mut Walk<'_>) -> Option<Next> {
    if walk.rest().starts_with(&[0x55]) {
        walk.header::<8>("fpp")?;
        walk.at += 8;
    }
    Some(Next(read))
}

/// Also what tunnels carry.
pub(in crate::dissect) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Ethernet);
    let header = walk.header::<14>("eth")?;
    walk.at += 14;
    ethertype::type_or_length(walk, u16::from_be_bytes([header[12], header[13]]))
}
