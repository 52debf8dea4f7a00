//! gzip (RFC 1952), one member after the other.

use super::{Broken, Unpack};
use flate2::write::MultiGzDecoder;
use std::io::{ErrorKind, Write};

/// Bytes taken at a time: at most 1,032 times as many come out, and are held until they were handed over.
const PIECE: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct Gzip {
    decoder: MultiGzDecoder<Vec<u8>>,
}

impl Default for Gzip {
    fn default() -> Self {
        Self { decoder: MultiGzDecoder::new(Vec::new()) }
    }
}

impl Unpack for Gzip {
    fn push(&mut self, chunk: &[u8], sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Broken> {
        for piece in chunk.chunks(PIECE) {
            let written = self.decoder.write_all(piece);
            if written.is_err() {
                // It still holds what came out before the fault; that the data has no end is known already.
                let _ = self.decoder.try_finish();
            }
            if !self.hand_over(sink) {
                break;
            }
            written.map_err(broken)?;
        }
        Ok(())
    }

    fn finish(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Broken> {
        let finished = self.decoder.try_finish();
        self.hand_over(sink);
        finished.map_err(broken)
    }
}

impl Gzip {
    fn hand_over(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let out = self.decoder.get_mut();
        let takes_more = out.is_empty() || sink(out);
        out.clear();
        takes_more
    }
}

fn broken(error: std::io::Error) -> Broken {
    if error.kind() == ErrorKind::UnexpectedEof { Broken::CutShort } else { Broken::Damaged(error.to_string()) }
}
