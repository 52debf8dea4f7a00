//! Packets on their way to the recorder: one arena of bytes and a record for each packet. Batches are used again, so that a
//! steady capture allocates nothing.

use std::sync::{Arc, Mutex};

/// Packets of one capture, in the order they were captured.
#[derive(Debug)]
pub struct Batch {
    /// The capture's number.
    pub capture: u32,
    buffers: Buffers,
    home: Pool,
}

/// One packet of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When, nanoseconds since the Unix epoch, by the kernel.
    pub at_ns: i64,
    /// Its length on the wire in bytes.
    pub wire_len: u32,
    /// Which way it went, where that is known.
    pub direction: Option<Direction>,
    /// The bytes kept.
    pub data: &'a [u8],
}

/// Which way a packet went through the interface, as `epb_flags` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Into the host.
    Inbound,
    /// Out of the host.
    Outbound,
}

#[derive(Debug, Default)]
struct Buffers {
    arena: Vec<u8>,
    heads: Vec<Head>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    at_ns: i64,
    start: u32,
    wire_len: u32,
    direction: Option<Direction>,
}

impl Batch {
    /// Packets a batch holds at most.
    pub const MOST_PACKETS: usize = 1024;

    /// How many packets it holds.
    pub fn len(&self) -> usize {
        self.buffers.heads.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.buffers.heads.is_empty()
    }

    /// The packets.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        let Buffers { arena, heads } = &self.buffers;
        heads.iter().enumerate().map(move |(at, head)| {
            let end = heads.get(at + 1).map_or(arena.len(), |next| next.start as usize);
            let data = &arena[head.start as usize..end];
            Packet { at_ns: head.at_ns, wire_len: head.wire_len, direction: head.direction, data }
        })
    }

    /// Takes a packet from libpcap, opened with nanosecond precision: `tv_usec` then holds nanoseconds. `mac` is the
    /// interface's own address, which tells the direction of an Ethernet frame.
    pub(super) fn push(&mut self, packet: &pcap::Packet<'_>, mac: Option<&[u8; 6]>) {
        let header = packet.header;
        self.buffers.heads.push(Head {
            at_ns: header.ts.tv_sec * 1_000_000_000 + header.ts.tv_usec,
            start: self.buffers.arena.len() as u32,
            wire_len: header.len,
            direction: mac.and_then(|mac| direction_of(packet.data, mac)),
        });
        self.buffers.arena.extend_from_slice(packet.data);
    }
}

/// A frame from the interface's own address goes out; one to it, or to a group from another, comes in.
fn direction_of(frame: &[u8], mac: &[u8; 6]) -> Option<Direction> {
    let (to, from) = (frame.get(..6)?, frame.get(6..12)?);
    if from == mac {
        Some(Direction::Outbound)
    } else if to == mac || to[0] & 1 == 1 {
        Some(Direction::Inbound)
    } else {
        None
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.buffers));
    }
}

/// Buffers that wait to be used again. There are never more than the channel to the recorder holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool(Arc<Mutex<Vec<Buffers>>>);

impl Pool {
    /// Buffers grown beyond this by a burst of large packets are given back to the allocator.
    const KEPT_BYTES: usize = 1 << 21;

    /// An empty batch.
    pub(super) fn take(&self, capture: u32) -> Batch {
        let buffers = self.0.lock().ok().and_then(|mut free| free.pop()).unwrap_or_default();
        Batch { capture, buffers, home: self.clone() }
    }

    fn give_back(&self, mut buffers: Buffers) {
        buffers.arena.clear();
        buffers.heads.clear();
        buffers.arena.shrink_to(Self::KEPT_BYTES);
        if let Ok(mut free) = self.0.lock() {
            free.push(buffers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direction_of_a_frame_is_told_by_the_interfaces_own_address() {
        let own = [2, 0, 0, 0, 0, 1];
        let frame = |to: [u8; 6], from: [u8; 6]| [to.as_slice(), &from, &[8, 0]].concat();
        let cases = [
            (frame([2, 0, 0, 0, 0, 9], own), Some(Direction::Outbound)),
            (frame(own, [2, 0, 0, 0, 0, 9]), Some(Direction::Inbound)),
            (frame([0xff; 6], [2, 0, 0, 0, 0, 9]), Some(Direction::Inbound)),
            (frame([2, 0, 0, 0, 0, 8], [2, 0, 0, 0, 0, 9]), None),
            (vec![1, 2, 3], None),
        ];
        for (bytes, direction) in cases {
            assert_eq!(direction_of(&bytes, &own), direction, "{bytes:?}");
        }
    }

    #[test]
    fn a_batch_gives_its_packets_back_as_they_were_and_its_buffers_to_the_next() {
        let pool = Pool::default();
        let mut batch = pool.take(3);
        for (second, data) in [(1, [1, 2, 3].as_slice()), (2, &[]), (3, &[4])] {
            let ts = libc::timeval { tv_sec: second, tv_usec: 999_999_999 };
            let header = pcap::PacketHeader { ts, caplen: data.len() as u32, len: 60 };
            batch.push(&pcap::Packet::new(&header, data), None);
        }
        let told: Vec<_> = batch.packets().map(|packet| (packet.at_ns, packet.wire_len, packet.data.to_vec())).collect();
        assert_eq!(told, [(1_999_999_999, 60, vec![1, 2, 3]), (2_999_999_999, 60, vec![]), (3_999_999_999, 60, vec![4])]);
        drop(batch);
        assert!(pool.take(3).is_empty());
        assert_eq!(pool.0.lock().expect("nothing panicked").len(), 1, "the one just taken went back");
    }
}
