//! Cisco HDLC: address, control, EtherType.

use super::Link;
use crate::dissect::ethertype;
use crate::dissect::walk::{Kind, Next, Walk};

pub(super) const LINK: Link = Link { numbers: &[104, 112], slug: "hdlc", name: "Cisco HDLC", read };

pub(super) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Cisco HDLC", "chdlc"));
    let header = walk.header::<4>("chdlc")?;
    walk.at += 4;
    match u16::from_be_bytes([header[2], header[3]]) {
        // Here RARP's number is that of Cisco's keep-alives.
        ethertype::RARP => None,
        protocol => ethertype::next(protocol),
    }
}
