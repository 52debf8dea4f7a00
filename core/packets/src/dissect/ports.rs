//! Protocols over IP that are told apart and not read further: SCTP (RFC 9260), DCCP (RFC 4340), IGMP (RFC 3376).

use super::packet::{Protocol, Transport};
use super::walk::{Kind, Next, Walk};

pub(super) fn sctp(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Sctp);
    walk.packet.transport = of(walk, Protocol::Sctp);
    None
}

pub(super) fn dccp(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Dccp);
    walk.packet.transport = of(walk, Protocol::Dccp);
    None
}

pub(super) fn igmp(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Igmp);
    walk.packet.transport = Transport::Other(Protocol::Igmp);
    None
}

/// The transport of a header that begins with two ports and is not read further, or was cut after them.
pub(super) fn of<'a>(walk: &Walk<'a>, protocol: Protocol) -> Transport<'a> {
    match walk.rest().first_chunk::<4>() {
        Some(ports) => Transport::Ports {
            protocol,
            src: u16::from_be_bytes([ports[0], ports[1]]),
            dst: u16::from_be_bytes([ports[2], ports[3]]),
        },
        None => Transport::Other(protocol),
    }
}
