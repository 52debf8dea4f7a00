//! Reading in two halves, for those who have a second thread: what needs nothing but the bytes, and what needs all that came
//! before.
//!
//! [`Parser`] cuts a log into records and dissects its packets, which is a pure function of the bytes; [`Batch::enter`] enters
//! them in order. Both together are [`Recording::read`], and what is known in the end is the same. Core itself starts no thread.
//!
//! A batch holds no packet's bytes, except the few that the second half may ask for: those of fragments and of ICMP errors,
//! and the beginning of a segment's data.

use super::{Recording, Witness};
use crate::dissect::{self, Ip, IpChecksums, Net, Packet, Transport};
use crate::flow::Reassembly;
use crate::ids::{InterfaceId, PacketNo};
use crate::log::Decoder;
use crate::log::record::{End, PacketRecord, Record};
use crate::time::Timestamp;

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
    Any(Box<Parsed>),
    Other(Record<'static>),
}

/// A packet as nearly all are, without its bytes: one IP header that was read to its end, and nothing said of it by the file
/// but when it came. Half as large as [`Parsed`], for what one thread writes costs the other as much to read.
#[derive(Debug)]
struct Plain {
    no: PacketNo,
    interface: InterfaceId,
    link_type: u32,
    time: Option<Timestamp>,
    offset: u64,
    wire_len: u32,
    cap_len: u32,
    kept: u32,
    net: Net,
    ip: Ip,
    ip_checksums: IpChecksums,
    transport: Transport<'static>,
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

impl From<Parsed> for Item {
    fn from(parsed: Parsed) -> Self {
        let Parsed { record, packet, cap_len, kept } = parsed;
        let said = record.drop_count.is_some() || !record.comments.is_empty();
        match packet {
            Packet {
                vlans,
                service_vlans: 0,
                net,
                ip: Some(ip),
                outer: None,
                ip_depth: 1,
                tunnel: None,
                arp: None,
                transport,
                ip_checksums,
                stop: None,
            } if vlans.is_empty() && !said => {
                let PacketRecord { no, interface, link_type, time, offset, wire_len, .. } = record;
                Self::Plain(Plain {
                    no,
                    interface,
                    link_type,
                    time,
                    offset,
                    wire_len,
                    cap_len,
                    kept,
                    net,
                    ip,
                    ip_checksums,
                    transport,
                })
            }
            packet => Self::Any(Box::new(Parsed { record, packet, cap_len, kept })),
        }
    }
}

impl From<Plain> for Parsed {
    fn from(plain: Plain) -> Self {
        let Plain { no, interface, link_type, time, offset, wire_len, cap_len, kept, net, ip, ip_checksums, transport } = plain;
        let packet = Packet { net, ip: Some(ip), ip_depth: 1, transport, ip_checksums, ..Packet::default() };
        // Nobody asks for the flags.
        let (flags, drop_count, comments) = (None, None, Vec::new());
        let record = PacketRecord { no, interface, link_type, time, wire_len, offset, data: &[], flags, drop_count, comments };
        Self { record, packet, cap_len, kept }
    }
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
        let item = match record.detach() {
            Ok(other) => Item::Other(other),
            Err(record) => self.parse(record).into(),
        };
        self.items.push(item);
    }

    fn parse(&mut self, record: PacketRecord<'_>) -> Parsed {
        let packet = dissect::dissect(record.link_type, record.data, record.wire_len);
        let (packet, payload) = packet.detach();
        let kept = if Reassembly::wants(&packet) { record.data } else { payload.get(..BEGINNING).unwrap_or(payload) };
        self.kept.extend_from_slice(kept);
        Parsed { cap_len: record.data.len() as u32, record: record.detach(), packet, kept: kept.len() as u32 }
    }

    /// Enters everything, in order, and leaves the batch empty.
    pub fn enter(&mut self, recording: &mut Recording, witness: &mut dyn Witness) {
        let mut kept = &self.kept[..];
        for item in self.items.drain(..) {
            let parsed = match item {
                Item::Plain(plain) => plain.into(),
                Item::Any(parsed) => *parsed,
                Item::Other(record) => {
                    recording.take(record, witness);
                    continue;
                }
            };
            let Parsed { record, mut packet, cap_len, kept: length } = parsed;
            let (own, rest) = kept.split_at(length as usize);
            kept = rest;
            let is_wanted = Reassembly::wants(&packet);
            packet.attach(if is_wanted { &[] } else { own });
            let record = PacketRecord { data: if is_wanted { own } else { &[] }, ..record };
            recording.take_packet(&record, cap_len, packet, witness);
        }
        self.kept.clear();
    }
}
