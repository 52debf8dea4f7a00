//! DNS messages (RFC 1035) in tcpdump's words: `47060+ A? example.com. (29)`, `47060 1/0/0 A 192.0.2.1 (45)`.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Why a message could not be written to its end: it was cut, or a name in it makes no sense.
pub(in crate::dissect) struct Cut;

/// Writes a message of which `bytes` were captured of `len`.
pub(super) fn write(out: &mut String, bytes: &[u8], len: u32, is_mdns: bool) {
    match message(out, bytes, is_mdns) {
        Ok(()) => {
            let _ = write!(out, " ({len})");
        }
        Err(Cut) => out.push_str(" [|domain]"),
    }
}

const OPERATIONS: [&str; 16] = [
    "",
    " inv_q",
    " stat",
    " op3",
    " notify",
    " update",
    " op6",
    " op7",
    " op8",
    " updateA",
    " updateD",
    " updateDA",
    " updateM",
    " updateMA",
    " zoneInit",
    " zoneRef",
];
const RESPONSES: [&str; 24] = [
    "",
    " FormErr",
    " ServFail",
    " NXDomain",
    " NotImp",
    " Refused",
    " YXDomain",
    " YXRRSet",
    " NXRRSet",
    " NotAuth",
    " NotZone",
    " Resp11",
    " Resp12",
    " Resp13",
    " Resp14",
    " NoChange",
    " BadVers",
    "Resp17",
    " Resp18",
    " Resp19",
    " Resp20",
    "Resp21",
    " Resp22",
    " Resp23",
];

fn message(out: &mut String, bytes: &[u8], is_mdns: bool) -> Result<(), Cut> {
    let header: &[u8; 12] = bytes.first_chunk().ok_or(Cut)?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (flags, questions, answers, authorities, additional) = (word(2), word(4), word(6), word(8), word(10));
    let operation = OPERATIONS[usize::from(flags >> 11 & 15)];
    let set = |bit: u16, text: &'static str| if flags & bit != 0 { text } else { "" };
    let mut at = 12;
    if flags & 0x8000 != 0 {
        let _ = write!(
            out,
            "{}{operation}{}{}{}{}{}",
            word(0),
            RESPONSES[usize::from(flags & 15)],
            set(0x0400, "*"),
            if flags & 0x0080 == 0 { "-" } else { "" },
            set(0x0200, "|"),
            set(0x0020, "$"),
        );
        if questions != 1 {
            let _ = write!(out, " [{questions}q]");
        }
        for _ in 0..questions {
            at = skip_name(bytes, at)? + 4;
        }
        let _ = write!(out, " {answers}/{authorities}/{additional}");
        for i in 0..answers {
            if i > 0 {
                out.push(',');
            }
            at = record(out, bytes, at, is_mdns)?;
        }
        return Ok(());
    }
    let _ = write!(out, "{}{operation}{}{}", word(0), set(0x0100, "+"), set(0x0010, "%"));
    if flags & 0x06cf != 0 {
        let _ = write!(out, " [b2&3=0x{flags:x}]");
    }
    let mut counts = |count: u16, usual: u16, letter: &str| {
        if count != usual {
            let _ = write!(out, " [{count}{letter}]");
        }
    };
    if flags >> 11 & 15 == 1 {
        counts(questions, 0, "q");
        counts(answers, 1, "a");
    } else {
        counts(answers, 0, "a");
        counts(questions, 1, "q");
    }
    counts(authorities, 0, "n");
    counts(additional, 0, "au");
    for _ in 0..questions {
        at = question(out, bytes, at, is_mdns)?;
    }
    Ok(())
}

fn question(out: &mut String, bytes: &[u8], at: usize, is_mdns: bool) -> Result<usize, Cut> {
    let after = skip_name(bytes, at)?;
    let (kind, class) = (half(bytes, after)?, half(bytes, after + 2)?);
    out.push(' ');
    kind_name(out, kind);
    let class = if is_mdns { class & 0x7fff } else { class };
    if is_mdns {
        out.push_str(if half(bytes, after + 2)? & 0x8000 != 0 { " (QU)" } else { " (QM)" });
    }
    class_name(out, class);
    out.push_str("? ");
    name(out, bytes, at)?;
    Ok(after + 4)
}

fn record(out: &mut String, bytes: &[u8], at: usize, is_mdns: bool) -> Result<usize, Cut> {
    const OPT: u16 = 41;
    let at = skip_name(bytes, at)?;
    let (kind, class, len) = (half(bytes, at)?, half(bytes, at + 2)?, usize::from(half(bytes, at + 8)?));
    if is_mdns && class & 0x8000 != 0 {
        out.push_str(" (Cache flush)");
    }
    if kind != OPT {
        class_name(out, if is_mdns { class & 0x7fff } else { class });
    }
    out.push(' ');
    kind_name(out, kind);
    let at = at + 10;
    let data = bytes.get(at..at + len).ok_or(Cut)?;
    match kind {
        1 => {
            let octets: [u8; 4] = *data.first_chunk().ok_or(Cut)?;
            let _ = write!(out, " {}", Ipv4Addr::from(octets));
        }
        28 => {
            let octets: [u8; 16] = *data.first_chunk().ok_or(Cut)?;
            let _ = write!(out, " {}", Ipv6Addr::from(octets));
        }
        2 | 5 | 12 | 39 => {
            out.push(' ');
            name(out, bytes, at)?;
        }
        15 => {
            out.push(' ');
            name(out, bytes, at + 2)?;
            let _ = write!(out, " {}", half(bytes, at)?);
        }
        33 => {
            out.push(' ');
            name(out, bytes, at + 6)?;
            let _ = write!(out, ":{} {} {}", half(bytes, at + 4)?, half(bytes, at)?, half(bytes, at + 2)?);
        }
        16 => {
            let mut rest = data;
            while let [len, more @ ..] = rest {
                let (text, more) = more.split_at_checked(usize::from(*len)).ok_or(Cut)?;
                out.push_str(" \"");
                printable(out, text);
                out.push('"');
                rest = more;
            }
        }
        OPT => {
            let _ = write!(out, " UDPsize={class}");
        }
        _ => {}
    }
    Ok(at + len)
}

fn half(bytes: &[u8], at: usize) -> Result<u16, Cut> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|pair| u16::from_be_bytes(*pair)).ok_or(Cut)
}

/// The place after a name.
pub(in crate::dissect) fn skip_name(bytes: &[u8], mut at: usize) -> Result<usize, Cut> {
    loop {
        match *bytes.get(at).ok_or(Cut)? {
            0 => return Ok(at + 1),
            0xc0.. => return Ok(at + 2),
            len @ 1..0x40 => at += 1 + usize::from(len),
            _ => return Err(Cut),
        }
    }
}

/// Writes a name, following pointers only backwards in number: no more of them than a name can have labels.
pub(in crate::dissect) fn name(out: &mut String, bytes: &[u8], mut at: usize) -> Result<(), Cut> {
    let mut is_root = true;
    for _ in 0..256 {
        match *bytes.get(at).ok_or(Cut)? {
            0 => {
                if is_root {
                    out.push('.');
                }
                return Ok(());
            }
            high @ 0xc0.. => {
                at = usize::from(u16::from_be_bytes([high & 0x3f, *bytes.get(at + 1).ok_or(Cut)?]));
            }
            len @ 1..0x40 => {
                let label = bytes.get(at + 1..at + 1 + usize::from(len)).ok_or(Cut)?;
                printable(out, label);
                out.push('.');
                is_root = false;
                at += 1 + usize::from(len);
            }
            _ => return Err(Cut),
        }
    }
    out.push_str("<LOOP>");
    Err(Cut)
}

/// As tcpdump prints bytes: control characters as `^A`, those above 127 with `M-`.
fn printable(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let mut byte = *byte;
        if byte >= 0x80 {
            out.push_str("M-");
            byte &= 0x7f;
        }
        if byte.is_ascii_control() {
            out.push('^');
            byte ^= 0x40;
        }
        out.push(char::from(byte));
    }
}

pub(in crate::dissect) fn kind_name(out: &mut String, kind: u16) {
    out.push_str(match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        29 => "LOC",
        33 => "SRV",
        35 => "NAPTR",
        39 => "DNAME",
        41 => "OPT",
        43 => "DS",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        other => {
            let _ = write!(out, "Type{other}");
            return;
        }
    });
}

fn class_name(out: &mut String, class: u16) {
    let _ = match class {
        1 => Ok(()),
        3 => write!(out, " CHAOS"),
        4 => write!(out, " HS"),
        255 => write!(out, " ANY"),
        other => write!(out, " (Class {other})"),
    };
}
