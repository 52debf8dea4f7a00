//! Raw IP: no link header, the version nibble tells.

use super::Link;
use crate::dissect::packet::Why;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ipv4, ipv6};

/// 101 by the list; 12 and 14 are DLT_RAW of other systems; 228 and 229 say which version.
pub(super) const LINK: Link = Link { numbers: &[101, 12, 14, 228, 229], slug: "raw", name: "Raw IP", read };

fn read(walk: &mut Walk<'_>) -> Option<Next> {
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
