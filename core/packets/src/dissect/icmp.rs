//! ICMP (RFC 792) and ICMPv6 (RFC 4443), and the packets that their errors quote.

use super::checksum;
use super::ip_protocol::ICMPV6;
use super::packet::{Checksum, Icmp, Packet, Protocol, Quote, Transport};
use super::walk::{Kind, Next, Walk};

pub(super) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Icmp);
    let checksum = match walk.is_whole() && !walk.is_fragment() {
        true => checksum::verify_plain(walk.rest()),
        false => Checksum::Unverified,
    };
    let kind = walk.rest().first().copied();
    // Unreachable, source quench, redirect, time exceeded, parameter problem.
    let is_error = matches!(kind, Some(3 | 4 | 5 | 11 | 12));
    let is_echo = matches!(kind, Some(0 | 8));
    finish(walk, Protocol::Icmp, checksum, is_error, is_echo)
}

pub(super) fn read_v6(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Icmpv6);
    let checksum = walk.checksum_to_end(ICMPV6);
    let kind = walk.rest().first().copied();
    // Unreachable, too big, time exceeded, parameter problem.
    let is_error = matches!(kind, Some(1..=4));
    let is_echo = matches!(kind, Some(128 | 129));
    finish(walk, Protocol::Icmpv6, checksum, is_error, is_echo)
}

fn finish(walk: &mut Walk<'_>, protocol: Protocol, checksum: Checksum, is_error: bool, is_echo: bool) -> Option<Next> {
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
        quote: if is_error && !walk.is_quote { quote(payload) } else { None },
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
    let ip = packet.ip?;
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
        total_len: ip.total_len,
    })
}
