//! The ladder diagram of one conversation: its packets in order, and the bytes that are missing between them.

use super::chips::chips;
use super::engine::Knowledge;
use super::reader::{ByteSource, Reader, dissected};
use super::rows::MOST_ROWS;
use super::scan::{Scans, Selected};
use super::{Answer, Ladder, Rows, Rung, flows};
use crate::anchor::{Anchor, Place};
use crate::dissect::{self, Packet, TcpFlags, Transport};
use crate::flow::{Flow, Hole};
use crate::ids::{Direction, FlowId, PacketNo};
use crate::sort;
use crate::store::Row;
use crate::time::Nanos;

/// Answers `Query::Ladder`. Rows count rungs: packets, and holes, each before the packet that showed it.
pub(super) fn ladder(
    known: &Knowledge<'_>,
    scans: &mut Scans,
    id: FlowId,
    rows: Rows,
    locate: Option<&Anchor>,
    source: &mut dyn ByteSource,
) -> Answer {
    let store = &known.recording.store;
    let Some(flow) = known.recording.flows.get(id) else {
        return Answer::Refused {
            why: format!("There is no conversation {id}: the log holds {} so far.", known.recording.flows.len()),
        };
    };
    let selected = match scans.select(known, "", Some(id), None, source) {
        Ok(selected) => selected,
        Err(error) => return Answer::Refused { why: error.message },
    };
    let mut reader = Reader::new(source, known.bytes_read);
    let mut holes: Vec<(Direction, &Hole)> = [Direction::AToB, Direction::BToA]
        .into_iter()
        .flat_map(|direction| flow.side(direction).holes.iter().map(move |hole| (direction, hole)))
        .collect();
    sort::by_key(&mut holes, |(_, hole)| hole.noticed.no);
    let total = selected.total() + holes.len() as u32;
    let located = locate.and_then(|anchor| located(known, id, &selected, &holes, &anchor.place));
    // The packets before a hole and the holes before it tell its place.
    let mut holes = holes
        .iter()
        .enumerate()
        .map(|(before, (direction, hole))| (selected.row_of(hole.noticed.no) + before as u32, *direction, *hole))
        .peekable();
    let mut passed = 0;
    while holes.next_if(|(place, ..)| *place < rows.first).is_some() {
        passed += 1;
    }
    let mut packets = selected.from(rows.first - passed);
    let mut rungs = Vec::new();
    for place in rows.first..rows.first.saturating_add(rows.count.min(MOST_ROWS)) {
        if let Some((_, direction, hole)) = holes.next_if(|hole| hole.0 == place) {
            rungs.push(missing(direction, hole));
        } else if let Some((no, row)) = packets.next().and_then(|no| Some((no, store.get(no)?))) {
            rungs.push(rung(known, flow, no, &row, &mut reader));
        } else {
            break;
        }
    }
    Answer::Ladder(Ladder {
        revision: known.revision,
        flow: flows::row(known, flow),
        total,
        complete: selected.complete,
        first: rows.first,
        rungs,
        locate: locate.cloned(),
        located,
    })
}

/// The row of a packet of this conversation, or of bytes that are missing in it.
fn located(
    known: &Knowledge<'_>,
    id: FlowId,
    selected: &Selected<'_>,
    holes: &[(Direction, &Hole)],
    place: &Place,
) -> Option<u32> {
    let holes_until = |no: PacketNo| holes.partition_point(|(_, hole)| hole.noticed.no <= no) as u32;
    match place {
        Place::Packet(no) => {
            let (flow, _) = known.recording.store.get(*no)?.flow?;
            (flow == id).then(|| selected.row_of(*no) + holes_until(*no))
        }
        Place::Bytes { flow, direction, first, last } if *flow == id => {
            let overlaps = |side: Direction, hole: &Hole| side == *direction && hole.first <= *last && *first <= hole.last;
            let before = holes.iter().position(|(side, hole)| overlaps(*side, hole))?;
            Some(selected.row_of(holes[before].1.noticed.no) + before as u32)
        }
        _ => None,
    }
}

fn missing(direction: Direction, hole: &Hole) -> Rung {
    let Hole { first, last, .. } = *hole;
    let bytes = if first == last { format!("byte {first}") } else { format!("bytes {first}–{last}") };
    let text = match (hole.filled, hole.acked) {
        (Some(filled), _) => format!("{bytes} came later, in packet {}", filled.no),
        (None, Some(_)) => format!("{bytes} arrived, but were not captured here"),
        (None, None) => format!("{bytes} never arrived here"),
    };
    Rung::Missing { direction, first_byte: first, last_byte: last, text }
}

fn rung(known: &Knowledge<'_>, flow: &Flow, no: PacketNo, row: &Row, reader: &mut Reader<'_>) -> Rung {
    let direction = row.flow.map_or(Direction::AToB, |(_, direction)| direction);
    let time = known.recording.store.time(no);
    let since_start = time.map_or(Nanos::default(), |time| time - flow.first.at);
    let link_type = known.link_type(row);
    let (title, detail, chips) = match reader.bytes(row) {
        Ok(bytes) => {
            let packet = dissected(link_type, row, bytes);
            let (title, detail) = match &packet.transport {
                Transport::Tcp(_) => tcp(flow, direction, &packet),
                _ => {
                    let info = dissect::info(link_type, bytes, row.wire_len, None);
                    (info.protocol.to_owned(), info.text)
                }
            };
            (title, detail, chips(known, no, row, Some((&packet, bytes))))
        }
        Err(why) => (String::new(), why, chips(known, no, row, None)),
    };
    Rung::Packet { no, time, since_start, direction, title, detail, chips }
}

/// `PSH, ACK` and `seq 1–75, ack 1, 75 bytes, win 229`.
fn tcp(flow: &Flow, direction: Direction, packet: &Packet<'_>) -> (String, String) {
    let Transport::Tcp(tcp) = &packet.transport else { return Default::default() };
    let names = [
        (TcpFlags::SYN, "SYN"),
        (TcpFlags::FIN, "FIN"),
        (TcpFlags::RST, "RST"),
        (TcpFlags::PSH, "PSH"),
        (TcpFlags::URG, "URG"),
        (TcpFlags::ACK, "ACK"),
    ];
    let title: Vec<&str> = names.into_iter().filter(|(bit, _)| tcp.flags.has(*bit)).map(|(_, name)| name).collect();
    let relative = |raw: u32, direction: Direction| raw.wrapping_sub(flow.side(direction).base.unwrap_or(0));
    let seq = relative(tcp.seq, direction);
    let mut detail = match tcp.payload_len {
        0 => format!("seq {seq}"),
        1 => format!("seq {seq}, 1 byte"),
        len => format!("seq {seq}–{}, {len} bytes", seq.wrapping_add(len - 1)),
    };
    if tcp.flags.has(TcpFlags::ACK) {
        detail.push_str(&format!(", ack {}", relative(tcp.ack, direction.reverse())));
    }
    for (left, right) in &tcp.options.sack {
        let edge = |raw| relative(raw, direction.reverse());
        detail.push_str(&format!(", sack {}–{}", edge(*left), edge(*right).wrapping_sub(1)));
    }
    detail.push_str(&format!(", win {}", tcp.window));
    if let Some(mss) = tcp.options.mss {
        detail.push_str(&format!(", mss {mss}"));
    }
    (title.join(", "), detail)
}
