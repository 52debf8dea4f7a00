//! Frame Relay: a Q.922 address, then RFC 2427 (NLPID) or Cisco's EtherType.

use super::Link;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ethertype, ipv4, ipv6, llc};

pub(super) const LINK: Link = Link { numbers: &[107], slug: "frelay", name: "Frame Relay", read };

fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Frame Relay", "fr"));
    // The last byte of the address has its lowest bit set (Q.922 section 3.2).
    let address_len = walk.rest().iter().take(4).position(|byte| byte & 1 == 1).map(|at| at + 1);
    let Some(address_len) = address_len else { return walk.short("fr", 5) };
    walk.at += address_len;
    let header = walk.header::<2>("fr")?;
    // Not an unnumbered frame (Q.922 section 3.4): Cisco's.
    if header[0] & 3 != 3 {
        walk.at += 2;
        return ethertype::next(u16::from_be_bytes(*header));
    }
    walk.at += 1;
    // A byte of padding may stand before the NLPID (RFC 2427 section 3).
    if walk.rest().first() == Some(&0) {
        walk.at += 1;
    }
    let nlpid = walk.header::<1>("fr")?[0];
    walk.at += 1;
    match nlpid {
        0xcc => Some(Next(ipv4::read)),
        0x8e => Some(Next(ipv6::read)),
        0x80 => llc::snap(walk),
        _ => None,
    }
}
