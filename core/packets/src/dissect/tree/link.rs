//! Link headers and VLAN tags.

use super::fields::Fields;

/// An EtherType's name, where it is one that is met often.
pub(super) fn ethertype(number: u64) -> &'static str {
    match number {
        0x0800 => "IPv4",
        0x0806 => "ARP",
        0x8035 => "RARP",
        0x8100 => "802.1Q Virtual LAN",
        0x86dd => "IPv6",
        0x8847 => "MPLS label switched packet",
        0x8848 => "MPLS multicast",
        0x8863 => "PPPoE Discovery",
        0x8864 => "PPPoE Session",
        0x888e => "802.1X Authentication",
        0x88a8 => "802.1ad Provider Bridge",
        0x88cc => "Link Layer Discovery Protocol",
        0x88e5 => "802.1AE (MACsec)",
        0x88f7 => "Precision Time Protocol",
        0x9100 => "QinQ (old)",
        0x6558 => "Transparent Ethernet bridging",
        _ => "",
    }
}

/// A type field: name and number.
pub(super) fn type_field(fields: &mut Fields<'_>, offset: usize, name: &str, field: &str) {
    let Some(number) = fields.u16(offset) else { return };
    match ethertype(u64::from(number)) {
        "" => fields.hex(offset, 2, name, field),
        word => fields.add(offset, 2, name, field, format_args!("{word} (0x{number:04x})")),
    };
}

pub(super) fn ethernet(fields: &mut Fields<'_>) {
    fields.named("Ethernet II", "eth", "", 14);
    fields.mac(0, "Destination", "eth.dst");
    fields.mac(6, "Source", "eth.src");
    if fields.u16(12).is_some_and(|number| number <= 1500) {
        fields.named("IEEE 802.3 Ethernet", "eth", "", 14);
        fields.decimal(12, 2, "Length", "eth.len");
    } else {
        type_field(fields, 12, "Type", "eth.type");
    }
}

pub(super) fn vlan(fields: &mut Fields<'_>, field: &str, name: &str) {
    let Some(tag) = fields.u16(0) else { return };
    fields.named(name, field, format_args!("PRI: {}, DEI: {}, ID: {}", tag >> 13, tag >> 12 & 1, tag & 0xfff), 4);
    fields.add(0, 2, "Priority", &format!("{field}.priority"), tag >> 13);
    fields.add(0, 2, "DEI", &format!("{field}.dei"), tag >> 12 & 1);
    fields.add(0, 2, "ID", &format!("{field}.id"), tag & 0xfff);
    type_field(fields, 2, "Type", &format!("{field}.etype"));
}

fn packet_type(number: u64) -> &'static str {
    match number {
        0 => "Unicast to us",
        1 => "Broadcast",
        2 => "Multicast",
        3 => "Unicast to another host",
        4 => "Sent by us",
        _ => "",
    }
}

pub(super) fn cooked(fields: &mut Fields<'_>) {
    fields.named("Linux cooked capture v1", "sll", "", 16);
    fields.decimal_named(0, 2, "Packet type", "sll.pkttype", packet_type);
    fields.decimal(2, 2, "Link-layer address type", "sll.hatype");
    fields.decimal(4, 2, "Link-layer address length", "sll.halen");
    // Tunnels have no address, and other links have longer ones.
    if fields.u16(4) == Some(6) {
        fields.mac(6, "Source", "sll.src.eth");
    }
    type_field(fields, 14, "Protocol", "sll.etype");
}

pub(super) fn cooked2(fields: &mut Fields<'_>) {
    fields.named("Linux cooked capture v2", "sll", "", 20);
    type_field(fields, 0, "Protocol", "sll.etype");
    fields.decimal(4, 4, "Interface index", "sll.ifindex");
    fields.decimal(8, 2, "Link-layer address type", "sll.hatype");
    fields.decimal_named(10, 1, "Packet type", "sll.pkttype", packet_type);
    fields.decimal(11, 1, "Link-layer address length", "sll.halen");
    if fields.u8(11) == Some(6) {
        fields.mac(12, "Source", "sll.src.eth");
    }
}

pub(super) fn loopback(fields: &mut Fields<'_>) {
    fields.named("Null/Loopback", "null", "", 4);
    if let Some(family) = fields.u32(0) {
        fields.add(0, 4, "Family", "null.family", family.min(family.swap_bytes()));
    }
}
