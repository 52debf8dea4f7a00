//! Headers of tunnels.

use super::fields::Fields;
use super::link::type_field;

pub(super) fn gre(fields: &mut Fields<'_>) {
    let flags = fields.u16(0).unwrap_or(0);
    let is_pptp = flags & 7 == 1;
    fields.named("Generic Routing Encapsulation", "gre", format_args!("version {}", flags & 7), 4);
    fields.hex(0, 2, "Flags and Version", "gre.flags_and_version");
    type_field(fields, 2, "Protocol Type", "gre.proto");
    let mut at = 4;
    if flags & 0xc000 != 0 && !is_pptp {
        fields.hex(at, 2, "Checksum", "gre.checksum");
        at += 4;
    }
    if flags & 0x2000 != 0 {
        if is_pptp {
            fields.decimal(at, 2, "Payload Length", "gre.key.payload_length");
            fields.decimal(at + 2, 2, "Call ID", "gre.key.call_id");
        } else {
            fields.hex(at, 4, "Key", "gre.key");
        }
        at += 4;
    }
    if flags & 0x1000 != 0 {
        fields.decimal(at, 4, "Sequence Number", "gre.sequence_number");
    }
}

pub(super) fn vxlan(fields: &mut Fields<'_>) {
    let vni = fields.number(4, 3).unwrap_or(0);
    fields.named("Virtual eXtensible Local Area Network", "vxlan", format_args!("VNI {vni}"), 8);
    fields.hex(0, 2, "Flags", "vxlan.flags");
    fields.add(4, 3, "VXLAN Network Identifier (VNI)", "vxlan.vni", vni);
}

pub(super) fn geneve(fields: &mut Fields<'_>) {
    let vni = fields.number(4, 3).unwrap_or(0);
    let options = usize::from(fields.u8(0).unwrap_or(0) & 0x3f) * 4;
    fields.named("Generic Network Virtualization Encapsulation", "geneve", format_args!("VNI {vni}"), 8 + options);
    fields.add(0, 1, "Length", "geneve.option_length", format_args!("{options} bytes of options"));
    fields.hex(1, 1, "Flags", "geneve.flags");
    type_field(fields, 2, "Protocol Type", "geneve.proto_type");
    fields.add(4, 3, "Virtual Network Identifier (VNI)", "geneve.vni", vni);
}

pub(super) fn gtp(fields: &mut Fields<'_>) {
    fields.named("GPRS Tunneling Protocol", "gtp", "", 8);
    fields.hex(0, 1, "Flags", "gtp.flags");
    fields.decimal_named(1, 1, "Message Type", "gtp.message", |number| match number {
        1 => "Echo request",
        2 => "Echo response",
        26 => "Error indication",
        254 => "End marker",
        255 => "T-PDU",
        _ => "",
    });
    fields.decimal(2, 2, "Length", "gtp.length");
    if fields.u8(0).is_some_and(|flags| flags >> 5 == 1) {
        fields.hex(4, 4, "TEID", "gtp.teid");
    }
}

pub(super) fn mpls(fields: &mut Fields<'_>) {
    let Some(entry) = fields.u32(0) else { return };
    fields.named("MultiProtocol Label Switching Header", "mpls", format_args!("label {}", entry >> 12), 4);
    fields.add(0, 3, "MPLS Label", "mpls.label", entry >> 12);
    fields.add(2, 1, "MPLS Experimental Bits", "mpls.exp", entry >> 9 & 7);
    fields.add(2, 1, "MPLS Bottom Of Label Stack", "mpls.bottom", entry >> 8 & 1);
    fields.add(3, 1, "MPLS TTL", "mpls.ttl", entry & 0xff);
}

pub(super) fn pppoe(fields: &mut Fields<'_>) {
    fields.named("PPP-over-Ethernet Session", "pppoes", "", 6);
    fields.hex(1, 1, "Code", "pppoe.code");
    fields.hex(2, 2, "Session ID", "pppoe.session_id");
    fields.decimal(4, 2, "Payload Length", "pppoe.payload_length");
}
