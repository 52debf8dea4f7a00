//! DNS messages (RFC 1035).

use super::Fields;
use crate::dissect::info::dns::{kind_name, name, skip_name};

/// Records shown of one message: a message of 64 KiB could claim thousands.
const MOST_RECORDS: usize = 64;

/// Type of the record in which EDNS keeps other things than a class and a time to live (RFC 6891 section 6.1.2).
const OPT: u16 = 41;

pub(super) fn dns(fields: &mut Fields<'_>, title: &str, field: &str) -> Option<()> {
    let message = fields.rest(0);
    let flags = fields.u16(2)?;
    let counts = [fields.u16(4)?, fields.u16(6)?, fields.u16(8)?, fields.u16(10)?];
    let is_response = flags & 0x8000 != 0;
    fields.named(title, field, if is_response { "response" } else { "query" }, message.len());
    fields.hex(0, 2, "Transaction ID", "dns.id");
    fields.group(2, 2, "Flags", "dns.flags", format_args!("0x{flags:04x}"), |fields| {
        fields.bit(2, 2, 0x8000, "Response", "dns.flags.response");
        fields.add(2, 2, "Opcode", "dns.flags.opcode", flags >> 11 & 15);
        if is_response {
            fields.bit(2, 2, 0x0400, "Authoritative", "dns.flags.authoritative");
        }
        fields.bit(2, 2, 0x0200, "Truncated", "dns.flags.truncated");
        fields.bit(2, 2, 0x0100, "Recursion desired", "dns.flags.recdesired");
        if is_response {
            fields.bit(2, 2, 0x0080, "Recursion available", "dns.flags.recavail");
            let code = ["No error", "Format error", "Server failure", "No such name", "Not implemented", "Refused"];
            let word = code.get(usize::from(flags & 15)).unwrap_or(&"other");
            fields.add(2, 2, "Reply code", "dns.flags.rcode", format_args!("{word} ({})", flags & 15));
        }
    });
    for (i, (name, field)) in [
        ("Questions", "dns.count.queries"),
        ("Answer RRs", "dns.count.answers"),
        ("Authority RRs", "dns.count.auth_rr"),
        ("Additional RRs", "dns.count.add_rr"),
    ]
    .into_iter()
    .enumerate()
    {
        fields.decimal(4 + 2 * i, 2, name, field);
    }
    let mut at = 12;
    for (section, count) in ["Query", "Answer", "Authority", "Additional"].into_iter().zip(counts) {
        for _ in 0..usize::from(count).min(MOST_RECORDS) {
            let Some(next) = entry(fields, message, at, section) else { return Some(()) };
            at = next;
        }
    }
    Some(())
}

/// One question or record; the place after it.
fn entry(fields: &mut Fields<'_>, message: &[u8], at: usize, section: &str) -> Option<usize> {
    let after = skip_name(message, at).ok()?;
    let kind = fields.u16(after)?;
    let (mut owner, mut kind_text) = (String::new(), String::new());
    name(&mut owner, message, at).ok()?;
    kind_name(&mut kind_text, kind);
    if section == "Query" {
        fields.group(at, after + 4 - at, section, "dns.qry", format_args!("{owner} {kind_text}"), |fields| {
            fields.add(at, after - at, "Name", "dns.qry.name", plain(&owner));
            fields.add(after, 2, "Type", "dns.qry.type", format_args!("{kind_text} ({kind})"));
            fields.hex(after + 2, 2, "Class", "dns.qry.class");
        });
        return Some(after + 4);
    }
    let len = usize::from(fields.u16(after + 8)?);
    let data = after + 10;
    let value = value(fields, message, data, len, kind);
    fields.group(at, data + len - at, section, "dns.resp", format_args!("{owner} {kind_text} {value}"), |fields| {
        fields.add(at, after - at, "Name", "dns.resp.name", plain(&owner));
        fields.add(after, 2, "Type", "dns.resp.type", format_args!("{kind_text} ({kind})"));
        if kind == OPT {
            fields.decimal(after + 2, 2, "UDP payload size", "dns.rr.udp_payload_size");
            fields.decimal(after + 4, 1, "Higher bits in extended RCODE", "dns.resp.ext_rcode");
            fields.decimal(after + 5, 1, "EDNS0 version", "dns.resp.edns0_version");
            fields.hex(after + 6, 2, "Z", "dns.resp.z");
        } else {
            fields.hex(after + 2, 2, "Class", "dns.resp.class");
            fields.decimal(after + 4, 4, "Time to live (s)", "dns.resp.ttl");
        }
        fields.decimal(after + 8, 2, "Data length", "dns.resp.len");
        match kind {
            1 => fields.ipv4(data, "Address", "dns.a"),
            28 => fields.ipv6(data, "AAAA Address", "dns.aaaa"),
            5 => drop(fields.add(data, len, "CNAME", "dns.cname", plain(&value))),
            _ => drop(fields.opaque(data, len, "Data", "dns.data")),
        }
    });
    Some(data + len)
}

/// A name as Wireshark writes it: without the dot that stands for the root.
fn plain(name: &str) -> &str {
    match name.strip_suffix('.') {
        Some("") => "<Root>",
        plain => plain.unwrap_or(name),
    }
}

fn value(fields: &Fields<'_>, message: &[u8], at: usize, len: usize, kind: u16) -> String {
    let mut text = String::new();
    match (kind, len) {
        (1, 4) => fields.rest(at).first_chunk::<4>().map_or(text, |octets| std::net::Ipv4Addr::from(*octets).to_string()),
        (28, 16) => fields.rest(at).first_chunk::<16>().map_or(text, |octets| std::net::Ipv6Addr::from(*octets).to_string()),
        (2 | 5 | 12 | 39, _) => match name(&mut text, message, at) {
            Ok(()) => text,
            Err(_) => String::new(),
        },
        _ => text,
    }
}
