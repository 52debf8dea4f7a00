//! ICMP (RFC 792) and ICMPv6 (RFC 4443), and the packets that their errors quote.

use super::checksum;
use super::ip_protocol::ICMPV6;
use super::packet::{Checksum, Icmp, Outer, Packet, Protocol, Quote, Transport};
use super::walk::{Kind, Next, Walk};
use std::net::IpAddr;

pub(super) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Icmp);
    let checksum = match walk.is_whole() && !walk.is_fragment() {
        true => checksum::verify_plain(walk.rest()),
        false => Checksum::Unverified,
    };
    let is_echo = matches!(walk.rest().first(), Some(0 | 8));
    finish(walk, Protocol::Icmp, checksum, is_echo)
}

pub(super) fn read_v6(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Icmpv6);
    let checksum = walk.checksum_to_end(ICMPV6);
    let is_echo = matches!(walk.rest().first(), Some(128 | 129));
    finish(walk, Protocol::Icmpv6, checksum, is_echo)
}

/// Whether a message of this type quotes a packet.
fn is_error(protocol: Protocol, kind: u8) -> bool {
    match protocol {
        // Unreachable, too big, time exceeded, parameter problem.
        Protocol::Icmpv6 => matches!(kind, 1..=4),
        // Unreachable, source quench, redirect, time exceeded, parameter problem.
        _ => matches!(kind, 3 | 4 | 5 | 11 | 12),
    }
}

fn finish(walk: &mut Walk<'_>, protocol: Protocol, checksum: Checksum, is_echo: bool) -> Option<Next> {
    let rest = walk.rest();
    let Some([kind, code]) = rest.first_chunk::<2>() else {
        walk.packet.transport = Transport::Other(protocol);
        return walk.short("icmp", 8);
    };
    let half = |at: usize| Some(u16::from_be_bytes(*rest.get(at..)?.first_chunk()?));
    let mtu = match (protocol, kind, code) {
        (Protocol::Icmp, 3, 4) => half(6).map(u32::from),
        (Protocol::Icmpv6, 2, _) => half(4).zip(half(6)).map(|(high, low)| u32::from(high) << 16 | u32::from(low)),
        _ => None,
    };
    let payload = rest.get(8..).unwrap_or_default();
    walk.packet.transport = Transport::Icmp(Icmp {
        protocol,
        kind: *kind,
        code: *code,
        mtu,
        echo: if is_echo { half(4).zip(half(6)) } else { None },
        quote: if is_error(protocol, *kind) && !walk.is_quote { quote(payload) } else { None },
        payload,
        checksum,
        offset: walk.at as u32,
    });
    walk.header::<8>("icmp")?;
    None
}

/// The packet that an error quotes. A router need not quote more than 8 bytes above the IP header (RFC 792), so that it is
/// cut is no fault.
pub(crate) fn quote(bytes: &[u8]) -> Option<Quote> {
    let mut walk = Walk::new(bytes, u32::from(u16::MAX));
    walk.run_quote();
    let packet: Packet<'_> = walk.finish();
    let Some(ip) = packet.ip else {
        // What a tunnel carries was not quoted: then it is the tunnel's packet.
        let Outer { src, dst, transport, ports, .. } = packet.outer?;
        let transport = Some(transport);
        return Some(Quote { src, dst, transport, ports, echo: None, seq: None, is_numbered: false, total_len: told_len(bytes) });
    };
    let transport = packet.transport.protocol();
    let seq = bytes.get(ip.payload_offset as usize + 4..).and_then(|bytes| bytes.first_chunk());
    Some(Quote {
        src: ip.src,
        dst: ip.dst,
        transport,
        ports: packet.transport.ports(),
        echo: match &packet.transport {
            Transport::Icmp(icmp) => icmp.echo.map(|(identifier, _)| identifier),
            _ => None,
        },
        seq: seq.filter(|_| transport == Some(Protocol::Tcp)).map(|seq| u32::from_be_bytes(*seq)),
        is_numbered: ip.fragment.is_none() && matches!(packet.transport, Transport::Tcp(_) | Transport::Udp(_)),
        total_len: ip.total_len,
    })
}

/// Whole length of an IP packet, as its header tells it.
fn told_len(bytes: &[u8]) -> u32 {
    let half = |at: usize| bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |half| u16::from_be_bytes(*half));
    match bytes.first().map(|first| first >> 4) {
        Some(6) => 40 + u32::from(half(4)),
        _ => u32::from(half(2)),
    }
}

/// The first IP header of what an error quotes, where [`Icmp::quote`] is not it: because a tunnel's packet is quoted, of which
/// that tells the innermost one, or because the quoted header was cut behind its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstQuoted {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: Option<IpAddr>,
    /// The first transport above it, through the tunnel if there is none before.
    pub transport: Option<Protocol>,
    /// Its ports.
    pub ports: Option<(u16, u16)>,
}

/// See [`FirstQuoted`]; `data` are the bytes that were dissected.
pub fn first_quoted(packet: &Packet<'_>, data: &[u8]) -> Option<FirstQuoted> {
    let Transport::Icmp(icmp) = &packet.transport else { return None };
    if !is_error(icmp.protocol, icmp.kind) {
        return None;
    }
    let (quoted, _) = super::info::walked_quote(data, icmp.offset as usize + 8);
    match (quoted.outer, quoted.ip) {
        (Some(Outer { src, dst, transport: Protocol::Other, .. }), _) => {
            Some(FirstQuoted { src, dst: Some(dst), transport: quoted.transport.protocol(), ports: quoted.transport.ports() })
        }
        (Some(Outer { src, dst, transport, ports, .. }), _) => {
            Some(FirstQuoted { src, dst: Some(dst), transport: Some(transport), ports })
        }
        (None, Some(_)) => None,
        (None, None) => {
            let src = super::cut_ip(&quoted, data)?.src?;
            Some(FirstQuoted { src, dst: None, transport: None, ports: None })
        }
    }
}
