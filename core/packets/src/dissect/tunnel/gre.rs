//! GRE (RFC 2784, 2890), PPTP's version 1 of it (RFC 2637), and ERSPAN over it.

use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ethertype, link};

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const ACKNOWLEDGMENT: u16 = 0x0080;

pub(in crate::dissect) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Gre, "GRE");
    let header = walk.header::<4>("gre")?;
    let flags = u16::from_be_bytes([header[0], header[1]]);
    let protocol = u16::from_be_bytes([header[2], header[3]]);
    let has = |bit: u16| usize::from(flags & bit != 0) * 4;
    let mut len = 4 + has(KEY) + has(SEQUENCE);
    if flags & 7 == 1 {
        len += has(ACKNOWLEDGMENT);
    }
    if flags & (CHECKSUM | ROUTING) != 0 {
        len += 4;
    }
    walk.take("gre", len)?;
    walk.at += len;
    if flags & ROUTING != 0 && flags & 7 == 0 {
        // Source route entries (RFC 1701), until an empty one.
        loop {
            let entry = walk.header::<4>("gre")?;
            walk.at += 4 + usize::from(entry[3]);
            if entry[3] == 0 {
                break;
            }
        }
    }
    match protocol {
        0x6558 => Some(Next(link::ethernet)),
        0x880b => Some(Next(link::ppp)),
        // Type I has neither a sequence number nor a header of its own.
        0x88be if flags & SEQUENCE == 0 => Some(Next(link::ethernet)),
        0x88be => Some(Next(erspan2)),
        0x22eb => Some(Next(erspan3)),
        // What Aruba's access points hand to their controllers.
        0x8200..=0x8370 | 0x9000 => Some(Next(link::wifi)),
        // WCCP's redirect header is there unless the packet begins as IP does.
        0x883e => {
            if walk.rest().first().is_some_and(|byte| byte >> 4 != 4) {
                walk.at += 4;
            }
            ethertype::next(ethertype::IPV4)
        }
        ethertype::IPV4 | ethertype::IPV6 | ethertype::MPLS | ethertype::MPLS_MULTICAST | ethertype::NETWORK_SERVICE => {
            ethertype::next(protocol)
        }
        _ => None,
    }
}

/// A mirror port's frames over GRE are called by what they are.
fn is_erspan(walk: &mut Walk<'_>) {
    if let Some(tunnel) = &mut walk.packet.tunnel
        && tunnel.name == "GRE"
    {
        tunnel.name = "ERSPAN";
    }
}

fn erspan2(walk: &mut Walk<'_>) -> Option<Next> {
    is_erspan(walk);
    walk.enter(Kind::Named("Encapsulated Remote Switch Packet ANalysis Type II", "erspan"));
    let header = walk.header::<8>("erspan")?;
    walk.at += 8;
    has_version(header[0], 1)
}

/// The lowest bit says whether 8 bytes about the platform follow.
fn erspan3(walk: &mut Walk<'_>) -> Option<Next> {
    is_erspan(walk);
    walk.enter(Kind::Named("Encapsulated Remote Switch Packet ANalysis Type III", "erspan"));
    let header = walk.header::<12>("erspan")?;
    walk.at += if header[11] & 1 == 1 { 20 } else { 12 };
    has_version(header[0], 2)
}

/// The first four bits number the header's shape; of others nothing is known.
fn has_version(first: u8, version: u8) -> Option<Next> {
    (first >> 4 == version).then_some(Next(link::ethernet))
}
