//! TCP, and Wireshark's analysis of it.

use super::network::{checksum_status, presence};
use super::transport::{ports, stream};
use super::{Field, Known, Read, Subject, field, flag, following};
use crate::dissect::{Protocol, Tcp, TcpFlags, Transport};
use crate::filter::value::{Type, Value};
use crate::flow::{Labels, Retraced, Seen};
use crate::store::Facts;

/// The fields.
pub(super) static FIELDS: &[Field] = &[
    field("tcp", Type::Presence, "TCP", |s, out| presence(s, Protocol::Tcp, out)),
    field("tcp.srcport", Type::Number, "TCP source port", |s, out| ports(s, Protocol::Tcp, [true, false], out)),
    field("tcp.dstport", Type::Number, "TCP destination port", |s, out| ports(s, Protocol::Tcp, [false, true], out)),
    field("tcp.port", Type::Number, "TCP source or destination port", |s, out| ports(s, Protocol::Tcp, [true, true], out)),
    field("tcp.stream", Type::Number, "number of the TCP conversation, from 0", |s, out| stream(s, Protocol::Tcp, out)),
    field("tcp.completeness", Type::Number, "what was seen of it: 1 SYN, 2 SYN-ACK, 4 ACK, 8 data, 16 FIN, 32 RST", |s, out| {
        if let Some(flow) = s.flow.filter(|flow| flow.transport == Protocol::Tcp) {
            out(Value::Number(u64::from(flow.completeness)));
        }
        Known::Yes
    }),
    field("tcp.len", Type::Number, "bytes of data in the segment", |s, out| {
        whole(s, out, |_, tcp, out| out(Value::Number(u64::from(tcp.payload_len))))
    }),
    field("tcp.seq", Type::Number, "sequence number, relative to the conversation's first", |s, out| {
        if let Some(seq) = s.packet.and_then(|read| cut_in_quote(&read)) {
            out(Value::Number(u64::from(seq)));
        }
        tcp(s, out, |s, tcp, out| out(Value::Number(u64::from(relative(s, tcp.seq, false)))))
    }),
    field("tcp.seq_raw", Type::Number, "sequence number as in the header", |s, out| {
        tcp(s, out, |_, tcp, out| out(Value::Number(u64::from(tcp.seq))))
    }),
    field("tcp.nxtseq", Type::Number, "sequence number after this segment, relative", |s, out| {
        whole(s, out, |s, tcp, out| {
            let virtual_bytes = u32::from(tcp.flags.any(TcpFlags::SYN)) + u32::from(tcp.flags.any(TcpFlags::FIN));
            let next = relative(s, tcp.seq, false).wrapping_add(tcp.payload_len).wrapping_add(virtual_bytes);
            out(Value::Number(u64::from(next)));
        })
    }),
    field("tcp.ack", Type::Number, "acknowledgment number, relative", |s, out| {
        tcp(s, out, |s, tcp, out| {
            // Without the flag the number means nothing, and is shown as it is.
            let number = if tcp.flags.has(TcpFlags::ACK) { relative(s, tcp.ack, true) } else { tcp.ack };
            out(Value::Number(u64::from(number)));
        })
    }),
    field("tcp.ack_raw", Type::Number, "acknowledgment number as in the header", |s, out| {
        tcp(s, out, |_, tcp, out| out(Value::Number(u64::from(tcp.ack))))
    }),
    field("tcp.flags", Type::Number, "all flag bits: 0x02 SYN, 0x12 SYN-ACK", |s, out| {
        tcp(s, out, |_, tcp, out| out(Value::Number(u64::from(tcp.flags.0))))
    }),
    field("tcp.flags.fin", Type::Flag, "FIN: no more data comes", |s, out| bit(s, TcpFlags::FIN, out)),
    field("tcp.flags.syn", Type::Flag, "SYN: opens a conversation", |s, out| bit(s, TcpFlags::SYN, out)),
    field("tcp.flags.reset", Type::Flag, "RST: ends it at once", |s, out| bit(s, TcpFlags::RST, out)),
    field("tcp.flags.push", Type::Flag, "PSH", |s, out| bit(s, TcpFlags::PSH, out)),
    field("tcp.flags.ack", Type::Flag, "ACK", |s, out| bit(s, TcpFlags::ACK, out)),
    field("tcp.flags.urg", Type::Flag, "URG", |s, out| bit(s, TcpFlags::URG, out)),
    field("tcp.flags.ece", Type::Flag, "ECE: congestion was met", |s, out| bit(s, TcpFlags::ECE, out)),
    field("tcp.flags.cwr", Type::Flag, "CWR: the sender slowed down", |s, out| bit(s, TcpFlags::CWR, out)),
    field("tcp.window_size_value", Type::Number, "window as in the header", |s, out| {
        tcp(s, out, |_, tcp, out| out(Value::Number(u64::from(tcp.window))))
    }),
    field("tcp.window_size", Type::Number, "window in bytes, scaled where the handshake told by how much", |s, out| {
        tcp(s, out, |s, tcp, out| out(Value::Number(u64::from(tcp.window) << scale(s, tcp))))
    }),
    field("tcp.window_size_scalefactor", Type::Number, "by what the window is multiplied; -1 unknown, -2 not used", |s, out| {
        tcp(s, out, |s, tcp, out| {
            if !tcp.flags.has(TcpFlags::SYN) {
                out(scale_factor(s));
            }
        })
    }),
    following("tcp.time_delta", Type::Duration, "seconds since the packet before in the same TCP conversation", |s, out| {
        time_delta(s, Protocol::Tcp, out)
    }),
    field("tcp.time_relative", Type::Duration, "seconds since the first packet of the TCP conversation", |s, out| {
        time_relative(s, Protocol::Tcp, out)
    }),
    field("tcp.payload", Type::Bytes, "data of the segment", |s, out| {
        tcp(s, out, |_, tcp, out| {
            if !tcp.payload.is_empty() {
                out(Value::Bytes(tcp.payload));
            }
        })
    }),
    field("tcp.checksum.status", Type::Number, "1 right, 0 wrong, 2 could not be checked", |s, out| {
        tcp(s, out, |_, tcp, out| out(checksum_status(tcp.checksum)))
    }),
    field("tcp.options.mss_val", Type::Number, "maximum segment size it announces", |s, out| {
        tcp(s, out, |_, tcp, out| tcp.options.mss.into_iter().for_each(|mss| out(Value::Number(u64::from(mss)))))
    }),
    field("tcp.options.wscale.shift", Type::Number, "window scale it announces", |s, out| {
        tcp(s, out, |_, tcp, out| tcp.options.window_scale.into_iter().for_each(|n| out(Value::Number(u64::from(n)))))
    }),
    field("tcp.options.sack_perm", Type::Presence, "it permits selective acknowledgment", |s, out| {
        tcp(s, out, |_, tcp, out| {
            if tcp.options.sack_permitted {
                out(Value::Present(&[]));
            }
        })
    }),
    field("tcp.options.sack", Type::Presence, "it acknowledges selectively", |s, out| {
        tcp(s, out, |_, tcp, out| {
            if !tcp.options.sack.is_empty() {
                out(Value::Present(&[]));
            }
        })
    }),
    field("tcp.options.sack_le", Type::Number, "left edge of a SACK block, relative", |s, out| {
        tcp(s, out, |s, tcp, out| {
            tcp.options.sack.iter().for_each(|(left, _)| out(Value::Number(u64::from(relative(s, *left, true)))));
        })
    }),
    field("tcp.options.sack_re", Type::Number, "right edge of a SACK block, relative", |s, out| {
        tcp(s, out, |s, tcp, out| {
            tcp.options.sack.iter().for_each(|(_, right)| out(Value::Number(u64::from(relative(s, *right, true)))));
        })
    }),
    field("tcp.options.timestamp.tsval", Type::Number, "the sender's timestamp", |s, out| {
        tcp(s, out, |_, tcp, out| tcp.options.tsval.into_iter().for_each(|value| out(Value::Number(u64::from(value)))))
    }),
    field("tcp.options.timestamp.tsecr", Type::Number, "the timestamp it echoes", |s, out| {
        tcp(s, out, |_, tcp, out| tcp.options.tsecr.into_iter().for_each(|echo| out(Value::Number(u64::from(echo)))))
    }),
    field("tcp.analysis.flags", Type::Presence, "any of the labels below", |s, out| {
        if !s.row.labels.is_empty() {
            out(Value::Present(&[]));
        }
        Known::Yes
    }),
    field("tcp.analysis.retransmission", Type::Presence, "data sent again", |s, out| label(s, Labels::RETRANSMISSION, out)),
    field("tcp.analysis.fast_retransmission", Type::Presence, "data sent again after duplicate ACKs", |s, out| {
        label(s, Labels::FAST_RETRANSMISSION, out)
    }),
    field("tcp.analysis.spurious_retransmission", Type::Presence, "data sent again though it had been acknowledged", |s, out| {
        label(s, Labels::SPURIOUS_RETRANSMISSION, out)
    }),
    field(
        "tcp.analysis.out_of_order",
        Type::Presence,
        "comes after a later segment, too soon to have been sent again",
        |s, out| label(s, Labels::OUT_OF_ORDER, out),
    ),
    field("tcp.analysis.duplicate_ack", Type::Presence, "acknowledges again what was acknowledged", |s, out| {
        label(s, Labels::DUPLICATE_ACK, out)
    }),
    following("tcp.analysis.duplicate_ack_num", Type::Number, "the how manieth duplicate ACK in a row", |s, out| {
        duplicate(s, out, |(number, _), out| out(Value::Number(u64::from(number))))
    }),
    following(
        "tcp.analysis.duplicate_ack_frame",
        Type::Number,
        "packet that first acknowledged what this one does again",
        |s, out| duplicate(s, out, |(_, first), out| out(Value::Number(u64::from(first.no.0)))),
    ),
    field("tcp.analysis.lost_segment", Type::Presence, "bytes before this segment were not captured", |s, out| {
        label(s, Labels::LOST_SEGMENT, out)
    }),
    field("tcp.analysis.ack_lost_segment", Type::Presence, "acknowledges bytes that were not captured", |s, out| {
        label(s, Labels::ACK_LOST_SEGMENT, out)
    }),
    field("tcp.analysis.zero_window", Type::Presence, "the receiver has no room", |s, out| label(s, Labels::ZERO_WINDOW, out)),
    field("tcp.analysis.zero_window_probe", Type::Presence, "a byte sent into a window of zero", |s, out| {
        label(s, Labels::ZERO_WINDOW_PROBE, out)
    }),
    field("tcp.analysis.zero_window_probe_ack", Type::Presence, "the answer to that", |s, out| {
        label(s, Labels::ZERO_WINDOW_PROBE_ACK, out)
    }),
    field("tcp.analysis.window_full", Type::Presence, "the segment fills the receiver's window", |s, out| {
        label(s, Labels::WINDOW_FULL, out)
    }),
    field("tcp.analysis.window_update", Type::Presence, "only the window changed", |s, out| label(s, Labels::WINDOW_UPDATE, out)),
    field("tcp.analysis.keep_alive", Type::Presence, "a keep-alive", |s, out| label(s, Labels::KEEP_ALIVE, out)),
    field("tcp.analysis.keep_alive_ack", Type::Presence, "the answer to that", |s, out| label(s, Labels::KEEP_ALIVE_ACK, out)),
    field("tcp.analysis.reused_ports", Type::Presence, "a new conversation on ports already used", |s, out| {
        label(s, Labels::REUSED_PORTS, out)
    }),
    following("tcp.analysis.initial_rtt", Type::Duration, "round-trip time of the handshake", |s, out| {
        let Some(rtt) = s.flow.and_then(|flow| flow.handshake.rtt).filter(|rtt| rtt.get() != 0) else { return Known::Yes };
        retraced(s, out, |_, told, out| {
            if told.shows_analysis {
                out(Value::Nanos(rtt.get()))
            }
        })
    }),
    following("tcp.analysis.acks_frame", Type::Number, "packet with the segment that this one acknowledges", |s, out| {
        retraced(s, out, |_, told, out| told.acks.into_iter().for_each(|sent| out(Value::Number(u64::from(sent.no.0)))))
    }),
    following("tcp.analysis.ack_rtt", Type::Duration, "seconds since the segment that this one acknowledges", |s, out| {
        retraced(s, out, |s, told, out| since(s, told.acks, out))
    }),
    following("tcp.analysis.bytes_in_flight", Type::Number, "bytes sent and not acknowledged, with this segment", |s, out| {
        retraced(s, out, |_, told, out| told.bytes_in_flight.into_iter().for_each(|bytes| out(Value::Number(u64::from(bytes)))))
    }),
    following("tcp.analysis.push_bytes_sent", Type::Number, "bytes sent since the last PSH, with this segment", |s, out| {
        retraced(s, out, |_, told, out| told.push_bytes_sent.into_iter().for_each(|bytes| out(Value::Number(u64::from(bytes)))))
    }),
    following(
        "tcp.analysis.rto",
        Type::Duration,
        "seconds a retransmission came after the oldest segment in flight",
        |s, out| retraced(s, out, |s, told, out| since(s, told.rto, out)),
    ),
    following("tcp.analysis.rto_frame", Type::Number, "packet from which tcp.analysis.rto counts", |s, out| {
        retraced(s, out, |_, told, out| told.rto.into_iter().for_each(|sent| out(Value::Number(u64::from(sent.no.0)))))
    }),
];

type Out<'o> = &'o mut dyn FnMut(Value<'_>);

/// Gives what following a TCP conversation says.
fn retraced(s: &Subject<'_>, out: Out<'_>, give: impl FnOnce(&Subject<'_>, &Retraced, Out<'_>)) -> Known {
    if s.row.protocol != Protocol::Tcp || s.flow.is_none() {
        return Known::Yes;
    }
    match s.retraced() {
        Ok(told) => {
            give(s, &told, out);
            Known::Yes
        }
        Err(known) => known,
    }
}

/// The time since an earlier packet, which is not told where it is none.
fn since(s: &Subject<'_>, earlier: Option<Seen>, out: Out<'_>) {
    let time = earlier.map(|earlier| (s.row.time - earlier.at).get()).filter(|nanos| *nanos != 0);
    time.into_iter().for_each(|nanos| out(Value::Nanos(nanos)));
}

fn duplicate(s: &Subject<'_>, out: Out<'_>, give: fn((u32, Seen), Out<'_>)) -> Known {
    if !s.row.labels.has(Labels::DUPLICATE_ACK) {
        return Known::Yes;
    }
    retraced(s, out, |_, told, out| told.duplicate_ack.into_iter().for_each(|duplicate| give(duplicate, out)))
}

/// Seconds since the packet before in the same conversation.
pub(super) fn time_delta(s: &Subject<'_>, protocol: Protocol, out: Out<'_>) -> Known {
    if s.flow.is_none_or(|flow| flow.transport != protocol) {
        return Known::Yes;
    }
    match s.retraced() {
        Ok(told) => {
            told.time_delta.into_iter().for_each(|delta| out(Value::Nanos(delta.get())));
            Known::Yes
        }
        Err(known) => known,
    }
}

/// Seconds since the first packet of the conversation.
pub(super) fn time_relative(s: &Subject<'_>, protocol: Protocol, out: Out<'_>) -> Known {
    if let Some(flow) = s.flow.filter(|flow| flow.transport == protocol) {
        out(Value::Nanos((s.row.time - flow.first.at).get()));
    }
    Known::Yes
}

fn label(s: &Subject<'_>, label: Labels, out: Out<'_>) -> Known {
    if s.row.labels.has(label) {
        out(Value::Present(&[]));
    }
    Known::Yes
}

fn tcp(s: &Subject<'_>, out: Out<'_>, give: fn(&Subject<'_>, &Tcp<'_>, Out<'_>)) -> Known {
    match s.read_if(Protocol::Tcp) {
        Ok(read) => {
            if let Transport::Tcp(tcp) = &read.packet.transport {
                give(s, tcp, out);
            } else if let Some(Transport::Tcp(tcp)) = read.quoted().map(|quoted| quoted.transport) {
                give(s, &tcp, out);
            }
            Known::Yes
        }
        Err(known) => known,
    }
}

/// As [`tcp`], but not of what an ICMP error quotes: it is cut there.
fn whole(s: &Subject<'_>, out: Out<'_>, give: fn(&Subject<'_>, &Tcp<'_>, Out<'_>)) -> Known {
    match s.packet {
        Some(read) if !matches!(read.packet.transport, Transport::Tcp(_)) => Known::Yes,
        _ => tcp(s, out, give),
    }
}

/// The sequence number, as in the header, of a quoted segment of which no more was kept than the eight bytes that a quote has at least.
fn cut_in_quote(read: &Read<'_>) -> Option<u32> {
    let Transport::Icmp(icmp) = &read.packet.transport else { return None };
    icmp.quote?.seq.filter(|_| !matches!(read.quoted().map(|quoted| quoted.transport), Some(Transport::Tcp(_))))
}

fn bit(s: &Subject<'_>, bit: TcpFlags, out: Out<'_>) -> Known {
    if bit == TcpFlags::RST && s.row.facts.has(Facts::RESET) {
        out(flag(true));
        return Known::Yes;
    }
    match s.read_if(Protocol::Tcp) {
        Ok(read) => {
            if let Transport::Tcp(tcp) = &read.packet.transport {
                out(flag(tcp.flags.has(bit)));
            } else if let Some(Transport::Tcp(tcp)) = read.quoted().map(|quoted| quoted.transport) {
                out(flag(tcp.flags.has(bit)));
            }
            Known::Yes
        }
        Err(known) => known,
    }
}

/// A sequence number relative to the conversation's first, of the sender or, for acknowledgments, of the peer.
fn relative(s: &Subject<'_>, raw: u32, of_peer: bool) -> u32 {
    let base = s.conversation().and_then(|(flow, direction)| {
        let direction = if of_peer { direction.reverse() } else { direction };
        flow.side(direction).base
    });
    base.map_or(raw, |base| raw.wrapping_sub(base))
}

/// By how many bits the window of a segment is shifted.
fn scale(s: &Subject<'_>, tcp: &Tcp<'_>) -> u32 {
    let shift = scaling(s).unwrap_or(None).filter(|_| !tcp.flags.has(TcpFlags::SYN));
    shift.map_or(0, u32::from)
}

/// By how many bits the sender's windows are shifted, `None` where the handshake agreed on none; an error where that is not known. One
/// side's SYN is believed where the other's was not captured.
fn scaling(s: &Subject<'_>) -> Result<Option<u8>, ()> {
    let (flow, direction) = s.conversation().ok_or(())?;
    let (own, peer) = (flow.side(direction), flow.side(direction.reverse()));
    if peer.isn.is_some() && peer.window_scale.is_none() {
        return Ok(None);
    }
    own.isn.ok_or(())?;
    Ok(own.window_scale.map(|shift| shift.min(14)))
}

/// What `tcp.window_size_scalefactor` is: -1 where the handshake was not seen, -2 where it agreed on none.
fn scale_factor(s: &Subject<'_>) -> Value<'static> {
    match scaling(s) {
        Err(()) => Value::Negative(-1),
        Ok(None) => Value::Negative(-2),
        Ok(Some(shift)) => Value::Number(1 << shift),
    }
}
