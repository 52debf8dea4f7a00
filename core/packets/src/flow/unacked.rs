//! The segments of one direction that the peer has not acknowledged yet.
//!
//! Kept in the order in which they were captured, as the labels need it. As long as that is also the order of their numbers,
//! an acknowledgement only takes from the front. After disorder all would have to be looked at for each acknowledgement and
//! each repeat; so beyond a few segments an index by number is kept, too (`Numbers`), and the cost of disorder grows with its
//! logarithm. The number kept is bounded (`MOST`): a direction whose ACKs are not captured would otherwise keep every segment.

use super::seq::{after, before};
use crate::ids::PacketNo;
use crate::time::Timestamp;
use std::collections::VecDeque;

mod numbers;

use numbers::Numbers;

/// Segments kept of one direction. Wireshark keeps 10,000 (`TCP_MAX_UNACKED_SEGMENTS`); no window in the corpus holds as many as
/// these.
pub(super) const MOST: usize = 4_096;
/// As long as there are no more, looking at all of them costs less than an index.
const FEW: usize = 32;

/// A segment, by raw sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Segment {
    /// First sequence number.
    pub seq: u32,
    /// The one after the last; SYN and FIN count as one.
    pub end: u32,
    /// The packet.
    pub no: PacketNo,
    /// When.
    pub at: Timestamp,
}

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Acked {
    /// Whether it ends exactly at a segment's end.
    pub matched: bool,
    /// Segments it removed.
    pub removed: u32,
    /// When the last of them was captured, if none of them may have been sent twice (Karn's rule, RFC 6298 section 3).
    pub sent_at: Option<Timestamp>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Unacked {
    /// In the order of their packets. With an index, those that are acknowledged stay, without numbers, until they are at the front
    /// or are more than the others.
    segments: VecDeque<Segment>,
    /// Those in `segments` that are acknowledged.
    gone: usize,
    /// The index of all the others, while they are many and disordered.
    numbers: Option<Box<Numbers>>,
    /// Whether there can be no index: their numbers lie too far apart.
    scattered: bool,
    /// Whether a segment was appended that begins before the end of its predecessor.
    disordered: bool,
    /// The last that was acknowledged.
    last_acked: Option<Segment>,
    /// Most bytes of one segment that was acknowledged.
    largest_acked: u32,
    /// Whether the last segment was appended: what it takes is given back once that is acknowledged.
    closing: bool,
}

impl Unacked {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.segments.len() - self.gone
    }

    /// Most bytes of one segment that was acknowledged.
    pub(super) const fn largest_acked(&self) -> u32 {
        self.largest_acked
    }

    /// Bytes of the last segment: of those that wait, or else of those that were acknowledged.
    pub(super) fn last_len(&self) -> Option<u32> {
        let last = self.iter().next_back().or(self.last_acked.as_ref())?;
        Some(last.end.wrapping_sub(last.seq))
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.iter().filter(|segment| !segment.is_gone())
    }

    /// Appends one; false if there is no room. Packets come in order.
    pub(super) fn push(&mut self, segment: Segment) -> bool {
        if self.len() >= MOST {
            return false;
        }
        if let Some(last) = self.segments.back() {
            self.disordered |= before(segment.seq, last.end);
        }
        self.segments.push_back(segment);
        if self.disordered && self.segments.len() > FEW {
            self.index(segment);
        }
        true
    }

    /// Enters the segment appended last in the index, which is made anew if there is none yet, or the segment is far away.
    #[cold]
    fn index(&mut self, last: Segment) {
        if self.scattered || self.numbers.as_mut().is_some_and(|numbers| numbers.insert(&last)) {
            return;
        }
        self.segments.retain(|segment| !segment.is_gone());
        self.gone = 0;
        self.numbers = Numbers::of(self.segments.iter()).map(Box::new);
        self.scattered = self.numbers.is_none();
    }

    /// Says that the segment appended last ends the direction.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Removes the segments that `ack` acknowledges as a whole.
    pub(super) fn acknowledge(&mut self, ack: u32) -> Acked {
        let mut acked = Acked::default();
        if self.disordered {
            if self.numbers.is_some() {
                self.acknowledge_indexed(ack, &mut acked);
            } else {
                let (last_acked, largest) = (&mut self.last_acked, &mut self.largest_acked);
                self.segments.retain(|segment| {
                    let keep = Self::keep(segment, ack, &mut acked);
                    if !keep {
                        Self::note_acked(last_acked, segment);
                        *largest = (*largest).max(segment.end.wrapping_sub(segment.seq));
                    }
                    keep
                });
            }
            if self.len() <= 1 {
                self.segments.retain(|segment| !segment.is_gone());
                (self.gone, self.numbers, self.scattered, self.disordered) = (0, None, false, false);
            }
        } else {
            while let Some(first) = self.segments.front() {
                if Self::keep(first, ack, &mut acked) {
                    break;
                }
                acked.sent_at = Some(first.at);
                self.largest_acked = self.largest_acked.max(first.end.wrapping_sub(first.seq));
                self.last_acked = self.segments.pop_front();
            }
        }
        if self.closing && self.segments.is_empty() {
            // Most conversations of a long log are over: half a kilobyte each.
            self.segments = VecDeque::new();
        }
        acked
    }

    /// As [`acknowledge`](Self::acknowledge), in the same order, without looking at those that stay.
    fn acknowledge_indexed(&mut self, ack: u32, acked: &mut Acked) {
        let Some(numbers) = &mut self.numbers else { return };
        let all = || self.segments.iter().filter(|segment| !segment.is_gone() && !after(segment.end, ack));
        let taken = numbers.acknowledged(ack).unwrap_or_else(|| all().map(|segment| segment.no).collect());
        for no in &taken {
            let Ok(place) = self.segments.binary_search_by_key(no, |segment| segment.no) else { continue };
            let segment = &mut self.segments[place];
            numbers.remove(segment);
            Self::keep(segment, ack, acked);
            Self::note_acked(&mut self.last_acked, segment);
            self.largest_acked = self.largest_acked.max(segment.end.wrapping_sub(segment.seq));
            segment.end = segment.seq;
        }
        self.gone += taken.len();
        while self.segments.front().is_some_and(Segment::is_gone) {
            self.segments.pop_front();
            self.gone -= 1;
        }
        if self.gone * 2 > self.segments.len() {
            self.segments.retain(|segment| !segment.is_gone());
            self.gone = 0;
        }
    }

    fn note_acked(last_acked: &mut Option<Segment>, segment: &Segment) {
        if last_acked.is_none_or(|last| !before(segment.end, last.end)) {
            *last_acked = Some(*segment);
        }
    }

    fn keep(segment: &Segment, ack: u32, acked: &mut Acked) -> bool {
        if after(segment.end, ack) {
            return true;
        }
        acked.matched |= segment.end == ack;
        acked.removed += 1;
        false
    }

    /// The last time before packet `no` that a segment with the first of these numbers was captured, if it is still known.
    pub(super) fn last_sent(&self, seq: u32, no: PacketNo) -> Option<&Segment> {
        let has = |segment: &&Segment| segment.no < no && segment.holds(seq);
        let found = match self.numbers.as_ref().and_then(|numbers| numbers.last_holding(seq, no)) {
            Some(found) => found.and_then(|no| self.of(no)),
            None => self.iter().rev().find(has),
        };
        found.or(self.last_acked.as_ref().filter(has))
    }

    /// The segment of a packet.
    fn of(&self, no: PacketNo) -> Option<&Segment> {
        self.segments.get(self.segments.binary_search_by_key(&no, |segment| segment.no).ok()?)
    }

    /// The first segment captured before packet `no` that holds all of these numbers, or else the first of several that do
    /// together: a repeat may be cut out of a larger segment, or joined from smaller ones (TSO, GRO).
    pub(super) fn holding(&self, seq: u32, end: u32, no: PacketNo) -> Option<&Segment> {
        if let Some(found) = self.numbers.as_ref().and_then(|numbers| numbers.first_holding(seq, end, no)) {
            return found.and_then(|no| self.of(no));
        }
        let earlier = || self.iter().filter(|segment| segment.no < no);
        earlier().find(|segment| segment.holds(seq) && !after(end, segment.end)).or_else(|| {
            // Once through, in the order of capture: disorder must not make this cost more.
            let mut reached = seq;
            let mut first = None;
            for segment in earlier() {
                if segment.holds(reached) {
                    first = first.or(Some(segment));
                    reached = segment.end;
                }
                if !before(reached, end) {
                    return first;
                }
            }
            None
        })
    }
}

impl Segment {
    /// Whether it was acknowledged: each segment has a number at first.
    const fn is_gone(&self) -> bool {
        self.seq == self.end
    }

    /// Whether it has this number.
    fn holds(&self, number: u32) -> bool {
        !before(number, self.seq) && before(number, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unacked(segments: &[(u32, u32)]) -> Unacked {
        let mut unacked = Unacked::default();
        for (seq, end) in segments {
            assert!(unacked.push(Segment { seq: *seq, end: *end, no: PacketNo(1), at: Timestamp::MIN }));
        }
        unacked
    }

    fn left(unacked: &Unacked) -> Vec<(u32, u32)> {
        unacked.iter().map(|segment| (segment.seq, segment.end)).collect()
    }

    #[track_caller]
    fn acks(kept: &mut Unacked, ack: u32, matched: bool, removed: u32) {
        let acked = kept.acknowledge(ack);
        assert_eq!((acked.matched, acked.removed), (matched, removed));
    }

    #[test]
    fn an_ack_takes_whole_segments() {
        let mut kept = unacked(&[(0, 10), (10, 20), (20, 30)]);
        acks(&mut kept, 10, true, 1);
        acks(&mut kept, 25, false, 1);
        assert_eq!(left(&kept), [(20, 30)]);
        acks(&mut kept, 25, false, 0);
    }

    #[test]
    fn disorder_is_looked_through_as_a_whole() {
        let mut kept = unacked(&[(20, 30), (0, 10), (40, 50)]);
        assert!(kept.holding(2, 8, PacketNo(2)).is_some() && kept.holding(5, 15, PacketNo(2)).is_none());
        acks(&mut kept, 10, true, 1);
        assert_eq!(left(&kept), [(20, 30), (40, 50)]);
    }

    #[test]
    fn a_repeat_joined_from_several_is_found_and_one_with_a_gap_is_not() {
        let kept = unacked(&[(0, 10), (10, 20), (20, 30), (40, 50)]);
        assert_eq!(kept.holding(5, 30, PacketNo(2)).map(|segment| segment.seq), Some(0));
        assert!(kept.holding(25, 45, PacketNo(2)).is_none());
        assert!(kept.holding(5, 30, PacketNo(1)).is_none(), "nothing was captured before packet 1");
    }

    #[test]
    fn what_was_acknowledged_last_is_still_known() {
        let mut kept = unacked(&[(0, 10), (10, 20)]);
        acks(&mut kept, 20, true, 2);
        assert_eq!(kept.last_sent(10, PacketNo(2)).map(|segment| segment.seq), Some(10));
        assert!(kept.last_sent(0, PacketNo(2)).is_none());
    }

    #[test]
    fn numbers_may_wrap_within_the_list() {
        let mut kept = unacked(&[(u32::MAX - 9, 0), (0, 10)]);
        assert!(kept.holding(u32::MAX - 4, u32::MAX, PacketNo(2)).is_some() && kept.holding(0, 10, PacketNo(2)).is_some());
        acks(&mut kept, 5, false, 1);
        assert_eq!(left(&kept), [(0, 10)]);
    }

    /// What the index answers is what looking at all segments answers: random segments and acknowledgements, also far apart.
    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn an_index_changes_no_answer() {
        let mut random = 7_u32;
        let mut below = |bound: u32| {
            random = random.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            ((u64::from(random ^ random >> 15) * u64::from(bound)) >> 32) as u32
        };
        for round in 0..60 {
            // `scattered` keeps the other from making an index.
            let (mut indexed, mut plain) = (Unacked::default(), Unacked { scattered: true, ..Unacked::default() });
            let begin = [0, 5_000, u32::MAX - 3_000, 1 << 31][round % 4];
            for no in 1..400 {
                let far = if round > 40 && below(40) == 0 { below(u32::MAX) } else { 0 };
                let seq = begin.wrapping_add(below(6_000)).wrapping_add(far);
                let segment = Segment { seq, end: seq.wrapping_add(1 + below(200)), no: PacketNo(no), at: Timestamp::MIN };
                assert_eq!(indexed.push(segment), plain.push(segment));
                plain.scattered = true;
                let (from, before) = (begin.wrapping_add(below(6_300)).wrapping_add(far), PacketNo(below(no + 2)));
                let to = from.wrapping_add(1 + below(900));
                assert_eq!(indexed.last_sent(from, before), plain.last_sent(from, before));
                assert_eq!(indexed.holding(from, to, before), plain.holding(from, to, before));
                if below(6) == 0 {
                    let ack = begin.wrapping_add(below(2 + no * 12)).wrapping_add(far);
                    assert_eq!(indexed.acknowledge(ack), plain.acknowledge(ack));
                }
                assert!(plain.numbers.is_none() && (indexed.numbers.is_some() || indexed.len() <= FEW || indexed.scattered));
                assert_eq!((indexed.len(), indexed.last_acked), (plain.len(), plain.last_acked));
                assert!(indexed.iter().eq(plain.iter()));
            }
        }
    }
}
