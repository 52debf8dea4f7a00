//! lz4's frame format (lz4_Frame_format.md): frames of blocks.
//!
//! The decoder pulls; it is handed one whole block at a time, the first with its frame's header, so that it never runs dry
//! in the middle.

use super::{Broken, Unpack};
use lz4_flex::frame::FrameDecoder;
use std::fmt;
use std::io::{BufRead, Read};

pub(super) struct Lz4 {
    decoder: FrameDecoder<Unit>,
    /// The beginning of a unit whose end has not arrived.
    pending: Vec<u8>,
    /// The frame that is being read; `None` between two.
    frame: Option<Frame>,
}

/// What a frame's header says about the lengths that follow.
#[derive(Clone, Copy, Debug)]
struct Frame {
    block_checksums: bool,
    content_checksum: bool,
}

/// What the decoder may pull.
#[derive(Debug, Default)]
struct Unit {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Unit {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = (&self.bytes[self.at..]).read(out)?;
        self.at += read;
        Ok(read)
    }
}

impl Default for Lz4 {
    fn default() -> Self {
        Self { decoder: FrameDecoder::new(Unit::default()), pending: Vec::new(), frame: None }
    }
}

impl fmt::Debug for Lz4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lz4").field("frame", &self.frame).field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

impl Unpack for Lz4 {
    fn push(&mut self, chunk: &[u8], sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Broken> {
        self.pending.extend_from_slice(chunk);
        let mut pending = std::mem::take(&mut self.pending);
        let mut rest = &pending[..];
        let mut takes_more = true;
        while takes_more && let Some((length, frame)) = self.unit(rest)? {
            let (unit, after) = rest.split_at(length);
            rest = after;
            self.frame = frame;
            takes_more = self.unpack(unit, sink)?;
        }
        let used = pending.len() - rest.len();
        pending.drain(..used);
        self.pending = pending;
        Ok(())
    }

    fn finish(&mut self, _: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Broken> {
        if self.pending.is_empty() && self.frame.is_none() { Ok(()) } else { Err(Broken::CutShort) }
    }
}

impl Lz4 {
    /// Length of the next unit, if it is whole, and the frame that goes on behind it.
    fn unit(&self, bytes: &[u8]) -> Result<Option<(usize, Option<Frame>)>, Broken> {
        let (frame, header) = match self.frame {
            Some(frame) => (frame, 0),
            None => match frame_header(bytes)? {
                Some(header) => header,
                None => return Ok(None),
            },
        };
        let Some(block) = bytes.get(header..).and_then(|bytes| bytes.first_chunk::<4>()) else {
            return Ok(None);
        };
        let (length, goes_on) = match u32::from_le_bytes(*block) {
            0 => (if frame.content_checksum { 4 } else { 0 }, None),
            size => {
                // The highest bit says that the block is not compressed.
                let checksum = if frame.block_checksums { 4 } else { 0 };
                let size = (size & 0x7fff_ffff) as usize;
                if size > LONGEST_BLOCK {
                    return Err(Broken::Damaged(format!("a block of {size} bytes")));
                }
                (size + checksum, Some(frame))
            }
        };
        let length = header + 4 + length;
        Ok((length <= bytes.len()).then_some((length, goes_on)))
    }

    fn unpack(&mut self, unit: &[u8], sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Broken> {
        let pull = self.decoder.get_mut();
        pull.bytes.clear();
        pull.bytes.extend_from_slice(unit);
        pull.at = 0;
        let out = self.decoder.fill_buf().map_err(|error| Broken::Damaged(error.to_string()))?;
        let takes_more = out.is_empty() || sink(out);
        let length = out.len();
        self.decoder.consume(length);
        Ok(takes_more)
    }
}

/// The format's largest block.
const LONGEST_BLOCK: usize = 4 << 20;

/// What a frame's header says and how long it is with its magic number, where enough of it is there to tell.
fn frame_header(bytes: &[u8]) -> Result<Option<(Frame, usize)>, Broken> {
    const BLOCK_CHECKSUMS: u8 = 0x10;
    const CONTENT_SIZE: u8 = 0x08;
    const CONTENT_CHECKSUM: u8 = 0x04;
    const DICTIONARY: u8 = 0x01;
    if bytes.len() < 5 {
        return Ok(None);
    }
    if !bytes.starts_with(&[0x04, 0x22, 0x4d, 0x18]) {
        return Err(Broken::Damaged("something that is not lz4 follows".into()));
    }
    let flags = bytes[4];
    let has = |flag: u8| flags & flag != 0;
    let length = 7 + if has(CONTENT_SIZE) { 8 } else { 0 } + if has(DICTIONARY) { 4 } else { 0 };
    let frame = Frame { block_checksums: has(BLOCK_CHECKSUMS), content_checksum: has(CONTENT_CHECKSUM) };
    Ok(Some((frame, length)))
}
