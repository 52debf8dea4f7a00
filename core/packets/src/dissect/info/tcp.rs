//! `Flags [S], seq 332257715, win 29200, options [...], length 0`.

use super::{Info, Relative, dns, text};
use crate::dissect::packet::{Tcp, TcpFlags};
use crate::dissect::tcp::kind;
use std::fmt::Write;

pub(super) fn write(info: &mut Info, tcp: &Tcp<'_>, data: &[u8], relative: Option<Relative>) {
    info.protocol = "TCP";
    let out = &mut info.text;
    let header = data.get(tcp.offset as usize..).unwrap_or_default();
    let header_len = header.get(12).map_or(20, |byte| usize::from(byte >> 4) * 4);
    if header_len < 20 {
        let len = i64::from(tcp.payload_len) + 20 - header_len as i64;
        let _ = write!(out, "tcp {len} [bad hdr length {header_len} - too short, < 20]");
        return;
    }
    let base = relative.filter(|_| !tcp.flags.has(TcpFlags::SYN)).unwrap_or(Relative { seq: 0, ack: 0 });
    let (seq, ack) = (tcp.seq.wrapping_sub(base.seq), tcp.ack.wrapping_sub(base.ack));
    let _ = write!(out, "Flags [{}]", tcp.flags);
    if tcp.payload_len > 0 || tcp.flags.any(TcpFlags::SYN.or(TcpFlags::FIN).or(TcpFlags::RST)) {
        let _ = write!(out, ", seq {seq}");
        if tcp.payload_len > 0 {
            let _ = write!(out, ":{}", seq.wrapping_add(tcp.payload_len));
        }
    }
    if tcp.flags.has(TcpFlags::ACK) {
        let _ = write!(out, ", ack {ack}");
    }
    let _ = write!(out, ", win {}", tcp.window);
    if tcp.flags.has(TcpFlags::URG) {
        let _ = write!(out, ", urg {}", header.get(18..20).map_or(0, |b| u16::from_be_bytes([b[0], b[1]])));
    }
    if header_len > 20 {
        out.push_str(", options [");
        let there = header.get(20..header_len.min(header.len())).unwrap_or_default();
        match options(out, there, header_len - 20, base.ack) {
            Ok(()) => out.push(']'),
            Err(End::Bad) => {
                out.push_str("[bad opt]]");
                return;
            }
            Err(End::Cut) => {
                out.push_str(" [|tcp]");
                return;
            }
        }
    }
    let _ = write!(out, ", length {}", tcp.payload_len);
    if tcp.payload_len > 0 && !tcp.flags.has(TcpFlags::RST) {
        payload(info, tcp);
    }
}

fn payload(info: &mut Info, tcp: &Tcp<'_>) {
    let is_port = |ports: &[u16]| ports.contains(&tcp.src) || ports.contains(&tcp.dst);
    if is_port(&[53]) && tcp.payload_len > 2 {
        info.protocol = "DNS";
        info.text.push(' ');
        dns::write(&mut info.text, tcp.payload.get(2..).unwrap_or_default(), tcp.payload_len - 2, false);
        return;
    }
    for protocol in text::PROTOCOLS {
        if is_port(protocol.ports) {
            info.protocol = protocol.name;
            info.text.push_str(": ");
            protocol.write(&mut info.text, tcp.payload, tcp.payload_len);
            return;
        }
    }
    for (ports, name) in [(&[179][..], "BGP"), (&[6633, 6653][..], "OpenFlow")] {
        if is_port(ports) {
            info.protocol = name;
            let _ = write!(info.text, ": {name}");
            return;
        }
    }
    if is_tls(tcp.payload) {
        info.protocol = "TLS";
    }
}

/// A TLS record of handshake, alert, change or data, of version 3.0 to 3.4.
fn is_tls(payload: &[u8]) -> bool {
    matches!(payload, [20..=23, 3, 0..=4, _, _, ..])
}

enum End {
    Bad,
    Cut,
}

/// Writes options as tcpdump does: `there` are the bytes captured of `len`.
fn options(out: &mut String, there: &[u8], len: usize, ack_base: u32) -> Result<(), End> {
    let mut at = 0;
    while at < len {
        if at > 0 {
            out.push(',');
        }
        let option = *there.get(at).ok_or(End::Cut)?;
        let option_len = match option {
            kind::END | kind::NOP => 1,
            _ => usize::from(*there.get(at + 1).ok_or(End::Cut)?),
        };
        if option > kind::NOP && (option_len < 2 || at + option_len > len) {
            return Err(End::Bad);
        }
        name(out, option);
        let value = match option {
            kind::END => return Ok(()),
            kind::NOP => &[][..],
            _ => there.get(at + 2..at + option_len).ok_or(End::Cut)?,
        };
        let told = value_of(out, option, value, ack_base)?;
        if option > kind::NOP && told + 2 != option_len {
            let _ = write!(out, "[len {option_len}]");
        }
        at += option_len;
    }
    Ok(())
}

fn name(out: &mut String, option: u8) {
    out.push_str(match option {
        kind::END => "eol",
        kind::NOP => "nop",
        kind::MSS => "mss",
        kind::WINDOW_SCALE => "wscale",
        kind::SACK_PERMITTED => "sackOK",
        kind::SACK => "sack",
        6 => "echo",
        7 => "echoreply",
        kind::TIMESTAMPS => "TS",
        11 => "cc",
        12 => "ccnew",
        13 => "ccecho",
        19 => "md5",
        20 => "scps",
        28 => "uto",
        29 => "tcp-ao",
        kind::MPTCP => "mptcp",
        kind::FAST_OPEN => "tfo",
        kind::EXPERIMENT => "exp",
        other => {
            let _ = write!(out, "unknown-{other}");
            return;
        }
    });
}

/// Writes an option's value; returns how many bytes such an option's value has.
fn value_of(out: &mut String, option: u8, value: &[u8], ack_base: u32) -> Result<usize, End> {
    let long = |at: usize| value.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).ok_or(End::Bad);
    match option {
        kind::NOP | kind::SACK_PERMITTED => return Ok(0),
        kind::MSS => {
            let mss = value.first_chunk::<2>().ok_or(End::Bad)?;
            let _ = write!(out, " {}", u16::from_be_bytes(*mss));
            return Ok(2);
        }
        kind::WINDOW_SCALE => {
            let _ = write!(out, " {}", value.first().ok_or(End::Bad)?);
            return Ok(1);
        }
        kind::SACK if !value.len().is_multiple_of(8) => out.push_str(" invalid sack"),
        kind::SACK => {
            let _ = write!(out, " {} ", value.len() / 8);
            for at in (0..value.len()).step_by(8) {
                let (left, right) = (long(at)?.wrapping_sub(ack_base), long(at + 4)?.wrapping_sub(ack_base));
                let _ = write!(out, "{{{left}:{right}}}");
            }
        }
        6 | 7 | 11 | 12 | 13 => {
            let _ = write!(out, " {}", long(0)?);
            return Ok(4);
        }
        kind::TIMESTAMPS => {
            let _ = write!(out, " val {} ecr {}", long(0)?, long(4)?);
            return Ok(8);
        }
        19 => {
            out.push_str(" shared secret not supplied with -M, can't check - ");
            hex(out, value);
        }
        28 => {
            let word = value.first_chunk::<2>().map(|word| u16::from_be_bytes(*word)).ok_or(End::Bad)?;
            let (count, unit) = (word & 0x7fff, if word & 0x8000 != 0 { "min" } else { "sec" });
            let _ = write!(out, " {count} {unit}");
            return Ok(2);
        }
        kind::MPTCP => mptcp(out, value),
        kind::FAST_OPEN => fast_open(out, value),
        kind::EXPERIMENT => match value {
            [0xf9, 0x89, cookie @ ..] => {
                out.push_str("-tfo");
                fast_open(out, cookie);
            }
            [a, b, ..] => {
                let _ = write!(out, "-{a:02x}{b:02x}");
            }
            _ => return Err(End::Bad),
        },
        _ => {
            if !value.is_empty() {
                out.push_str(" 0x");
                hex(out, value);
            }
        }
    }
    Ok(value.len())
}

fn hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

/// TCP Fast Open (RFC 7413 section 4.1.1).
fn fast_open(out: &mut String, cookie: &[u8]) {
    match cookie.len() {
        0 => out.push_str(" cookiereq"),
        len if len % 2 == 0 && (4..=16).contains(&len) => {
            out.push_str(" cookie ");
            hex(out, cookie);
        }
        len => {
            let _ = write!(out, " invalid cookie length {len}");
        }
    }
}

/// Multipath TCP (RFC 8684 section 3), named with its length and subtype.
fn mptcp(out: &mut String, value: &[u8]) {
    let subtype = value.first().map_or(15, |byte| byte >> 4);
    let name = ["capable", "join", "dss", "add-addr", "rem-addr", "prio", "fail", "fast-close", "reset"];
    let name = name.get(usize::from(subtype)).unwrap_or(&"unknown");
    let _ = write!(out, " {} {name}", value.len() + 2);
}
