//! Sums over runs of packets, and sums of those: what a stretch of time holds, without visiting its packets.
//!
//! ```text
//! level 1   [ ......................... 1,024 packets ......................... ]   earliest and latest time,
//! level 0   [ 128 ][ 128 ][ 128 ][ 128 ][ 128 ][ 128 ][ 128 ][ 128 ]               packets, bytes, anomalies by kind
//! packets   |||||||||||||||||||||||||||||||||||||||||||||||||||||||
//! ```
//! Runs are by order of arrival, and each says between which times its packets lie. A question about time goes down from the
//! top: a node wholly inside one column is added as it is, one wholly outside is passed by, one that lies across a border is
//! opened. So the work grows with the number of columns and not with the number of packets, no resolution is chosen
//! beforehand, a wrong clock in one packet spoils nothing, and packets out of order cost a little time but are never
//! counted in the wrong place.

use super::{Column, Facts};
use crate::flow::Labels;

/// Packets in a run.
const RUN: usize = 128;
/// Nodes that one node of the next level sums.
const FANOUT: usize = 8;

/// Kinds of anomalies that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Data sent again.
    Retransmission,
    /// Bytes that were never seen.
    Missing,
    /// A window of zero.
    ZeroWindow,
    /// An RST.
    Reset,
    /// An ICMP error.
    IcmpError,
    /// A SYN sent again.
    SynRetry,
}

impl Kind {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 6] =
        [Self::Retransmission, Self::Missing, Self::ZeroWindow, Self::Reset, Self::IcmpError, Self::SynRetry];

    /// Its name in answers.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Retransmission => "retransmission",
            Self::Missing => "missing",
            Self::ZeroWindow => "zero_window",
            Self::Reset => "reset",
            Self::IcmpError => "icmp_error",
            Self::SynRetry => "syn_retry",
        }
    }

    /// Whether a packet with these labels and facts is of this kind.
    pub fn is(self, labels: Labels, facts: Facts) -> bool {
        match self {
            Self::Retransmission => labels.any(Labels::RETRANSMISSION) && !facts.has(Facts::SYN_RETRY),
            Self::Missing => labels.any(Labels::LOST_SEGMENT),
            Self::ZeroWindow => labels.any(Labels::ZERO_WINDOW),
            Self::Reset => facts.has(Facts::RESET),
            Self::IcmpError => facts.has(Facts::ICMP_ERROR),
            Self::SynRetry => facts.has(Facts::SYN_RETRY),
        }
    }
}

/// What a run of packets holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Earliest time among those that have one; above `latest` when none has.
    pub earliest: i64,
    /// Latest time.
    pub latest: i64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Packets that have a time.
    pub packets: u32,
    /// Anomalies, by [`Kind`].
    pub kinds: [u32; 6],
}

impl Default for Summary {
    fn default() -> Self {
        Self { earliest: i64::MAX, latest: i64::MIN, bytes: 0, packets: 0, kinds: [0; 6] }
    }
}

impl Summary {
    fn add(&mut self, other: &Self) {
        self.earliest = self.earliest.min(other.earliest);
        self.latest = self.latest.max(other.latest);
        self.bytes += other.bytes;
        self.packets += other.packets;
        for (sum, more) in self.kinds.iter_mut().zip(other.kinds) {
            *sum += more;
        }
    }
}

/// A node of the tree, for walking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NodeId {
    level: usize,
    index: usize,
}

/// The tree. Every level holds a node for each run begun, so the last node of each level is still growing.
#[derive(Debug, Default)]
pub struct Tree {
    levels: Vec<Column<Summary>>,
    packets: usize,
    /// The run that is growing, not yet in `levels[0]`.
    growing: Summary,
}

impl Tree {
    /// Takes the next packet.
    #[inline]
    pub(super) fn push(&mut self, time: Option<i64>, wire_len: u32, labels: Labels, facts: Facts) {
        if let Some(time) = time {
            self.growing.earliest = self.growing.earliest.min(time);
            self.growing.latest = self.growing.latest.max(time);
            self.growing.packets += 1;
            self.growing.bytes += u64::from(wire_len);
            if !labels.is_empty() || facts.0 != 0 {
                for kind in Kind::ALL {
                    self.growing.kinds[kind as usize] += u32::from(kind.is(labels, facts));
                }
            }
        }
        self.packets += 1;
        if self.packets.is_multiple_of(RUN) {
            self.close_run();
        }
    }

    /// Files the growing run, and every node above that it completes.
    fn close_run(&mut self) {
        let mut summary = std::mem::take(&mut self.growing);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Column::default());
            }
            let column = &mut self.levels[level];
            column.push(summary);
            if !column.len().is_multiple_of(FANOUT) {
                break;
            }
            let mut above = Summary::default();
            column.slices(column.len() - FANOUT, column.len()).flatten().for_each(|node| above.add(node));
            summary = above;
        }
    }

    /// The nodes that together hold all packets, the largest first; what is in none of them are the last packets, from the
    /// returned index on.
    fn roots(&self) -> (Vec<NodeId>, usize) {
        let mut roots = Vec::new();
        let mut covered = 0;
        for level in (0..self.levels.len()).rev() {
            let width = RUN * FANOUT.pow(level as u32);
            while covered + width <= self.packets && covered / width < self.levels[level].len() {
                roots.push(NodeId { level, index: covered / width });
                covered += width;
            }
        }
        (roots, covered)
    }

    fn summary(&self, node: NodeId) -> Summary {
        self.levels[node.level].get(node.index).unwrap_or_default()
    }

    /// Walks all packets by their runs. `open` says of each run whether it must be looked into; where not, it has dealt with
    /// it. `packets` is given the places (from 0) of packets that must be looked at one by one.
    pub fn walk(
        &self,
        open: &mut dyn FnMut(&Summary, std::ops::Range<usize>) -> bool,
        packets: &mut dyn FnMut(std::ops::Range<usize>),
    ) {
        let (roots, covered) = self.roots();
        for root in roots {
            self.walk_node(root, open, packets);
        }
        if covered < self.packets && open(&self.growing, covered..self.packets) {
            packets(covered..self.packets);
        }
    }

    fn walk_node(
        &self,
        node: NodeId,
        open: &mut dyn FnMut(&Summary, std::ops::Range<usize>) -> bool,
        packets: &mut dyn FnMut(std::ops::Range<usize>),
    ) {
        let width = RUN * FANOUT.pow(node.level as u32);
        let range = node.index * width..(node.index + 1) * width;
        if !open(&self.summary(node), range.clone()) {
            return;
        }
        match node.level.checked_sub(1) {
            None => packets(range),
            Some(level) => {
                for index in node.index * FANOUT..(node.index + 1) * FANOUT {
                    self.walk_node(NodeId { level, index }, open, packets);
                }
            }
        }
    }

    /// What all packets hold together.
    pub fn whole(&self) -> Summary {
        let (roots, _) = self.roots();
        let mut whole = self.growing;
        roots.into_iter().for_each(|root| whole.add(&self.summary(root)));
        whole
    }

    #[cfg(test)]
    pub(super) fn bytes_a_packet() -> f64 {
        size_of::<Summary>() as f64 / RUN as f64 * FANOUT as f64 / (FANOUT - 1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_the_whole_is_the_sum_of_the_packets_at_any_size() {
        let mut tree = Tree::default();
        for n in 0..20_000_u32 {
            let whole = tree.whole();
            assert_eq!((whole.packets, whole.bytes), (n, u64::from(n) * 100));
            tree.push(Some(i64::from(n)), 100, Labels::NONE, Facts::default());
        }
        assert_eq!((tree.whole().earliest, tree.whole().latest), (0, 19_999));
    }

    #[test]
    fn opening_every_run_visits_every_packet_once_in_order() {
        let mut tree = Tree::default();
        for n in 0..10_321_i64 {
            tree.push(Some(n), 1, Labels::NONE, Facts::default());
        }
        let mut next = 0;
        tree.walk(&mut |_, _| true, &mut |range| {
            assert_eq!(range.start, next);
            next = range.end;
        });
        assert_eq!(next, 10_321);
    }
}
