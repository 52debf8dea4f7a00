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
}

/// The fields.
pub(super) static FIELDS: &[Field] = &[
    whole("_ws.malformed", Type::Presence, "dissection stopped early: a header contradicts itself"),
    whole("_ws.short", Type::Presence, "the packet was cut by the snapshot length"),
    whole("arp.src.hw_mac", Type::Bytes, "hardware address of who sends the ARP packet"),
    whole("arp.dst.hw_mac", Type::Bytes, "hardware address the ARP packet is for"),
    whole("arp.hw.size", Type::Number, "length of a hardware address"),
    whole("arp.hw.type", Type::Number, "hardware type, 1 Ethernet"),
    whole("arp.proto.size", Type::Number, "length of a protocol address"),
    whole("arp.proto.type", Type::Number, "protocol type, 0x0800 IPv4"),
    whole("data", Type::Bytes, "bytes that no layer here reads"),
    whole("eth.len", Type::Number, "length of an IEEE 802.3 frame"),
    whole("geneve", Type::Presence, "GENEVE"),
    whole("geneve.proto_type", Type::Number, "what GENEVE carries"),
    whole("geneve.vni", Type::Number, "virtual network of GENEVE"),
    whole("gre", Type::Presence, "GRE"),
    whole("gre.checksum", Type::Number, "GRE checksum"),
    whole("gre.key", Type::Number, "GRE key"),
    whole("gre.proto", Type::Number, "what GRE carries"),
    whole("gre.sequence_number", Type::Number, "GRE sequence number"),
    whole("gtp", Type::Presence, "GTP"),
    whole("gtp.message", Type::Number, "GTP message type, 255 user data"),
    whole("gtp.teid", Type::Number, "GTP tunnel"),
    whole("icmp.checksum", Type::Number, "ICMP checksum"),
    whole("icmp.redir_gw", Type::Address, "gateway an ICMP redirect names"),
    whole("icmpv6.checksum", Type::Number, "ICMPv6 checksum"),
    whole("icmpv6.echo.identifier", Type::Number, "identifier of an ICMPv6 echo"),
    whole("icmpv6.echo.sequence_number", Type::Number, "sequence number of an ICMPv6 echo"),
    whole("icmpv6.mldr.nb_mcast_records", Type::Number, "records of a multicast listener report"),
    whole("icmpv6.nd.na.target_address", Type::Address, "address a neighbour advertisement is about"),
    whole("icmpv6.nd.ns.target_address", Type::Address, "address a neighbour solicitation asks for"),
    whole("icmpv6.nd.ra.cur_hop_limit", Type::Number, "hop limit a router advertises"),
    whole("icmpv6.nd.ra.router_lifetime", Type::Number, "how long a router serves, in seconds"),
    whole("igmp.checksum", Type::Number, "IGMP checksum"),
    whole("igmp.maddr", Type::Address, "multicast group"),
    whole("igmp.type", Type::Number, "IGMP type"),
    whole("ip.checksum", Type::Number, "IPv4 header checksum"),
    whole("ip.dsfield", Type::Number, "IPv4 Differentiated Services field"),
    bits("ip.flags", (5, 7, 1), "IPv4 flags"),
    bits("ip.flags.rb", (7, 1, 1), "IPv4 reserved bit"),
    bits("ip.hdr_len", (0, 15, 4), "length of the IPv4 header"),
    bits("ip.version", (4, 15, 1), "IP version"),
    whole("ip.opt.type", Type::Presence, "an IPv4 option"),
    whole("ip.options", Type::Presence, "IPv4 options"),
    whole("ipv6.dstopts", Type::Presence, "IPv6 destination options"),
    bits("ipv6.flow", (0, 0xf_ffff, 1), "IPv6 flow label"),
    whole("ipv6.fraghdr", Type::Presence, "an IPv6 fragment"),
    whole("ipv6.fraghdr.ident", Type::Number, "identification of an IPv6 fragment"),
    whole("ipv6.hopopts", Type::Presence, "IPv6 hop-by-hop options"),
    whole("ipv6.hopopts.len", Type::Number, "length of the hop-by-hop options, in units of 8 bytes after the first"),
    whole("ipv6.hopopts.nxt", Type::Number, "what follows the hop-by-hop options"),
    whole("ipv6.opt.type", Type::Presence, "an IPv6 option"),
    whole("ipv6.routing", Type::Presence, "an IPv6 routing header"),
    whole("ipv6.routing.type", Type::Number, "type of an IPv6 routing header"),
    bits("ipv6.tclass", (4, 0xff, 1), "IPv6 traffic class"),
    bits("ipv6.tclass.dscp", (6, 0x3f, 1), "IPv6 Differentiated Services code point"),
    bits("ipv6.tclass.ecn", (4, 3, 1), "IPv6 congestion notification: 3 means congestion was met"),
    bits("ipv6.version", (4, 15, 1), "IP version"),
    whole("mpls", Type::Presence, "MPLS"),
    bits("mpls.label", (4, 0xf_ffff, 1), "MPLS label"),
    whole("mpls.ttl", Type::Number, "MPLS time to live"),
    whole("pppoe.session_id", Type::Number, "PPPoE session"),
    whole("sctp.verification_tag", Type::Number, "SCTP verification tag"),
    whole("sll", Type::Presence, "Linux cooked capture"),
    whole("sll.etype", Type::Number, "EtherType of a cooked packet"),
    whole("sll.ifindex", Type::Number, "interface of a cooked packet"),
    whole("sll.pkttype", Type::Number, "0 to us, 1 broadcast, 2 multicast, 3 to another host, 4 sent by us"),
    whole("sll.src.eth", Type::Bytes, "source hardware address of a cooked packet"),
    whole("tcp.checksum", Type::Number, "TCP checksum"),
    bits("tcp.flags.ae", (8, 1, 1), "AE: accurate congestion notification"),
    bits("tcp.hdr_len", (4, 15, 4), "length of the TCP header"),
    whole("tcp.option_kind", Type::Presence, "a TCP option that is not known here"),
    whole("tcp.options", Type::Bytes, "all TCP options"),
    whole("tcp.options.md5", Type::Presence, "TCP's MD5 signature"),
    whole("tcp.options.mptcp", Type::Presence, "Multipath TCP"),
    whole("tcp.options.nop", Type::Presence, "a no-operation option"),
    whole("tcp.options.eol", Type::Presence, "the end of the options"),
    whole("tcp.options.tfo.cookie", Type::Bytes, "Fast Open cookie"),
    whole("tcp.options.tfo.request", Type::Presence, "asks for a Fast Open cookie"),
    whole("tcp.options.timestamp", Type::Presence, "TCP timestamps"),
    whole("tcp.options.mss", Type::Presence, "announces a maximum segment size"),
    whole("tcp.options.wscale", Type::Presence, "announces a window scale"),
    whole("tcp.urgent_pointer", Type::Number, "TCP urgent pointer"),
    whole("udp.checksum", Type::Number, "UDP checksum"),
    whole("vxlan", Type::Presence, "VXLAN"),
    whole("vxlan.vni", Type::Number, "virtual network of VXLAN"),
];

const fn whole(name: &'static str, kind: Type, about: &'static str) -> Field {
    Field { name, kind, about, values: Values::Tree(Shape::Whole), changes: false }
}

const fn bits(name: &'static str, (shift, mask, unit): (u32, u64, u64), about: &'static str) -> Field {
    Field { name, kind: Type::Number, about, values: Values::Tree(Shape::Bits(shift, mask, unit)), changes: false }
}

/// Gives each value of a field that the tree shows.
pub(super) fn emit(field: &Field, shape: Shape, s: &Subject<'_>, out: &mut dyn FnMut(Value<'_>)) -> Known {
    let of_protocol = match field.name.split('.').next() {
        Some("tcp") => Some(Protocol::Tcp),
        Some("udp") => Some(Protocol::Udp),
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
    for node in dissect::tree(link_type, read.bytes, s.row.wire_len, None) {
        visit(&node, field, shape, read.bytes, out);
    }
    Known::Yes
}

fn visit(node: &Node, field: &Field, shape: Shape, bytes: &[u8], out: &mut dyn FnMut(Value<'_>)) {
    if node.field == field.name {
        let (offset, len) = (node.at.0 as usize, node.at.1 as usize);
        let own = bytes.get(offset..offset + len).unwrap_or_default();
        let number = (1..=8).contains(&len).then(|| own.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)));
        match (field.kind, shape, own.len()) {
            (Type::Presence, ..) => out(Value::Present(own)),
            (Type::Bytes, ..) => out(Value::Bytes(own)),
            (Type::Address, _, 4) => {
                own.first_chunk::<4>().into_iter().for_each(|octets| out(Value::Address(Ipv4Addr::from(*octets).into())));
            }
            (Type::Address, _, 16) => {
                own.first_chunk::<16>().into_iter().for_each(|octets| out(Value::Address(Ipv6Addr::from(*octets).into())));
            }
            (_, Shape::Bits(shift, mask, unit), _) => {
                number.into_iter().for_each(|number| out(Value::Number((number >> shift & mask) * unit)));
            }
            _ => number.into_iter().for_each(|number| out(Value::Number(number))),
        }
    }
    node.children.iter().for_each(|child| visit(child, field, shape, bytes, out));
}
