//! Where a log goes: a file, to which whole blocks are appended, a folder of segments, or standard output.

use crate::rights::Rights;
use crate::segments::{Segments, is_full};
use crate::sync::{Syncer, has_no_name};
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

/// Bytes that are written at once: a batch is smaller, and what waited for a full disk is larger.
const MOST_AT_ONCE: usize = 1 << 20;

/// The end of a log that is being written.
#[derive(Debug)]
pub(crate) struct LogFile {
    sink: Sink,
    /// Bytes that are in it: whole blocks.
    length: u64,
}

#[derive(Debug)]
enum Sink {
    File { file: Arc<File>, sync: Syncer },
    Segments(Box<Segments>),
    Pipe(io::Stdout),
}

impl LogFile {
    /// Begins a log at `path`, or on standard output for `-`. A file that is there is neither written over nor given away: the
    /// command may run with rights that whoever chose the name does not have.
    ///
    /// # Errors
    /// When the file is there, or cannot be written.
    pub(crate) fn create(path: &Path, rights: &Rights) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { sink: Sink::Pipe(io::stdout()), length: 0 });
        }
        match rights.create_file(path) {
            Ok(file) => Ok(Self::of(file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("{} is there already, and is not written over: name another file, or remove it", path.display())
            }
            Err(error) => Err(error).with_context(|| format!("the log {} cannot be written", path.display())),
        }
    }

    /// Begins a log in a file that was just made.
    pub(crate) fn of(file: File) -> Self {
        Self { sink: Sink::File { file: Arc::new(file), sync: Syncer::default() }, length: 0 }
    }

    /// The file for reading, of a log that is one.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(crate) fn reader(&self) -> io::Result<Option<File>> {
        match &self.sink {
            Sink::File { file, .. } => file.try_clone().map(Some),
            Sink::Segments(_) | Sink::Pipe(_) => Ok(None),
        }
    }

    /// A log in segments.
    pub(crate) fn in_segments(segments: Segments) -> Self {
        Self { sink: Sink::Segments(Box::new(segments)), length: 0 }
    }

    /// The segments, of a log that has some.
    pub(crate) fn segments(&mut self) -> Option<&mut Segments> {
        match &mut self.sink {
            Sink::Segments(segments) => Some(segments),
            Sink::File { .. } | Sink::Pipe(_) => None,
        }
    }

    /// Begins the next segment of a log that has some, with these blocks.
    ///
    /// # Errors
    /// What the operating system answered; the segment before then goes on.
    pub(crate) fn begin_segment(&mut self, head: &[u8]) -> io::Result<()> {
        if let Some(segments) = self.segments() {
            segments.begin_next(head)?;
            self.length += head.len() as u64;
        }
        Ok(())
    }

    /// Bytes that were written to it.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends whole blocks, as many of them as there is room for: [`length`](Self::length) says how far it came.
    ///
    /// # Errors
    /// What the operating system answered, where not all of them fitted. The log then ends after a whole block.
    pub(crate) fn append(&mut self, blocks: &[u8]) -> io::Result<()> {
        let (mut rest, mut most) = (blocks, MOST_AT_ONCE);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(whole_blocks(rest, most));
            match self.append_whole(piece) {
                Ok(()) => rest = after,
                // Less of it may fit.
                Err(error) if is_full(&error) && whole_blocks(rest, piece.len() / 2) < piece.len() => most = piece.len() / 2,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Appends these blocks, or, to a file that does not take all of them, none.
    fn append_whole(&mut self, blocks: &[u8]) -> io::Result<()> {
        match &mut self.sink {
            Sink::File { file, .. } => {
                if let Err(error) = file.write_all_at(blocks, self.length) {
                    // Half a block must not stay: a reader would take it for damage.
                    let _ = file.set_len(self.length);
                    return Err(error);
                }
            }
            Sink::Segments(segments) => segments.append(blocks)?,
            Sink::Pipe(pipe) => {
                pipe.write_all(blocks)?;
                pipe.flush()?;
            }
        }
        self.length += blocks.len() as u64;
        Ok(())
    }

    /// Whether what is written is gone from the disk's folders: nobody will ever read it.
    pub(crate) fn is_removed(&self) -> bool {
        match &self.sink {
            Sink::File { file, .. } => has_no_name(file),
            Sink::Segments(segments) => segments.is_removed(),
            Sink::Pipe(_) => false,
        }
    }

    /// Has what was appended put on the disk soon, so that a power cut does not take it; does not wait for it.
    pub(crate) fn sync_soon(&self) {
        match &self.sink {
            Sink::File { file, sync } => sync.soon(file),
            Sink::Segments(segments) => segments.sync_soon(),
            Sink::Pipe(_) => {}
        }
    }

    /// Puts everything on the disk.
    ///
    /// # Errors
    /// What the operating system answered.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match &self.sink {
            Sink::File { file, .. } => file.sync_all(),
            Sink::Segments(segments) => segments.sync(),
            Sink::Pipe(_) => Ok(()),
        }
    }
}

/// How many bytes from the beginning are whole blocks and at most `most`; the first block in any case. The length of each
/// stands behind its type (draft-ietf-opsawg-pcapng, section 3.1); the encoder writes it little-endian.
fn whole_blocks(blocks: &[u8], most: usize) -> usize {
    let mut end = 0;
    while let Some(length) = blocks.get(end + 4..end + 8) {
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if end > 0 && end + length > most {
            return end;
        }
        end += length.max(12);
    }
    blocks.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_leaves_the_log_as_it_was() {
        // /dev/full is the kernel's own full disk; it is no regular file, so only the answer can be looked at here.
        let mut log = LogFile::of(File::options().write(true).open("/dev/full").unwrap());
        let error = log.append(&[6, 0, 0, 0, 12, 0, 0, 0, 12, 0, 0, 0]).unwrap_err();
        assert_eq!((error.kind(), log.length()), (io::ErrorKind::StorageFull, 0));
    }

    #[test]
    fn a_log_that_cannot_be_written_is_named() {
        let error = LogFile::create(Path::new("/no/such/folder/x.pcapng"), &Rights::unchanged()).unwrap_err();
        assert!(format!("{error:#}").starts_with("the log /no/such/folder/x.pcapng cannot be written: "), "{error:#}");
    }

    #[test]
    fn a_file_that_is_there_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("sudoers"), folder.path().join("link"));
        std::fs::write(&file, "root ALL").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            let error = LogFile::create(path, &Rights::unchanged()).unwrap_err().to_string();
            assert!(error.ends_with("is there already, and is not written over: name another file, or remove it"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(file).unwrap(), "root ALL");
    }

    #[test]
    fn blocks_are_cut_between_two_of_them() {
        let block = |length: u32| {
            [&[6, 0, 0, 0][..], &length.to_le_bytes(), &vec![0; length as usize - 12], &length.to_le_bytes()].concat()
        };
        let blocks = [block(100), block(200), block(300)].concat();
        for (most, expected) in [(0, 100), (99, 100), (299, 100), (300, 300), (599, 300), (600, 600), (9000, 600)] {
            assert_eq!(whole_blocks(&blocks, most), expected, "{most}");
        }
        assert_eq!(whole_blocks(b"no block", 4), 8, "what is no block is not cut");
    }

    #[test]
    fn a_log_that_was_removed_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pcapng");
        let log = LogFile::create(&path, &Rights::unchanged()).unwrap();
        assert!(!log.is_removed());
        std::fs::rename(&path, folder.path().join("b.pcapng")).unwrap();
        assert!(!log.is_removed(), "one that was given another name is still there");
        std::fs::remove_file(folder.path().join("b.pcapng")).unwrap();
        assert!(log.is_removed());
    }
}
