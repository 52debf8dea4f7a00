//! pcapng (draft-ietf-opsawg-pcapng): blocks one after the other, in sections that each have their own byte order and
//! interfaces.
//!
//! What Wireshark reads is read, with the same verdict where a block is broken. One thing is read that Wireshark 4.0 passes
//! over: `if_tsoffset`.

mod describe;
mod name;
pub(super) mod option;
mod packet;

use super::MAX_BLOCK_LEN;
use super::block::record_from_body;
use super::bytes::{ByteOrder, padded};
use super::decode::{Position, Stop};
use super::record::{Interface, Record};
use describe::SectionInterface;

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
/// Obsolete, but still met.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAME_RESOLUTION: u32 = 4;
pub(super) const INTERFACE_STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;
const SYSTEMD_JOURNAL_EXPORT: u32 = 9;
const CUSTOM: u32 = 0xbad;
const CUSTOM_NOT_COPIED: u32 = 0x4000_0bad;
/// Our records: a type from the range for local use (its highest bit is set, then `DSC`). Wireshark gives every Custom Block
/// a frame number and a line of its own, which would shift the numbers of the packets; an unknown type it passes over.
pub(crate) const OURS: u32 = 0x8044_5343;

pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Type and length before a block's body, and its length again behind it.
pub(super) const BEFORE_BODY: usize = 8;
const AFTER_BODY: usize = 4;
/// The shortest block: one without a body.
const SHORTEST: usize = BEFORE_BODY + AFTER_BODY;

/// Reads the blocks of one file.
#[derive(Debug, Default)]
pub(super) struct PcapNg {
    /// `None` before the first section header.
    order: Option<ByteOrder>,
    /// Those of the current section, in order of their pcapng numbers.
    interfaces: Vec<SectionInterface>,
    /// The number the next new interface gets.
    next_interface: u32,
    /// The recording that the current section is a segment of.
    recording: Option<String>,
    /// That recording's interfaces so far: they go on from segment to segment.
    of_recording: Vec<Interface>,
}

impl PcapNg {
    /// Reads all whole blocks at the beginning of `bytes`.
    pub(super) fn read(&mut self, bytes: &[u8], position: &mut Position, sink: &mut impl FnMut(Record<'_>)) -> Stop {
        let mut rest = bytes;
        loop {
            if rest.len() < SHORTEST {
                return Stop::Need(SHORTEST);
            }
            let (order, block_type, length) = match self.block_header(rest) {
                Ok(header) => header,
                Err(why) => return Stop::Damaged(why),
            };
            let Some(block) = rest.get(..length) else {
                return Stop::Need(length);
            };
            let body = &block[BEFORE_BODY..length - AFTER_BODY];
            let again = order.u32(block, length - AFTER_BODY);
            if padded(again as usize) != length {
                return Stop::Damaged(format!("a block of {length} bytes says at its end that it has {again}"));
            }
            if let Err(stop) = self.read_block(order, block_type, body, position, sink) {
                return stop;
            }
            position.at += length as u64;
            rest = &rest[length..];
        }
    }

    /// Byte order, type and whole length of the block at the beginning of `bytes`.
    #[inline]
    fn block_header(&self, bytes: &[u8]) -> Result<(ByteOrder, u32, usize), String> {
        // A section header's type reads the same in both orders; its body begins with the magic that tells the order.
        let is_section_header = ByteOrder::Little.u32(bytes, 0) == SECTION_HEADER;
        let order = if is_section_header {
            [ByteOrder::Little, ByteOrder::Big]
                .into_iter()
                .find(|order| order.u32(bytes, BEFORE_BODY) == BYTE_ORDER_MAGIC)
                .ok_or("a section header without its byte-order magic")?
        } else {
            self.order.ok_or("a block before the first section header")?
        };
        let length = order.u32(bytes, 4);
        if length > MAX_BLOCK_LEN {
            return Err(format!("a block of {length} bytes, where {MAX_BLOCK_LEN} is the most there can be"));
        }
        // Some writers leave the padding out of the length (Wireshark's pcapng_read_block has the story).
        let length = padded(length as usize);
        if length < SHORTEST {
            return Err(format!("a block of {length} bytes, where {SHORTEST} is the least there can be"));
        }
        Ok((order, order.u32(bytes, 0), length))
    }

    #[inline]
    fn read_block(
        &mut self,
        order: ByteOrder,
        block_type: u32,
        body: &[u8],
        position: &mut Position,
        sink: &mut impl FnMut(Record<'_>),
    ) -> Result<(), Stop> {
        let length = (body.len() + SHORTEST) as u32;
        match block_type {
            ENHANCED_PACKET => self.enhanced_packet(order, body, position, sink)?,
            SIMPLE_PACKET => self.simple_packet(order, body, position, sink)?,
            PACKET => self.obsolete_packet(order, body, position, sink)?,
            OURS => sink(record_from_body(body, order, block_type, length)),
            CUSTOM | CUSTOM_NOT_COPIED => match record_from_body(body, order, block_type, length) {
                // Somebody else's: their enterprise number, then what is theirs.
                Record::Skipped { block_type: CUSTOM | CUSTOM_NOT_COPIED, .. } => {
                    packet::numbered_block(body, 4, position, sink)?;
                }
                ours => sink(ours),
            },
            SYSTEMD_JOURNAL_EXPORT => packet::numbered_block(body, 0, position, sink)?,
            SECTION_HEADER => sink(Record::Section(self.section(order, body)?)),
            INTERFACE_DESCRIPTION => {
                // One that goes on from the segment before was told there.
                if let Some(interface) = self.interface(order, body)? {
                    sink(Record::Interface(interface));
                }
            }
            INTERFACE_STATISTICS => match self.statistics(order, body)? {
                Some(statistics) => sink(Record::Statistics(statistics)),
                None => sink(Record::Skipped { block_type, length }),
            },
            NAME_RESOLUTION => sink(Record::Names(name::names(order, body)?)),
            _ => sink(Record::Skipped { block_type, length }),
        }
        Ok(())
    }
}

/// The verdict on a block whose body is shorter than its fixed fields.
#[cold]
fn too_short(what: &str, body: &[u8], least: usize) -> Stop {
    Stop::Damaged(format!("{what} with a body of {} bytes, where {least} is the least there can be", body.len()))
}
