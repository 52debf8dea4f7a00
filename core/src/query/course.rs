//! The course of one conversation: round-trip times, bytes in flight, windows, throughput and goodput over time.
//!
//! Nothing of it is kept while a log is read: the conversation's packets are read again, a bounded piece a question, and put into as
//! many columns as the picture has. Where the span begins in the middle, some packets before it are read too, so that what is in
//! flight there is known. The latest course is remembered and goes on where it stopped.

use super::engine::Knowledge;
use super::reader::{ByteSource, Reader, dissected};
use super::{Answer, Course, CourseSide, Reach, flows};
use crate::dissect::{Protocol, Transport};
use crate::flow::{Flow, Labels, Pace, Paced};
use crate::ids::{Direction, FlowId, PacketNo};
use crate::store::{Facts, Row, Store};
use crate::time::{Span, Timestamp};
use std::collections::VecDeque;

/// The most columns of a course.
const MOST_COLUMNS: u32 = 1_024;
/// Packets before the span that are read to know what is in flight when it begins.
const WARM_UP: usize = 1_024;
/// Packets dissected in one go.
const PACKETS_AT_ONCE: usize = 1 << 15;
/// Bytes of packets read again in one go.
const BYTES_AT_ONCE: u64 = 16 << 20;

/// The course lately asked for.
#[derive(Debug, Default)]
pub(super) struct Courses(Option<Running>);

/// One course, as far as it is known.
#[derive(Debug)]
struct Running {
    wanted: (FlowId, Span, u32),
    pace: Pace,
    /// The packet to go on with.
    next: PacketNo,
    /// Whether the first packet inside the span was met.
    begun: bool,
    /// What is in flight, and what window holds for it, by direction.
    now: [(u64, Option<u64>); 2],
    packets: u32,
    sides: [CourseSide; 2],
}

/// Answers `Query::Course`.
pub(super) fn course(
    known: &Knowledge<'_>,
    courses: &mut Courses,
    id: FlowId,
    span: Option<Span>,
    columns: u32,
    source: &mut dyn ByteSource,
) -> Answer {
    let Some(flow) = known.recording.flows.get(id) else {
        return Answer::Refused {
            why: format!("There is no conversation {id}: the log holds {} so far.", known.recording.flows.len()),
        };
    };
    let span = span.unwrap_or(flow.span());
    let wanted = (id, span, columns.clamp(1, MOST_COLUMNS));
    let mut running = match courses.0.take() {
        Some(running) if running.wanted == wanted => running,
        _ => Running {
            wanted,
            pace: Pace::new(flow.sides.each_ref().map(|side| side.window_scale)),
            next: before(&known.recording.store, id, flow.first.no, flow.last.no, span.start),
            begun: false,
            now: Default::default(),
            packets: 0,
            sides: Default::default(),
        },
    };
    let complete = running.advance(known, flow.last.no, flow.transport == Protocol::Tcp, source);
    let answer = Answer::Course(Box::new(Course {
        revision: known.revision,
        flow: flows::row(known, flow),
        span,
        columns: wanted.2,
        complete,
        packets: running.packets,
        scaled: is_scale_known(flow),
        sides: running.sides.clone(),
    }));
    courses.0 = Some(running);
    answer
}

/// Whether the handshake told how windows are scaled: both sides' SYNs, or one without the option, since then nobody scales.
fn is_scale_known(flow: &Flow) -> bool {
    flow.sides.iter().all(|side| side.isn.is_some())
        || flow.sides.iter().any(|side| side.isn.is_some() && side.window_scale.is_none())
}

/// Where to begin reading: a stretch of the conversation before the time `start`.
fn before(store: &Store, flow: FlowId, first: PacketNo, last: PacketNo, start: Timestamp) -> PacketNo {
    let mut latest = VecDeque::new();
    for no in store.of_flow(flow, first, last) {
        if latest.len() > WARM_UP {
            latest.pop_front();
        }
        latest.push_back(no);
        if store.time(no).is_some_and(|at| at >= start) {
            break;
        }
    }
    latest.front().copied().unwrap_or(first)
}

impl Running {
    /// Reads on, up to a bound; whether all of it has been read.
    fn advance(&mut self, known: &Knowledge<'_>, last: PacketNo, is_tcp: bool, source: &mut dyn ByteSource) -> bool {
        let store = &known.recording.store;
        let (flow, span, _) = self.wanted;
        let mut reader = Reader::new(source, known.bytes_read);
        for (read, no) in store.of_flow(flow, self.next, last).enumerate() {
            if read >= PACKETS_AT_ONCE || reader.spent >= BYTES_AT_ONCE {
                self.next = no;
                return false;
            }
            let Some(row) = store.get(no) else { break };
            if row.time > span.end && !store.disordered() {
                break;
            }
            if !row.facts.has(Facts::COPY) {
                self.take(known, &row, is_tcp, &mut reader);
            }
        }
        self.next = PacketNo(last.0 + 1);
        true
    }

    fn take(&mut self, known: &Knowledge<'_>, row: &Row, is_tcp: bool, reader: &mut Reader<'_>) {
        let Some((_, direction)) = row.flow else { return };
        let column = self.column(row.time);
        if let Some(column) = column {
            self.begin();
            self.packets += 1;
            let side = &mut self.sides[direction.index()];
            add(&mut side.wire, column, row.wire_len.into());
            side.wire_bytes += u64::from(row.wire_len);
        }
        if !is_tcp {
            return;
        }
        let link_type = known.link_type(row);
        let Ok(bytes) = reader.bytes(row) else { return };
        let packet = dissected(link_type, row, bytes);
        // An ICMP error belongs to the conversation it quotes, and is none of its segments.
        let Transport::Tcp(segment) = &packet.transport else { return };
        let again = row.labels.any(Labels::RETRANSMISSION);
        let paced = self.pace.observe(direction, segment, row.time, again);
        self.note(direction, &paced, column);
    }

    /// What holds already when the span begins, as its first point.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        for (side, (in_flight, window)) in self.sides.iter_mut().zip(self.now) {
            if let Some(window) = window {
                reach(&mut side.in_flight, 0, in_flight);
                reach(&mut side.window, 0, window);
            }
        }
    }

    fn note(&mut self, direction: Direction, paced: &Paced, column: Option<u32>) {
        let (own, other) = (direction.index(), direction.reverse().index());
        let mut step = |index: usize, in_flight: Option<u64>, window: Option<u64>| {
            let (in_flight_now, window_now) = &mut self.now[index];
            let side = &mut self.sides[index];
            if let Some(value) = in_flight {
                *in_flight_now = value;
                if let Some(column) = column {
                    reach(&mut side.in_flight, column, value);
                }
            }
            if let Some(value) = window {
                *window_now = Some(value);
                if let Some(column) = column {
                    reach(&mut side.window, column, value);
                }
            }
        };
        step(own, paced.sent, None);
        step(other, paced.left, paced.window);
        let Some(column) = column else { return };
        let side = &mut self.sides[other];
        for (rtt, points) in [(paced.rtt, &mut side.rtt), (paced.echoed, &mut side.rtt_echoed)] {
            if let Some(rtt) = rtt.and_then(|rtt| u64::try_from(rtt.get()).ok()) {
                reach(points, column, rtt);
            }
        }
        if paced.delivered > 0 {
            add(&mut side.delivered, column, paced.delivered);
            side.delivered_bytes += paced.delivered;
        }
    }

    /// The column of a time; `None` outside the span.
    fn column(&self, at: Timestamp) -> Option<u32> {
        let (_, span, columns) = self.wanted;
        if at < span.start || at > span.end {
            return None;
        }
        let length = span.length().get().max(1) as i128;
        let column = i128::from((at - span.start).get()) * i128::from(columns) / length;
        Some((column as u32).min(columns - 1))
    }
}

/// Widens the point of a column; points stand in the order of their columns.
fn reach(points: &mut Vec<Reach>, column: u32, value: u64) {
    match points.binary_search_by_key(&column, |point| point.column) {
        Ok(place) => {
            let point = &mut points[place];
            (point.low, point.high, point.last) = (point.low.min(value), point.high.max(value), value);
        }
        Err(place) => points.insert(place, Reach { column, low: value, high: value, last: value }),
    }
}

/// Adds to the sum of a column.
fn add(sums: &mut Vec<(u32, u64)>, column: u32, value: u64) {
    match sums.binary_search_by_key(&column, |(column, _)| *column) {
        Ok(place) => sums[place].1 += value,
        Err(place) => sums.insert(place, (column, value)),
    }
}

#[cfg(test)]
mod tests {
    use crate::ids::FlowId;
    use crate::query::{Answer, Course, Engine, Query, Reach};
    use crate::rules::OPEN;
    use crate::script::Script;
    use crate::time::{Span, Timestamp};

    /// 14:40:01 of the scripts' day.
    const OPENED: i64 = 1_622_558_401_000_000_000;

    /// The course of a script's first conversation, between two milliseconds after it opened.
    fn course(script: &str, from_ms: i64, to_ms: i64, columns: u32) -> Course {
        let script = Script::parse(script).unwrap_or_else(|error| panic!("{error}"));
        let log = crate::reference::encode(&script);
        let mut engine = Engine::new();
        engine.push(&log);
        engine.finish();
        let at = |ms: i64| Timestamp::from_nanos(OPENED + ms * 1_000_000);
        let span = Some(Span::new(at(from_ms), at(to_ms)));
        match engine.ask(&Query::Course { flow: FlowId(0), span, columns }, &mut &*log) {
            Answer::Course(course) => *course,
            other => panic!("{other:?}"),
        }
    }

    /// After the handshake: 300 bytes in two segments at 20 and 25 ms, acknowledged one by one at 30 and 45 ms.
    const DATA: &str = "14:40:01.020 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:101, ack 1, win 512, length 100
14:40:01.025 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 101:301, ack 1, win 512, length 200
14:40:01.030 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 101, win 400, length 0
14:40:01.045 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 301, win 300, length 0
";

    fn points(points: &[Reach]) -> Vec<(u32, u64, u64, u64)> {
        points.iter().map(|point| (point.column, point.low, point.high, point.last)).collect()
    }

    #[test]
    fn each_column_has_its_smallest_its_largest_and_its_last_value() {
        let course = course(&format!("{OPEN}{DATA}"), 0, 50, 5);
        let [client, server] = &course.sides;
        assert!(course.complete && course.packets == 7);
        // Nothing with the SYN; 100, then 300, bytes sent in the third; 200 left in the fourth, none in the fifth column.
        assert_eq!(points(&client.in_flight), [(0, 0, 0, 0), (2, 100, 300, 300), (3, 200, 200, 200), (4, 0, 0, 0)]);
        assert_eq!(points(&client.window), [(0, 512, 512, 512), (3, 400, 400, 400), (4, 300, 300, 300)]);
        // 1 ms for the SYN, 10 ms and 20 ms for the data.
        assert_eq!(
            points(&client.rtt),
            [
                (0, 1_000_000, 1_000_000, 1_000_000),
                (3, 10_000_000, 10_000_000, 10_000_000),
                (4, 20_000_000, 20_000_000, 20_000_000)
            ]
        );
        // Frames of 58 and 54 bytes in the handshake, 154 and 254 with data.
        assert_eq!((&client.wire[..], client.wire_bytes), (&[(0, 112), (2, 408)][..], 520));
        assert_eq!((&client.delivered[..], client.delivered_bytes), (&[(3, 100), (4, 200)][..], 300));
        assert_eq!((server.delivered_bytes, points(&server.rtt)), (0, vec![(0, 1_000_000, 1_000_000, 1_000_000)]));
    }

    #[test]
    fn a_span_that_begins_midway_knows_what_is_in_flight() {
        let course = course(&format!("{OPEN}{DATA}"), 28, 50, 11);
        let client = &course.sides[0];
        assert_eq!(points(&client.in_flight), [(0, 300, 300, 300), (1, 200, 200, 200), (8, 0, 0, 0)]);
        assert_eq!((client.delivered_bytes, client.wire_bytes, course.packets), (300, 0, 2));
    }

    #[test]
    fn copies_are_left_out() {
        let copied = format!("{OPEN}{DATA}14:40:01.045001 copy of 7\n");
        assert_eq!(course(&copied, 0, 50, 5).sides, course(&format!("{OPEN}{DATA}"), 0, 50, 5).sides);
    }

    #[test]
    fn a_conversation_that_is_not_there_is_refused() {
        let answer = Engine::new().ask(&Query::Course { flow: FlowId(3), span: None, columns: 5 }, &mut &[][..]);
        assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
    }
}
