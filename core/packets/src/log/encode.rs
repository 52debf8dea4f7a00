//! Writes a log: a pcapng section of our own, appended to a buffer block by block.
//!
//! Nothing is written anywhere but to the buffer that the caller hands in, and nothing is allocated beside it, so the
//! recorder can encode into the buffer it flushes. Little-endian; times are nanoseconds (`if_tsresol` 9).

use super::block::{Payload, append_body};
use super::bytes::padded;
use super::pcapng::{self, option};
use super::record::{Interface, Section, Statistics};
use super::{MAX_BLOCK_LEN, MAX_PACKET_LEN};
use crate::ids::InterfaceId;
use crate::time::Timestamp;

/// Encodes one section of one log.
///
/// The order is pcapng's: [`Encoder::begin`] first, each interface before its packets, everything else as it happens.
#[derive(Debug)]
pub struct Encoder {
    interfaces: u32,
}

/// A packet to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketToWrite<'a> {
    /// As [`Encoder::interface`] numbered it.
    pub interface: InterfaceId,
    /// When it was captured. pcapng cannot tell a time before 1970; such a one is written as 1970.
    pub time: Timestamp,
    /// Bytes on the wire.
    pub wire_len: u32,
    /// The bytes kept; at most [`MAX_PACKET_LEN`] of them are written.
    pub data: &'a [u8],
    /// `epb_flags`: 1 for received, 2 for sent, in the two lowest bits.
    pub flags: Option<u32>,
    /// `epb_dropcount`: packets the capture lost since the one before.
    pub drop_count: Option<u64>,
    /// `opt_comment`.
    pub comment: Option<&'a str>,
}

/// A record of ours is too long for a block, and was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of {length} bytes is longer than the {MAX_BLOCK_LEN} bytes a block may have, and was not written; split it")]
pub struct TooLong {
    /// Its length as a block, in bytes.
    pub length: usize,
}

impl Encoder {
    /// Begins a section: appends the Section Header Block. `section.format` plays no part.
    pub fn begin(section: &Section, out: &mut Vec<u8>) -> Self {
        let mut block = Block::begin(pcapng::SECTION_HEADER, out);
        block.out.extend_from_slice(&pcapng::BYTE_ORDER_MAGIC.to_le_bytes());
        block.out.extend_from_slice(&1_u16.to_le_bytes());
        block.out.extend_from_slice(&0_u16.to_le_bytes());
        block.out.extend_from_slice(&u64::MAX.to_le_bytes()); // section length not told: it is still growing
        let texts = [
            (option::SHB_HARDWARE, &section.hardware),
            (option::SHB_OS, &section.os),
            (option::SHB_USERAPPL, &section.application),
        ];
        block.comments(&section.comments);
        block.texts(&texts);
        block.end_options();
        block.end();
        Self { interfaces: 0 }
    }

    /// Describes an interface and gives it its number. `id`, `number` and `ticks_per_second` of the description play
    /// no part.
    pub fn interface(&mut self, interface: &Interface, out: &mut Vec<u8>) -> InterfaceId {
        let mut block = Block::begin(pcapng::INTERFACE_DESCRIPTION, out);
        block.out.extend_from_slice(&(interface.link_type as u16).to_le_bytes());
        block.out.extend_from_slice(&[0; 2]);
        block.out.extend_from_slice(&interface.snaplen.to_le_bytes());
        block.comments(&interface.comments);
        block.texts(&[(option::IF_NAME, &interface.name), (option::IF_DESCRIPTION, &interface.description)]);
        block.option(option::IF_TSRESOL, &[&[9]]);
        if let Some(filter) = &interface.filter {
            block.option(option::IF_FILTER, &[&[option::FILTER_IS_TEXT], filter.as_bytes()]);
        }
        block.texts(&[(option::IF_OS, &interface.os)]);
        block.end_options();
        block.end();
        self.interfaces += 1;
        InterfaceId(self.interfaces - 1)
    }

    /// Appends an Enhanced Packet Block.
    pub fn packet(&self, packet: &PacketToWrite<'_>, out: &mut Vec<u8>) {
        debug_assert!(packet.interface.0 < self.interfaces, "an interface is described before its packets");
        append_packet(packet, out);
    }

    /// Appends an Interface Statistics Block.
    pub fn statistics(&self, statistics: &Statistics, out: &mut Vec<u8>) {
        let mut block = Block::begin(pcapng::INTERFACE_STATISTICS, out);
        block.out.extend_from_slice(&statistics.interface.0.to_le_bytes());
        block.time(statistics.time);
        let counts = [
            (option::ISB_IFRECV, statistics.received),
            (option::ISB_IFDROP, statistics.if_dropped),
            (option::ISB_OSDROP, statistics.os_dropped),
            (option::ISB_USRDELIV, statistics.delivered),
        ];
        for (code, count) in counts {
            if let Some(count) = count {
                block.number(code, count.to_le_bytes());
            }
        }
        block.end_options();
        block.end();
    }

    /// Appends one of our records: facts about the host, counters, firewall rules, events.
    ///
    /// Fails without a trace in `out` when the record is longer than a block may be.
    pub fn record<P: Payload>(&self, payload: &P, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let begins_at = out.len();
        let mut block = Block::begin(pcapng::OURS, out);
        append_body(payload, block.out);
        block.pad();
        let length = block.length() + 4;
        if length > MAX_BLOCK_LEN as usize {
            out.truncate(begins_at);
            return Err(TooLong { length });
        }
        block.end();
        Ok(())
    }
}

/// Appends an Enhanced Packet Block by itself, for whoever has packets before they have a place in a section: `interface` must
/// be the number that [`Encoder::interface`] gives there.
pub fn append_packet(packet: &PacketToWrite<'_>, out: &mut Vec<u8>) {
    let data = &packet.data[..packet.data.len().min(MAX_PACKET_LEN as usize)];
    let ticks = u64::try_from(packet.time.nanos()).unwrap_or(0);
    let begins_at = out.len();
    out.reserve(EPB_HEAD + padded(data.len()) + EPB_MOST_AFTER);
    // In one piece: this is done for every packet that is recorded.
    let head: [u32; EPB_HEAD / 4] = [
        pcapng::ENHANCED_PACKET,
        0, // the block's length, told at its end
        packet.interface.0,
        (ticks >> 32) as u32,
        ticks as u32,
        data.len() as u32,
        packet.wire_len,
    ];
    let mut bytes = [0; EPB_HEAD];
    for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(head) {
        *to = word.to_le_bytes();
    }
    out.extend_from_slice(&bytes);
    let mut block = Block { out, begins_at };
    block.padded_bytes(data);
    if packet.flags.is_some() || packet.drop_count.is_some() || packet.comment.is_some() {
        if let Some(comment) = packet.comment {
            block.option(option::COMMENT, &[comment.as_bytes()]);
        }
        if let Some(flags) = packet.flags {
            block.number(option::EPB_FLAGS, flags.to_le_bytes());
        }
        if let Some(count) = packet.drop_count {
            block.number(option::EPB_DROPCOUNT, count.to_le_bytes());
        }
        block.end_options();
    }
    block.end();
}

/// Adds `epb_dropcount` to the Enhanced Packet Block that `blocks` begins with, as [`append_packet`] wrote it without one.
pub fn add_drop_count(blocks: &mut Vec<u8>, count: u64) {
    let word = |at: usize| blocks.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    let (Some(length), Some(data)) = (word(4), word(20)) else { return };
    let end_of_data = EPB_HEAD + padded(data);
    let mut option = [0; 16];
    option[..2].copy_from_slice(&option::EPB_DROPCOUNT.to_le_bytes());
    option[2..4].copy_from_slice(&8_u16.to_le_bytes());
    option[4..12].copy_from_slice(&count.to_le_bytes());
    // Before the four bytes that end the options, or with such four of its own.
    let (at, added) = if end_of_data + 4 == length { (end_of_data, 16) } else { (length - 8, 12) };
    blocks.splice(at..at, option.into_iter().take(added));
    let total = (length + added) as u32;
    blocks[4..8].copy_from_slice(&total.to_le_bytes());
    blocks[length + added - 4..length + added].copy_from_slice(&total.to_le_bytes());
}

/// Bytes of an Enhanced Packet Block before the packet's own.
const EPB_HEAD: usize = 28;
/// And after them, but for a comment: `epb_flags`, `epb_dropcount`, the end of the options, the length.
const EPB_MOST_AFTER: usize = 8 + 12 + 4 + 4;

/// A block that is being written; its length is known only at its end.
struct Block<'a> {
    out: &'a mut Vec<u8>,
    begins_at: usize,
}

impl<'a> Block<'a> {
    fn begin(block_type: u32, out: &'a mut Vec<u8>) -> Self {
        let begins_at = out.len();
        out.extend_from_slice(&block_type.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        Self { out, begins_at }
    }

    fn length(&self) -> usize {
        self.out.len() - self.begins_at
    }

    fn pad(&mut self) {
        let length = self.length();
        self.out.extend_from_slice(&[0; 3][..padded(length) - length]);
    }

    fn padded_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.pad();
    }

    /// The two halves of a time stamp, the high one first in either byte order.
    fn time(&mut self, time: Timestamp) {
        let ticks = u64::try_from(time.nanos()).unwrap_or(0);
        self.out.extend_from_slice(&((ticks >> 32) as u32).to_le_bytes());
        self.out.extend_from_slice(&(ticks as u32).to_le_bytes());
    }

    /// An option whose value is a number of a multiple of four bytes.
    fn number<const BYTES: usize>(&mut self, code: u16, value: [u8; BYTES]) {
        let head = u32::from(code) | (BYTES as u32) << 16;
        self.out.extend_from_slice(&head.to_le_bytes());
        self.out.extend_from_slice(&value);
    }

    /// An option whose value is the parts one after the other; cut at the 65,535 bytes its length field can tell.
    fn option(&mut self, code: u16, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len()).sum::<usize>().min(usize::from(u16::MAX));
        self.out.extend_from_slice(&code.to_le_bytes());
        self.out.extend_from_slice(&(length as u16).to_le_bytes());
        let value_at = self.out.len();
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self.out.truncate(value_at + length);
        self.pad();
    }

    fn texts(&mut self, texts: &[(u16, &Option<String>)]) {
        for (code, text) in texts {
            if let Some(text) = text {
                self.option(*code, &[text.as_bytes()]);
            }
        }
    }

    fn comments(&mut self, comments: &[String]) {
        for comment in comments {
            self.option(option::COMMENT, &[comment.as_bytes()]);
        }
    }

    fn end_options(&mut self) {
        self.out.extend_from_slice(&[0; 4]);
    }

    fn end(self) {
        let length = (self.length() + 4) as u32;
        self.out[self.begins_at + 4..self.begins_at + 8].copy_from_slice(&length.to_le_bytes());
        self.out.extend_from_slice(&length.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_count_that_is_added_stands_where_it_would_have_been_written() {
        let next = PacketToWrite { data: b"next", wire_len: 4, ..PacketToWrite::default() };
        for data in [b"".as_slice(), b"12345", b"12345678"] {
            for flags in [None, Some(2)] {
                let packet = PacketToWrite { data, flags, ..next };
                let written = |packet: &PacketToWrite<'_>| {
                    let mut blocks = Vec::new();
                    append_packet(packet, &mut blocks);
                    append_packet(&next, &mut blocks);
                    blocks
                };
                let mut added = written(&packet);
                add_drop_count(&mut added, 7);
                assert_eq!(added, written(&PacketToWrite { drop_count: Some(7), ..packet }), "{data:?} {flags:?}");
            }
        }
    }
}
