//! Captures that commands read: files, and standard input for `-`; compressed ones are unpacked on the way.

use anyhow::{Context as _, Result};
use dropscope_core::log::{UnpackError, Unpacker};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// A capture that can be read as often as needed.
pub(crate) enum Input {
    /// A file, read from its beginning each time.
    File(PathBuf),
    /// Standard input, which can be read only once and so is kept.
    Kept(Vec<u8>),
}

impl Input {
    /// The input that `path` names.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            let mut kept = Vec::new();
            io::stdin().lock().read_to_end(&mut kept).context("standard input cannot be read")?;
            return Ok(Self::Kept(kept));
        }
        File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Self::File(path.to_owned()))
    }

    /// Hands its bytes over, uncompressed, from the first to the last. What is broken in the compression is the answer;
    /// what came out before it was handed over.
    ///
    /// # Errors
    /// When reading fails on the way, or whoever takes the bytes fails.
    pub(crate) fn each_chunk(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<Option<UnpackError>> {
        let mut unpacker = Unpacker::default();
        let mut taken = Ok(());
        let mut sink = |bytes: &[u8]| {
            if taken.is_ok() {
                taken = take(bytes);
            }
        };
        let mut unpacked = self.each_packed_chunk(|bytes| unpacker.push(bytes, &mut sink))?;
        if unpacked.is_ok() {
            unpacked = unpacker.finish(&mut sink);
        }
        taken?;
        Ok(unpacked.err())
    }

    /// As it lies in the file, until `take` has had enough.
    fn each_packed_chunk<E>(&self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<Result<(), E>> {
        match self {
            Self::Kept(bytes) => Ok(bytes.chunks(CHUNK).try_for_each(take)),
            Self::File(path) => {
                let failed = || format!("{} cannot be read", path.display());
                let mut file = File::open(path).with_context(failed)?;
                let mut chunk = vec![0; CHUNK];
                loop {
                    match file.read(&mut chunk) {
                        Ok(0) => return Ok(Ok(())),
                        Ok(length) => {
                            if let Err(enough) = take(&chunk[..length]) {
                                return Ok(Err(enough));
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error).with_context(failed),
                    }
                }
            }
        }
    }
}
