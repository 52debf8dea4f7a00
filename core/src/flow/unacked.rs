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
#[derive(Clone, Copy, Debug)]
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
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Unacked {
    segments: VecDeque<Segment>,
    /// Whether a segment was appended that begins before the end of its predecessor.
    disordered: bool,
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

    /// Removes the segments that `ack` acknowledges as a whole.
    pub(super) fn acknowledge(&mut self, ack: u32) -> Acked {
        let mut acked = Acked::default();
        if self.disordered {
            self.segments.retain(|segment| Self::keep(segment, ack, &mut acked));
            if self.segments.len() <= 1 {
                self.disordered = false;
            }
        } else {
            while let Some(first) = self.segments.front() {
                if Self::keep(first, ack, &mut acked) {
                    break;
                }
                self.segments.pop_front();
            }
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

    /// The first captured segment that holds all of these numbers.
    pub(super) fn holding(&self, seq: u32, end: u32) -> Option<&Segment> {
        let holds = |segment: &&Segment| !before(seq, segment.seq) && !after(end, segment.end);
        if self.disordered {
            return self.segments.iter().find(holds);
        }
        let at = self.segments.partition_point(|segment| !after(segment.seq, seq));
        at.checked_sub(1).and_then(|at| self.segments.get(at)).filter(holds)
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

    #[test]
    fn an_ack_takes_whole_segments() {
        let mut kept = unacked(&[(0, 10), (10, 20), (20, 30)]);
        assert_eq!(kept.acknowledge(10), Acked { matched: true, removed: 1 });
        assert_eq!(kept.acknowledge(25), Acked { matched: false, removed: 1 });
        assert_eq!(left(&kept), [(20, 30)]);
        assert_eq!(kept.acknowledge(25), Acked::default());
    }

    #[test]
    fn disorder_is_looked_through_as_a_whole() {
        let mut kept = unacked(&[(20, 30), (0, 10), (40, 50)]);
        assert!(kept.holding(2, 8).is_some() && kept.holding(5, 15).is_none());
        assert_eq!(kept.acknowledge(10), Acked { matched: true, removed: 1 });
        assert_eq!(left(&kept), [(20, 30), (40, 50)]);
    }

    #[test]
    fn numbers_may_wrap_within_the_list() {
        let mut kept = unacked(&[(u32::MAX - 9, 0), (0, 10)]);
        assert!(kept.holding(u32::MAX - 4, u32::MAX).is_some() && kept.holding(0, 10).is_some());
        assert_eq!(kept.acknowledge(5), Acked { matched: false, removed: 1 });
        assert_eq!(left(&kept), [(0, 10)]);
    }
}
