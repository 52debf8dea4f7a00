//! The push decoder: bytes of a log in chunks of any size, records out.
//!
//! ```text
//!            magic                    whole records
//!  Begin ───────────▶ Pcap | PcapNg ───────────────▶ the sink
//!    │ no magic we know     │ impossible length, broken block
//!    └────────────────┬─────┘
//!                     ▼
//!                    End          (also from `finish`, when the bytes stop inside a record)
//! ```
//!
//! The records do not depend on how the bytes were cut: a record that lies whole in a chunk is read where it lies, and only
//! one that is cut in two is put together in a buffer. That buffer grows with the bytes that came, never with a length that
//! a file claims, and a record longer than Wireshark would read ends the reading. Nothing is allocated a packet.
//!
//! Why not `pcap-file`'s own readers: they refuse what Wireshark reads (captured length above the snapshot length, the
//! modified variants of pcap, FCS bits in the link type, options that are not UTF-8), learn a block's length only after
//! asking for all of it, and do not say where in the file a packet's bytes lie. Speed is not the reason for pcap, where both
//! cost what a bare loop over the records costs; for pcapng it helps. Nanoseconds a packet, data hot in the cache, native:
//!
//! | | `pcap-file` 3.0.0-rc.3 | bare loop |
//! |---|---|---|
//! | pcap | 6.7 (`next_packet`) | 6.7 |
//! | pcapng | 45.0 (`next_block`), 9.2 (`next_raw_block`) | 6.9 |
//!
//! `tests/log_properties.rs` holds the two decoders against each other.

use super::pcap::{self, Pcap};
use super::pcapng::{self, PcapNg};
use super::record::{End, Record};
use crate::ids::PacketNo;

/// Reads a log as its bytes arrive.
///
/// Compressed logs go through [`super::Unpacker`] first: offsets here count uncompressed bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    format: Format,
    /// The beginning of a record whose end has not arrived.
    tail: Vec<u8>,
    /// Bytes the record in `tail` takes, as far as its header says yet.
    need: usize,
    position: Position,
    bytes_read: u64,
    end: Option<End>,
}

#[derive(Debug, Default)]
enum Format {
    /// Fewer bytes than a magic number takes have arrived.
    #[default]
    Begin,
    Pcap(Pcap),
    PcapNg(PcapNg),
}

/// How far reading has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    /// Where the next record begins, in bytes from the log's first.
    pub(super) at: u64,
    /// Numbered records so far.
    pub(super) packets: u32,
}

impl Position {
    /// Counts one more packet and gives it its number.
    #[inline]
    pub(super) fn next_packet(&mut self) -> PacketNo {
        self.packets = self.packets.saturating_add(1);
        PacketNo(self.packets)
    }

    /// Where a place in the next block's body lies in the log.
    #[inline]
    pub(super) fn in_body(&self, at: usize) -> u64 {
        self.at + (pcapng::BEFORE_BODY + at) as u64
    }
}

/// Why the next record cannot be read.
#[derive(Debug)]
pub(super) enum Stop {
    /// It takes this many bytes, as far as its header says yet, and fewer are there.
    Need(usize),
    /// It is broken.
    Damaged(String),
    /// It is something this version cannot read.
    Unsupported(String),
}

impl Decoder {
    /// A decoder at the first byte of a log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and hands over the records they complete, in the order of the file.
    ///
    /// After the end ([`Decoder::end`]) bytes are counted and otherwise ignored.
    pub fn push(&mut self, chunk: &[u8], mut sink: impl FnMut(Record<'_>)) {
        self.bytes_read += chunk.len() as u64;
        let mut chunk = chunk;
        while !self.tail.is_empty() && self.end.is_none() {
            let missing = self.need.saturating_sub(self.tail.len());
            if chunk.len() < missing {
                self.tail.extend_from_slice(chunk);
                return;
            }
            let (head, rest) = chunk.split_at(missing);
            chunk = rest;
            let mut record = std::mem::take(&mut self.tail);
            record.extend_from_slice(head);
            let used = self.read(&record, false, &mut sink);
            record.drain(..used);
            self.tail = record;
        }
        let used = self.read(chunk, false, &mut sink);
        if self.end.is_none() {
            self.tail.extend_from_slice(&chunk[used..]);
        }
    }

    /// Says that no more bytes will come; tells how the log ended.
    ///
    /// The sink may still receive records: those that were held back because the bytes that tell two variants of pcap apart
    /// had not all arrived.
    pub fn finish(&mut self, mut sink: impl FnMut(Record<'_>)) -> Result<(), End> {
        let held_back = std::mem::take(&mut self.tail);
        let used = self.read(&held_back, true, &mut sink);
        let left = held_back.len() - used;
        if self.end.is_none() {
            self.end = match &self.format {
                Format::Begin if self.bytes_read == 0 => Some(End::Unsupported { why: "it is empty".into() }),
                _ if left == 0 => None,
                Format::Begin if left < 4 => {
                    Some(End::Unsupported { why: format!("it ends after {left} of the bytes that tell what it is") })
                }
                _ => Some(End::CutShort {
                    at: self.position.at,
                    have: left as u64,
                    need: self.need as u64,
                    packets: self.position.packets,
                }),
            };
        }
        self.end.clone().map_or(Ok(()), Err)
    }

    /// How reading ended, as soon as that is known; `None` while it goes on.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Bytes pushed so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Packets handed over so far.
    pub fn packets(&self) -> u32 {
        self.position.packets
    }

    /// Reads all whole records at the beginning of `bytes` and returns how many bytes they take.
    fn read(&mut self, bytes: &[u8], last: bool, sink: &mut impl FnMut(Record<'_>)) -> usize {
        let began_at = self.position.at;
        while self.end.is_none() {
            let rest = &bytes[(self.position.at - began_at) as usize..];
            let stop = match &mut self.format {
                Format::Begin => match begin(rest) {
                    Ok(format) => {
                        self.format = format;
                        continue;
                    }
                    Err(stop) => stop,
                },
                Format::Pcap(pcap) => pcap.read(rest, last, &mut self.position, sink),
                Format::PcapNg(pcapng) => pcapng.read(rest, &mut self.position, sink),
            };
            let Position { at, packets } = self.position;
            match stop {
                Stop::Need(need) => {
                    self.need = need;
                    break;
                }
                Stop::Damaged(why) => self.end = Some(End::Damaged { at, why, packets }),
                Stop::Unsupported(why) => self.end = Some(End::Unsupported { why }),
            }
        }
        (self.position.at - began_at) as usize
    }
}

/// The format whose magic number `bytes` begin with.
fn begin(bytes: &[u8]) -> Result<Format, Stop> {
    let Some(magic) = bytes.first_chunk::<4>() else {
        return Err(Stop::Need(4));
    };
    if u32::from_le_bytes(*magic) == pcapng::SECTION_HEADER {
        Ok(Format::PcapNg(PcapNg::default()))
    } else if let Some(pcap) = pcap::Pcap::begin(*magic) {
        Ok(Format::Pcap(pcap))
    } else {
        Err(Stop::Unsupported(format!("it {}, and neither pcap nor pcapng begins so", beginning(bytes))))
    }
}

/// What a file that is not a capture begins with, in words a person knows it by.
fn beginning(bytes: &[u8]) -> String {
    const KNOWN: [(&[u8], &str); 12] = [
        (b"PK\x03\x04", "is a ZIP archive; unpack it first"),
        (b"\x1f\x8b", "is compressed with gzip"),
        (b"\x28\xb5\x2f\xfd", "is compressed with zstd"),
        (b"\x04\x22\x4d\x18", "is compressed with lz4"),
        (b"\xfd7zX", "is compressed with xz; unpack it first"),
        (b"BZh", "is compressed with bzip2; unpack it first"),
        (b"snoo", "is a snoop capture; convert it with editcap"),
        (b"\x7fELF", "is a program"),
        (b"%PDF", "is a PDF document"),
        (b"\x89PNG", "is a picture"),
        (b"<!DO", "is a web page"),
        (b"XCP\0", "is a NetXRay capture; convert it with editcap"),
    ];
    let known = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic));
    known.map_or_else(
        || format!("begins with the bytes {:02x} {:02x} {:02x} {:02x}", bytes[0], bytes[1], bytes[2], bytes[3]),
        |(_, words)| (*words).to_string(),
    )
}
