//! Rows of the list of conversations.

use super::engine::Knowledge;
use super::rows::MOST_ROWS;
use super::{FlowRow, FlowRows, FlowSort, Rows};
use crate::dissect::Protocol;
use crate::flow::Flow;
use crate::ids::{Direction, FlowId};
use crate::time::Span;
use std::cmp::Reverse;

/// Answers `Query::Flows`.
pub(super) fn flows(known: &Knowledge<'_>, rows: Rows, sort: FlowSort, span: Option<Span>) -> FlowRows {
    let table = &known.recording.flows;
    let count = rows.count.min(MOST_ROWS) as usize;
    let row = |id: FlowId| table.get(id).map(|flow| row(known, flow));
    // The order of the table needs no sorting, however many conversations there are.
    if sort == FlowSort::First && span.is_none() {
        let wanted = (rows.first..table.len()).take(count).map(FlowId);
        return FlowRows {
            revision: known.revision,
            total: table.len(),
            first: rows.first,
            rows: wanted.filter_map(row).collect(),
        };
    }
    let mut found: Vec<(Reverse<u64>, FlowId)> = table
        .iter()
        .filter(|flow| span.is_none_or(|span| flow.span().overlaps(span)))
        .map(|flow| (Reverse(rank(flow, sort)), flow.id))
        .collect();
    let total = found.len() as u32;
    let end = (rows.first as usize + count).min(found.len());
    // Only the rows up to the last one wanted are put in order.
    if end > 0 && end < found.len() {
        found.select_nth_unstable(end - 1);
    }
    found.truncate(end);
    found.sort_unstable();
    let wanted = found.into_iter().skip(rows.first as usize).map(|(_, id)| id);
    FlowRows { revision: known.revision, total, first: rows.first, rows: wanted.filter_map(row).collect() }
}

/// Where a conversation stands in an order, the largest first.
fn rank(flow: &Flow, sort: FlowSort) -> u64 {
    let [a, b] = &flow.sides;
    match sort {
        FlowSort::First => 0,
        FlowSort::Packets => u64::from(a.packets) + u64::from(b.packets),
        FlowSort::Bytes => a.wire_bytes + b.wire_bytes,
        FlowSort::Duration => flow.span().length().get().unsigned_abs(),
        FlowSort::Retransmissions => u64::from(a.retransmissions) + u64::from(b.retransmissions),
        FlowSort::Missing => a.missing_bytes + b.missing_bytes,
    }
}

/// One conversation.
pub(super) fn row(known: &Knowledge<'_>, flow: &Flow) -> FlowRow {
    let [a, b] = &flow.sides;
    FlowRow {
        flow: flow.id,
        transport: transport(flow.transport).into(),
        stream: flow.stream,
        client: flow.client.to_string(),
        server: flow.server.to_string(),
        span: Some(flow.span()),
        packets: [a.packets, b.packets],
        bytes: [a.wire_bytes, b.wire_bytes],
        retransmissions: [a.retransmissions, b.retransmissions],
        missing_bytes: [a.missing_bytes, b.missing_bytes],
        state: state(flow).into(),
        rtt: flow.handshake.rtt,
        severity: known.named.severity(flow.id, known.findings),
    }
}

/// A transport's name, as in `serde`'s form of `Protocol`.
pub(super) fn transport(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::UdpLite => "udplite",
        Protocol::Sctp => "sctp",
        Protocol::Dccp => "dccp",
        Protocol::Icmp => "icmp",
        Protocol::Icmpv6 => "icmpv6",
        Protocol::Igmp => "igmp",
        Protocol::Other => "other",
    }
}

/// How a conversation stands.
fn state(flow: &Flow) -> &'static str {
    let side = |direction| flow.side(direction);
    let (client, server) = (side(Direction::AToB), side(Direction::BToA));
    if flow.transport != Protocol::Tcp {
        return if flow.icmp_error_count > 0 {
            "unreachable"
        } else if server.packets == 0 {
            "no answer"
        } else {
            "answered"
        };
    }
    let opening = &flow.handshake;
    if opening.refused.is_some() {
        "refused"
    } else if client.rst.is_some() || server.rst.is_some() {
        "reset"
    } else if client.fin().is_some() && server.fin().is_some() {
        "closed"
    } else if client.fin().is_some() || server.fin().is_some() {
        "closing"
    } else if opening.ack.is_some() || client.payload_bytes > 0 || server.payload_bytes > 0 {
        "established"
    } else if opening.syn_ack.is_some() {
        "SYN answered"
    } else if opening.syn.is_some() {
        if opening.syn_count > 1 { "no answer" } else { "SYN sent" }
    } else {
        "seen midway"
    }
}
