//! SLIP (RFC 1055) and IP over ATM (RFC 2225), which capture files hold as plain IP.

use super::{Link, raw};
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ipv4, ipv6};

pub(super) const SLIP: Link = Link { numbers: &[8], slug: "slip", name: "SLIP", read: raw::read };
pub(super) const CLIP: Link = Link { numbers: &[106], slug: "clip", name: "Classical IP over ATM", read };

fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::RawIp);
    let first = walk.header::<1>("clip")?[0];
    Some(Next(if first >> 4 == 6 { ipv6::read } else { ipv4::read }))
}
