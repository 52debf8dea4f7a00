//! Which conversation a packet belongs to.

use super::conversation::{Endpoint, Flow};
use crate::dissect::Protocol;
use crate::ids::{Direction, FlowId};
use std::net::IpAddr;

/// Conversations in a block: storage grows by blocks, so that it never needs twice its size for a moment.
const BLOCK: usize = 1_024;

/// What a conversation is looked up by. It depends on the packet alone, so whoever has time to spare can make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash(u32);

/// What tells conversations apart, the same for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub transport: Protocol,
    pub from: Endpoint,
    pub to: Endpoint,
    pub echo: Option<u16>,
}

impl Key {
    /// The same for both directions. Nothing in it is random, so that a run repeats; the price of a forged capture that makes
    /// collisions is time, which `Slots` bounds by its load. Multiplied and folded twice, in 64 bits on any machine; the upper
    /// half is used, into which a multiplication carries every bit.
    #[inline]
    pub(super) fn hash(&self) -> KeyHash {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        const OTHER: u64 = 0xd6e8_feb8_6659_fd93;
        let end = |Endpoint { address, port }: Endpoint| match address {
            IpAddr::V4(address) => u64::from(address.to_bits()) << 16 | u64::from(port),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let upper = ((bits >> 64) as u64 ^ u64::from(port)).wrapping_mul(OTHER);
                (bits as u64 ^ upper ^ upper >> 32).wrapping_mul(ODD)
            }
        };
        let (a, b) = (end(self.from), end(self.to));
        let (low, high) = (a.min(b), a.max(b));
        let kind = u64::from(self.transport as u8) | self.echo.map_or(0, |echo| u64::from(echo) << 16 | 1 << 8);
        let first = (low ^ kind << 48).wrapping_mul(ODD);
        let second = (first ^ first >> 32 ^ high).wrapping_mul(OTHER);
        KeyHash((second >> 32) as u32)
    }

    #[inline]
    fn direction_in(&self, flow: &Flow) -> Option<Direction> {
        if flow.transport != self.transport || flow.echo != self.echo {
            None
        } else if flow.client == self.from && flow.server == self.to {
            Some(Direction::AToB)
        } else if flow.server == self.from && flow.client == self.to {
            Some(Direction::BToA)
        } else {
            None
        }
    }
}

/// All conversations, and the latest of each key.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Conversations {
    blocks: Vec<Vec<Flow>>,
    count: u32,
    slots: Slots,
}

impl Conversations {
    pub(super) const fn len(&self) -> u32 {
        self.count
    }

    pub(super) fn get(&self, id: FlowId) -> Option<&Flow> {
        self.blocks.get(id.0 as usize / BLOCK)?.get(id.0 as usize % BLOCK)
    }

    pub(super) fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.blocks.get_mut(id.0 as usize / BLOCK)?.get_mut(id.0 as usize % BLOCK)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.blocks.iter().flatten()
    }

    /// The latest conversation of this key, and the direction of a packet in it.
    #[inline]
    pub(super) fn find(&self, key: &Key, hash: KeyHash) -> Option<(FlowId, Direction)> {
        let mut direction = None;
        let id = self.slots.find(hash, |id| {
            direction = self.get(id).and_then(|flow| key.direction_in(flow));
            direction.is_some()
        })?;
        Some((id, direction?))
    }

    /// Adds a conversation, which takes the place of an earlier one of the same key.
    pub(super) fn insert(&mut self, key: &Key, hash: KeyHash, make: impl FnOnce(FlowId) -> Flow) -> FlowId {
        let id = FlowId(self.count);
        self.count += 1;
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let flow = make(id);
        let replaced = self.find(key, hash).map(|(old, _)| old);
        self.blocks.last_mut().expect("a block with room was just made sure of").push(flow);
        self.slots.insert(hash, id, replaced);
        id
    }
}

/// An open-addressing hash table of flow numbers, with part of the hash beside each so that a miss seldom touches a flow.
#[derive(Debug, Default, PartialEq)]
struct Slots {
    /// Upper half: part of the hash; lower half: the flow's number plus one, 0 for a free slot.
    slots: Vec<u64>,
    used: usize,
}

impl Slots {
    #[inline]
    fn find(&self, hash: KeyHash, mut is_it: impl FnMut(FlowId) -> bool) -> Option<FlowId> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = place(hash) & mask;
        loop {
            match self.slots[at] {
                0 => return None,
                slot if tag(slot) == hash && is_it(number(slot)) => return Some(number(slot)),
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn insert(&mut self, hash: KeyHash, id: FlowId, replaced: Option<FlowId>) {
        if self.used * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let slot = u64::from(hash.0) << 32 | u64::from(id.0 + 1);
        let mask = self.slots.len() - 1;
        let mut at = place(hash) & mask;
        while self.slots[at] != 0 {
            if Some(number(self.slots[at])) == replaced {
                self.slots[at] = slot;
                return;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
        self.used += 1;
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        let old = std::mem::replace(&mut self.slots, vec![0; size]);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let mut at = place(tag(slot)) & (size - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = slot;
        }
    }
}

/// The kept part of the hash alone decides the place, so that a table can grow without looking at the flows.
const fn place(KeyHash(hash): KeyHash) -> usize {
    hash.wrapping_mul(0x9e37_79b1) as usize ^ (hash >> 16) as usize
}
const fn tag(slot: u64) -> KeyHash {
    KeyHash((slot >> 32) as u32)
}
const fn number(slot: u64) -> FlowId {
    FlowId((slot as u32).wrapping_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// Steps from slot to slot until a key's own is met, counted over all keys: work, not time, so that a hash that mixes
    /// badly on some machine is seen there (on wasm32 a `usize` has 32 bits).
    #[test]
    fn a_hundred_thousand_conversations_are_found_within_a_few_steps_on_any_machine() {
        let mut slots = Slots::default();
        let keys = |n: u32| {
            let end = |address: u32, port: u16| Endpoint { address: IpAddr::V4(Ipv4Addr::from_bits(address)), port };
            let (from, to) = (end(0x0a00_0000 + n / 50_000, (n % 50_000) as u16 + 10_000), end(0x0a01_0001, 80));
            Key { transport: Protocol::Tcp, from, to, echo: None }
        };
        for n in 0..100_000 {
            slots.insert(keys(n).hash(), FlowId(n), None);
        }
        let mask = slots.slots.len() - 1;
        let steps = |n: u32| {
            let first = place(keys(n).hash()) & mask;
            (0..=mask).position(|step| number(slots.slots[(first + step) & mask]) == FlowId(n)).expect("it was put in")
        };
        let (total, longest) = (0..100_000).map(steps).fold((0, 0), |(total, most), steps| (total + steps, most.max(steps)));
        assert!(total < 200_000 && longest < 200, "{total} steps in all, {longest} for one");
    }
}
