//! One packet in full.

use super::engine::Knowledge;
use super::reader::{ByteSource, Reader, dissected};
use super::{Answer, Node, PacketDetail, judged, rows};
use crate::dissect::{self, Packet, Protocol, TcpFlags, Transport};
use crate::filter::{Read, Subject, of_node};
use crate::ids::PacketNo;
use crate::store::Row;

/// Answers `Query::Packet`.
pub(super) fn packet(known: &Knowledge<'_>, no: PacketNo, source: &mut dyn ByteSource) -> Answer {
    let Some(row) = known.recording.store.get(no) else {
        let packets = known.recording.store.len();
        return Answer::Refused { why: format!("There is no packet {no}: the log holds {packets} so far.") };
    };
    let mut reader = Reader::new(source, known.bytes_read);
    let bytes = match reader.bytes(&row) {
        Ok(bytes) => bytes,
        Err(why) => return Answer::Refused { why: format!("Packet {no} cannot be read again: {why}") },
    };
    let link_type = known.link_type(&row);
    let packet = dissected(link_type, &row, bytes);
    let mut tree = vec![frame(known, no, &row)];
    tree.extend(dissect::tree(link_type, bytes, row.wire_len, rows::relative(known, no, &row)));
    tree.extend(analysis(known, no, &row, &packet));
    if let Some(mut subject) = known.subject(no) {
        subject.packet = Some(Read { bytes, packet: &packet });
        set_filters(&mut tree, &subject);
    }
    let of_flow = row.flow.map_or(&[][..], |(flow, _)| known.named.of_flow(flow));
    let mut findings: Vec<_> = known
        .named
        .of_packet(no)
        .iter()
        .chain(of_flow)
        .filter_map(|place| known.findings.get(*place as usize))
        .map(|finding| finding.id.clone())
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    findings.retain(|id| seen.insert(id.clone()));
    Answer::Packet(Box::new(PacketDetail {
        row: rows::row_of(known, no, &row, bytes),
        tree,
        tcpdump: dissect::tcpdump_line(
            known.recording.store.time(no),
            link_type,
            bytes,
            row.wire_len,
            rows::relative(known, no, &row),
        ),
        bytes: bytes.to_vec(),
        comments: known.recording.comments.get(&no.0).cloned().unwrap_or_default(),
        findings,
    }))
}

/// Sets the filter of each line.
fn set_filters(tree: &mut [Node], subject: &Subject<'_>) {
    for node in tree {
        node.filter = of_node(node, subject);
        set_filters(&mut node.children, subject);
    }
}

/// A node of which no bytes tell.
fn derived(name: &str, value: impl Into<String>, field: &str) -> Node {
    Node { name: name.into(), value: value.into(), field: field.into(), derived: true, ..Node::default() }
}

/// When and where it was captured.
fn frame(known: &Knowledge<'_>, no: PacketNo, row: &Row) -> Node {
    let store = &known.recording.store;
    let mut children = vec![
        derived("Number", no.to_string(), "frame.number"),
        derived("Length on the wire", format!("{} bytes", row.wire_len), "frame.len"),
        derived("Length kept", format!("{} bytes", row.cap_len), "frame.cap_len"),
        derived(
            "Interface",
            format!("{} ({})", known.recording.interface_name(row.interface), row.interface),
            "frame.interface_name",
        ),
    ];
    if row.cap_len < row.wire_len {
        children[2].trouble = true;
    }
    if let Some(time) = store.time(no) {
        let epoch = format!("{}.{:09}", time.nanos().div_euclid(1_000_000_000), time.nanos().rem_euclid(1_000_000_000));
        children.push(derived("Seconds since 1970", epoch, "frame.time_epoch"));
        if let Some(first) = store.time(PacketNo(1)) {
            children.push(derived("Since the first packet", (time - first).to_string(), "frame.time_relative"));
        }
        if let Some(before) = no.0.checked_sub(1).and_then(|before| store.time(PacketNo(before))) {
            children.push(derived("Since the packet before", (time - before).to_string(), "frame.time_delta"));
        }
    }
    let value = format!("packet {no}, {} bytes", row.wire_len);
    Node { children, ..derived("Frame", value, "frame") }
}

/// What the conversation tells about the packet: Wireshark's labels, and our judgement beside them.
fn analysis(known: &Knowledge<'_>, no: PacketNo, row: &Row, packet: &Packet<'_>) -> Option<Node> {
    let (id, direction) = row.flow?;
    let flow = known.recording.flows.get(id)?;
    let stream = match flow.transport {
        Protocol::Tcp => "tcp.stream",
        Protocol::Udp => "udp.stream",
        _ => "",
    };
    let mut children = vec![
        derived("Stream", flow.stream.to_string(), stream),
        derived("Conversation", format!("{} → {}", flow.client, flow.server), ""),
    ];
    if let (Transport::Tcp(tcp), Some(base)) = (&packet.transport, flow.side(direction).base) {
        let seq = tcp.seq.wrapping_sub(base);
        children.push(derived("Relative sequence number", seq.to_string(), "tcp.seq"));
        if tcp.payload_len > 0 {
            let last = seq.wrapping_add(tcp.payload_len).wrapping_sub(1);
            children.push(derived("Bytes of the stream", format!("{seq} to {last}"), "tcp.len"));
        }
        if let Some(base) = flow.side(direction.reverse()).base.filter(|_| tcp.flags.has(TcpFlags::ACK)) {
            children.push(derived("Relative acknowledgment number", tcp.ack.wrapping_sub(base).to_string(), "tcp.ack"));
        }
    }
    if let Some(rtt) = flow.handshake.rtt {
        children.push(derived("Round-trip time of the handshake", rtt.to_string(), "tcp.analysis.initial_rtt"));
    }
    for name in row.labels.names() {
        let mut node = derived("Wireshark's label", name.replace('_', " "), &format!("tcp.analysis.{name}"));
        node.trouble = true;
        children.push(node);
    }
    children.extend(judged::nodes(known, no, row));
    for hole in flow.side(direction).holes.iter().filter(|hole| hole.noticed.no == no) {
        let what = match (hole.filled, hole.acked, hole.missed_by_peer) {
            (Some(filled), ..) => format!("they came later, in packet {}", filled.no),
            (_, Some(acked), _) => format!("they arrived: packet {} acknowledges them, only this capture missed them", acked.no),
            (_, _, Some(told)) => format!("the receiver misses them too, as packet {} tells", told.no),
            _ => "whether they arrived is not known".into(),
        };
        let mut node = derived("Missing before it", format!("bytes {} to {}: {what}", hole.first, hole.last), "");
        node.trouble = true;
        children.push(node);
    }
    if let Some(drop_no) = known.recording.drops.of_packet(packet, row.time)
        && let Some(drop) = known.recording.drops.get(drop_no)
    {
        let mut node =
            derived("Dropped by the kernel", format!("{} in {} (drop {drop_no})", drop.reason, drop.place), "drop.reason");
        node.trouble = crate::drops::benign(&drop.reason).is_none();
        children.push(node);
    }
    for finding in known.named.of_packet(no).iter().filter_map(|place| known.findings.get(*place as usize)) {
        let mut node = derived("Finding", finding.sentence.clone(), "finding.rule");
        node.trouble = true;
        children.push(node);
    }
    Some(Node { children, ..derived("Analysis", "what the conversation tells about this packet", "") })
}
