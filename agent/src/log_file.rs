//! Where a log goes: a file, to which whole blocks are appended, or standard output.

use crate::rights::Rights;
use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

/// The end of a log that is being written.
#[derive(Debug)]
pub(crate) struct LogFile {
    sink: Sink,
    /// Bytes that are in it: whole blocks.
    length: u64,
}

#[derive(Debug)]
enum Sink {
    File { file: File, sync: Option<SyncSender<()>> },
    Pipe(io::Stdout),
}

impl LogFile {
    /// Begins a log at `path`, or on standard output for `-`; a file is handed over as `rights` say. What was in the file is gone, as with `tcpdump -w`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn create(path: &Path, rights: &Rights) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { sink: Sink::Pipe(io::stdout()), length: 0 });
        }
        let open = || -> io::Result<Sink> {
            // Packets are nobody else's business.
            let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
            if let Err(error) = rights.hand_over(&file, path) {
                tracing::debug!("the log stays root's: {error}");
            }
            Ok(Sink::File { file, sync: None })
        };
        Ok(Self { sink: open().with_context(|| format!("the log {} cannot be written", path.display()))?, length: 0 })
    }

    /// Bytes that are in it.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends whole blocks: all of them, or, to a file that takes no more, none.
    ///
    /// # Errors
    /// What the operating system answered. The log then ends where it ended before, and the call may be made again.
    pub(crate) fn append(&mut self, blocks: &[u8]) -> io::Result<()> {
        match &mut self.sink {
            Sink::File { file, .. } => {
                if let Err(error) = file.write_all_at(blocks, self.length) {
                    // Half a block must not stay: a reader would take it for damage.
                    let _ = file.set_len(self.length);
                    return Err(error);
                }
            }
            Sink::Pipe(pipe) => {
                pipe.write_all(blocks)?;
                pipe.flush()?;
            }
        }
        self.length += blocks.len() as u64;
        Ok(())
    }

    /// Has what was appended put on the disk soon, so that a power cut does not take it; does not wait for it.
    pub(crate) fn sync_soon(&mut self) {
        if let Sink::File { file, sync } = &mut self.sink {
            if sync.is_none() {
                // Started by the recorder, so that it holds no more rights than that.
                *sync = file.try_clone().and_then(sync_in_background).ok();
            }
            // One that is still under way takes this along, or the next one does.
            let _ = sync.as_ref().map(|sync| sync.try_send(()));
        }
    }

    /// Puts everything on the disk.
    ///
    /// # Errors
    /// What the operating system answered.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match &self.sink {
            Sink::File { file, .. } => file.sync_all(),
            Sink::Pipe(_) => Ok(()),
        }
    }
}

/// `fdatasync` may take as long as it likes, and whoever writes packets must not wait for it.
fn sync_in_background(file: File) -> io::Result<SyncSender<()>> {
    let (ask, asked) = sync_channel(1);
    std::thread::Builder::new().name("log-sync".into()).spawn(move || {
        while asked.recv().is_ok() {
            if let Err(error) = file.sync_data() {
                tracing::debug!("the log was not put on the disk: {error}");
            }
        }
    })?;
    Ok(ask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_leaves_the_log_as_it_was() {
        // /dev/full is the kernel's own full disk; it is no regular file, so only the answer can be looked at here.
        let mut log = LogFile::create(Path::new("/dev/full"), &Rights::unchanged()).unwrap();
        let error = log.append(b"block").unwrap_err();
        assert_eq!((error.kind(), log.length()), (io::ErrorKind::StorageFull, 0));
    }

    #[test]
    fn a_log_that_cannot_be_written_is_named() {
        let error = LogFile::create(Path::new("/no/such/folder/x.pcapng"), &Rights::unchanged()).unwrap_err();
        assert!(format!("{error:#}").starts_with("the log /no/such/folder/x.pcapng cannot be written: "), "{error:#}");
    }
}
