//! IP over ATM (RFC 2225), which capture files hold as plain IP.

use super::Link;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ipv4, ipv6};

pub(super) const CLIP: Link = Link { numbers: &[106, 19, 18], slug: "clip", name: "Classical IP over ATM", read };

fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::RawIp);
    let first = walk.header::<1>("clip")?[0];
    Some(Next(if first >> 4 == 6 { ipv6::read } else { ipv4::read }))
}
