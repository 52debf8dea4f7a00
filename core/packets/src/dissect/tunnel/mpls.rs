//! MPLS label stacks (RFC 3032). What is below the stack is told by the labels' owner; IP shows by its first four bits, and
//! an Ethernet pseudowire by its control word (RFC 4448).

use super::by_version;
use crate::dissect::link;
use crate::dissect::walk::{Kind, Next, Walk};

pub(in crate::dissect) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Mpls, "MPLS");
    let entry = walk.header::<4>("mpls")?;
    walk.at += 4;
    if entry[2] & 1 == 0 {
        return Some(Next(read));
    }
    // Maintenance messages stand below the OAM alert label (RFC 3429).
    if u32::from_be_bytes(*entry) >> 12 == 14 {
        return None;
    }
    let first = *walk.rest().first()?;
    match first >> 4 {
        0 if walk.rest().len() > 18 => {
            walk.at += 4;
            Some(Next(link::ethernet))
        }
        // An associated channel (RFC 5586) whose type is one of PPP's numbers.
        1 => {
            let header = walk.header::<4>("pwach")?;
            walk.at += 4;
            match u16::from_be_bytes([header[2], header[3]]) {
                0x0021 => by_version(0x40),
                0x0057 => by_version(0x60),
                _ => None,
            }
        }
        _ => by_version(first),
    }
}
