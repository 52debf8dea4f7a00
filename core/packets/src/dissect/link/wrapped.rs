//! Links whose header names the link inside: Apple's PKTAP, Solaris' IPNET.

use super::{Link, link};
use crate::dissect::packet::Why;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ipv4, ipv6};

/// 149 is what macOS wrote before PKTAP had a number of its own.
pub(super) const PKTAP: Link = Link { numbers: &[258, 149], slug: "pktap", name: "Apple PKTAP", read: pktap };
pub(super) const IPNET: Link = Link { numbers: &[226], slug: "ipnet", name: "Solaris IPNET", read: ipnet };

fn pktap(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("PKTAP packet header", "pktap"));
    let header = walk.header::<12>("pktap")?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let len = word(0) as usize;
    walk.take("pktap", len.max(12))?;
    walk.at += len.max(12);
    match link(word(8)) {
        Some(link) => Some(Next(link.read)),
        None => {
            walk.stop("pktap", Why::UnknownLink(word(8)), false);
            None
        }
    }
}

fn ipnet(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Solaris IPNET", "ipnet"));
    let header = walk.header::<24>("ipnet")?;
    walk.at += 24;
    match header[1] {
        2 => Some(Next(ipv4::read)),
        26 => Some(Next(ipv6::read)),
        _ => None,
    }
}
