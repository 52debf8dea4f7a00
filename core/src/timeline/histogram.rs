//! Packets by time: how many, how many bytes, and which anomalies, in each slice of a span.

use crate::ids::PacketNo;
use crate::store::{Facts, Kind, Store};
use crate::time::{Span, Timestamp};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Slices a column is divided into, so that a burst shorter than a column shows as a peak.
pub const SLICES: usize = 4;

/// Divides a span into equal parts.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    span: Span,
    parts: usize,
    per_nano: f64,
}

impl Scale {
    /// A span divided into `parts`, at least one. A span of a single instant is one nanosecond long.
    pub fn new(span: Span, parts: usize) -> Self {
        let parts = parts.max(1);
        let length = span.end.nanos().abs_diff(span.start.nanos()).max(1);
        Self { span, parts, per_nano: parts as f64 / length as f64 }
    }

    /// The part in which a time lies; `None` outside the span. The last instant belongs to the last part.
    #[inline]
    pub fn part(&self, time: i64) -> Option<usize> {
        let (start, end) = (self.span.start.nanos(), self.span.end.nanos());
        // Rounding cannot put two times in the wrong order, and there are far fewer parts than a double has digits.
        (start <= time && time <= end).then(|| ((time.abs_diff(start) as f64 * self.per_nano) as usize).min(self.parts - 1))
    }

    /// Seconds that one part lasts; at least a nanosecond.
    pub fn seconds(&self) -> f64 {
        (1.0 / self.per_nano).max(1.0) / 1e9
    }

    /// How many parts.
    pub fn parts(&self) -> usize {
        self.parts
    }
}

/// What lies in one slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Packets.
    pub packets: u32,
    /// Bytes on the wire.
    pub bytes: u64,
}

/// Anomalies of one kind in one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anomalies {
    /// The first of them in order of arrival.
    pub first: PacketNo,
    /// When that was.
    pub at: Timestamp,
    /// How many.
    pub count: u32,
}

/// Packets of a span by slice, anomalies by column.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// [`SLICES`] for each column.
    pub slices: Vec<Slice>,
    /// By column and kind; only what there is.
    pub anomalies: BTreeMap<(usize, Kind), Anomalies>,
}

impl Histogram {
    /// Counts all packets of `span`.
    pub fn of_all(store: &Store, span: Span, columns: usize) -> Self {
        let scale = Scale::new(span, columns * SLICES);
        let found = RefCell::new(Self::empty(&scale));
        store.tree().walk(
            &mut |run, _| {
                if run.packets == 0 || run.latest < span.start.nanos() || run.earliest > span.end.nanos() {
                    return false;
                }
                let (Some(first), Some(last)) = (scale.part(run.earliest), scale.part(run.latest)) else { return true };
                let found = &mut *found.borrow_mut();
                let column = first / SLICES;
                // A run is opened for the first of each kind in a column, which must be named.
                let new_kind = Kind::ALL
                    .into_iter()
                    .any(|kind| run.kinds[kind as usize] > 0 && !found.anomalies.contains_key(&(column, kind)));
                if first != last || new_kind {
                    return true;
                }
                found.slices[first].packets += run.packets;
                found.slices[first].bytes += run.bytes;
                for kind in Kind::ALL {
                    if let Some(anomalies) = found.anomalies.get_mut(&(column, kind)) {
                        anomalies.count += run.kinds[kind as usize];
                    }
                }
                false
            },
            &mut |range| found.borrow_mut().add_packets(store, &scale, range),
        );
        found.into_inner()
    }

    /// Counts the packets of `span` that are at these places (from 0).
    pub fn of_some(store: &Store, span: Span, columns: usize, places: impl Iterator<Item = usize>) -> Self {
        let scale = Scale::new(span, columns * SLICES);
        let mut found = Self::empty(&scale);
        for place in places {
            found.add_packets(store, &scale, place..place + 1);
        }
        found
    }

    fn empty(scale: &Scale) -> Self {
        Self { slices: vec![Slice::default(); scale.parts()], anomalies: BTreeMap::new() }
    }

    fn add_packets(&mut self, store: &Store, scale: &Scale, range: std::ops::Range<usize>) {
        let times = store.times(range.start, range.end).flatten();
        let lengths = store.wire_lens(range.start, range.end).flatten();
        for ((time, length), index) in times.zip(lengths).zip(range) {
            let Some(part) = scale.part(*time) else { continue };
            let (labels, facts) = store.marks(index);
            if facts.has(Facts::NO_TIME) {
                continue;
            }
            self.slices[part].packets += 1;
            self.slices[part].bytes += u64::from(*length);
            if labels.is_empty() && facts.0 == 0 {
                continue;
            }
            for kind in Kind::ALL.into_iter().filter(|kind| kind.is(labels, facts)) {
                self.anomalies.entry((part / SLICES, kind)).and_modify(|anomalies| anomalies.count += 1).or_insert(Anomalies {
                    first: PacketNo(index as u32 + 1),
                    at: Timestamp::from_nanos(*time),
                    count: 1,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Labels;
    use crate::store::Row;

    /// A store of packets at these times, each of 100 bytes, every 97th a retransmission.
    fn store(times: impl IntoIterator<Item = i64>) -> Store {
        let mut store = Store::default();
        for (n, time) in times.into_iter().enumerate() {
            store.push(&Row {
                time: Timestamp::from_nanos(time),
                wire_len: 100,
                labels: if n % 97 == 0 { Labels::RETRANSMISSION } else { Labels::NONE },
                ..Row::default()
            });
        }
        store
    }

    fn span(start: i64, end: i64) -> Span {
        Span::new(Timestamp::from_nanos(start), Timestamp::from_nanos(end))
    }

    /// Whatever the tree skips, it must count as a visit to every packet does.
    fn check(store: &Store, span: Span, columns: usize) {
        let fast = Histogram::of_all(store, span, columns);
        let slow = Histogram::of_some(store, span, columns, 0..store.len() as usize);
        assert_eq!(fast.slices, slow.slices);
        assert_eq!(fast.anomalies, slow.anomalies);
    }

    #[test]
    fn the_tree_counts_as_a_visit_to_every_packet_does() {
        let orderly = store((0..50_000).map(|n| n * 10));
        let jumbled = store((0..50_000).map(|n: i64| (n * 7_919) % 50_000 * 10));
        let wrong_clock = store((0..5_000).map(|n| if n == 77 { -1_700_000_000_000_000_000 } else { n * 10 }));
        for store in [&orderly, &jumbled, &wrong_clock] {
            for (start, end, columns) in [(0, 499_990, 100), (100, 110, 50), (1_000, 300_000, 1), (i64::MIN, i64::MAX, 512)] {
                check(store, span(start, end), columns);
            }
        }
    }

    #[test]
    fn a_single_packet_in_a_quiet_hour_is_still_seen() {
        let store = store([0, 1_800_000_000_000, 3_600_000_000_000]);
        let histogram = Histogram::of_all(&store, span(0, 3_600_000_000_000), 1_000);
        assert_eq!(histogram.slices.iter().filter(|slice| slice.packets == 1).count(), 3);
    }
}
