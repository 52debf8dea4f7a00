//! UDP, and transports of which ports alone are shown.

use super::fields::Fields;
use crate::dissect::packet::{Checksum, Protocol, Transport};

pub(super) fn udp(fields: &mut Fields<'_>, transport: &Transport<'_>) {
    let own = match transport {
        Transport::Udp(datagram) if datagram.offset as usize == fields.at => Some(datagram),
        _ => None,
    };
    let name = match own.map(|datagram| datagram.protocol) {
        Some(Protocol::UdpLite) => "UDP-Lite",
        _ => "User Datagram Protocol",
    };
    let (src, dst) = (fields.u16(0).unwrap_or(0), fields.u16(2).unwrap_or(0));
    fields.named(name, "udp", format_args!("{src} → {dst}"), 8);
    fields.decimal(0, 2, "Source Port", "udp.srcport");
    fields.decimal(2, 2, "Destination Port", "udp.dstport");
    fields.decimal(4, 2, "Length", "udp.length");
    checksum_field(fields, 6, "udp.checksum", own.map(|datagram| datagram.checksum));
    if let Some(datagram) = own
        && !datagram.payload.is_empty()
    {
        fields.add(8, datagram.payload.len(), "UDP payload", "udp.payload", format_args!("{} bytes", datagram.payload_len));
    }
}

/// A checksum with what it says.
pub(super) fn checksum_field(fields: &mut Fields<'_>, offset: usize, field: &str, status: Option<Checksum>) {
    let Some(told) = fields.u16(offset) else { return };
    let word = match status {
        Some(Checksum::Good) => "[correct]",
        Some(Checksum::Bad) => "[incorrect: damaged, or computed later by the network card of the host that captured]",
        Some(Checksum::Unverified) => "[unverified: not all of what it covers is here]",
        Some(Checksum::Absent) => "[zero: not computed by the sender]",
        Some(Checksum::Illegal) => "[zero, which IPv6 forbids]",
        None => "",
    };
    if let Some(node) = fields.add(offset, 2, "Checksum", field, format_args!("0x{told:04x} {word}")) {
        node.trouble = matches!(status, Some(Checksum::Bad | Checksum::Illegal));
    }
}

/// A transport that begins with two ports.
pub(super) fn ports(fields: &mut Fields<'_>, name: &str, field: &str) {
    let (src, dst) = (fields.u16(0).unwrap_or(0), fields.u16(2).unwrap_or(0));
    fields.named(name, field, format_args!("{src} → {dst}"), 12);
    fields.decimal(0, 2, "Source Port", &format!("{field}.srcport"));
    fields.decimal(2, 2, "Destination Port", &format!("{field}.dstport"));
    if field == "sctp" {
        fields.hex(4, 4, "Verification Tag", "sctp.verification_tag");
        fields.hex(8, 4, "Checksum", "sctp.checksum");
    }
}
