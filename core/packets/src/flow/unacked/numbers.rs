//! Segments by their sequence numbers.
//!
//! Numbers are ordered by their distance from a base, which has a meaning only within half of the space of numbers. So a segment
//! or a question too far from the base is refused, and whoever asked looks at all segments instead: only forged captures, and
//! one number in a gigabyte, come to that.

use super::Segment;
use crate::ids::PacketNo;
use std::collections::BTreeMap;

/// Distances from the base up to here may be compared with each other.
const NEAR: u32 = 1 << 30;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbers {
    base: u32,
    /// The end of each segment by its beginning and its packet; as places, see [`Numbers::place`].
    ends: BTreeMap<(u32, PacketNo), u32>,
    /// Most numbers that one segment has: what may hold a number begins no further before it.
    longest: u32,
}

impl Numbers {
    /// Of these; `None` if they lie too far apart.
    pub(super) fn of<'a>(segments: impl Iterator<Item = &'a Segment>) -> Option<Self> {
        let mut segments = segments.peekable();
        let base = segments.peek()?.seq;
        let mut numbers = Self { base, ends: BTreeMap::new(), longest: 0 };
        segments.all(|segment| numbers.insert(segment)).then_some(numbers)
    }

    /// Adds one; false if it lies too far away.
    pub(super) fn insert(&mut self, segment: &Segment) -> bool {
        let (Some(first), Some(end)) = (self.place(segment.seq), self.place(segment.end)) else { return false };
        self.ends.insert((first, segment.no), end);
        self.longest = self.longest.max(end.saturating_sub(first));
        true
    }

    /// Removes one.
    pub(super) fn remove(&mut self, segment: &Segment) {
        if let Some(first) = self.place(segment.seq) {
            self.ends.remove(&(first, segment.no));
        }
    }

    /// The packets of the segments that `ack` acknowledges as a whole, in their order. `None` where that cannot be told.
    pub(super) fn acknowledged(&self, ack: u32) -> Option<Vec<PacketNo>> {
        let ack = self.place(ack)?;
        let before = self.ends.range(..(ack, PacketNo(0))).inspect(|_| count_step());
        let mut whole: Vec<PacketNo> = before.filter(|(_, end)| **end <= ack).map(|((_, no), _)| *no).collect();
        whole.sort_unstable();
        Some(whole)
    }

    /// The last packet before `no` whose segment has this number. `None` where that cannot be told.
    pub(super) fn last_holding(&self, number: u32, no: PacketNo) -> Option<Option<PacketNo>> {
        let place = self.place(number)?;
        Some(self.holding(place).map(|(other, _)| other).filter(|other| *other < no).max())
    }

    /// The first packet before `no` whose segment has all of these numbers, or else the first of several that do together, each
    /// captured after the one before it. `None` where that cannot be told.
    pub(super) fn first_holding(&self, seq: u32, end: u32, no: PacketNo) -> Option<Option<PacketNo>> {
        let seq = self.place(seq)?;
        let end = self.place(end).filter(|end| *end > seq)?;
        let earliest = |place: u32, since: PacketNo| {
            self.holding(place).filter(|(other, _)| since < *other && *other < no).min_by_key(|(other, _)| *other)
        };
        let whole = self.holding(seq).filter(|(other, reaches)| *other < no && *reaches >= end);
        if let Some(found) = whole.map(|(other, _)| other).min() {
            return Some(Some(found));
        }
        let (first, mut reached) = match earliest(seq, PacketNo(0)) {
            Some((first, reached)) => (first, (first, reached)),
            None => return Some(None),
        };
        while reached.1 < end {
            match earliest(reached.1, reached.0) {
                Some(next) => reached = next,
                None => return Some(None),
            }
        }
        Some(Some(first))
    }

    /// The segments that have the number at this place: their packets, and where they end.
    fn holding(&self, place: u32) -> impl Iterator<Item = (PacketNo, u32)> {
        let near = (place.saturating_sub(self.longest), PacketNo(0))..=(place, PacketNo(u32::MAX));
        self.ends.range(near).inspect(|_| count_step()).filter(move |(_, end)| place < **end).map(|((_, no), end)| (*no, *end))
    }

    /// Where a number stands among the others; `None` if it is too far away.
    fn place(&self, number: u32) -> Option<u32> {
        let place = number.wrapping_sub(self.base).wrapping_add(NEAR);
        (place < 2 * NEAR).then_some(place)
    }
}

#[cfg(not(test))]
const fn count_step() {}

#[cfg(test)]
use tests::count_step;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use std::cell::Cell;

    thread_local! {
        static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    /// Counts a segment that was looked at.
    pub(super) fn count_step() {
        STEPS.set(STEPS.get() + 1);
    }

    /// Work, not time: looking at all of them would be 4,096 segments a question.
    #[test]
    fn of_thousands_of_segments_in_random_order_a_question_looks_at_a_few() {
        const SEGMENTS: u32 = 4_096;
        // Every place once, in an order that looks random.
        let seq = |n: u32| (n.wrapping_mul(2_654_435_761) % SEGMENTS) * 1_000;
        let segment = |n| Segment { seq: seq(n), end: seq(n) + 1_000, no: PacketNo(n + 1), at: Timestamp::MIN };
        let segments: Vec<Segment> = (0..SEGMENTS).map(segment).collect();
        let mut numbers = Numbers::of(segments.iter()).expect("they lie near each other");
        for segment in &segments {
            assert_eq!(numbers.last_holding(segment.seq + 7, PacketNo(u32::MAX)), Some(Some(segment.no)));
            assert_eq!(numbers.first_holding(segment.seq, segment.end, PacketNo(u32::MAX)), Some(Some(segment.no)));
        }
        // One after the other, as they are removed when they are acknowledged.
        for ack in 1..=SEGMENTS {
            let taken = numbers.acknowledged(ack * 1_000).expect("it lies near");
            assert_eq!(taken.len(), 1);
            numbers.remove(&segments[taken[0].0 as usize - 1]);
        }
        let steps = STEPS.get();
        assert!(steps <= 8 * SEGMENTS as usize, "{steps} segments were looked at");
    }
}
