//! Fields that are seldom filtered by and read from the decode tree: by name, from the bytes the tree points to.
//!
//! What stands here makes every name that the tree shows a name that can be typed. A field whose bytes hold other fields too
//! says which bits are its own.

use super::{Field, Known, Subject, Values};
use crate::dissect::{self, Node, Protocol};
use crate::filter::value::{Type, Value};
use std::net::{Ipv4Addr, Ipv6Addr};

/// How a field's bytes are its value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// As they are, by the field's type: a number in network byte order, an address, bytes, presence.
    Whole,
    /// A number of these bits, after shifting them down, times a unit.
    Bits(u32, u64, u64),
    /// What the tree shows: text that stands otherwise in the bytes (a compressed name), or digits.
    Shown,
    /// As they are, of fields of these names.
    Of(&'static [&'static str]),
    /// There where the tree shows a field of this name.
    Where(&'static str),
    /// A number, the first byte.
    First,
    /// The first four bits of a field of this name, or of IPv6's.
    VersionOfIp,
    /// The kinds of the TCP options that a field of all of them holds.
    OptionKinds,
    /// What follows a UDP header, by the place and value of its length.
    UdpPayload,
    /// Seconds, with as many bits before the point as behind it: of a length of time, or since 1900 (RFC 5905 section 6).
    Fixed,
}

/// The fields.
pub(super) static FIELDS: &[Field] = &[
    whole("_ws.malformed", Type::Presence, "dissection stopped early: a header contradicts itself"),
    whole("_ws.short", Type::Presence, "the packet was cut by the snapshot length"),
    whole("arp.src.hw_mac", Type::Mac, "hardware address of who sends the ARP packet"),
    whole("arp.dst.hw_mac", Type::Mac, "hardware address the ARP packet is for"),
    whole("arp.hw.size", Type::Number, "length of a hardware address"),
    whole("arp.hw.type", Type::Number, "hardware type, 1 Ethernet"),
    whole("arp.proto.size", Type::Number, "length of a protocol address"),
    whole("arp.proto.type", Type::Number, "protocol type, 0x0800 IPv4"),
    whole("data", Type::Bytes, "bytes that no layer here reads"),
    whole("eth.len", Type::Number, "length of an IEEE 802.3 frame"),
    whole("erspan", Type::Presence, "a mirrored frame (ERSPAN)"),
    whole("geneve", Type::Presence, "GENEVE"),
    bits("geneve.flags", (0, 0xff, 1), "flags of GENEVE"),
    bits("geneve.option_length", (0, 0x3f, 4), "length of the options of GENEVE"),
    whole("geneve.proto_type", Type::Number, "what GENEVE carries"),
    whole("geneve.vni", Type::Number, "virtual network of GENEVE"),
    whole("gre", Type::Presence, "GRE"),
    whole("gre.checksum", Type::Number, "GRE checksum"),
    whole("gre.flags_and_version", Type::Number, "flags and version of GRE"),
    whole("gre.key", Type::Number, "GRE key"),
    whole("gre.proto", Type::Number, "what GRE carries"),
    whole("gre.sequence_number", Type::Number, "GRE sequence number"),
    whole("gtp", Type::Presence, "GTP"),
    whole("gtp.flags", Type::Number, "flags of GTP"),
    whole("gtp.length", Type::Number, "length of a GTP message"),
    whole("gtp.message", Type::Number, "GTP message type, 255 user data"),
    whole("gtp.teid", Type::Number, "GTP tunnel"),
    whole("icmp.checksum", Type::Number, "ICMP checksum"),
    whole("icmp.redir_gw", Type::Ipv4, "gateway an ICMP redirect names"),
    whole("icmpv6.checksum", Type::Number, "ICMPv6 checksum"),
    whole("icmpv6.echo.identifier", Type::Number, "identifier of an ICMPv6 echo"),
    whole("icmpv6.echo.sequence_number", Type::Number, "sequence number of an ICMPv6 echo"),
    whole("icmpv6.mldr.nb_mcast_records", Type::Number, "records of a multicast listener report"),
    whole("icmpv6.nd.na.target_address", Type::Ipv6, "address a neighbour advertisement is about"),
    whole("icmpv6.nd.ns.target_address", Type::Ipv6, "address a neighbour solicitation asks for"),
    whole("icmpv6.nd.ra.cur_hop_limit", Type::Number, "hop limit a router advertises"),
    whole("icmpv6.nd.ra.router_lifetime", Type::Number, "how long a router serves, in seconds"),
    whole("ieee8021ad", Type::Presence, "an 802.1ad tag"),
    bits("ieee8021ad.dei", (12, 1, 1), "may be dropped first (802.1ad)"),
    whole("ieee8021ad.etype", Type::Number, "what an 802.1ad tag precedes"),
    bits("ieee8021ad.priority", (13, 7, 1), "priority of an 802.1ad tag"),
    bits("ieee8021ad.id", (0, 0xfff, 1), "VLAN number of an 802.1ad tag"),
    whole("igmp.checksum", Type::Number, "IGMP checksum"),
    whole("igmp.maddr", Type::Ipv4, "multicast group"),
    whole("igmp.type", Type::Number, "IGMP type"),
    whole("ip.checksum", Type::Number, "IPv4 header checksum"),
    whole("ip.dsfield", Type::Number, "IPv4 Differentiated Services field"),
    bits("ip.flags", (5, 7, 1), "IPv4 flags"),
    bits("ip.flags.rb", (7, 1, 1), "IPv4 reserved bit"),
    bits("ip.hdr_len", (0, 15, 4), "length of the IPv4 header"),
    shaped("ip.version", Type::Number, Shape::VersionOfIp, "IP version, of IPv6 too"),
    shaped("ip.opt.type", Type::Number, Shape::First, "an IPv4 option: 7 record route, 148 router alert"),
    whole("ip.options", Type::Presence, "IPv4 options"),
    whole("ipv6.dstopts", Type::Presence, "IPv6 destination options"),
    bits("ipv6.flow", (0, 0xf_ffff, 1), "IPv6 flow label"),
    whole("ipv6.fraghdr", Type::Presence, "an IPv6 fragment"),
    whole("ipv6.fraghdr.ident", Type::Number, "identification of an IPv6 fragment"),
    bits("ipv6.fraghdr.more", (0, 1, 1), "more IPv6 fragments follow"),
    whole("ipv6.fraghdr.nxt", Type::Number, "what follows the IPv6 fragment header"),
    bits("ipv6.fraghdr.offset", (3, 0x1fff, 1), "place of an IPv6 fragment, in units of 8 bytes"),
    whole("ipv6.hopopts", Type::Presence, "IPv6 hop-by-hop options"),
    whole("ipv6.hopopts.len", Type::Number, "length of the hop-by-hop options, in units of 8 bytes after the first"),
    whole("ipv6.hopopts.nxt", Type::Number, "what follows the hop-by-hop options"),
    shaped("ipv6.opt.type", Type::Number, Shape::First, "an IPv6 option: 5 router alert, 0xc2 jumbo payload"),
    whole("ipv6.routing", Type::Presence, "an IPv6 routing header"),
    whole("ipv6.routing.type", Type::Number, "type of an IPv6 routing header"),
    bits("ipv6.tclass", (4, 0xff, 1), "IPv6 traffic class"),
    bits("ipv6.tclass.dscp", (6, 0x3f, 1), "IPv6 Differentiated Services code point"),
    bits("ipv6.tclass.ecn", (4, 3, 1), "IPv6 congestion notification: 3 means congestion was met"),
    bits("ipv6.version", (4, 15, 1), "IP version"),
    whole("llc", Type::Presence, "logical link control"),
    whole("mpls", Type::Presence, "MPLS"),
    bits("mpls.bottom", (0, 1, 1), "the last label"),
    bits("mpls.exp", (1, 7, 1), "traffic class of MPLS"),
    bits("mpls.label", (4, 0xf_ffff, 1), "MPLS label"),
    whole("mpls.ttl", Type::Number, "MPLS time to live"),
    whole("ppp", Type::Presence, "PPP"),
    whole("pppoes", Type::Presence, "a session of PPP over Ethernet"),
    whole("pppoe.code", Type::Number, "kind of a PPPoE packet"),
    whole("pppoe.payload_length", Type::Number, "bytes that PPPoE carries"),
    whole("pppoe.session_id", Type::Number, "PPPoE session"),
    whole("radiotap", Type::Presence, "what a radio says of a frame"),
    whole("sctp.verification_tag", Type::Number, "SCTP verification tag"),
    whole("sll", Type::Presence, "Linux cooked capture"),
    whole("sll.etype", Type::Number, "EtherType of a cooked packet"),
    whole("sll.halen", Type::Number, "length of a hardware address"),
    whole("sll.hatype", Type::Number, "kind of the device, 1 Ethernet"),
    whole("sll.ifindex", Type::Number, "interface of a cooked packet"),
    whole("sll.pkttype", Type::Number, "0 to us, 1 broadcast, 2 multicast, 3 to another host, 4 sent by us"),
    whole("sll.src.eth", Type::Mac, "source hardware address of a cooked packet"),
    whole("tcp.checksum", Type::Number, "TCP checksum"),
    bits("tcp.flags.ae", (8, 1, 1), "AE: accurate congestion notification"),
    bits("tcp.hdr_len", (4, 15, 4), "length of the TCP header"),
    shaped("tcp.option_kind", Type::Number, Shape::OptionKinds, "kind of a TCP option: 2 MSS, 5 SACK, 8 timestamps"),
    whole("tcp.options", Type::Bytes, "all TCP options"),
    whole("tcp.options.md5", Type::Presence, "TCP's MD5 signature"),
    whole("tcp.options.mptcp", Type::Presence, "Multipath TCP"),
    whole("tcp.options.nop", Type::Presence, "a no-operation option"),
    whole("tcp.options.eol", Type::Presence, "the end of the options"),
    whole("tcp.options.tfo.cookie", Type::Bytes, "Fast Open cookie"),
    whole("tcp.options.tfo.request", Type::Presence, "asks for a Fast Open cookie"),
    whole("tcp.options.timestamp", Type::Presence, "TCP timestamps"),
    shaped("tcp.options.mss", Type::Presence, Shape::Where("tcp.options.mss_val"), "announces a maximum segment size"),
    shaped("tcp.options.wscale", Type::Presence, Shape::Where("tcp.options.wscale.shift"), "announces a window scale"),
    whole("tcp.urgent_pointer", Type::Number, "TCP urgent pointer"),
    whole("udp.checksum", Type::Number, "UDP checksum"),
    whole("vlan", Type::Presence, "an 802.1Q tag"),
    bits("vlan.dei", (12, 1, 1), "may be dropped first"),
    whole("vlan.etype", Type::Number, "what a tag precedes"),
    bits("vlan.id", (0, 0xfff, 1), "VLAN number"),
    bits("vlan.priority", (13, 7, 1), "priority of a tag"),
    whole("vxlan", Type::Presence, "VXLAN"),
    whole("vxlan.flags", Type::Number, "flags of VXLAN"),
    whole("vxlan.vni", Type::Number, "virtual network of VXLAN"),
    whole("wlan", Type::Presence, "802.11"),
];

pub(super) const fn whole(name: &'static str, kind: Type, about: &'static str) -> Field {
    Field { name, kind, about, values: Values::Tree(Shape::Whole), changes: false, follows: false }
}

pub(super) const fn bits(name: &'static str, (shift, mask, unit): (u32, u64, u64), about: &'static str) -> Field {
    Field {
        name,
        kind: Type::Number,
        about,
        values: Values::Tree(Shape::Bits(shift, mask, unit)),
        changes: false,
        follows: false,
    }
}

/// A field whose values are of another shape.
pub(super) const fn shaped(name: &'static str, kind: Type, shape: Shape, about: &'static str) -> Field {
    Field { name, kind, about, values: Values::Tree(shape), changes: false, follows: false }
}

/// Gives each value of a field that the tree shows.
pub(super) fn emit(field: &Field, shape: Shape, s: &Subject<'_>, out: &mut dyn FnMut(Value<'_>)) -> Known {
    let of_protocol = match field.name.split('.').next() {
        Some("tcp" | "http" | "tls") => Some(Protocol::Tcp),
        Some("udp" | "mdns" | "quic" | "dhcp" | "ntp") => Some(Protocol::Udp),
        Some("sctp") => Some(Protocol::Sctp),
        Some("igmp") => Some(Protocol::Igmp),
        Some("icmpv6") => Some(Protocol::Icmpv6),
        _ => None,
    };
    if of_protocol.is_some_and(|protocol| protocol != s.row.protocol) && s.plain() {
        return Known::Yes;
    }
    let read = match s.read() {
        Ok(read) => read,
        Err(known) => return known,
    };
    let link_type = s.interfaces.get(s.row.interface.0 as usize).map_or(0, |interface| interface.link_type);
    let names: &[&str] = match shape {
        Shape::Of(names) => names,
        Shape::Where(name) => &[name],
        Shape::OptionKinds => &["tcp.options"],
        Shape::UdpPayload => &["udp.length"],
        _ => &[field.name],
    };
    for node in dissect::tree(link_type, read.bytes, s.row.wire_len, None) {
        visit(&node, (names, field.kind, shape), read.bytes, out);
    }
    Known::Yes
}

/// Gives each value that the tree shows by this name, of every layer there is.
pub(super) fn every(name: &str, kind: Type, s: &Subject<'_>, out: &mut dyn FnMut(Value<'_>)) -> Known {
    let read = match s.read() {
        Ok(read) => read,
        Err(known) => return known,
    };
    let link_type = s.interfaces.get(s.row.interface.0 as usize).map_or(0, |interface| interface.link_type);
    for node in dissect::tree(link_type, read.bytes, s.row.wire_len, None) {
        visit(&node, (&[name], kind, Shape::Whole), read.bytes, out);
    }
    Known::Yes
}

/// How addresses, ports and fields of IP and UDP headers, which elsewhere come from the dissected packet, stand in the tree: it has
/// them of every layer of a tunnel, and of the packet an ICMP error quotes.
pub(super) fn of_every_layer(name: &str) -> Option<Shape> {
    Some(match name {
        "ip.src" | "ip.dst" | "ipv6.src" | "ipv6.dst" | "eth.src" | "eth.dst" | "eth.type" => Shape::Whole,
        "tcp.srcport" | "tcp.dstport" | "udp.srcport" | "udp.dstport" | "sctp.srcport" | "sctp.dstport" => Shape::Whole,
        "ip.addr" => Shape::Of(&["ip.src", "ip.dst"]),
        "ipv6.addr" => Shape::Of(&["ipv6.src", "ipv6.dst"]),
        "eth.addr" => Shape::Of(&["eth.dst", "eth.src"]),
        "tcp.port" => Shape::Of(&["tcp.srcport", "tcp.dstport"]),
        "udp.port" => Shape::Of(&["udp.srcport", "udp.dstport"]),
        "sctp.port" => Shape::Of(&["sctp.srcport", "sctp.dstport"]),
        "ip.len" | "ip.id" | "ip.ttl" | "ip.proto" | "ipv6.plen" | "ipv6.nxt" | "ipv6.hlim" | "udp.length" => Shape::Whole,
        "udp.payload" => Shape::UdpPayload,
        "ip.dsfield.dscp" => Shape::Bits(2, 0x3f, 1),
        "ip.dsfield.ecn" => Shape::Bits(0, 3, 1),
        "ip.flags.df" => Shape::Bits(6, 1, 1),
        "ip.flags.mf" => Shape::Bits(5, 1, 1),
        "ip.frag_offset" => Shape::Bits(0, 0x1fff, 1),
        _ => return None,
    })
}

/// The kinds of all TCP options, padding after the end of the list among them, up to one whose length cannot be right.
fn option_kinds(mut options: &[u8], out: &mut dyn FnMut(Value<'_>)) {
    while let Some(&kind) = options.first() {
        let len = match kind {
            0 | 1 => 1,
            _ => options.get(1).map_or(0, |len| usize::from(*len)),
        };
        let Some(rest) = options.get(len..).filter(|_| len > 0) else { return };
        out(Value::Number(u64::from(kind)));
        options = rest;
    }
}

/// Seconds from 1900-01-01 to 1970-01-01.
const SINCE_1900: i64 = 2_208_988_800;

fn visit(node: &Node, wanted: (&[&str], Type, Shape), bytes: &[u8], out: &mut dyn FnMut(Value<'_>)) {
    let (names, kind, shape) = wanted;
    if names.contains(&node.field.as_str()) || (matches!(shape, Shape::VersionOfIp) && node.field == "ipv6.version") {
        let (offset, len) = (node.at.0 as usize, node.at.1 as usize);
        let own = bytes.get(offset..offset + len).unwrap_or_default();
        let number = (1..=8).contains(&len).then(|| own.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)));
        match (kind, shape, own.len()) {
            (Type::Presence, ..) => out(Value::Present(own)),
            (Type::Flag, Shape::Where(_), _) => out(Value::Number(1)),
            (Type::Text, ..) => out(Value::Text(&node.value)),
            (_, Shape::First, _) => own.first().into_iter().for_each(|byte| out(Value::Number(u64::from(*byte)))),
            (_, Shape::OptionKinds, _) => option_kinds(own, out),
            (_, Shape::VersionOfIp, _) => own.iter().for_each(|byte| out(Value::Number(u64::from(byte >> 4)))),
            (_, Shape::Shown, _) => node.value.parse().into_iter().for_each(|number| out(Value::Number(number))),
            (Type::Moment, _, 8) => {
                number.into_iter().for_each(|number| {
                    let nanos = ((number & 0xffff_ffff) * 1_000_000_000) >> 32;
                    let since_1970 = ((number >> 32) as i64 - SINCE_1900) * 1_000_000_000 + nanos as i64;
                    // Zero stands for no time, which Wireshark writes as the beginning of 1970.
                    out(Value::Nanos(if number == 0 { 0 } else { since_1970 }));
                });
            }
            (Type::Duration, Shape::Fixed, 4) => {
                number.into_iter().for_each(|number| out(Value::Nanos(((number * 1_000_000_000) >> 16) as i64)));
            }
            (_, Shape::UdpPayload, _) => {
                // The length stands in the fifth and sixth of the header's eight bytes, and counts these, too.
                let end = offset.saturating_sub(4) + number.map_or(0, |number| number as usize);
                let payload = bytes.get(offset + 4..end.min(bytes.len())).unwrap_or_default();
                if !payload.is_empty() {
                    out(Value::Bytes(payload));
                }
            }
            // What has no bytes is not there.
            (Type::Bytes | Type::Mac, _, 0) => {}
            (Type::Bytes | Type::Mac, ..) => out(Value::Bytes(own)),
            (Type::Ipv4, _, 4) => {
                own.first_chunk::<4>().into_iter().for_each(|octets| out(Value::Address(Ipv4Addr::from(*octets).into())));
            }
            (Type::Ipv6, _, 16) => {
                own.first_chunk::<16>().into_iter().for_each(|octets| out(Value::Address(Ipv6Addr::from(*octets).into())));
            }
            (_, Shape::Bits(shift, mask, unit), _) => {
                number.into_iter().for_each(|number| out(Value::Number((number >> shift & mask) * unit)));
            }
            _ => number.into_iter().for_each(|number| out(Value::Number(number))),
        }
    }
    node.children.iter().for_each(|child| visit(child, wanted, bytes, out));
}
