//! ARP and RARP.

use super::fields::{Fields, hex};
use super::link::type_field;

pub(super) fn arp(fields: &mut Fields<'_>) {
    let (Some(hardware_len), Some(protocol_len), Some(operation)) = (fields.u8(4), fields.u8(5), fields.u16(6)) else { return };
    let (hardware_len, protocol_len) = (usize::from(hardware_len), usize::from(protocol_len));
    let word = match operation {
        1 => "request",
        2 => "reply",
        3 => "reverse request",
        4 => "reverse reply",
        8 => "inverse request",
        9 => "inverse reply",
        _ => "other",
    };
    fields.named("Address Resolution Protocol", "arp", word, 8 + 2 * (hardware_len + protocol_len));
    fields.decimal_named(0, 2, "Hardware type", "arp.hw.type", |number| if number == 1 { "Ethernet" } else { "" });
    type_field(fields, 2, "Protocol type", "arp.proto.type");
    fields.decimal(4, 1, "Hardware size", "arp.hw.size");
    fields.decimal(5, 1, "Protocol size", "arp.proto.size");
    fields.add(6, 2, "Opcode", "arp.opcode", format_args!("{word} ({operation})"));
    let mut at = 8;
    for (who, end) in [("Sender", "src"), ("Target", "dst")] {
        match hardware_len {
            6 => fields.mac(at, &format!("{who} MAC address"), &format!("arp.{end}.hw_mac")),
            len => address(fields, at, len, &format!("{who} hardware address"), &format!("arp.{end}.hw")),
        }
        at += hardware_len;
        match protocol_len {
            4 => fields.ipv4(at, &format!("{who} IP address"), &format!("arp.{end}.proto_ipv4")),
            len => address(fields, at, len, &format!("{who} protocol address"), &format!("arp.{end}.proto")),
        }
        at += protocol_len;
    }
}

fn address(fields: &mut Fields<'_>, at: usize, len: usize, name: &str, field: &str) {
    if let Some(bytes) = fields.bytes(at, len) {
        fields.add(at, len, name, field, hex(bytes));
    }
}
