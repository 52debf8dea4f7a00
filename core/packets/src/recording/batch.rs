//! Reading in two halves, for those who have a second thread: what needs nothing but the bytes, and what needs all that came
//! before.
//!
//! [`Parser`] cuts a log into records and dissects its packets, which is a pure function of the bytes; [`Batch::enter`] enters
//! them in order. Both together are [`Recording::read`], and what is known in the end is the same. Core itself starts no thread.
//!
//! A batch holds no packet's bytes, except the few that the second half may ask for: those of fragments and of ICMP errors,
//! the beginning of a segment's data, and the question of a DNS message.

use super::{Place, Recording, Witness};
use crate::dissect::{self, CompactPacket, Packet};
use crate::flow::{KeyHash, Reassembly};
use crate::log::Decoder;
use crate::log::record::{End, PacketRecord, Record};

/// Bytes of a segment's data that are kept: what `flow::Stuck` shows of it.
const BEGINNING: usize = 24;

/// Bytes of a DNS message in which its question ends: a name has 255 at most (RFC 1035, section 2.3.4).
const LONGEST_QUESTION: usize = 12 + 255 + 4;

/// The first half: bytes of a log, uncompressed, to batches.
#[derive(Debug, Default)]
pub struct Parser {
    decoder: Decoder,
}

/// What one push made of the bytes. It may be used again once the engine has taken it.
#[derive(Debug, Default)]
pub struct Batch {
    items: Vec<Item>,
    /// Packets that are not compact, in order.
    any: Vec<Parsed>,
    /// What is no packet, in order.
    others: Vec<Record<'static>>,
    /// What is kept of the packets' bytes.
    kept: Vec<u8>,
    /// Bytes of the log that were read by its end.
    pub bytes_read: u64,
    /// How reading ended by then, if not well.
    pub end: Option<End>,
    /// Whether no more will come.
    pub last: bool,
}

#[derive(Debug)]
enum Item {
    Compact(Compact),
    /// The next of `Batch::any`.
    Any,
    /// The next of `Batch::others`.
    Other,
}

/// A packet as nearly all are, in little more than a third of the bytes of any packet: what one thread writes costs the other
/// as much to read.
#[derive(Debug)]
struct Compact {
    packet: CompactPacket,
    place: Place,
    /// Made here, where there is time to spare; the other thread is the one that is waited for.
    hash: KeyHash,
    /// How many bytes of its options and of its data `Batch::kept` has.
    options: u8,
    beginning: u8,
}

/// Any packet without its bytes.
#[derive(Debug)]
struct Parsed {
    record: PacketRecord<'static>,
    packet: Packet<'static>,
    cap_len: u32,
    /// How many bytes of it `Batch::kept` has, in the order of the packets.
    kept: u32,
}

impl Parser {
    /// A parser at the first byte of a log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, cut anywhere, and adds what they complete to `batch`.
    pub fn push(&mut self, bytes: &[u8], batch: &mut Batch) {
        self.decoder.push(bytes, |record| batch.add(record));
        batch.bytes_read = self.decoder.bytes_read();
        batch.end = self.decoder.end().cloned();
    }

    /// Says that no more bytes will come: the engine that takes this batch is finished.
    pub fn finish(&mut self, batch: &mut Batch) {
        batch.end = self.decoder.finish(|record| batch.add(record)).err();
        batch.bytes_read = self.decoder.bytes_read();
        batch.last = true;
    }
}

impl Batch {
    fn add(&mut self, record: Record<'_>) {
        match record {
            Record::Packet(record) => self.add_packet(record),
            other => {
                self.others.extend(other.detach().ok());
                self.items.push(Item::Other);
            }
        }
    }

    #[inline]
    fn add_packet(&mut self, record: PacketRecord<'_>) {
        if let Some(place) = Place::of(&record)
            && let Some(packet) = CompactPacket::read(record.link_type, record.data, record.wire_len)
        {
            let (options, payload) = packet.rest(record.data);
            self.kept.extend_from_slice(options);
            let (options, beginning) = (options.len() as u8, self.keep_beginning(payload) as u8);
            self.items.push(Item::Compact(Compact { packet, place, hash: packet.key_hash(), options, beginning }));
        } else {
            self.add_any_packet(record);
        }
    }

    #[inline(never)]
    fn add_any_packet(&mut self, record: PacketRecord<'_>) {
        let packet = dissect::dissect(record.link_type, record.data, record.wire_len);
        let kept = if Reassembly::wants(&packet) {
            self.kept.extend_from_slice(record.data);
            record.data.len()
        } else if packet.is_dns() {
            let message = packet.transport.payload();
            let message = &message[..message.len().min(LONGEST_QUESTION)];
            self.kept.extend_from_slice(message);
            message.len()
        } else {
            self.keep_beginning(packet.transport.payload())
        };
        let (cap_len, kept) = (record.data.len() as u32, kept as u32);
        self.any.push(Parsed { record: record.detach(), packet: packet.detach(), cap_len, kept });
        self.items.push(Item::Any);
    }

    /// Keeps the beginning of a packet's data, and returns how long that is.
    #[inline(always)]
    fn keep_beginning(&mut self, payload: &[u8]) -> usize {
        match payload.first_chunk::<BEGINNING>() {
            // Of a length that the compiler knows: no call.
            Some(beginning) => {
                self.kept.extend_from_slice(beginning);
                BEGINNING
            }
            None => {
                self.kept.extend_from_slice(payload);
                payload.len()
            }
        }
    }

    /// Enters everything, in order, and leaves the batch empty.
    pub fn enter(&mut self, recording: &mut Recording, witness: &mut dyn Witness) {
        let mut kept = &self.kept[..];
        let mut next_kept = |length: usize| {
            let (own, rest) = kept.split_at(length);
            kept = rest;
            own
        };
        let (mut any, mut others) = (self.any.drain(..), self.others.drain(..));
        for item in &self.items {
            match item {
                Item::Compact(Compact { packet, place, hash, options, beginning }) => {
                    let rest = (next_kept((*options).into()), next_kept((*beginning).into()));
                    if !recording.take_fast(packet, *hash, place) {
                        recording.take_compact(packet, *hash, place, rest, witness);
                    }
                }
                Item::Any => {
                    let Some(Parsed { mut record, mut packet, cap_len, kept }) = any.next() else { continue };
                    let own = next_kept(kept as usize);
                    if Reassembly::wants(&packet) {
                        record.data = own;
                    } else {
                        packet.attach(own);
                    }
                    recording.take_packet(&record, cap_len, &mut packet, None, witness);
                }
                Item::Other => {
                    if let Some(record) = others.next() {
                        recording.take(record, witness);
                    }
                }
            }
        }
        drop((any, others));
        self.items.clear();
        self.kept.clear();
    }
}
