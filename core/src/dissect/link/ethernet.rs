//! Ethernet (IEEE 802.3).

use super::Link;
use crate::dissect::ethertype;
use crate::dissect::walk::{Kind, Next, Walk};

pub(super) const LINK: Link = Link { numbers: &[1], slug: "ethernet", name: "Ethernet", read };

/// Also what tunnels carry.
pub(in crate::dissect) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Ethernet);
    let header = walk.header::<14>("eth")?;
    walk.at += 14;
    ethertype::type_or_length(walk, u16::from_be_bytes([header[12], header[13]]))
}
