//! Protocols over IP that carry packets: AH (RFC 4302), EtherIP (RFC 3378), PIM's registers (RFC 7761 section 4.9.3).

use super::by_version;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ip_protocol, link};

pub(in crate::dissect) fn authentication(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Authentication Header", "ah"));
    let header = walk.header::<12>("ah")?;
    let len = (usize::from(header[1]) + 2) * 4;
    walk.take("ah", len.max(12))?;
    walk.advance_ip(len.max(12));
    ip_protocol::next(walk, header[0])
}

pub(in crate::dissect) fn ether_ip(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Named("Ethernet over IP", "etherip"), "EtherIP");
    walk.header::<2>("etherip")?;
    walk.at += 2;
    Some(Next(link::ethernet))
}

pub(in crate::dissect) fn pim(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Named("Protocol Independent Multicast", "pim"), "PIM registers");
    let header = walk.header::<8>("pim")?;
    walk.at += 8;
    // Version 2, type 1; a null register carries a header without data.
    if header[0] == 0x21 { by_version(*walk.rest().first()?) } else { None }
}
