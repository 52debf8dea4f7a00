//! IPv4, IPv6 and IPv6's extension headers.

use super::fields::Fields;
use crate::dissect::checksum;
use crate::dissect::packet::Checksum;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A protocol's name.
pub(super) fn protocol(number: u64) -> &'static str {
    match number {
        0 => "IPv6 Hop-by-Hop Option",
        1 => "ICMP",
        2 => "IGMP",
        4 => "IPv4",
        6 => "TCP",
        17 => "UDP",
        33 => "DCCP",
        41 => "IPv6",
        43 => "Routing Header for IPv6",
        44 => "Fragment Header for IPv6",
        47 => "Generic Routing Encapsulation",
        50 => "Encap Security Payload",
        51 => "Authentication Header",
        58 => "ICMPv6",
        59 => "IPv6 no next header",
        60 => "Destination Options for IPv6",
        89 => "OSPF IGP",
        97 => "Ethernet within IP",
        103 => "PIM",
        112 => "VRRP",
        115 => "L2TPv3",
        132 => "SCTP",
        136 => "UDPlite",
        137 => "MPLS in IP",
        _ => "",
    }
}

fn dscp(fields: &mut Fields<'_>, offset: usize, len: usize, byte: u8, prefix: &str) {
    let ecn = ["Not-ECT", "ECT(1)", "ECT(0)", "CE"][usize::from(byte & 3)];
    let summary = format!("DSCP {}, {ecn}", byte >> 2);
    let names = [format!("{prefix}.dscp"), format!("{prefix}.ecn")];
    let field = if prefix == "ip.dsfield" { "ip.dsfield" } else { "ipv6.tclass" };
    fields.group(offset, len, "Differentiated Services Field", field, format_args!("0x{byte:02x} ({summary})"), |fields| {
        fields.add(offset, len, "Differentiated Services Codepoint", &names[0], byte >> 2);
        fields.add(offset, len, "Explicit Congestion Notification", &names[1], format_args!("{ecn} ({})", byte & 3));
    });
}

pub(super) fn ipv4(fields: &mut Fields<'_>) {
    let Some(first) = fields.u8(0) else { return };
    let header_len = usize::from(first & 0x0f) * 4;
    let address = |at: usize| fields.rest(at).first_chunk::<4>().map_or(Ipv4Addr::UNSPECIFIED, |octets| Ipv4Addr::from(*octets));
    let summary = format!("{} → {}", address(12), address(16));
    fields.named("Internet Protocol Version 4", "ip", summary, header_len);
    fields.add(0, 1, "Version", "ip.version", first >> 4);
    fields.add(0, 1, "Header Length", "ip.hdr_len", format_args!("{header_len} bytes ({})", first & 0x0f));
    if let Some(byte) = fields.u8(1) {
        dscp(fields, 1, 1, byte, "ip.dsfield");
    }
    fields.decimal(2, 2, "Total Length", "ip.len");
    if let Some(id) = fields.u16(4) {
        fields.add(4, 2, "Identification", "ip.id", format_args!("0x{id:04x} ({id})"));
    }
    if let Some(word) = fields.u16(6) {
        let names: Vec<&str> = [(0x4000, "Don't fragment"), (0x2000, "More fragments")]
            .into_iter()
            .filter_map(|(bit, name)| (word & bit != 0).then_some(name))
            .collect();
        fields.group(6, 1, "Flags", "ip.flags", format_args!("0x{:x} {}", word >> 13, names.join(", ")), |fields| {
            fields.bit(6, 1, 0x80, "Reserved bit", "ip.flags.rb");
            fields.bit(6, 1, 0x40, "Don't fragment", "ip.flags.df");
            fields.bit(6, 1, 0x20, "More fragments", "ip.flags.mf");
        });
        let offset = word & 0x1fff;
        fields.add(6, 2, "Fragment Offset", "ip.frag_offset", format_args!("{offset} ({} bytes)", u32::from(offset) * 8));
    }
    fields.decimal(8, 1, "Time to Live", "ip.ttl");
    fields.decimal_named(9, 1, "Protocol", "ip.proto", protocol);
    if let (Some(told), Some(header)) = (fields.u16(10), fields.bytes(0, header_len.max(20))) {
        let is_good = checksum::verify_plain(header) == Checksum::Good;
        let value = format!("0x{told:04x} [{}]", if is_good { "correct" } else { "incorrect" });
        if let Some(node) = fields.add(10, 2, "Header Checksum", "ip.checksum", value) {
            node.trouble = !is_good;
        }
    }
    fields.ipv4(12, "Source Address", "ip.src");
    fields.ipv4(16, "Destination Address", "ip.dst");
    if header_len > 20 {
        let len = fields.rest(20).len().min(header_len - 20);
        fields.group(20, len, "Options", "ip.options", format_args!("{} bytes", header_len - 20), |fields| {
            ipv4_options(fields, 20 + len)
        });
    }
}

/// IPv4's options (IANA "IP Option Numbers"), until the end or one that cannot be right.
fn ipv4_options(fields: &mut Fields<'_>, end: usize) {
    let mut at = 20;
    while at < end {
        let Some(kind) = fields.u8(at) else { return };
        let len = match kind {
            0 | 1 => 1,
            _ => usize::from(fields.u8(at + 1).unwrap_or(0)),
        };
        if len == 0 || at + len > end {
            if let Some(node) =
                fields.add(at, 1, "Option", "ip.opt.type", format_args!("{kind}, its length {len} cannot be right"))
            {
                node.trouble = true;
            }
            return;
        }
        let name = match kind & 0x7f {
            0 => "End of Options List",
            1 => "No-Operation",
            2 => "Security",
            3 => "Loose Source Route",
            4 => "Time Stamp",
            7 => "Record Route",
            8 => "Stream ID",
            9 => "Strict Source Route",
            20 => "Router Alert",
            _ => "Unknown",
        };
        fields.add(at, len, "IP Option", "ip.opt.type", format_args!("{name} ({kind}), {len} bytes"));
        at += len;
        if kind == 0 {
            return;
        }
    }
}

pub(super) fn ipv6(fields: &mut Fields<'_>) {
    let Some(first) = fields.u32(0) else { return };
    let address = |at: usize| fields.rest(at).first_chunk::<16>().map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets));
    let summary = format!("{} → {}", address(8), address(24));
    fields.named("Internet Protocol Version 6", "ipv6", summary, 40);
    fields.add(0, 1, "Version", "ipv6.version", first >> 28);
    dscp(fields, 0, 2, (first >> 20 & 0xff) as u8, "ipv6.tclass");
    fields.add(1, 3, "Flow Label", "ipv6.flow", format_args!("0x{:05x}", first & 0xf_ffff));
    fields.decimal(4, 2, "Payload Length", "ipv6.plen");
    fields.decimal_named(6, 1, "Next Header", "ipv6.nxt", protocol);
    fields.decimal(7, 1, "Hop Limit", "ipv6.hlim");
    fields.ipv6(8, "Source Address", "ipv6.src");
    fields.ipv6(24, "Destination Address", "ipv6.dst");
}

/// Hop-by-hop and destination options: type, length and value each.
pub(super) fn options(fields: &mut Fields<'_>, name: &str, field: &str) {
    let Some(units) = fields.u8(1) else { return };
    let len = (usize::from(units) + 1) * 8;
    fields.named(name, field, "", len);
    fields.decimal_named(0, 1, "Next Header", &format!("{field}.nxt"), protocol);
    fields.add(1, 1, "Length", &format!("{field}.len"), format_args!("{units} ({len} bytes)"));
    let mut at = 2;
    while at < len {
        let Some(kind) = fields.u8(at) else { return };
        let option_len = match kind {
            0 => 1,
            _ => 2 + usize::from(fields.u8(at + 1).unwrap_or(0)),
        };
        let name = match kind {
            0 => "Pad1",
            1 => "PadN",
            4 => "Tunnel Encapsulation Limit",
            5 => "Router Alert",
            0xc2 => "Jumbo Payload",
            0xc9 => "Home Address",
            _ => "Option",
        };
        fields.add(at, option_len, name, "ipv6.opt.type", format_args!("type 0x{kind:02x}, {option_len} bytes"));
        at += option_len;
    }
}

pub(super) fn routing(fields: &mut Fields<'_>) {
    let Some(units) = fields.u8(1) else { return };
    let len = (usize::from(units) + 1) * 8;
    fields.named("Routing Header for IPv6", "ipv6.routing", "", len);
    fields.decimal_named(0, 1, "Next Header", "ipv6.routing.nxt", protocol);
    fields.add(1, 1, "Length", "ipv6.routing.len", format_args!("{units} ({len} bytes)"));
    fields.decimal_named(2, 1, "Type", "ipv6.routing.type", |number| match number {
        0 => "Source Route",
        2 => "Type 2 Routing",
        4 => "Segment Routing",
        _ => "",
    });
    fields.decimal(3, 1, "Segments Left", "ipv6.routing.segleft");
    let mut at = 8;
    while at + 16 <= len {
        fields.ipv6(at, "Address", "ipv6.routing.src.addr");
        at += 16;
    }
}

pub(super) fn fragment(fields: &mut Fields<'_>) {
    let Some(word) = fields.u16(2) else { return };
    fields.named("Fragment Header for IPv6", "ipv6.fraghdr", "", 8);
    fields.decimal_named(0, 1, "Next Header", "ipv6.fraghdr.nxt", protocol);
    fields.add(2, 2, "Offset", "ipv6.fraghdr.offset", format_args!("{} ({} bytes)", word >> 3, word & 0xfff8));
    fields.bit(2, 2, 1, "More Fragments", "ipv6.fraghdr.more");
    fields.hex(4, 4, "Identification", "ipv6.fraghdr.ident");
}
