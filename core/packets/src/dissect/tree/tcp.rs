//! TCP with all its options.

use super::fields::{Fields, hex};
use super::udp::checksum_field;
use crate::dissect::info::Relative;
use crate::dissect::packet::{Tcp, TcpFlags};
use crate::dissect::tcp::kind;

pub(super) fn tcp(fields: &mut Fields<'_>, segment: Option<&Tcp<'_>>, relative: Option<Relative>) {
    let (src, dst) = (fields.u16(0).unwrap_or(0), fields.u16(2).unwrap_or(0));
    let header_len = fields.u8(12).map_or(20, |byte| usize::from(byte >> 4) * 4);
    let flags = TcpFlags(fields.u16(12).unwrap_or(0) & 0x0fff);
    fields.named("Transmission Control Protocol", "tcp", format_args!("{src} → {dst} [{}]", names(flags)), header_len);
    fields.decimal(0, 2, "Source Port", "tcp.srcport");
    fields.decimal(2, 2, "Destination Port", "tcp.dstport");
    if let Some(segment) = segment {
        fields.derived("TCP Segment Len", "tcp.len", segment.payload_len);
    }
    for (offset, name, field, base) in [
        (4, "Sequence Number", "tcp.seq", relative.map(|relative| relative.seq)),
        (8, "Acknowledgment Number", "tcp.ack", relative.filter(|_| flags.has(TcpFlags::ACK)).map(|relative| relative.ack)),
    ] {
        let Some(raw) = fields.u32(offset) else { continue };
        if let Some(base) = base {
            fields.add(offset, 4, name, field, format_args!("{} (relative)", raw.wrapping_sub(base)));
        }
        fields.add(offset, 4, &format!("{name} (raw)"), &format!("{field}_raw"), raw);
    }
    if let (Some(segment), Some(relative)) = (segment, relative) {
        let counts = u32::from(flags.has(TcpFlags::SYN)) + u32::from(flags.has(TcpFlags::FIN));
        let next = segment.seq.wrapping_sub(relative.seq).wrapping_add(segment.payload_len).wrapping_add(counts);
        fields.derived("Next Sequence Number", "tcp.nxtseq", next);
    }
    fields.add(12, 1, "Header Length", "tcp.hdr_len", format_args!("{header_len} bytes ({})", header_len / 4));
    fields.group(12, 2, "Flags", "tcp.flags", format_args!("0x{:03x} ({})", flags.0, names(flags)), |fields| {
        for (mask, name, field) in FLAGS {
            fields.bit(12, 2, u64::from(mask.0), name, field);
        }
    });
    fields.decimal(14, 2, "Window", "tcp.window_size_value");
    checksum_field(fields, 16, "tcp.checksum", segment.map(|segment| segment.checksum));
    fields.decimal(18, 2, "Urgent Pointer", "tcp.urgent_pointer");
    if header_len > 20 {
        let len = fields.rest(20).len().min(header_len - 20);
        let value = format!("({} bytes)", header_len - 20);
        fields.group(20, len, "Options", "tcp.options", value, |fields| options(fields, 20 + len, relative));
    }
    if let Some(segment) = segment
        && !segment.payload.is_empty()
    {
        let len = segment.payload.len();
        fields.add(header_len, len, "TCP payload", "tcp.payload", format_args!("{} bytes", segment.payload_len));
    }
}

const FLAGS: [(TcpFlags, &str, &str); 9] = [
    (TcpFlags::AE, "Accurate ECN", "tcp.flags.ae"),
    (TcpFlags::CWR, "Congestion Window Reduced", "tcp.flags.cwr"),
    (TcpFlags::ECE, "ECN-Echo", "tcp.flags.ece"),
    (TcpFlags::URG, "Urgent", "tcp.flags.urg"),
    (TcpFlags::ACK, "Acknowledgment", "tcp.flags.ack"),
    (TcpFlags::PSH, "Push", "tcp.flags.push"),
    (TcpFlags::RST, "Reset", "tcp.flags.reset"),
    (TcpFlags::SYN, "Syn", "tcp.flags.syn"),
    (TcpFlags::FIN, "Fin", "tcp.flags.fin"),
];

/// `SYN, ACK`.
fn names(flags: TcpFlags) -> String {
    let short = ["AE", "CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN"];
    let set: Vec<&str> = FLAGS.iter().zip(short).filter(|((flag, ..), _)| flags.has(*flag)).map(|(_, name)| name).rev().collect();
    if set.is_empty() { "None".to_owned() } else { set.join(", ") }
}

/// All options, until the end of the list or one whose length cannot be right.
fn options(fields: &mut Fields<'_>, end: usize, relative: Option<Relative>) {
    let mut at = 20;
    while at < end {
        let Some(kind) = fields.u8(at) else { return };
        let len = match kind {
            kind::END | kind::NOP => 1,
            _ => usize::from(fields.u8(at + 1).unwrap_or(0)),
        };
        if len == 0 || (kind > kind::NOP && len < 2) || at + len > end {
            let value = format!("kind {kind}: its length {len} cannot be right, or it was cut");
            if let Some(node) = fields.add(at, end - at, "TCP Option", "tcp.option_kind", value) {
                node.trouble = true;
            }
            return;
        }
        option(fields, at, len, kind, relative);
        at += len;
        if kind == kind::END {
            return;
        }
    }
}

fn option(fields: &mut Fields<'_>, at: usize, len: usize, kind: u8, relative: Option<Relative>) {
    let value = fields.bytes(at, len).unwrap_or_default().get(2..).unwrap_or_default();
    let number =
        |offset: usize, len: usize| value.get(offset..offset + len).map(|b| b.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b)));
    match (kind, value.len()) {
        (kind::END, _) => drop(fields.add(at, 1, "TCP Option - End of Option List (EOL)", "tcp.options.eol", "")),
        (kind::NOP, _) => drop(fields.add(at, 1, "TCP Option - No-Operation (NOP)", "tcp.options.nop", "")),
        (kind::MSS, 2) => {
            let mss = number(0, 2).unwrap_or(0);
            fields.add(at, len, "TCP Option - Maximum segment size", "tcp.options.mss_val", format_args!("{mss} bytes"));
        }
        (kind::WINDOW_SCALE, 1) => {
            let shift = value[0];
            let times = 1_u32 << shift.min(14);
            let text = format!("{shift} (multiply by {times})");
            fields.add(at, len, "TCP Option - Window scale", "tcp.options.wscale.shift", text);
        }
        (kind::SACK_PERMITTED, 0) => {
            fields.add(at, len, "TCP Option - SACK permitted", "tcp.options.sack_perm", "");
        }
        (kind::SACK, bytes) if bytes % 8 == 0 => {
            let base = relative.map_or(0, |relative| relative.ack);
            let edges: Vec<[u32; 2]> = value
                .as_chunks::<8>()
                .0
                .iter()
                .map(|edge| [number_at(edge, 0).wrapping_sub(base), number_at(edge, 4).wrapping_sub(base)])
                .collect();
            let text: Vec<String> = edges.iter().map(|[left, right]| format!("{left}-{right}")).collect();
            fields.group(at, len, "TCP Option - SACK", "tcp.options.sack", text.join(" "), |fields| {
                for (i, [left, right]) in edges.iter().enumerate() {
                    fields.add(at + 2 + 8 * i, 4, "left edge", "tcp.options.sack_le", left);
                    fields.add(at + 6 + 8 * i, 4, "right edge", "tcp.options.sack_re", right);
                }
            });
        }
        (kind::TIMESTAMPS, 8) => {
            let (tsval, tsecr) = (number(0, 4).unwrap_or(0), number(4, 4).unwrap_or(0));
            let text = format!("TSval {tsval}, TSecr {tsecr}");
            fields.group(at, len, "TCP Option - Timestamps", "tcp.options.timestamp", text, |fields| {
                fields.decimal(at + 2, 4, "Timestamp value", "tcp.options.timestamp.tsval");
                fields.decimal(at + 6, 4, "Timestamp echo reply", "tcp.options.timestamp.tsecr");
            });
        }
        (kind::MPTCP, 1..) => mptcp(fields, at, len, value),
        (kind::FAST_OPEN, _) => fast_open(fields, at, len, value),
        (kind::EXPERIMENT, _) if value.starts_with(&[0xf9, 0x89]) => fast_open(fields, at, len, &value[2..]),
        (19, 16) => {
            fields.add(at, len, "TCP Option - TCP MD5 signature", "tcp.options.md5", hex(value));
        }
        (28, 2) => {
            let word = number(0, 2).unwrap_or(0);
            let unit = if word & 0x8000 != 0 { "minutes" } else { "seconds" };
            fields.add(at, len, "TCP Option - User Timeout", "tcp.options.user_to_val", format_args!("{} {unit}", word & 0x7fff));
        }
        _ => {
            fields.add(at, len, &format!("TCP Option - kind {kind}"), "tcp.option_kind", hex(value));
        }
    }
}

fn number_at(edge: &[u8; 8], at: usize) -> u32 {
    u32::from_be_bytes([edge[at], edge[at + 1], edge[at + 2], edge[at + 3]])
}

fn fast_open(fields: &mut Fields<'_>, at: usize, len: usize, cookie: &[u8]) {
    match cookie {
        [] => fields.add(at, len, "TCP Option - Fast Open Cookie Request", "tcp.options.tfo.request", ""),
        cookie => fields.add(at, len, "TCP Option - Fast Open Cookie", "tcp.options.tfo.cookie", hex(cookie)),
    };
}

/// Multipath TCP (RFC 8684 section 3).
fn mptcp(fields: &mut Fields<'_>, at: usize, len: usize, value: &[u8]) {
    let subtype = value[0] >> 4;
    let name = match subtype {
        0 => "Multipath Capable",
        1 => "Join Connection",
        2 => "Data Sequence Signal",
        3 => "Add Address",
        4 => "Remove Address",
        5 => "Change Subflow Priority",
        6 => "TCP Fallback",
        7 => "Fast Close",
        8 => "Subflow Reset",
        _ => "unknown subtype",
    };
    fields.group(at, len, "TCP Option - Multipath TCP", "tcp.options.mptcp", name, |fields| {
        fields.add(at + 2, 1, "Multipath TCP subtype", "tcp.options.mptcp.subtype", format_args!("{name} ({subtype})"));
        match subtype {
            0 => {
                fields.add(at + 2, 1, "Multipath TCP version", "tcp.options.mptcp.version", value[0] & 0x0f);
                if len >= 12 {
                    fields.hex(at + 4, 8, "Sender's Key", "tcp.options.mptcp.sendkey");
                }
                if len >= 20 {
                    fields.hex(at + 12, 8, "Receiver's Key", "tcp.options.mptcp.recvkey");
                }
            }
            1 if len == 12 => {
                fields.decimal(at + 3, 1, "Address ID", "tcp.options.mptcp.addrid");
                fields.hex(at + 4, 4, "Receiver's Token", "tcp.options.mptcp.recvtok");
                fields.hex(at + 8, 4, "Sender's Random Number", "tcp.options.mptcp.sendrand");
            }
            2 => data_sequence(fields, at, value.get(1).copied().unwrap_or(0)),
            3 => {
                fields.decimal(at + 3, 1, "Address ID", "tcp.options.mptcp.addrid");
                match value[0] & 0x0f {
                    6 => fields.ipv6(at + 4, "Advertised IPv6 Address", "tcp.options.mptcp.ipv6"),
                    _ => fields.ipv4(at + 4, "Advertised IPv4 Address", "tcp.options.mptcp.ipv4"),
                }
            }
            _ => {}
        }
    });
}

/// The fields of a Data Sequence Signal, as its flags tell them (RFC 8684 section 3.3).
fn data_sequence(fields: &mut Fields<'_>, at: usize, flags: u8) {
    fields.hex(at + 3, 1, "Flags", "tcp.options.mptcp.dss.flags");
    let mut next = at + 4;
    if flags & 0x01 != 0 {
        let len = if flags & 0x02 != 0 { 8 } else { 4 };
        fields.decimal(next, len, "Original MPTCP Data ACK", "tcp.options.mptcp.rawdataack");
        next += len;
    }
    if flags & 0x04 != 0 {
        let len = if flags & 0x08 != 0 { 8 } else { 4 };
        fields.decimal(next, len, "Data Sequence Number", "tcp.options.mptcp.rawdataseqno");
        fields.decimal(next + len, 4, "Subflow Sequence Number", "tcp.options.mptcp.subflowseqno");
        fields.decimal(next + len + 4, 2, "Data-level Length", "tcp.options.mptcp.datalvllen");
    }
    if flags & 0x10 != 0 {
        fields.derived("DATA_FIN", "tcp.options.mptcp.datafin.flag", "Set");
    }
}
