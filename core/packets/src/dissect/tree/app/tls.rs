//! TLS records (RFC 8446 section 5.1), and of handshakes the ClientHello and ServerHello with what names the server.

use super::Fields;
use crate::dissect::tree::fields::text;

/// Records shown of one segment, and messages of one record.
const MOST_RECORDS: usize = 32;
/// A longer one is encrypted rather than a message.
const LONGEST_MESSAGE: usize = 1 << 17;
/// Cipher suites shown of one ClientHello.
const MOST_SUITES: usize = 100;

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
    let (mut at, mut encrypted) = (0, false);
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
                22 if !encrypted => handshakes(fields, at + 5, at + 5 + len),
                _ => {}
            }
        });
        encrypted |= kind == 20;
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

/// The messages of a handshake record, up to one that is encrypted: its length then leads out of the record.
fn handshakes(fields: &mut Fields<'_>, mut at: usize, end: usize) {
    for _ in 0..MOST_RECORDS {
        let Some(len) = fields.number(at + 1, 3) else { return };
        let (len, word) = (len as usize, message(fields.u8(at).unwrap_or(0)));
        if word.is_empty() || at + 4 > end || len > LONGEST_MESSAGE {
            return;
        }
        let there = fields.rest(at).len().min(4 + len);
        fields.group(at, there, "Handshake Protocol", "", word, |fields| handshake(fields, at));
        at += 4 + len;
    }
}

/// The name of a kind of message (RFC 8446 section 4, RFC 5246 section 7.4).
fn message(kind: u8) -> &'static str {
    match kind {
        0 => "Hello Request",
        1 => "Client Hello",
        2 => "Server Hello",
        4 => "New Session Ticket",
        8 => "Encrypted Extensions",
        11 => "Certificate",
        12 => "Server Key Exchange",
        13 => "Certificate Request",
        14 => "Server Hello Done",
        15 => "Certificate Verify",
        16 => "Client Key Exchange",
        20 => "Finished",
        22 => "Certificate Status",
        _ => "",
    }
}

fn handshake(fields: &mut Fields<'_>, at: usize) {
    fields.decimal_named(at, 1, "Handshake Type", "tls.handshake.type", |kind| message(kind as u8));
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
    if session_len > 0 {
        fields.opaque(at + 35, session_len, "Session ID", "tls.handshake.session_id");
    }
    let mut at = at + 35 + session_len;
    if is_client {
        let suites_len = usize::from(fields.u16(at)?);
        let suites = format!("{} suites", suites_len / 2);
        fields.group(at + 2, suites_len, "Cipher Suites", "tls.handshake.ciphersuites", suites, |fields| {
            for suite in (0..suites_len / 2).take(MOST_SUITES) {
                fields.hex(at + 2 + suite * 2, 2, "Cipher Suite", "tls.handshake.ciphersuite");
            }
        });
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

/// An extension, its type and what is in it.
fn extension(fields: &mut Fields<'_>, at: usize, kind: u16, len: usize) {
    let body = fields.bytes(at + 4, len).unwrap_or_default();
    let version_of = |pair: &[u8; 2]| version(u64::from(u16::from_be_bytes(*pair)));
    let (name, value, inside) = match (kind, body) {
        // A list of names, of which the only kind there is is a host's (RFC 6066 section 3).
        (0, [_, _, 0, high, low, name @ ..]) => {
            let name = &name[..name.len().min(usize::from(u16::from_be_bytes([*high, *low])))];
            ("Server Name", text(name), Inside::ServerName(name.len()))
        }
        // A list of names, each with its length (RFC 7301 section 3.1).
        (16, [_, _, list @ ..]) => {
            let (mut names, mut rest) = (Vec::new(), list);
            while let [len, more @ ..] = rest {
                let Some((name, after)) = more.split_at_checked(usize::from(*len)) else { break };
                names.push(text(name));
                rest = after;
            }
            ("Application Layer Protocol Negotiation", names.join(", "), Inside::Protocols(names))
        }
        // A list in a ClientHello, one in a ServerHello (RFC 8446 section 4.2.1).
        (43, [_, versions @ ..]) if len > 2 => {
            let names = versions.as_chunks::<2>().0.iter().map(version_of).filter(|name| !name.is_empty());
            ("Supported Versions", names.collect::<Vec<_>>().join(", "), Inside::Versions(at + 5, versions.len() / 2))
        }
        (43, [high, low]) => ("Supported Version", version_of(&[*high, *low]).to_owned(), Inside::Versions(at + 4, 1)),
        _ => ("Extension", format!("{kind}, {len} bytes"), Inside::Unread),
    };
    let there = fields.rest(at).len().min(4 + len);
    fields.group(at, there, name, "", value, |fields| {
        fields.decimal(at, 2, "Type", "tls.handshake.extension.type");
        match inside {
            Inside::ServerName(len) => {
                let name = text(fields.bytes(at + 9, len).unwrap_or_default());
                fields.add(at + 9, len, "Server Name", "tls.handshake.extensions_server_name", name);
            }
            Inside::Protocols(names) => {
                let mut at = at + 6;
                for name in names {
                    let len = usize::from(fields.u8(at).unwrap_or(0));
                    fields.add(at + 1, len, "ALPN Next Protocol", "tls.handshake.extensions_alpn_str", name);
                    at += 1 + len;
                }
            }
            Inside::Versions(first, count) => {
                for place in (0..count).map(|n| first + n * 2) {
                    fields.decimal_named(place, 2, "Supported Version", "tls.handshake.extensions.supported_version", version);
                }
            }
            Inside::Unread => {}
        }
    });
}

/// What an extension holds.
enum Inside {
    /// A name of so many bytes.
    ServerName(usize),
    Protocols(Vec<String>),
    /// The first place, and how many.
    Versions(usize, usize),
    Unread,
}
