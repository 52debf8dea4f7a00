//! BSD loopback: a 4-byte address family, in the byte order of the host that captured (null) or of the network (loop).

use super::{Link, ppp};
use crate::dissect::ethertype;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ipv4, ipv6};

pub(super) const NULL: Link = Link { numbers: &[0], slug: "null", name: "BSD loopback", read };
pub(super) const LOOP: Link = Link { numbers: &[108], slug: "loop", name: "OpenBSD loopback", read: read_loop };

/// The byte order of the host that captured is not recorded. Families are small, so that shows which it was; some drivers
/// write a type of Ethernet in the family's place, and some a flag before it (0x0f000800). As Wireshark takes it apart.
fn read(walk: &mut Walk<'_>) -> Option<Next> {
    if walk.rest().starts_with(&[0xff, 0x03]) {
        return ppp::read(walk);
    }
    walk.enter(Kind::Loopback);
    let header = walk.header::<4>("null")?;
    walk.at += 4;
    let value = u32::from_le_bytes(*header);
    protocol(match value {
        0..=0xffff if value & 0xff == 0 && value < 0x0600 => (value as u16).swap_bytes().into(),
        0..=0xffff => value,
        0x1_0000..=0x5_ffff => value >> 16,
        _ => value.swap_bytes(),
    })
}

/// Here it is the network's byte order, and always a family.
fn read_loop(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Loopback);
    let header = walk.header::<4>("null")?;
    walk.at += 4;
    protocol(u32::from_be_bytes(*header).min(u16::MAX.into())).filter(|_| header[..2] == [0, 0] && header[2] < 6)
}

/// An address family, or a type of Ethernet in the lower half.
fn protocol(number: u32) -> Option<Next> {
    match number {
        2 => Some(Next(ipv4::read)),
        // NetBSD, OpenBSD and Npcap; FreeBSD; macOS.
        24 | 28 | 30 => Some(Next(ipv6::read)),
        0..=1500 => None,
        _ => ethertype::next(number as u16),
    }
}
