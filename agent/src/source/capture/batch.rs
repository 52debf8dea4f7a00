//! Packets on their way to the recorder: already the blocks they will be in the log, encoded once, straight from the kernel's
//! ring. Batches are used again, so that a steady capture allocates nothing.

use super::libpcap::Packet;
use dropscope_core::ids::InterfaceId;
use dropscope_core::log::{PacketToWrite, add_drop_count, append_packet};
use dropscope_core::time::Timestamp;
use std::sync::{Arc, Mutex};

/// Packets of one capture, in the order they were captured.
#[derive(Debug)]
pub struct Batch {
    /// The capture's number: that of its interface in each section of the log.
    pub capture: u32,
    packets: usize,
    blocks: Vec<u8>,
    home: Pool,
}

/// Which way a packet went through the interface, as `epb_flags` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// Into the host.
    Inbound = 1,
    /// Out of the host.
    Outbound = 2,
}

impl Batch {
    /// A batch with so many bytes is full.
    const FULL: usize = 512 << 10;

    /// How many packets it holds.
    pub fn len(&self) -> usize {
        self.packets
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Its length in the log.
    pub fn bytes(&self) -> usize {
        self.blocks.len()
    }

    /// Whether it is to go on.
    pub(super) fn is_full(&self) -> bool {
        self.blocks.len() >= Self::FULL
    }

    /// Takes a packet. `mac` is the interface's own address, which tells the direction of an Ethernet frame.
    pub(super) fn push(&mut self, packet: Packet<'_>, mac: Option<&[u8; 6]>) {
        let packet = PacketToWrite {
            interface: InterfaceId(self.capture),
            time: Timestamp::from_nanos(packet.at_ns),
            wire_len: packet.wire_len,
            data: packet.data,
            flags: mac.and_then(|mac| direction_of(packet.data, mac)).map(|direction| direction as u32),
            drop_count: None,
            comment: None,
        };
        append_packet(&packet, &mut self.blocks);
        self.packets += 1;
    }

    /// Moves its blocks to the end of others. Its first packet tells how many were lost before it.
    pub fn append_to(mut self, pending: &mut Vec<u8>, lost: u64) {
        if lost > 0 && !self.is_empty() {
            add_drop_count(&mut self.blocks, lost);
        }
        if pending.is_empty() {
            std::mem::swap(&mut self.blocks, pending);
        } else {
            pending.extend_from_slice(&self.blocks);
        }
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
        self.home.give_back(std::mem::take(&mut self.blocks));
    }
}

/// Buffers that wait to be used again. There are never more than the channel to the recorder holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    /// Buffers grown beyond this by a burst of large packets are given back to the allocator.
    const KEPT_BYTES: usize = 2 * Batch::FULL;

    /// An empty batch.
    pub(super) fn take(&self, capture: u32) -> Batch {
        let blocks = self.0.lock().ok().and_then(|mut free| free.pop()).unwrap_or_default();
        Batch { capture, packets: 0, blocks, home: self.clone() }
    }

    fn give_back(&self, mut blocks: Vec<u8>) {
        blocks.clear();
        blocks.shrink_to(Self::KEPT_BYTES);
        if let Ok(mut free) = self.0.lock() {
            free.push(blocks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dropscope_core::log::record::{FileFormat, Interface, Record, Section};
    use dropscope_core::log::{Decoder, Encoder};

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

    fn described() -> Interface {
        Interface {
            id: InterfaceId::default(),
            number: 0,
            unnumbered: false,
            link_type: 1,
            snaplen: 96,
            name: None,
            description: None,
            filter: None,
            os: None,
            ticks_per_second: 1_000_000_000,
            is_misnamed_nanoseconds: false,
            comments: Vec::new(),
        }
    }

    fn batch(pool: &Pool, packets: &[(i64, &[u8])]) -> Batch {
        let mut batch = pool.take(0);
        for (second, data) in packets {
            batch.push(Packet { at_ns: *second * 1_000_000_000 + 999_999_999, wire_len: 60, data }, None);
        }
        batch
    }

    #[test]
    fn batches_become_a_log_in_their_order_and_their_buffers_are_used_again() {
        let pool = Pool::default();
        let mut pending = Vec::new();
        batch(&pool, &[(1, &[1, 2, 3]), (2, &[])]).append_to(&mut pending, 0);
        batch(&pool, &[(3, &[4])]).append_to(&mut pending, 5);
        assert_eq!(pool.0.lock().expect("nothing panicked").len(), 1, "the second one used what the first one gave back");

        let section = Section { format: FileFormat::PcapNg, hardware: None, os: None, application: None, comments: Vec::new() };
        let mut log = Vec::new();
        let mut encoder = Encoder::begin(&section, &mut log);
        let interface = described();
        encoder.interface(&interface, &mut log);
        log.extend(pending);
        let mut told = Vec::new();
        Decoder::new().push(&log, |record| {
            if let Record::Packet(packet) = record {
                let at = packet.time.map(Timestamp::nanos);
                told.push((at, packet.wire_len, packet.data.to_vec(), packet.drop_count));
            }
        });
        let expected = [
            (Some(1_999_999_999), 60, vec![1, 2, 3], None),
            (Some(2_999_999_999), 60, vec![], None),
            (Some(3_999_999_999), 60, vec![4], Some(5)),
        ];
        assert_eq!(told, expected);
    }
}
