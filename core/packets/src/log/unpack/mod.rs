//! Compressed logs: gzip, zstd and lz4 as chunks of any size, uncompressed bytes out.
//!
//! This stands before the [`super::Decoder`], so that the host can keep what comes out: offsets in a log count uncompressed
//! bytes, and packets are read again by offset. A log that is not compressed passes through as it is, without a copy.
//!
//! The bytes are not trusted: memory is bounded by the format's own window (100 MiB for zstd, as it is in its own tools at
//! most levels; less for the others), and output that grows out of all proportion to the input, or beyond the limit that the
//! host sets, ends the unpacking.

mod gzip;
mod lz4;
mod zstd;

use super::record::End;

/// Uncompresses a log as its bytes arrive.
#[derive(Debug)]
pub struct Unpacker {
    format: Format,
    limit: u64,
    bytes_in: u64,
    bytes_out: u64,
    failed: Option<UnpackError>,
}

#[derive(Debug)]
enum Format {
    /// Fewer bytes than a magic number takes have arrived: these.
    Begin(Vec<u8>),
    Plain,
    /// By its name.
    Packed(&'static str, Box<dyn Unpack>),
}

/// One format's unpacking.
trait Unpack: std::fmt::Debug {
    /// Takes the next bytes; `sink` says whether it takes more of what they give.
    fn push(&mut self, chunk: &[u8], sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Broken>;

    /// No more bytes will come.
    fn finish(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Broken>;
}

/// The format that these bytes, at least four, begin.
fn format_of(first: &[u8]) -> Format {
    match first {
        [0x1f, 0x8b, ..] => Format::Packed("gzip", Box::<gzip::Gzip>::default()),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Packed("zstd", Box::<zstd::Zstd>::default()),
        [0x04, 0x22, 0x4d, 0x18, ..] => Format::Packed("lz4", Box::<lz4::Lz4>::default()),
        _ => Format::Plain,
    }
}

/// Why unpacking stopped. What came out before is good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// The compressed data ends before its end.
    #[error("the {format} data ends too early, after {bytes_out} uncompressed bytes")]
    CutShort {
        /// `gzip`, `zstd`, `lz4`.
        format: &'static str,
        /// Uncompressed bytes before.
        bytes_out: u64,
    },
    /// The compressed data is broken.
    #[error("the {format} data is broken after {bytes_out} uncompressed bytes: {why}")]
    Damaged {
        /// `gzip`, `zstd`, `lz4`.
        format: &'static str,
        /// Uncompressed bytes before.
        bytes_out: u64,
        /// What is wrong with it.
        why: String,
    },
    /// More comes out than was allowed, or than any capture would give.
    #[error(
        "{bytes_in} bytes of {format} data give more than {bytes_out} bytes, which no capture does; unpack it outside and look at it"
    )]
    TooMuch {
        /// `gzip`, `zstd`, `lz4`.
        format: &'static str,
        /// Compressed bytes so far.
        bytes_in: u64,
        /// Uncompressed bytes so far.
        bytes_out: u64,
    },
}

/// What went wrong in one format.
#[derive(Debug)]
enum Broken {
    CutShort,
    Damaged(String),
}

/// Bytes that may come out of few: below this no proportion is looked at.
const SMALL: u64 = 64 << 20;
/// Bytes that may come out of one. gzip cannot do more than 1,032; a capture of nothing but equal packets stays below.
const MOST_FROM_ONE: u64 = 2_000;
/// What may come out at all, where the host does not say.
const DEFAULT_LIMIT: u64 = 64 << 30;

impl Default for Unpacker {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Unpacker {
    /// An unpacker that gives at most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { format: Format::Begin(Vec::new()), limit, bytes_in: 0, bytes_out: 0, failed: None }
    }

    /// Takes the next bytes and hands over the uncompressed ones they give, in pieces.
    pub fn push(&mut self, chunk: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(), UnpackError> {
        if let Format::Begin(first) = &mut self.format {
            first.extend_from_slice(chunk);
            if first.len() < 4 {
                return Ok(());
            }
            let first = std::mem::take(first);
            self.format = format_of(&first);
            return self.unpack(&first, &mut sink);
        }
        self.unpack(chunk, &mut sink)
    }

    /// Says that no more bytes will come, and hands over what is left.
    pub fn finish(&mut self, mut sink: impl FnMut(&[u8])) -> Result<(), UnpackError> {
        if let Format::Begin(first) = &mut self.format {
            let first = std::mem::take(first);
            self.format = Format::Plain;
            self.unpack(&first, &mut sink)?;
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let bytes_out = &mut self.bytes_out;
        let mut counted = |bytes: &[u8]| {
            *bytes_out += bytes.len() as u64;
            sink(bytes);
            true
        };
        let finished = match &mut self.format {
            Format::Begin(_) | Format::Plain => Ok(()),
            Format::Packed(_, packed) => packed.finish(&mut counted),
        };
        finished.map_err(|broken| self.fail(broken))
    }

    /// `gzip`, `zstd`, `lz4`; `None` where the log is not compressed, or too little of it has arrived to tell.
    pub fn compression(&self) -> Option<&'static str> {
        match &self.format {
            Format::Begin(_) | Format::Plain => None,
            Format::Packed(name, _) => Some(name),
        }
    }

    /// Uncompressed bytes handed over so far.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    fn unpack(&mut self, chunk: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<(), UnpackError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.bytes_in += chunk.len() as u64;
        let most = self.limit.min(SMALL.max(self.bytes_in.saturating_mul(MOST_FROM_ONE)));
        let mut too_much = false;
        let bytes_out = &mut self.bytes_out;
        let mut counted = |bytes: &[u8]| {
            too_much = *bytes_out + bytes.len() as u64 > most;
            if !too_much {
                *bytes_out += bytes.len() as u64;
                sink(bytes);
            }
            !too_much
        };
        let unpacked = match &mut self.format {
            Format::Begin(_) => Ok(()),
            Format::Plain => {
                *bytes_out += chunk.len() as u64;
                sink(chunk);
                return Ok(());
            }
            Format::Packed(_, packed) => packed.push(chunk, &mut counted),
        };
        if too_much {
            let format = self.compression().unwrap_or_default();
            let error = UnpackError::TooMuch { format, bytes_in: self.bytes_in, bytes_out: most };
            self.failed = Some(error.clone());
            return Err(error);
        }
        unpacked.map_err(|broken| self.fail(broken))
    }

    fn fail(&mut self, broken: Broken) -> UnpackError {
        let format = self.compression().unwrap_or_default();
        let bytes_out = self.bytes_out;
        let error = match broken {
            Broken::CutShort => UnpackError::CutShort { format, bytes_out },
            Broken::Damaged(why) => UnpackError::Damaged { format, bytes_out, why },
        };
        self.failed = Some(error.clone());
        error
    }
}

impl UnpackError {
    /// How reading the log ended, when its unpacking ended so after this many packets.
    pub fn end(&self, packets: u32) -> End {
        match self {
            Self::CutShort { bytes_out, .. } => End::CutShort { at: *bytes_out, have: 0, need: 1, packets },
            Self::Damaged { bytes_out, .. } | Self::TooMuch { bytes_out, .. } => {
                End::Damaged { at: *bytes_out, why: self.to_string(), packets }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of `packed` in pieces of `length` bytes, and how it ended.
    fn unpacked(packed: &[u8], length: usize, limit: u64) -> (Vec<u8>, Result<(), UnpackError>) {
        let mut out = Vec::new();
        let mut unpacker = Unpacker::new(limit);
        for piece in packed.chunks(length) {
            if let Err(error) = unpacker.push(piece, |bytes| out.extend_from_slice(bytes)) {
                return (out, Err(error));
            }
        }
        let end = unpacker.finish(|bytes| out.extend_from_slice(bytes));
        assert_eq!(unpacker.bytes_out(), out.len() as u64);
        (out, end)
    }

    /// Bytes that repeat now and then, over several blocks of each format.
    fn content() -> Vec<u8> {
        (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> (n % 13 + 8)) as u8 & 0x3f).collect()
    }

    fn packed(content: &[u8]) -> [(&'static str, Vec<u8>); 4] {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(content).expect("a vector takes all");
        let mut info = lz4_flex::frame::FrameInfo::new();
        info.block_size = lz4_flex::frame::BlockSize::Max64KB;
        let mut lz4 = lz4_flex::frame::FrameEncoder::with_frame_info(info.clone(), Vec::new());
        lz4.write_all(content).expect("a vector takes all");
        info.block_mode = lz4_flex::frame::BlockMode::Linked;
        info.block_checksums = true;
        info.content_checksum = true;
        let mut linked = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        linked.write_all(content).expect("a vector takes all");
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        [
            ("gzip", gzip.finish().expect("a vector takes all")),
            ("zstd", ruzstd::encoding::compress_to_vec(content, level)),
            ("lz4", lz4.finish().expect("a vector takes all")),
            ("lz4 linked", linked.finish().expect("a vector takes all")),
        ]
    }

    #[test]
    fn what_was_packed_comes_out_however_it_is_cut() {
        let content = content();
        for (name, packed) in packed(&content) {
            assert!(packed.len() < content.len(), "{name} packs");
            for length in [1, 7, 4_096, 65_537, packed.len()] {
                let (out, end) = unpacked(&packed, length, DEFAULT_LIMIT);
                assert!(out == content && end.is_ok(), "{name} in pieces of {length}: {} bytes, {end:?}", out.len());
            }
            let twice = [&packed[..], &packed[..]].concat();
            let (out, end) = unpacked(&twice, 50_000, DEFAULT_LIMIT);
            assert!(out == [&content[..], &content[..]].concat() && end.is_ok(), "{name}, two in a row: {end:?}");
        }
    }

    #[test]
    fn packed_data_that_is_cut_short_gives_what_was_there_and_says_so() {
        let content = content();
        for (name, packed) in packed(&content) {
            let (out, end) = unpacked(&packed[..packed.len() / 4 * 3], 10_000, DEFAULT_LIMIT);
            assert!(content.starts_with(&out) && !out.is_empty(), "{name}: {} bytes", out.len());
            assert!(matches!(end, Err(UnpackError::CutShort { .. })), "{name}: {end:?}");
        }
    }

    #[test]
    fn broken_packed_data_gives_what_came_before() {
        let content = content();
        for (name, mut packed) in packed(&content) {
            // In the second of zstd's blocks, of which each is whole or nothing.
            let place = packed.len() / 4 * 3;
            packed[place..place + 64].fill(0xff);
            let (out, end) = unpacked(&packed, 10_000, DEFAULT_LIMIT);
            let good = out.iter().zip(&content).take_while(|(ours, theirs)| ours == theirs).count();
            assert!(good > 100_000 && good < content.len(), "{name}: {good} bytes before the damage");
            assert!(matches!(end, Err(UnpackError::Damaged { .. })), "{name}: {end:?}");
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        // A window of 1 MiB, then blocks that say one byte 128 Ki times.
        let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50];
        for _ in 0..SMALL >> 17 {
            bomb.extend_from_slice(&[0x02, 0x00, 0x10, b'!']);
        }
        bomb.extend_from_slice(&[0x03, 0x00, 0x10, b'!']);
        let (out, end) = unpacked(&bomb, 100, DEFAULT_LIMIT);
        assert!(matches!(end, Err(UnpackError::TooMuch { format: "zstd", .. })), "{end:?}");
        assert!(out.len() as u64 <= SMALL && out.len() > 60 << 20, "{}", out.len());
        for (name, packed) in packed(&content()) {
            let (out, end) = unpacked(&packed, 1_000, 100_000);
            assert!(matches!(end, Err(UnpackError::TooMuch { .. })), "{name}: {end:?}");
            assert!(out.len() <= 100_000, "{name}: {} bytes", out.len());
        }
    }

    #[test]
    fn what_is_not_packed_passes_through() {
        for content in [&b""[..], b"abc", b"\x0a\x0d\x0d\x0amore"] {
            assert_eq!(unpacked(content, 2, DEFAULT_LIMIT), (content.to_vec(), Ok(())));
        }
    }
}
