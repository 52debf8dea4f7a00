//! Reading in two halves, for those who have a second thread: what needs nothing but the bytes, and what needs all that came
//! before.
//!
//! [`Parser`] cuts a log into records and dissects its packets, which is a pure function of the bytes; [`Batch::enter`] enters
//! them in order. Both together are [`Recording::read`], and what is known in the end is the same. Core itself starts no thread.
//!
//! A batch holds no packet's bytes, except the few that the second half may ask for: those of fragments and of ICMP errors,
//! and the beginning of a segment's data.

use super::plain::Plain;
use super::{Recording, Witness};
use crate::dissect::{self, Packet};
use crate::flow::Reassembly;
use crate::log::Decoder;
use crate::log::record::{End, PacketRecord, Record};

/// Bytes of a segment's data that are kept: what `flow::Stuck` shows of it.
const BEGINNING: usize = 24;

/// The first half: bytes of a log, uncompressed, to batches.
#[derive(Debug, Default)]
pub struct Parser {
    decoder: Decoder,
}

/// What one push made of the bytes. It may be used again once the engine has taken it.
#[derive(Debug, Default)]
pub struct Batch {
    items: Vec<Item>,
    /// Packets that are not plain, in order.
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
    Plain(Plain),
    /// The next of `Batch::any`.
    Any,
    /// The next of `Batch::others`.
    Other,
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

    fn add_packet(&mut self, record: PacketRecord<'_>) {
        let packet = dissect::dissect(record.link_type, record.data, record.wire_len);
        let payload = packet.transport.payload();
        let before = self.kept.len();
        match payload.first_chunk::<BEGINNING>() {
            _ if Reassembly::wants(&packet) => self.kept.extend_from_slice(record.data),
            // Of a length that the compiler knows: no call.
            Some(beginning) => self.kept.extend_from_slice(beginning),
            None => self.kept.extend_from_slice(payload),
        }
        let kept = self.kept.len() - before;
        match Plain::of(&record, &packet, kept) {
            Some(plain) => self.items.push(Item::Plain(plain)),
            None => {
                let (cap_len, kept) = (record.data.len() as u32, kept as u32);
                self.any.push(Parsed { record: record.detach(), packet: packet.detach(), cap_len, kept });
                self.items.push(Item::Any);
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
                Item::Plain(plain) => {
                    let mut packet = plain.packet(next_kept(plain.kept.into()));
                    recording.take_packet(&plain.record(), plain.cap_len, &mut packet, Some(plain.hash), witness);
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
