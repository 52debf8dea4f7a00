//! ICMP, ICMPv6 and IGMP. The packet that an error quotes is a subtree.

use super::fields::Fields;
use super::udp::checksum_field;
use crate::dissect::packet::{Icmp, Transport};

fn own<'t, 'a>(fields: &Fields<'_>, transport: &'t Transport<'a>) -> Option<&'t Icmp<'a>> {
    match transport {
        Transport::Icmp(message) if message.offset as usize == fields.at => Some(message),
        _ => None,
    }
}

pub(super) fn icmp(fields: &mut Fields<'_>, transport: &Transport<'_>) {
    let own = own(fields, transport);
    let (kind, code) = (fields.u8(0).unwrap_or(0), fields.u8(1).unwrap_or(0));
    let word = match kind {
        0 => "Echo (ping) reply",
        3 => "Destination unreachable",
        4 => "Source quench",
        5 => "Redirect",
        8 => "Echo (ping) request",
        9 => "Router advertisement",
        10 => "Router solicitation",
        11 => "Time-to-live exceeded",
        12 => "Parameter problem",
        13 => "Timestamp request",
        14 => "Timestamp reply",
        17 => "Address mask request",
        18 => "Address mask reply",
        _ => "Unknown",
    };
    let why = match (kind, code) {
        (3, 0) => "Network unreachable",
        (3, 1) => "Host unreachable",
        (3, 2) => "Protocol unreachable",
        (3, 3) => "Port unreachable",
        (3, 4) => "Fragmentation needed",
        (3, 9) => "Network administratively prohibited",
        (3, 10) => "Host administratively prohibited",
        (3, 13) => "Communication administratively filtered",
        (11, 0) => "Time to live exceeded in transit",
        (11, 1) => "Fragment reassembly time exceeded",
        _ => "",
    };
    fields.named("Internet Control Message Protocol", "icmp", if why.is_empty() { word } else { why }, 8);
    fields.add(0, 1, "Type", "icmp.type", format_args!("{kind} ({word})"));
    fields.add(
        1,
        1,
        "Code",
        "icmp.code",
        format_args!("{code} {}", if why.is_empty() { String::new() } else { format!("({why})") }),
    );
    checksum_field(fields, 2, "icmp.checksum", own.map(|message| message.checksum));
    match kind {
        0 | 8 | 13 | 14 => {
            fields.decimal(4, 2, "Identifier", "icmp.ident");
            fields.decimal(6, 2, "Sequence Number", "icmp.seq");
        }
        3 if code == 4 => drop(fields.decimal(6, 2, "MTU of next hop", "icmp.mtu")),
        5 => fields.ipv4(4, "Gateway Address", "icmp.redir_gw"),
        12 => drop(fields.decimal(4, 1, "Pointer", "icmp.pointer")),
        _ => {}
    }
    match own.and_then(|message| message.quote) {
        Some(_) => quote(fields),
        None => data(fields),
    }
}

pub(super) fn icmpv6(fields: &mut Fields<'_>, transport: &Transport<'_>) {
    let own = own(fields, transport);
    let (kind, code) = (fields.u8(0).unwrap_or(0), fields.u8(1).unwrap_or(0));
    let word = match kind {
        1 => "Destination Unreachable",
        2 => "Packet Too Big",
        3 => "Time Exceeded",
        4 => "Parameter Problem",
        128 => "Echo (ping) request",
        129 => "Echo (ping) reply",
        130 => "Multicast Listener Query",
        131 => "Multicast Listener Report",
        132 => "Multicast Listener Done",
        133 => "Router Solicitation",
        134 => "Router Advertisement",
        135 => "Neighbor Solicitation",
        136 => "Neighbor Advertisement",
        137 => "Redirect",
        143 => "Multicast Listener Report Message v2",
        _ => "Unknown",
    };
    fields.named("Internet Control Message Protocol v6", "icmpv6", word, 8);
    fields.add(0, 1, "Type", "icmpv6.type", format_args!("{word} ({kind})"));
    fields.add(1, 1, "Code", "icmpv6.code", code);
    checksum_field(fields, 2, "icmpv6.checksum", own.map(|message| message.checksum));
    match kind {
        2 => drop(fields.decimal(4, 4, "MTU", "icmpv6.mtu")),
        4 => drop(fields.decimal(4, 4, "Pointer", "icmpv6.pointer")),
        128 | 129 => {
            fields.hex(4, 2, "Identifier", "icmpv6.echo.identifier");
            fields.decimal(6, 2, "Sequence", "icmpv6.echo.sequence_number");
        }
        134 => {
            fields.decimal(4, 1, "Cur hop limit", "icmpv6.nd.ra.cur_hop_limit");
            fields.hex(5, 1, "Flags", "icmpv6.nd.ra.flag");
            fields.decimal(6, 2, "Router lifetime (s)", "icmpv6.nd.ra.router_lifetime");
        }
        135 => fields.ipv6(8, "Target Address", "icmpv6.nd.ns.target_address"),
        136 => fields.ipv6(8, "Target Address", "icmpv6.nd.na.target_address"),
        137 => {
            fields.ipv6(8, "Target Address", "icmpv6.rd.na.target_address");
            fields.ipv6(24, "Destination Address", "icmpv6.rd.na.destination_address");
        }
        143 => drop(fields.decimal(6, 2, "Number of Multicast Address Records", "icmpv6.mldr.nb_mcast_records")),
        _ => {}
    }
    match own.and_then(|message| message.quote) {
        Some(_) => quote(fields),
        None => data(fields),
    }
}

fn quote(fields: &mut Fields<'_>) {
    let at = fields.at + 8;
    let children = super::quoted(&fields.data[..fields.end], at);
    let len = fields.rest(8).len();
    if let Some(node) = fields.add(8, len, "Quoted packet", "", "the beginning of the packet this is about") {
        node.children = children;
    }
}

fn data(fields: &mut Fields<'_>) {
    let len = fields.rest(8).len();
    if len > 0 {
        fields.add(8, len, "Data", "data", format_args!("{len} bytes"));
    }
}

pub(super) fn igmp(fields: &mut Fields<'_>) {
    let kind = fields.u8(0).unwrap_or(0);
    let word = match kind {
        0x11 => "Membership Query",
        0x12 => "Membership Report (version 1)",
        0x16 => "Membership Report (version 2)",
        0x17 => "Leave Group",
        0x22 => "Membership Report (version 3)",
        _ => "Unknown",
    };
    fields.named("Internet Group Management Protocol", "igmp", word, fields.rest(0).len());
    fields.add(0, 1, "Type", "igmp.type", format_args!("{word} (0x{kind:02x})"));
    if kind == 0x22 {
        fields.hex(2, 2, "Checksum", "igmp.checksum");
        fields.decimal(6, 2, "Num Group Records", "igmp.num_grp_recs");
        // Group records (RFC 3376 section 4.2.4): type, length of auxiliary data in words, sources, group.
        let mut at = 8;
        for _ in 0..fields.u16(6).unwrap_or(0) {
            let (Some(auxiliary), Some(sources)) = (fields.u8(at + 1), fields.u16(at + 2)) else { break };
            fields.ipv4(at + 4, "Multicast Address", "igmp.maddr");
            at += 8 + 4 * (usize::from(auxiliary) + usize::from(sources));
        }
    } else {
        fields.decimal(1, 1, "Max Resp Time", "igmp.max_resp");
        fields.hex(2, 2, "Checksum", "igmp.checksum");
        fields.ipv4(4, "Multicast Address", "igmp.maddr");
    }
}
