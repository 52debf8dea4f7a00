//! Packets that a firewall or a tunnel endpoint logged: BSD's pf and enc, Linux's NFLOG.

use super::Link;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ethertype, ipv4, ipv6};

pub(super) const PFLOG: Link = Link { numbers: &[117], slug: "pflog", name: "BSD pf log", read: pflog };
pub(super) const NFLOG: Link = Link { numbers: &[239], slug: "nflog", name: "Linux NFLOG", read: nflog };

pub(super) const ENC: Link = Link { numbers: &[109], slug: "enc", name: "BSD IPsec encapsulation", read: enc };

/// The family, in the byte order of the host that captured, then an index and flags.
fn enc(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Enc AH/ESP headers", "enc"));
    let header = walk.header::<12>("enc")?;
    walk.at += 12;
    family(header[0].max(header[3]))
}

fn pflog(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("PF Log", "pflog"));
    let header = walk.header::<2>("pflog")?;
    let len = usize::from(header[0]).next_multiple_of(4);
    walk.take("pflog", len)?;
    walk.at += len;
    family(header[1])
}

/// A family and records of type, length and value; the packet is in the record of type 9, and that of type 1 tells its EtherType,
/// which says more than the family (linktype_linux_nflog).
fn nflog(walk: &mut Walk<'_>) -> Option<Next> {
    const PACKET_HEADER: u16 = 1;
    const PAYLOAD: u16 = 9;
    walk.enter(Kind::Named("Linux netfilter log message", "nflog"));
    let header = walk.header::<4>("nflog")?;
    walk.at += 4;
    let mut protocol = 0;
    loop {
        let record = walk.header::<4>("nflog")?;
        let len = usize::from(u16::from_le_bytes([record[0], record[1]]));
        match u16::from_le_bytes([record[2], record[3]]) {
            PACKET_HEADER => {
                protocol = walk.rest().first_chunk::<6>().map_or(0, |record| u16::from_be_bytes([record[4], record[5]]));
            }
            PAYLOAD => {
                walk.at += 4;
                walk.limit(len.saturating_sub(4));
                return if protocol == 0 { family(header[0]) } else { ethertype::next(protocol) };
            }
            _ => {}
        }
        // A record holds at least its own header, so that this ends.
        walk.at += len.max(4).next_multiple_of(4);
    }
}

/// An address family of Linux or a BSD.
fn family(number: u8) -> Option<Next> {
    match number {
        2 => Some(Next(ipv4::read)),
        10 | 24 | 28 | 30 => Some(Next(ipv6::read)),
        _ => None,
    }
}
