//! What is kept of each packet: at most 32 bytes, in append-only columns, in order of arrival.
//!
//! The packet itself is not kept. It is read again by offset from the file, the server or the browser's Blob. Over the
//! columns stands a tree of sums ([`tree`]) by which any stretch of time is found and counted without visiting its packets,
//! also where time stamps are out of order.
//!
//! Left out on purpose: everything that can be had again by dissecting the packet.

mod column;
mod judged;
mod tree;

pub use column::Column;
pub use judged::Judged;
pub use tree::{Kind, Summary, Tree};

use column::BLOCK;
use judged::Reasons;

use crate::dissect::Protocol;
use crate::flow::{Judgement, Labels};
use crate::ids::{Direction, FlowId, InterfaceId, PacketNo};
use crate::time::Timestamp;

/// Where in [`Facts`] the number of a duplicate ACK begins; it has the bits from here on.
const DUPLICATE_ACK_SHIFT: u32 = 11;

/// Small facts about a packet: a bit each, and the number of a duplicate ACK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts(pub u16);

#[allow(missing_docs)]
impl Facts {
    /// The file gives no time; the one stored is that of the packet before.
    pub const NO_TIME: Self = Self(1);
    /// The file holds comments on it.
    pub const COMMENTED: Self = Self(1 << 1);
    /// It bears more addresses than those of its conversation: a tunnel, or an ICMP error that quotes a packet.
    pub const MORE_ADDRESSES: Self = Self(1 << 2);
    /// A checksum in it is wrong.
    pub const BAD_CHECKSUM: Self = Self(1 << 3);
    /// A TCP RST.
    pub const RESET: Self = Self(1 << 4);
    /// An ICMP error.
    pub const ICMP_ERROR: Self = Self(1 << 5);
    /// A SYN sent again.
    pub const SYN_RETRY: Self = Self(1 << 6);
    /// The kernel dropped it.
    pub const DROPPED: Self = Self(1 << 7);
    /// Dissection stopped early for another reason than the snapshot length.
    pub const MALFORMED: Self = Self(1 << 8);
    /// The same packet was captured before, at another tap.
    pub const COPY: Self = Self(1 << 9);

    /// Whether all of `other` hold.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// The how manieth duplicate ACK in a row this is; 31 for 31 and more, 0 for none.
    pub const fn duplicate_ack(self) -> u16 {
        self.0 >> DUPLICATE_ACK_SHIFT
    }
    /// Notes the how manieth duplicate ACK in a row it is.
    #[must_use]
    pub const fn with_duplicate_ack(self, number: u32) -> Self {
        let number = if number > 31 { 31 } else { number as u16 };
        Self(self.0 & ((1 << DUPLICATE_ACK_SHIFT) - 1) | number << DUPLICATE_ACK_SHIFT)
    }
    /// Adds `other` when `condition` holds.
    #[must_use]
    pub const fn with(self, other: Self, condition: bool) -> Self {
        if condition { Self(self.0 | other.0) } else { self }
    }
}

/// What is kept of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Nanoseconds since the Unix epoch; see [`Facts::NO_TIME`].
    pub time: Timestamp,
    /// Where its bytes begin in the log.
    pub offset: u64,
    /// How many bytes were kept.
    pub cap_len: u32,
    /// Bytes on the wire.
    pub wire_len: u32,
    /// Its conversation and its direction there.
    pub flow: Option<(FlowId, Direction)>,
    /// Wireshark's labels.
    pub labels: Labels,
    /// Where it was taken.
    pub interface: InterfaceId,
    /// The transport, by column.
    pub protocol: Protocol,
    /// Small facts.
    pub facts: Facts,
    /// What we hold it to be, where that was asked: see [`Store::judgement`].
    pub judged: Option<Judged>,
}

/// Packets that share one base offset; the columns hold 32-bit distances from it.
const OFFSET_RUN: usize = 64;

/// A flow column entry without a conversation.
const NO_FLOW: u32 = u32::MAX;

/// What the columns hold of so many packets. Blocks are of fixed size and stay where they are: a growing capture costs no
/// copying and never holds two copies of a column. All columns share one index, so taking a packet asks once for room.
#[derive(Debug)]
struct Block {
    times: Box<[i64; BLOCK]>,
    offset_bases: Box<[u64; BLOCK / OFFSET_RUN]>,
    offsets: Box<[u32; BLOCK]>,
    cap_lens: Box<[u32; BLOCK]>,
    wire_lens: Box<[u32; BLOCK]>,
    flows: Box<[u32; BLOCK]>,
    labels: Box<[u16; BLOCK]>,
    facts: Box<[u16; BLOCK]>,
    interfaces: Box<[u8; BLOCK]>,
    protocols: Box<[u8; BLOCK]>,
    judged: Box<[u8; BLOCK]>,
}

impl Block {
    fn new() -> Self {
        Self {
            times: column::zeros(),
            offset_bases: column::zeros(),
            offsets: column::zeros(),
            cap_lens: column::zeros(),
            wire_lens: column::zeros(),
            flows: column::zeros(),
            labels: column::zeros(),
            facts: column::zeros(),
            interfaces: column::zeros(),
            protocols: column::zeros(),
            judged: column::zeros(),
        }
    }
}

/// The packets of a log.
#[derive(Debug, Default)]
pub struct Store {
    blocks: Vec<Block>,
    len: usize,
    reasons: Reasons,
    tree: Tree,
    /// Packets more than 4 GiB behind the first of their run, as when hours of counters lie between: packet and offset.
    far_offsets: Vec<(PacketNo, u64)>,
    /// Interfaces beyond the 255th, which the column cannot name: packet and interface, in order of packets.
    far_interfaces: Vec<(PacketNo, InterfaceId)>,
    /// Whether a packet bears an earlier time than one before it.
    disordered: bool,
    latest: Option<i64>,
}

impl Store {
    /// Takes the next packet. A column has zeros where nothing was written, so what most rows have none of is written only where
    /// there is some; a caller's row that surely has none costs nothing for it.
    #[inline(always)]
    pub fn push(&mut self, row: &Row) {
        let (index, at) = (self.len, self.len % BLOCK);
        if at == 0 {
            self.blocks.push(Block::new());
        }
        let Some(block) = self.blocks.last_mut() else { return };
        self.len += 1;
        let time = row.time.nanos();
        let timed = !row.facts.has(Facts::NO_TIME);
        block.times[at] = time;
        let base = &mut block.offset_bases[at / OFFSET_RUN];
        if index.is_multiple_of(OFFSET_RUN) {
            *base = row.offset;
        }
        block.offsets[at] = match row.offset.checked_sub(*base).and_then(|distance| u32::try_from(distance).ok()) {
            Some(distance) if distance != u32::MAX => distance,
            _ => {
                self.far_offsets.push((number(index), row.offset));
                u32::MAX
            }
        };
        block.cap_lens[at] = row.cap_len;
        block.wire_lens[at] = row.wire_len;
        block.flows[at] = row.flow.map_or(NO_FLOW, |(flow, direction)| flow.0 << 1 | direction.index() as u32);
        if !row.labels.is_empty() {
            block.labels[at] = row.labels.bits();
        }
        if row.interface.0 != 0 {
            block.interfaces[at] = u8::try_from(row.interface.0).unwrap_or(u8::MAX);
            if row.interface.0 >= u32::from(u8::MAX) {
                self.far_interfaces.push((number(index), row.interface));
            }
        }
        if row.protocol as u8 != 0 {
            block.protocols[at] = row.protocol as u8;
        }
        if row.facts.0 != 0 {
            block.facts[at] = row.facts.0;
        }
        if let Some(judged) = row.judged {
            block.judged[at] = judged.bits();
        }
        self.tree.push(timed.then_some(time), row.wire_len, row.labels, row.facts);
        if timed {
            self.disordered |= self.latest.is_some_and(|latest| time < latest);
            self.latest = self.latest.max(Some(time));
        }
    }

    /// How many packets there are.
    pub fn len(&self) -> u32 {
        self.len as u32
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether some packet bears an earlier time than one before it.
    pub fn disordered(&self) -> bool {
        self.disordered
    }

    /// The tree of sums.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// One packet.
    #[inline]
    pub fn get(&self, no: PacketNo) -> Option<Row> {
        let (block, at) = self.place(no)?;
        let interface = match block.interfaces[at] {
            u8::MAX => match self.far_interfaces.binary_search_by_key(&no, |(no, _)| *no) {
                Ok(place) => self.far_interfaces[place].1,
                Err(_) => InterfaceId(u32::from(u8::MAX)),
            },
            near => InterfaceId(u32::from(near)),
        };
        Some(Row {
            time: Timestamp::from_nanos(block.times[at]),
            offset: match block.offsets[at] {
                u32::MAX => self.far_offsets[self.far_offsets.binary_search_by_key(&no, |(no, _)| *no).ok()?].1,
                distance => block.offset_bases[at / OFFSET_RUN] + u64::from(distance),
            },
            cap_len: block.cap_lens[at],
            wire_len: block.wire_lens[at],
            flow: flow_of(block.flows[at]),
            labels: Labels::from_bits(block.labels[at]),
            interface,
            protocol: protocol(block.protocols[at]),
            facts: Facts(block.facts[at]),
            judged: Judged::from_bits(block.judged[at]),
        })
    }

    /// The conversation of a packet, and its direction there.
    #[inline]
    pub fn flow(&self, no: PacketNo) -> Option<(FlowId, Direction)> {
        let (block, at) = self.place(no)?;
        flow_of(block.flows[at])
    }

    /// When a packet was captured; `None` where the file gives no time.
    pub fn time(&self, no: PacketNo) -> Option<Timestamp> {
        let (block, at) = self.place(no)?;
        let timed = !Facts(block.facts[at]).has(Facts::NO_TIME);
        timed.then(|| Timestamp::from_nanos(block.times[at]))
    }

    /// The packets of a conversation, in order of arrival, among those from `from` to `to`.
    pub fn of_flow(&self, flow: FlowId, from: PacketNo, to: PacketNo) -> impl Iterator<Item = PacketNo> {
        let start = index(from).unwrap_or(0);
        self.slices(start, to.0 as usize, |block| &block.flows[..])
            .flatten()
            .zip(start..)
            .filter(move |(entry, _)| **entry >> 1 == flow.0 && **entry != NO_FLOW)
            .map(|(_, index)| number(index))
    }

    /// The last packet, in order of arrival, that was captured at or before a time.
    pub fn last_until(&self, at: Timestamp) -> Option<PacketNo> {
        let found = std::cell::Cell::new(None);
        self.tree.walk(
            &mut |run, range| {
                if run.packets == 0 || run.earliest > at.nanos() {
                    return false;
                }
                let whole = run.latest <= at.nanos() && run.packets as usize == range.len();
                if whole {
                    found.set(Some(number(range.end - 1)));
                }
                !whole
            },
            &mut |range| {
                let until = |no: &PacketNo| self.time(*no).is_some_and(|time| time <= at);
                found.set(range.map(number).rev().find(until).or(found.get()));
            },
        );
        found.get()
    }

    /// Stored times, in order of arrival, from packet `from` on up to and with `to`.
    pub fn times(&self, from: usize, to: usize) -> impl Iterator<Item = &[i64]> {
        self.slices(from, to, |block| &block.times[..])
    }

    /// Bytes on the wire, likewise.
    pub fn wire_lens(&self, from: usize, to: usize) -> impl Iterator<Item = &[u32]> {
        self.slices(from, to, |block| &block.wire_lens[..])
    }

    /// Conversations, directions there and small facts, in order of arrival, from index `from` on up to (without) `to`.
    pub fn senders(&self, from: usize, to: usize) -> impl Iterator<Item = (Option<(FlowId, Direction)>, Facts)> {
        let facts = self.slices(from, to, |block| &block.facts[..]).flatten();
        let flows = self.slices(from, to, |block| &block.flows[..]).flatten();
        flows.zip(facts).map(|(flow, facts)| (flow_of(*flow), Facts(*facts)))
    }

    /// Small facts and labels of the packet at an index from 0.
    pub fn marks(&self, index: usize) -> (Labels, Facts) {
        let place = self.place(number(index));
        place.map_or_else(Default::default, |(block, at)| (Labels::from_bits(block.labels[at]), Facts(block.facts[at])))
    }

    /// What a packet is held to be, with the reasons; those of the first 131,072 judgements are kept.
    pub fn judgement(&self, no: PacketNo) -> Option<Judgement> {
        self.reasons.get(no)
    }

    /// Keeps the reasons why the latest packet is held to be what its row says.
    pub fn give_reasons(&mut self, judgement: Judgement) {
        self.reasons.give(PacketNo(self.len()), judgement);
    }

    /// The earlier packets whose judgement this packet corrected, and what they are held to be since.
    pub fn corrected_by(&self, no: PacketNo) -> impl Iterator<Item = (PacketNo, Judgement)> {
        self.reasons.corrected_by(no)
    }

    /// Corrects what an earlier packet is held to be.
    pub fn amend(&mut self, no: PacketNo, judgement: Judgement) {
        if let Some((block, at)) = self.place_mut(no) {
            block.judged[at] = Judged::from(judgement).bits();
        }
        self.reasons.amend(no, judgement);
    }

    /// Notes that the kernel dropped this packet.
    pub fn mark_dropped(&mut self, no: PacketNo) {
        if let Some((block, at)) = self.place_mut(no) {
            block.facts[at] |= Facts::DROPPED.0;
        }
    }

    /// Where a packet stands: its block, and its place there, which is below `BLOCK`.
    #[inline]
    fn place(&self, no: PacketNo) -> Option<(&Block, usize)> {
        let index = index(no).filter(|index| *index < self.len)?;
        Some((self.blocks.get(index / BLOCK)?, index % BLOCK))
    }

    fn place_mut(&mut self, no: PacketNo) -> Option<(&mut Block, usize)> {
        let index = index(no).filter(|index| *index < self.len)?;
        Some((self.blocks.get_mut(index / BLOCK)?, index % BLOCK))
    }

    /// The values of one column from index `from` on up to (without) `to`, piece by piece as they lie in memory.
    fn slices<'a, T: 'a>(&'a self, from: usize, to: usize, column: impl Fn(&Block) -> &[T]) -> impl Iterator<Item = &'a [T]> {
        column::pieces(from, to.min(self.len)).map(move |(block, range)| &column(&self.blocks[block])[range])
    }
}

/// A packet's place in the columns.
fn index(no: PacketNo) -> Option<usize> {
    (no.0 as usize).checked_sub(1)
}

/// The packet at a place in the columns.
fn number(index: usize) -> PacketNo {
    PacketNo(index as u32 + 1)
}

fn flow_of(entry: u32) -> Option<(FlowId, Direction)> {
    (entry != NO_FLOW).then_some((FlowId(entry >> 1), if entry & 1 == 0 { Direction::AToB } else { Direction::BToA }))
}

/// Protocols by their number in the column; the order of `Protocol` itself.
const PROTOCOLS: [Protocol; 9] = [
    Protocol::Tcp,
    Protocol::Udp,
    Protocol::UdpLite,
    Protocol::Sctp,
    Protocol::Dccp,
    Protocol::Icmp,
    Protocol::Icmpv6,
    Protocol::Igmp,
    Protocol::Other,
];

fn protocol(number: u8) -> Protocol {
    PROTOCOLS.get(usize::from(number)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Verdict;

    fn row(n: u32) -> Row {
        Row {
            time: Timestamp::from_nanos(i64::from(n) * 1_000),
            offset: u64::from(n) * 1_500 + 24,
            cap_len: n % 1_500,
            wire_len: n % 9_000,
            flow: (!n.is_multiple_of(3))
                .then_some((FlowId(n % 7), if n.is_multiple_of(2) { Direction::AToB } else { Direction::BToA })),
            labels: if n.is_multiple_of(5) { Labels::RETRANSMISSION } else { Labels::NONE },
            interface: InterfaceId(n % 300),
            protocol: PROTOCOLS[n as usize % PROTOCOLS.len()],
            facts: Facts::default().with(Facts::RESET, n.is_multiple_of(11)),
            judged: n.is_multiple_of(13).then_some(Judged { verdict: Verdict::Reordered, cause: None, tail: false }),
        }
    }

    #[test]
    fn a_packet_comes_back_as_it_was_put_in() {
        let mut store = Store::default();
        (0..40_000).for_each(|n| store.push(&row(n)));
        for n in [0, 1, 63, 64, 255, 256, 16_383, 16_384, 39_999] {
            assert_eq!(store.get(PacketNo(n + 1)), Some(row(n)));
        }
        assert_eq!(store.get(PacketNo(0)), None);
        assert_eq!(store.get(PacketNo(40_001)), None);
        assert!(!store.disordered());
    }

    #[test]
    fn the_packets_of_a_conversation_are_found_in_order() {
        let mut store = Store::default();
        (0..20_000).for_each(|n| store.push(&row(n)));
        let found: Vec<u32> = store.of_flow(FlowId(2), PacketNo(1), PacketNo(20_000)).map(|no| no.0).collect();
        let expected: Vec<u32> = (0..20_000).filter(|n| n % 3 != 0 && n % 7 == 2).map(|n| n + 1).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_packet_takes_at_most_32_bytes() {
        let columns = 8 + 4 + 4 + 4 + 4 + 2 + 1 + 1 + 2 + 1;
        let shared = 8.0 / OFFSET_RUN as f64 + Tree::bytes_a_packet();
        assert!(f64::from(columns) + shared <= 32.0, "{shared}");
    }
}
