//! QUIC's long header (RFC 8999, RFC 9000 section 17.2). What follows is encrypted.

use super::Fields;

pub(super) fn quic(fields: &mut Fields<'_>) -> Option<()> {
    let first = fields.u8(0)?;
    let version = fields.u32(1)?;
    let version_name = match version {
        0 => "Version Negotiation",
        1 => "1",
        0x6b33_43cf => "2",
        number if number & 0xffff_ff00 == 0xff00_0000 => "draft",
        _ => return None,
    };
    let (destination_len, source_at) = (usize::from(fields.u8(5)?), 6 + usize::from(fields.u8(5)?));
    let source_len = usize::from(fields.u8(source_at)?);
    // Connection ids have at most 20 bytes in these versions.
    if first & 0x80 == 0 || destination_len > 20 || source_len > 20 {
        return None;
    }
    let kinds = if version == 0x6b33_43cf {
        ["Retry", "Initial", "0-RTT", "Handshake"]
    } else {
        ["Initial", "0-RTT", "Handshake", "Retry"]
    };
    let kind = if version == 0 { "Version Negotiation" } else { kinds[usize::from(first >> 4 & 3)] };
    fields.named("QUIC IETF", "quic", kind, fields.rest(0).len());
    fields.add(0, 1, "Header Form", "quic.header_form", "Long Header (1)");
    fields.add(0, 1, "Packet Type", "quic.long.packet_type", kind);
    fields.add(1, 4, "Version", "quic.version", format_args!("{version_name} (0x{version:08x})"));
    fields.decimal(5, 1, "Destination Connection ID Length", "quic.dcil");
    fields.opaque(6, destination_len, "Destination Connection ID", "quic.dcid");
    fields.decimal(source_at, 1, "Source Connection ID Length", "quic.scil");
    fields.opaque(source_at + 1, source_len, "Source Connection ID", "quic.scid");
    Some(())
}
