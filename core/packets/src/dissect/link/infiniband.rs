//! IP over InfiniBand (RFC 4391).

use super::Link;
use crate::dissect::ethertype;
use crate::dissect::walk::{Kind, Next, Walk};

pub(super) const LINK: Link = Link { numbers: &[242], slug: "ipoib", name: "IP over InfiniBand", read };

/// A Global Route Header of 40 bytes, which tells the ends, stands before type and two reserved bytes.
fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("IP over InfiniBand", "ipoib"));
    let header = walk.header::<44>("ipoib")?;
    walk.at += 44;
    ethertype::next(u16::from_be_bytes([header[40], header[41]]))
}
