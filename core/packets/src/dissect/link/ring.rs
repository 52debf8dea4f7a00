//! FDDI and Token Ring: both carry LLC.

use super::Link;
use crate::dissect::llc;
use crate::dissect::walk::{Kind, Next, Walk};

pub(super) const FDDI: Link = Link { numbers: &[10], slug: "fddi", name: "FDDI", read: fddi };
pub(super) const TOKEN_RING: Link = Link { numbers: &[6], slug: "token-ring", name: "Token Ring", read: token_ring };

fn fddi(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Fiber Distributed Data Interface", "fddi"));
    let header = walk.header::<13>("fddi")?;
    walk.at += 13;
    // Frame control CL01: only LLC frames with addresses of 48 bits, asynchronous or synchronous, carry data.
    if header[0] & 0x70 == 0x50 { Some(Next(llc::read)) } else { None }
}

fn token_ring(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Token-Ring", "tr"));
    let header = walk.header::<14>("tr")?;
    walk.at += 14;
    // The source address says whether routing information follows; its first five bits tell its length.
    if header[8] & 0x80 != 0 {
        let control = walk.header::<2>("tr")?;
        walk.at += usize::from(control[0] & 0x1f);
    }
    if header[1] & 0xc0 == 0x40 { Some(Next(llc::read)) } else { None }
}
