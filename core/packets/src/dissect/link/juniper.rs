//! Juniper's own header before an Ethernet frame (`linktype_juniper_ether`).

use super::{Link, ethernet};
use crate::dissect::walk::{Kind, Next, Walk};

pub(super) const ETHERNET: Link = Link { numbers: &[178], slug: "juniper-ether", name: "Juniper Ethernet", read };

/// The letters MGC, flags, and extensions of a length of their own where flagged.
fn read(walk: &mut Walk<'_>) -> Option<Next> {
    const NO_FRAME_HEADER: u8 = 0x02;
    const EXTENSIONS: u8 = 0x80;
    walk.enter(Kind::Named("Juniper Ethernet", "juniper"));
    let header = walk.header::<4>("juniper")?;
    if header[..3] != *b"MGC" || header[3] & NO_FRAME_HEADER != 0 {
        return None;
    }
    walk.at += 4;
    if header[3] & EXTENSIONS != 0 {
        let len = walk.header::<2>("juniper")?;
        let len = 2 + usize::from(u16::from_be_bytes(*len));
        walk.take("juniper", len)?;
        walk.at += len;
    }
    Some(Next(ethernet))
}
