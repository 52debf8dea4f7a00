//! TLS records (RFC 8446 section 5.1), and of handshakes the ClientHello and ServerHello with what names the server.

use super::Fields;
use crate::dissect::tree::fields::text;

/// Records shown of one segment.
const MOST_RECORDS: usize = 32;

fn version(number: u64) -> &'static str {
    match number {
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        0x0304 => "TLS 1.3",
        _ => "",
    }
}

pub(super) fn records(fields: &mut Fields<'_>) {
    fields.named("Transport Layer Security", "tls", "", fields.rest(0).len());
    let mut at = 0;
    for _ in 0..MOST_RECORDS {
        let (Some(kind), Some(len)) = (fields.u8(at), fields.u16(at + 3)) else { return };
        let len = usize::from(len);
        let word = match kind {
            20 => "Change Cipher Spec",
            21 => "Alert",
            22 => "Handshake",
            23 => "Application Data",
            _ => return,
        };
        let there = fields.rest(at).len().min(5 + len);
        fields.group(at, there, "TLS Record", "tls.record", format_args!("{word}, {len} bytes"), |fields| {
            fields.add(at, 1, "Content Type", "tls.record.content_type", format_args!("{word} ({kind})"));
            fields.decimal_named(at + 1, 2, "Version", "tls.record.version", version);
            fields.decimal(at + 3, 2, "Length", "tls.record.length");
            match kind {
                21 if len == 2 => {
                    fields.decimal_named(at + 5, 1, "Level", "tls.alert_message.level", |level| {
                        if level == 2 { "Fatal" } else { "Warning" }
                    });
                    fields.decimal_named(at + 6, 1, "Description", "tls.alert_message.desc", alert);
                }
                22 => handshake(fields, at + 5),
                _ => {}
            }
        });
        at += 5 + len;
    }
}

fn alert(number: u64) -> &'static str {
    match number {
        0 => "Close Notify",
        10 => "Unexpected Message",
        20 => "Bad Record MAC",
        40 => "Handshake Failure",
        42 => "Bad Certificate",
        45 => "Certificate Expired",
        48 => "Unknown CA",
        70 => "Protocol Version",
        80 => "Internal Error",
        112 => "Unrecognized Name",
        _ => "",
    }
}

fn handshake(fields: &mut Fields<'_>, at: usize) {
    fields.decimal_named(at, 1, "Handshake Type", "tls.handshake.type", |number| match number {
        1 => "Client Hello",
        2 => "Server Hello",
        4 => "New Session Ticket",
        11 => "Certificate",
        12 => "Server Key Exchange",
        14 => "Server Hello Done",
        16 => "Client Key Exchange",
        20 => "Finished",
        _ => "",
    });
    fields.decimal(at + 1, 3, "Length", "tls.handshake.length");
    if let Some(kind @ (1 | 2)) = fields.u8(at) {
        // Ends early where the message was cut: what was there has been added.
        let _ = hello(fields, at + 4, kind == 1);
    }
}

/// RFC 8446 sections 4.1.2 and 4.1.3.
fn hello(fields: &mut Fields<'_>, at: usize, is_client: bool) -> Option<()> {
    fields.decimal_named(at, 2, "Version", "tls.handshake.version", version);
    fields.opaque(at + 2, 32, "Random", "tls.handshake.random");
    let session_len = usize::from(fields.u8(at + 34)?);
    fields.opaque(at + 35, session_len, "Session ID", "tls.handshake.session_id");
    let mut at = at + 35 + session_len;
    if is_client {
        let suites_len = usize::from(fields.u16(at)?);
        fields.add(at + 2, suites_len, "Cipher Suites", "tls.handshake.ciphersuites", format_args!("{} suites", suites_len / 2));
        at += 2 + suites_len;
        at += 1 + usize::from(fields.u8(at)?);
    } else {
        fields.hex(at, 2, "Cipher Suite", "tls.handshake.ciphersuite");
        at += 3;
    }
    let end = at + 2 + usize::from(fields.u16(at)?);
    at += 2;
    while at < end {
        let (kind, len) = (fields.u16(at)?, usize::from(fields.u16(at + 2)?));
        extension(fields, at, kind, len);
        at += 4 + len;
    }
    Some(())
}

fn extension(fields: &mut Fields<'_>, at: usize, kind: u16, len: usize) {
    let body = fields.bytes(at + 4, len).unwrap_or_default();
    match (kind, body) {
        // A list of names, of which the only kind there is is a host's (RFC 6066 section 3).
        (0, [_, _, 0, high, low, name @ ..]) => {
            let name = &name[..name.len().min(usize::from(u16::from_be_bytes([*high, *low])))];
            fields.add(at + 9, name.len(), "Server Name", "tls.handshake.extensions_server_name", text(name));
        }
        (16, [_, _, list @ ..]) => {
            let (mut names, mut rest) = (Vec::new(), list);
            while let [len, more @ ..] = rest {
                let Some((name, after)) = more.split_at_checked(usize::from(*len)) else { break };
                names.push(text(name));
                rest = after;
            }
            let field = "tls.handshake.extensions_alpn_str";
            fields.add(at + 4, len, "Application Layer Protocol Negotiation", field, names.join(", "));
        }
        (43, [_, versions @ ..]) if len > 2 => {
            let names: Vec<&str> = versions
                .as_chunks::<2>()
                .0
                .iter()
                .map(|pair| version(u64::from(u16::from_be_bytes(*pair))))
                .filter(|name| !name.is_empty())
                .collect();
            fields.add(at + 4, len, "Supported Versions", "tls.handshake.extensions.supported_version", names.join(", "));
        }
        (43, [_, _]) => {
            fields.decimal_named(at + 4, 2, "Supported Version", "tls.handshake.extensions.supported_version", version)
        }
        _ => {
            fields.add(at, 4 + len, "Extension", "tls.handshake.extension.type", format_args!("{kind}, {len} bytes"));
        }
    }
}
