//! PPPoE sessions (RFC 2516) and the Network Service Header (RFC 8300).

use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ethertype, ipv4, ipv6, link};

pub(in crate::dissect) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Pppoe, "PPPoE");
    let header = walk.header::<6>("pppoes")?;
    walk.at += 6;
    walk.limit(usize::from(u16::from_be_bytes([header[4], header[5]])));
    // Whatever its code: discovery has an EtherType of its own.
    Some(Next(link::ppp))
}

pub(in crate::dissect) fn network_service(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Named("Network Service Header", "nsh"), "NSH");
    let header = walk.header::<8>("nsh")?;
    walk.at += usize::from(header[1] & 0x3f).max(2) * 4;
    match header[3] {
        1 => Some(Next(ipv4::read)),
        2 => Some(Next(ipv6::read)),
        3 => Some(Next(link::ethernet)),
        4 => Some(Next(network_service)),
        5 => ethertype::next(ethertype::MPLS),
        _ => None,
    }
}
