//! Raw IP: no link header, the version nibble tells.

use super::Link;
use crate::dissect::packet::Why;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ipv4, ipv6};

/// 101 by the list; 12 and 14 are DLT_RAW of other systems.
pub(super) const LINK: Link = Link { numbers: &[101, 12, 14, 228], slug: "raw", name: "Raw IP", read };
/// 229 says that it is IPv6; 228, above, that it is IPv4, which need not be true for IPv6 to be read.
pub(super) const IPV6: Link = Link { numbers: &[229], slug: "raw", name: "Raw IPv6", read: read_v6 };

pub(super) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::RawIp);
    let first = walk.header::<1>("raw")?[0];
    match first >> 4 {
        4 => Some(Next(ipv4::read)),
        6 => Some(Next(ipv6::read)),
        version => {
            walk.stop("raw", Why::Version(version), false);
            None
        }
    }
}

fn read_v6(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::RawIp);
    Some(Next(ipv6::read))
}
