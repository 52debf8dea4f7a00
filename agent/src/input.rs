//! Captures that commands read: files, and standard input for `-`.

use anyhow::{Context as _, Result};
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

    /// Hands its bytes over, from the first to the last.
    ///
    /// # Errors
    /// When reading fails on the way.
    pub(crate) fn each_chunk(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self {
            Self::Kept(bytes) => bytes.chunks(CHUNK).try_for_each(take),
            Self::File(path) => {
                let failed = || format!("{} cannot be read", path.display());
                let mut file = File::open(path).with_context(failed)?;
                let mut chunk = vec![0; CHUNK];
                loop {
                    match file.read(&mut chunk) {
                        Ok(0) => return Ok(()),
                        Ok(length) => take(&chunk[..length])?,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error).with_context(failed),
                    }
                }
            }
        }
    }
}
