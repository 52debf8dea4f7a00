//! BSD loopback: a 4-byte address family, in the byte order of the host that captured (null) or of the network (loop).

use super::Link;
use crate::dissect::ethertype;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ipv4, ipv6};

pub(super) const NULL: Link = Link { numbers: &[0], slug: "null", name: "BSD loopback", read };
pub(super) const LOOP: Link = Link { numbers: &[108], slug: "loop", name: "OpenBSD loopback", read };

fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Loopback);
    let header = walk.header::<4>("null")?;
    walk.at += 4;
    let family = u32::from_be_bytes(*header);
    // The host's byte order is not recorded; families are small, so the smaller reading is the right one.
    match family.min(family.swap_bytes()) {
        2 => Some(Next(ipv4::read)),
        // Linux; NetBSD and OpenBSD; FreeBSD; macOS; Windows.
        10 | 24 | 28 | 30 | 23 => Some(Next(ipv6::read)),
        other => u16::try_from(other).ok().filter(|&number| number > 1500).and_then(ethertype::next),
    }
}
