//! Packets read again from where the log is kept.

use crate::dissect::{self, Packet};
use crate::store::Row;

/// Gives bytes of the log: the file, the browser's Blob, the server. The engine keeps no packet.
pub trait ByteSource {
    /// Fills `buffer` with the (uncompressed) log's bytes from `offset` on; all of them, or a full sentence says why not.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), String>;
}

/// Bytes of a log that lies in memory.
impl ByteSource for &[u8] {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), String> {
        let bytes = usize::try_from(offset).ok().and_then(|start| self.get(start..)?.get(..buffer.len()));
        let bytes = bytes.ok_or_else(|| format!("bytes {offset} to {} are not there", offset + buffer.len() as u64))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// Bytes that are read at once: asking costs more than reading, in a browser above all.
const WINDOW: usize = 1 << 18;

/// Reads packets, best in the order in which they lie.
pub(super) struct Reader<'s> {
    source: &'s mut dyn ByteSource,
    /// Bytes of the log there are.
    end: u64,
    start: u64,
    window: Vec<u8>,
    /// Bytes that were read.
    pub spent: u64,
}

impl<'s> Reader<'s> {
    /// A reader of a log of which `end` bytes are there.
    pub(super) fn new(source: &'s mut dyn ByteSource, end: u64) -> Self {
        Self { source, end, start: 0, window: Vec::new(), spent: 0 }
    }

    /// The bytes that were kept of a packet; a full sentence where they cannot be read.
    pub(super) fn bytes(&mut self, row: &Row) -> Result<&[u8], String> {
        let len = row.cap_len as usize;
        let inside = row.offset >= self.start && row.offset + len as u64 <= self.start + self.window.len() as u64;
        if !inside {
            let room = usize::try_from(self.end.saturating_sub(row.offset)).unwrap_or(usize::MAX);
            if room < len {
                return Err(format!("The packet's bytes end behind the log's last byte, {}.", self.end));
            }
            self.window.resize(len.max(WINDOW).min(room), 0);
            self.start = row.offset;
            self.spent += self.window.len() as u64;
            if let Err(why) = self.source.read(row.offset, &mut self.window) {
                self.window.clear();
                return Err(why);
            }
        }
        let from = (row.offset - self.start) as usize;
        Ok(&self.window[from..from + len])
    }
}

/// Dissects what was read.
pub(super) fn dissected<'b>(link_type: u32, row: &Row, bytes: &'b [u8]) -> Packet<'b> {
    dissect::dissect(link_type, bytes, row.wire_len)
}
