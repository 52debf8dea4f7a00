//! Linux cooked capture, versions 1 and 2: what `tcpdump -i any` writes.

use super::Link;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ethertype, llc};

pub(super) const LINK: Link = Link { numbers: &[113], slug: "sll", name: "Linux cooked", read };
pub(super) const LINK2: Link = Link { numbers: &[276], slug: "sll2", name: "Linux cooked v2", read: read2 };

/// The hardware type of a netlink monitor (linux/if_arp.h): the number is one of netlink's families there.
pub(in crate::dissect) const NETLINK: u16 = 824;

fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::LinuxCooked);
    let header = walk.header::<16>("sll")?;
    walk.at += 16;
    protocol(u16::from_be_bytes([header[2], header[3]]), u16::from_be_bytes([header[14], header[15]]))
}

fn read2(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::LinuxCooked2);
    let header = walk.header::<20>("sll")?;
    walk.at += 20;
    protocol(u16::from_be_bytes([header[8], header[9]]), u16::from_be_bytes([header[0], header[1]]))
}

/// An EtherType, or a Linux number of its own below 1536 (linux/if_ether.h): 4 is LLC.
fn protocol(hardware: u16, number: u16) -> Option<Next> {
    if hardware == NETLINK {
        return None;
    }
    if number == 4 { Some(Next(llc::read)) } else { ethertype::next(number) }
}
