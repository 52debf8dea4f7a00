//! Files for everybody that a command was asked to write: a manual page, the reference case.

use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file, over one that is there. Others may read it and never change it, whatever the umask; no link is followed, since
/// root may write into a folder in which somebody else can make links.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o644).custom_flags(libc::O_NOFOLLOW);
    let written = options.open(path).and_then(|mut file| file.write_all(bytes));
    written.with_context(|| format!("{} cannot be written", path.display()))
}
