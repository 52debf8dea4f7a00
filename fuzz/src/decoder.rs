//! Any file, compressed or not, in any pieces: the same records, and memory bounded by what was read.

use crate::memory::{Bound, bounded};
use crate::pieces;
use dropscope_core::log::{Decoder, UnpackError, Unpacker};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};

/// What comes out of compressed input is bounded by itself, so that an execution stays short.
const MOST_UNPACKED: u64 = 1 << 20;
/// The formats' own windows: zstd's is what its tools allow, 100 MiB, of which it holds what was written.
const PACKED: Bound = Bound { base: 12 << 20, per_byte: 64 };
const PLAIN: Bound = Bound { base: 256 << 10, per_byte: 64 };

/// The first byte says how the rest, a file, is cut.
pub fn decoder(input: &[u8]) {
    let Some((&cut, file)) = input.split_first() else { return };
    let packed = matches!(file, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x04, 0x22, 0x4d, 0x18, ..]);
    let bound = if packed { PACKED } else { PLAIN };
    let whole = bounded(bound, file.len(), || read([file].into_iter()));
    let cut = bounded(bound, file.len(), || read(pieces(file, cut)));
    // Where too much came out, the last piece decides how much of it was taken.
    if !matches!(whole.unpacked, Err(UnpackError::TooMuch { .. })) {
        assert_eq!(whole, cut);
    }
}

/// What a file said: its records as a hash of their text.
#[derive(Debug, PartialEq)]
struct Told {
    records: u64,
    hash: u64,
    end: String,
    unpacked: Result<(), UnpackError>,
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Told {
    let mut text = Hashed::default();
    let mut records = 0;
    let mut decoder = Decoder::new();
    let mut take = |record: dropscope_core::log::record::Record<'_>| {
        records += 1;
        write!(text, "{record:?}").expect("a hash takes all");
    };
    let mut unpacker = Unpacker::new(MOST_UNPACKED);
    let mut unpacked = Ok(());
    for piece in pieces {
        unpacked = unpacker.push(piece, |bytes| decoder.push(bytes, &mut take));
        if unpacked.is_err() {
            break;
        }
    }
    if unpacked.is_ok() {
        unpacked = unpacker.finish(|bytes| decoder.push(bytes, &mut take));
    }
    let end = decoder.finish(&mut take);
    assert_eq!(decoder.bytes_read(), unpacker.bytes_out());
    Told { records, hash: text.0.finish(), end: format!("{end:?}"), unpacked }
}

#[derive(Default)]
struct Hashed(DefaultHasher);

impl Write for Hashed {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
