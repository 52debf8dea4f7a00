//! zstd (RFC 8878): frames of blocks.
//!
//! The decoder pulls; it is handed one whole frame header or one whole block at a time, so that it never runs dry in the
//! middle and never unpacks more than a block (128 KiB) ahead of what was handed over.

use super::{Broken, Unpack};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::fmt;

#[derive(Default)]
pub(super) struct Zstd {
    decoder: FrameDecoder,
    /// The beginning of a unit whose end has not arrived.
    pending: Vec<u8>,
    inside: Inside,
}

/// Which part of the data comes next.
#[derive(Clone, Copy, Debug, Default)]
enum Inside {
    #[default]
    BetweenFrames,
    Frame {
        has_checksum: bool,
    },
    /// A skippable frame, of which this many bytes are still to come.
    Skipped(u64),
}

impl fmt::Debug for Zstd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zstd").field("inside", &self.inside).field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

impl Unpack for Zstd {
    fn push(&mut self, chunk: &[u8], sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Broken> {
        self.pending.extend_from_slice(chunk);
        let mut pending = std::mem::take(&mut self.pending);
        let mut rest = &pending[..];
        let mut takes_more = true;
        while takes_more && let Some(length) = self.unit(rest)? {
            let (unit, after) = rest.split_at(length);
            rest = after;
            takes_more = self.unpack(unit, sink)?;
        }
        let used = pending.len() - rest.len();
        pending.drain(..used);
        self.pending = pending;
        Ok(())
    }

    fn finish(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Broken> {
        if self.pending.is_empty() && matches!(self.inside, Inside::BetweenFrames) {
            return Ok(());
        }
        if let Inside::Frame { .. } = self.inside {
            // The decoder holds a window's worth of bytes back until it has seen the last block: here is an empty one, with
            // room for a checksum.
            let last_block = [1, 0, 0, 0, 0, 0, 0];
            let mut out = Handover { sink, takes_more: true };
            if self.decoder.decode_blocks(&last_block[..], BlockDecodingStrategy::All).is_ok() {
                // The handover takes whatever it is given.
                let _ = self.decoder.collect_to_writer(&mut out);
            }
        }
        Err(Broken::CutShort)
    }
}

impl Zstd {
    /// Length of the next unit, if it is whole.
    fn unit(&self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let length = match self.inside {
            Inside::Skipped(left) => return Ok(Some(bytes.len().min(left as usize)).filter(|&length| length > 0)),
            Inside::BetweenFrames => frame_header_length(bytes)?,
            Inside::Frame { has_checksum } => block_length(bytes, has_checksum),
        };
        Ok(length.filter(|&length| length <= bytes.len()))
    }

    fn unpack(&mut self, unit: &[u8], sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Broken> {
        let damaged = |error: &dyn fmt::Display| Broken::Damaged(error.to_string());
        match self.inside {
            Inside::Skipped(left) => {
                let left = left - unit.len() as u64;
                self.inside = if left == 0 { Inside::BetweenFrames } else { Inside::Skipped(left) };
            }
            Inside::BetweenFrames if is_skippable(unit) => {
                let length = u32::from_le_bytes([unit[4], unit[5], unit[6], unit[7]]);
                self.inside = if length == 0 { Inside::BetweenFrames } else { Inside::Skipped(u64::from(length)) };
            }
            Inside::BetweenFrames => {
                // One that is used again reserves as much as the frame claims; a new one holds what was written.
                self.decoder = FrameDecoder::new();
                self.decoder.init(unit).map_err(|error| damaged(&error))?;
                self.inside = Inside::Frame { has_checksum: unit[4] & CHECKSUM != 0 };
            }
            Inside::Frame { .. } => {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                let is_last = self.decoder.decode_blocks(unit, one).map_err(|error| damaged(&error))?;
                let mut out = Handover { sink, takes_more: true };
                self.decoder.collect_to_writer(&mut out).map_err(|error| damaged(&error))?;
                if !out.takes_more {
                    return Ok(false);
                }
                if is_last {
                    self.inside = Inside::BetweenFrames;
                    let said = self.decoder.get_checksum_from_data();
                    if said.is_some() && said != self.decoder.get_calculated_checksum() {
                        return Err(Broken::Damaged("the content does not have its checksum".into()));
                    }
                }
            }
        }
        Ok(true)
    }
}

/// Takes what the decoder writes, until the sink takes no more.
struct Handover<'a> {
    sink: &'a mut dyn FnMut(&[u8]) -> bool,
    takes_more: bool,
}

impl std::io::Write for Handover<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.takes_more = self.takes_more && (self.sink)(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The bit of the frame header descriptor that announces a checksum behind the last block.
const CHECKSUM: u8 = 0x04;

fn is_skippable(bytes: &[u8]) -> bool {
    matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Length of a frame header with its magic number, where enough of it is there to tell (RFC 8878 section 3.1.1).
fn frame_header_length(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    if bytes.len() < 5 {
        return Ok(None);
    }
    if is_skippable(bytes) {
        return Ok(Some(8));
    }
    if !bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Err(Broken::Damaged("something that is not zstd follows".into()));
    }
    let descriptor = bytes[4];
    let is_single_segment = descriptor & 0x20 != 0;
    let window = usize::from(!is_single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 0x03)];
    let content_size = match descriptor >> 6 {
        0 => usize::from(is_single_segment),
        size => 1 << size,
    };
    Ok(Some(5 + window + dictionary + content_size))
}

/// Length of a block with its header, and behind the last one the checksum (RFC 8878 section 3.1.1.2).
fn block_length(bytes: &[u8], has_checksum: bool) -> Option<usize> {
    const RLE: u32 = 1;
    let [a, b, c] = *bytes.first_chunk::<3>()?;
    let header = u32::from_le_bytes([a, b, c, 0]);
    let content = if header >> 1 & 3 == RLE { 1 } else { (header >> 3) as usize };
    let is_last = header & 1 != 0;
    Some(3 + content + if is_last && has_checksum { 4 } else { 0 })
}
