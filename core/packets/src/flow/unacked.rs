//! The segments of one direction that the peer has not acknowledged yet.
//!
//! Kept in the order in which they were captured, as the labels need it. As long as that is also the order of their numbers,
//! an acknowledgement only takes from the front; one that comes after disorder looks at all of them. The number kept is
//! bounded (`MOST`): a direction whose ACKs are not captured would otherwise keep every segment.

use super::seq::{after, before};
use crate::ids::PacketNo;
use crate::time::Timestamp;
use std::collections::VecDeque;

/// Segments kept of one direction. Wireshark keeps 10,000 (`TCP_MAX_UNACKED_SEGMENTS`); fewer keep the cost of disorder
/// bounded, and no window in the corpus holds as many.
pub(super) const MOST: usize = 4_096;

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
    segments: VecDeque<Segment>,
    /// Whether a segment was appended that begins before the end of its predecessor.
    disordered: bool,
    /// The last that was acknowledged.
    last_acked: Option<Segment>,
    /// Whether the last segment was appended: what it takes is given back once that is acknowledged.
    closing: bool,
}

impl Unacked {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.iter()
    }

    /// Appends one; false if there is no room.
    pub(super) fn push(&mut self, segment: Segment) -> bool {
        if self.segments.len() >= MOST {
            return false;
        }
        if let Some(last) = self.segments.back() {
            self.disordered |= before(segment.seq, last.end);
        }
        self.segments.push_back(segment);
        true
    }

    /// Says that the segment appended last ends the direction.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Removes the segments that `ack` acknowledges as a whole.
    pub(super) fn acknowledge(&mut self, ack: u32) -> Acked {
        let mut acked = Acked::default();
        if self.disordered {
            let last_acked = &mut self.last_acked;
            self.segments.retain(|segment| {
                let keep = Self::keep(segment, ack, &mut acked);
                if !keep && last_acked.is_none_or(|last| !before(segment.end, last.end)) {
                    *last_acked = Some(*segment);
                }
                keep
            });
            if self.segments.len() <= 1 {
                self.disordered = false;
            }
        } else {
            while let Some(first) = self.segments.front() {
                if Self::keep(first, ack, &mut acked) {
                    break;
                }
                acked.sent_at = Some(first.at);
                self.last_acked = self.segments.pop_front();
            }
        }
        if self.closing && self.segments.is_empty() {
            // Most conversations of a long log are over: half a kilobyte each.
            self.segments = VecDeque::new();
        }
        acked
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
        let has = |segment: &&Segment| segment.no < no && !before(seq, segment.seq) && before(seq, segment.end);
        self.segments.iter().rev().find(has).or(self.last_acked.as_ref().filter(has))
    }

    /// The first segment captured before packet `no` that holds all of these numbers, or else the first of several that do
    /// together: a repeat may be cut out of a larger segment, or joined from smaller ones (TSO, GRO).
    pub(super) fn holding(&self, seq: u32, end: u32, no: PacketNo) -> Option<&Segment> {
        let earlier = || self.segments.iter().filter(|segment| segment.no < no);
        let has = |segment: &&Segment, number: u32| !before(number, segment.seq) && before(number, segment.end);
        earlier().find(|segment| has(segment, seq) && !after(end, segment.end)).or_else(|| {
            // Once through, in the order of capture: disorder must not make this cost more.
            let mut reached = seq;
            let mut first = None;
            for segment in earlier() {
                if has(&segment, reached) {
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
}
