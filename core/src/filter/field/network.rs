//! ARP, IPv4, IPv6, ICMP.

use super::{Field, Known, Read, Subject, field, flag, from};
use crate::dissect::Packet;
use crate::dissect::{Arp, Checksum, Icmp, Ip, Net, Protocol, Transport};
use crate::filter::value::{Type, Value};
use std::net::IpAddr;

/// The fields.
pub(super) static FIELDS: &[Field] = &[
    field("arp", Type::Presence, "an ARP packet", |s, out| arp(s, out, |_, read, out| out(Value::Present(from(read.bytes, 14))))),
    field("arp.opcode", Type::Number, "1 request, 2 reply", |s, out| {
        arp(s, out, |arp, _, out| out(Value::Number(u64::from(arp.operation))))
    }),
    field("arp.src.proto_ipv4", Type::Ipv4, "who sends the ARP packet", |s, out| {
        arp(s, out, |arp, _, out| arp.sender.into_iter().for_each(|address| out(Value::Address(IpAddr::V4(address)))))
    }),
    field("arp.dst.proto_ipv4", Type::Ipv4, "whom the ARP packet asks for", |s, out| {
        arp(s, out, |arp, _, out| arp.target.into_iter().for_each(|address| out(Value::Address(IpAddr::V4(address)))))
    }),
    field("ip", Type::Presence, "IPv4", |s, out| layer(s, true, out)),
    field("ip.src", Type::Ipv4, "IPv4 source address", |s, out| addresses(s, true, [true, false], out)),
    field("ip.dst", Type::Ipv4, "IPv4 destination address", |s, out| addresses(s, true, [false, true], out)),
    field("ip.addr", Type::Ipv4, "IPv4 source or destination address", |s, out| addresses(s, true, [true, true], out)),
    field("ip.len", Type::Number, "length of the IPv4 packet, header included: what an MTU is compared with", |s, out| {
        ip(s, Net::Ipv4, out, |ip, out| out(Value::Number(u64::from(ip.total_len))))
    }),
    field("ip.id", Type::Number, "IPv4 identification", |s, out| {
        ip(s, Net::Ipv4, out, |ip, out| ip.id.into_iter().for_each(|id| out(Value::Number(u64::from(id)))))
    }),
    field("ip.ttl", Type::Number, "IPv4 time to live", |s, out| {
        ip(s, Net::Ipv4, out, |ip, out| out(Value::Number(u64::from(ip.ttl))))
    }),
    field("ip.proto", Type::Number, "protocol number above IPv4: 6 TCP, 17 UDP", |s, out| {
        ip(s, Net::Ipv4, out, |ip, out| out(Value::Number(u64::from(ip.protocol))))
    }),
    field("ip.dsfield.dscp", Type::Number, "IPv4 Differentiated Services code point", |s, out| {
        ip(s, Net::Ipv4, out, |ip, out| out(Value::Number(u64::from(ip.traffic_class >> 2))))
    }),
    field("ip.dsfield.ecn", Type::Number, "IPv4 congestion notification: 3 means congestion was met", |s, out| {
        ip(s, Net::Ipv4, out, |ip, out| out(Value::Number(u64::from(ip.traffic_class & 3))))
    }),
    field("ip.flags.df", Type::Flag, "IPv4 Don't Fragment", |s, out| {
        ip(s, Net::Ipv4, out, |ip, out| out(flag(ip.dont_fragment == Some(true))))
    }),
    field("ip.flags.mf", Type::Flag, "IPv4 More Fragments", |s, out| {
        ip(s, Net::Ipv4, out, |ip, out| out(flag(ip.fragment.is_some_and(|fragment| fragment.more))))
    }),
    field("ip.frag_offset", Type::Number, "where the fragment belongs, in units of 8 bytes", |s, out| {
        ip(s, Net::Ipv4, out, |ip, out| {
            out(Value::Number(ip.fragment.map_or(0, |fragment| u64::from(fragment.offset))));
        })
    }),
    field("ipv6", Type::Presence, "IPv6", |s, out| layer(s, false, out)),
    field("ipv6.src", Type::Ipv6, "IPv6 source address", |s, out| addresses(s, false, [true, false], out)),
    field("ipv6.dst", Type::Ipv6, "IPv6 destination address", |s, out| addresses(s, false, [false, true], out)),
    field("ipv6.addr", Type::Ipv6, "IPv6 source or destination address", |s, out| addresses(s, false, [true, true], out)),
    field("ipv6.plen", Type::Number, "bytes after the IPv6 header", |s, out| {
        ip(s, Net::Ipv6, out, |ip, out| out(Value::Number(u64::from(ip.total_len.saturating_sub(40)))))
    }),
    field("ipv6.hlim", Type::Number, "IPv6 hop limit", |s, out| {
        ip(s, Net::Ipv6, out, |ip, out| out(Value::Number(u64::from(ip.ttl))))
    }),
    field("ipv6.nxt", Type::Number, "Next Header of the IPv6 header", |s, out| {
        ip(s, Net::Ipv6, out, |ip, out| out(Value::Number(u64::from(ip.protocol))))
    }),
    field("icmp", Type::Presence, "ICMP", |s, out| presence(s, Protocol::Icmp, out)),
    field("icmp.type", Type::Number, "ICMP type: 3 unreachable, 8 echo request, 11 time exceeded", |s, out| {
        icmp(s, Protocol::Icmp, out, |icmp, out| out(Value::Number(u64::from(icmp.kind))))
    }),
    field("icmp.code", Type::Number, "ICMP code", |s, out| {
        icmp(s, Protocol::Icmp, out, |icmp, out| out(Value::Number(u64::from(icmp.code))))
    }),
    field("icmp.mtu", Type::Number, "next-hop MTU of \"fragmentation needed\"", |s, out| {
        icmp(s, Protocol::Icmp, out, |icmp, out| icmp.mtu.into_iter().for_each(|mtu| out(Value::Number(u64::from(mtu)))))
    }),
    field("icmp.ident", Type::Number, "identifier of an ICMP echo", |s, out| {
        icmp(s, Protocol::Icmp, out, |icmp, out| icmp.echo.into_iter().for_each(|(id, _)| out(Value::Number(u64::from(id)))))
    }),
    field("icmp.seq", Type::Number, "sequence number of an ICMP echo", |s, out| {
        icmp(s, Protocol::Icmp, out, |icmp, out| icmp.echo.into_iter().for_each(|(_, seq)| out(Value::Number(u64::from(seq)))))
    }),
    field("icmp.checksum.status", Type::Number, "1 right, 0 wrong, 2 could not be checked", |s, out| {
        icmp(s, Protocol::Icmp, out, |icmp, out| out(checksum_status(icmp.checksum)))
    }),
    field("icmpv6", Type::Presence, "ICMPv6", |s, out| presence(s, Protocol::Icmpv6, out)),
    field("icmpv6.type", Type::Number, "ICMPv6 type: 1 unreachable, 2 too big, 135 neighbour solicitation", |s, out| {
        icmp(s, Protocol::Icmpv6, out, |icmp, out| out(Value::Number(u64::from(icmp.kind))))
    }),
    field("icmpv6.code", Type::Number, "ICMPv6 code", |s, out| {
        icmp(s, Protocol::Icmpv6, out, |icmp, out| out(Value::Number(u64::from(icmp.code))))
    }),
    field("icmpv6.mtu", Type::Number, "MTU of \"packet too big\"", |s, out| {
        icmp(s, Protocol::Icmpv6, out, |icmp, out| icmp.mtu.into_iter().for_each(|mtu| out(Value::Number(u64::from(mtu)))))
    }),
    field("igmp", Type::Presence, "IGMP", |s, out| presence(s, Protocol::Igmp, out)),
];

/// A checksum as Wireshark numbers its status.
pub(super) fn checksum_status(checksum: Checksum) -> Value<'static> {
    Value::Number(match checksum {
        Checksum::Bad => 0,
        Checksum::Good => 1,
        Checksum::Unverified => 2,
        Checksum::Absent => 3,
        Checksum::Illegal => 4,
    })
}

type Out<'o> = &'o mut dyn FnMut(Value<'_>);

fn arp(s: &Subject<'_>, out: Out<'_>, give: fn(&Arp, Read<'_>, Out<'_>)) -> Known {
    if s.flow.is_some() {
        return Known::Yes;
    }
    match s.read() {
        Ok(read) => {
            if let Some(arp) = &read.packet.arp {
                give(arp, read, out);
            }
            Known::Yes
        }
        Err(known) => known,
    }
}

/// Presence of a transport named by the column.
pub(super) fn presence(s: &Subject<'_>, protocol: Protocol, out: Out<'_>) -> Known {
    let Some(read) = s.packet else {
        if s.row.protocol == protocol {
            out(Value::Present(&[]));
        }
        return s.all_if_plain();
    };
    let mut give = |packet: &Packet<'_>| {
        let offset = match &packet.transport {
            Transport::Tcp(tcp) => tcp.offset,
            Transport::Udp(udp) => udp.offset,
            Transport::Icmp(icmp) => icmp.offset,
            _ => packet.ip.map_or(0, |ip| ip.payload_offset),
        };
        if packet.transport.protocol() == Some(protocol) {
            out(Value::Present(from(read.bytes, offset)));
            return true;
        }
        false
    };
    give(read.packet);
    let in_quote = read.quoted().is_some_and(|quoted| give(&quoted));
    let outer = read.packet.outer.is_some_and(|outer| outer.transport == protocol);
    let named =
        matches!(&read.packet.transport, Transport::Icmp(icmp) if icmp.quote.is_some_and(|q| q.transport == Some(protocol)));
    if outer || (named && !in_quote) {
        out(Value::Present(&[]));
    }
    Known::Yes
}

fn layer(s: &Subject<'_>, v4: bool, out: Out<'_>) -> Known {
    if let Some(read) = s.packet {
        if let Some(ip) = read.packet.ip.filter(|ip| ip.src.is_ipv4() == v4) {
            out(Value::Present(from(read.bytes, ip.offset)));
        }
        if read.packet.outer.is_some_and(|outer| outer.src.is_ipv4() == v4) {
            out(Value::Present(&[]));
        }
        if matches!(&read.packet.transport, Transport::Icmp(icmp) if icmp.quote.is_some_and(|quote| quote.src.is_ipv4() == v4)) {
            out(Value::Present(&[]));
        }
        return Known::Yes;
    }
    let Some((source, _)) = s.addresses() else { return Known::NeedsPacket };
    if source.is_ipv4() == v4 {
        out(Value::Present(&[]));
    }
    s.all_if_plain()
}

/// Addresses of the one IP layer there is; of packets with more the decode tree has them.
fn addresses(s: &Subject<'_>, v4: bool, [source, destination]: [bool; 2], out: Out<'_>) -> Known {
    let pair = match s.packet {
        Some(read) => read.packet.ip.map(|ip| (ip.src, ip.dst)),
        None if s.plain() && s.flow.is_some() => s.addresses(),
        None => return Known::NeedsPacket,
    };
    if let Some(pair) = pair {
        for (wanted, address) in [(source, pair.0), (destination, pair.1)] {
            if wanted && address.is_ipv4() == v4 {
                out(Value::Address(address));
            }
        }
    }
    Known::Yes
}

fn ip(s: &Subject<'_>, net: Net, out: Out<'_>, give: fn(&Ip, Out<'_>)) -> Known {
    if s.plain() && s.addresses().is_some_and(|(source, _)| source.is_ipv4() != (net == Net::Ipv4)) {
        return Known::Yes;
    }
    match s.read() {
        Ok(read) => {
            if let Some(ip) = read.packet.ip.filter(|_| read.packet.net == net) {
                give(&ip, out);
            }
            if let Some(ip) = read.quoted().filter(|quoted| quoted.net == net).and_then(|quoted| quoted.ip) {
                give(&ip, out);
            }
            Known::Yes
        }
        Err(known) => known,
    }
}

fn icmp(s: &Subject<'_>, protocol: Protocol, out: Out<'_>, give: fn(&Icmp<'_>, Out<'_>)) -> Known {
    match s.read_if(protocol) {
        Ok(read) => {
            if let Transport::Icmp(icmp) = &read.packet.transport
                && icmp.protocol == protocol
            {
                give(icmp, out);
            }
            Known::Yes
        }
        Err(known) => known,
    }
}
