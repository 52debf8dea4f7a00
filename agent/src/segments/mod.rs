//! A log in segments: a folder of pcapng files, of which the oldest give way.
//!
//! ```text
//! FOLDER/00000041-20261122-131400.pcapng     whole
//! FOLDER/00000042-20261122-131500.pcapng     being written
//! FOLDER/frozen/20261122-131507-firewall_drop/00000041-…  the same files by another name (hard links)
//! ```
//! Each segment is a pcapng section that can be read alone; all of them, one after the other, are one log. What is bounded is
//! bounded by removing the oldest segments, and so is a disk that is full. A frozen segment keeps its bytes for as long as its
//! other name is there. A process that was killed leaves a last segment that may end inside a block: it is cut there when the
//! folder is opened again, and a new segment begins.

mod frozen;
mod name;

pub(crate) use name::{compact_time, list, list_in};

use crate::sync::{Syncer, has_no_name};
use anyhow::{Context as _, Result, bail};
use dropscope_core::log::Decoder;
use dropscope_core::log::record::{End, Record, Segment};
use dropscope_review::Folder;
use frozen::Freeze;
use nix::fcntl::{Flock, FlockArg};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// How large segments become, and what is kept of them.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// A segment of so many bytes is followed by the next.
    pub(crate) segment_bytes: u64,
    /// So is one of this age.
    pub(crate) segment_time: Duration,
    /// Bytes that are kept at most, the segment being written included.
    pub(crate) keep_bytes: Option<u64>,
    /// Segments that ended so long ago are removed.
    pub(crate) keep_time: Option<Duration>,
    /// How much before and after a trigger is frozen.
    pub(crate) freeze: Duration,
    /// Freezes that are kept at most.
    pub(crate) most_frozen: usize,
}

/// How far a log in segments is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The number of the segment that is being written; 0 before the first.
    pub(crate) number: u64,
    /// Bytes of it that are written, whole blocks.
    pub(crate) bytes: u64,
    /// Whether nothing more will come.
    pub(crate) ended: bool,
}

/// A segment that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Its number in the recording, from 1.
    pub(crate) number: u64,
    /// Its name in the folder.
    pub(crate) name: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// When it was begun.
    pub(crate) begun: SystemTime,
}

/// What whoever sends the segments elsewhere has of them. Shared, so that what was not sent yet is removed last and told.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The first segment of which not every byte is known to be there.
    pub(crate) acknowledged: AtomicU64,
    /// The segment that is on its way. Those from the acknowledged one on to this one are never removed: the server may have a
    /// part of them.
    pub(crate) sending: AtomicU64,
    /// Bytes that were removed before they were sent.
    pub(crate) discarded: AtomicU64,
}

impl Sent {
    fn is_on_its_way(&self, number: u64) -> bool {
        (self.acknowledged.load(Ordering::Acquire)..=self.sending.load(Ordering::Acquire)).contains(&number)
    }
}

/// The folder of a recording, open for writing.
#[derive(Debug)]
pub(crate) struct Segments {
    folder: Folder,
    bounds: Bounds,
    recording: String,
    stored: VecDeque<Stored>,
    /// The last of `stored`, once one was begun by this process.
    file: Option<Arc<File>>,
    /// What that one began with.
    head_bytes: u64,
    directory: Arc<File>,
    sync: Syncer,
    freeze: Option<Freeze>,
    tell: watch::Sender<Progress>,
    sent: Option<Arc<Sent>>,
    /// What was lost of the log and is to be told, in full sentences.
    discarded: Vec<String>,
    /// What was found when the folder was opened, in a full sentence.
    pub(crate) reopened: Option<String>,
    // Last: whoever comes next may begin only when everything else is closed.
    _lock: Flock<File>,
}

impl Segments {
    /// Opens the folder, making it where it is missing. A recording that was broken off in it is closed at its last whole
    /// block and goes on.
    ///
    /// # Errors
    /// When the folder cannot be used, or somebody else records into it.
    pub(crate) fn open(folder: &Path, bounds: Bounds) -> Result<Self> {
        let cannot = || format!("the folder {} cannot be recorded into", folder.display());
        let (path, folder) = (folder, Folder::make(folder).with_context(cannot)?);
        let directory = folder.handle().with_context(cannot)?;
        let lock = match Flock::lock(directory.try_clone().with_context(cannot)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                bail!("another dropscope records into {}; give this one a folder of its own with -o", path.display())
            }
            Err((_, error)) => return Err(error).with_context(cannot),
        };
        name::remove_unfinished(&folder).with_context(cannot)?;
        let mut stored: VecDeque<Stored> = list_in(&folder).with_context(cannot)?.into();
        let mut found = None;
        let mut cut = 0;
        // A segment that was begun and never written to is no segment.
        while let Some(last) = stored.back_mut() {
            let closed =
                close(&folder, &last.name).with_context(|| format!("{} cannot be closed", folder.at(&last.name).display()))?;
            cut += last.bytes - closed.bytes;
            last.bytes = closed.bytes;
            if closed.bytes > 0 {
                found = closed.recording;
                break;
            }
            folder.remove_file(&last.name).with_context(cannot)?;
            stored.pop_back();
        }
        let reopened = stored.back().map(|last| match cut {
            0 => format!("It goes on after segment {}.", last.number),
            cut => format!("It goes on after segment {}, of which {cut} bytes of half a block were removed.", last.number),
        });
        let recording = match found {
            Some(recording) => recording,
            None => random_name().context("the operating system gives no randomness for the recording's name")?,
        };
        Ok(Self {
            folder,
            bounds,
            recording,
            stored,
            file: None,
            head_bytes: 0,
            directory: Arc::new(directory),
            sync: Syncer::default(),
            freeze: None,
            tell: watch::channel(Progress::default()).0,
            sent: None,
            discarded: Vec::new(),
            reopened,
            _lock: lock,
        })
    }

    /// Where they lie.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// How far it is on disk.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.tell.subscribe()
    }

    /// Has segments that are not sent yet removed last, and told when they are.
    pub(crate) fn guard(&mut self, sent: Arc<Sent>) {
        self.sent = Some(sent);
    }

    /// Which segment comes next.
    pub(crate) fn next(&self) -> Segment {
        Segment { recording: self.recording.clone(), number: self.stored.back().map_or(1, |last| last.number + 1) }
    }

    /// Whether it is time for the next one.
    pub(crate) fn is_due(&self) -> bool {
        let Some(last) = self.stored.back().filter(|_| self.file.is_some()) else { return true };
        let age = SystemTime::now().duration_since(last.begun).unwrap_or_default();
        // One that holds nothing but its head has nothing to be followed for.
        last.bytes > self.head_bytes && (last.bytes >= self.bounds.segment_bytes || age >= self.bounds.segment_time)
    }

    /// Begins the next segment with the blocks of its head; what is appended from here on goes there. It shows itself in the
    /// folder only once its head is in it, so that each can be read whatever happens.
    ///
    /// # Errors
    /// What the operating system answered; the segment before then goes on.
    pub(crate) fn begin_next(&mut self, head: &[u8]) -> io::Result<()> {
        let Segment { number, .. } = self.next();
        let begun = SystemTime::now();
        let name = name::of(number, begun);
        let (part, folder) = (format!(".{name}"), self.folder.clone());
        let file = self.making_room(head.len(), || {
            let file = folder.create_file(&part)?;
            file.write_all_at(head, 0).inspect_err(|_| drop(folder.remove_file(&part)))?;
            Ok(file)
        })?;
        folder.rename(&part, &name).inspect_err(|_| drop(folder.remove_file(&part)))?;
        if let Some(before) = self.file.replace(Arc::new(file)) {
            self.sync.soon(&before);
        }
        self.sync.soon(&self.directory);
        self.sync_soon();
        self.stored.push_back(Stored { number, name, bytes: head.len() as u64, begun });
        self.head_bytes = head.len() as u64;
        self.freeze_current();
        self.publish();
        Ok(())
    }

    /// Appends whole blocks to the segment being written: all of them or none. On a full disk the oldest segments give way, but
    /// only where that makes room enough.
    ///
    /// # Errors
    /// What the operating system answered, with nothing left that could give way.
    pub(crate) fn append(&mut self, blocks: &[u8]) -> io::Result<()> {
        let file = self.file.clone().ok_or_else(|| io::Error::other("no segment was begun"))?;
        let at = self.stored.back().map_or(0, |last| last.bytes);
        self.making_room(blocks.len(), || {
            file.write_all_at(blocks, at).inspect_err(|_| {
                // Half a block must not stay: a reader would take it for damage.
                let _ = file.set_len(at);
            })
        })?;
        if let Some(last) = self.stored.back_mut() {
            last.bytes += blocks.len() as u64;
        }
        self.remove_what_is_over();
        self.publish();
        Ok(())
    }

    /// Has what was appended put on the disk soon.
    pub(crate) fn sync_soon(&self) {
        if let Some(file) = &self.file {
            self.sync.soon(file);
        }
    }

    /// Puts everything on the disk.
    ///
    /// # Errors
    /// What the operating system answered.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.sync_all())
    }

    /// Says that nothing more will come.
    pub(crate) fn end(&self) {
        self.tell.send_modify(|progress| progress.ended = true);
    }

    /// What was lost of the log since the last call, in full sentences.
    pub(crate) fn take_discarded(&mut self) -> Vec<String> {
        std::mem::take(&mut self.discarded)
    }

    fn publish(&self) {
        let Some(last) = self.stored.back() else { return };
        self.tell.send_modify(|progress| (progress.number, progress.bytes) = (last.number, last.bytes));
    }

    /// Does what needs room for so many bytes, removing the oldest data until there is some; nothing where all of it would not
    /// be enough.
    fn making_room<T>(&mut self, bytes: usize, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match work() {
                Err(error) if is_full(&error) && self.can_make_room(bytes) && self.give_way(&error.to_string()) => {}
                done => return done,
            }
        }
    }

    /// Whether the disk would have so many bytes free without everything that may be removed. What freezes hold is not counted:
    /// the oldest is removed when there is nothing else, one at a time.
    fn can_make_room(&self, bytes: usize) -> bool {
        // Where the disk does not say, or a quota is what is full, removing is tried.
        let free = self.folder.free_bytes().unwrap_or(u64::MAX);
        let removable: u64 = self.stored.iter().filter(|one| self.may_go(one)).map(|one| one.bytes).sum();
        free.saturating_add(removable) >= bytes as u64 || (removable == 0 && frozen::are_some(&self.folder))
    }

    fn may_go(&self, one: &Stored) -> bool {
        let is_last = self.stored.back().is_some_and(|last| last.number == one.number);
        !is_last && !self.is_on_its_way(one) && frozen::names(&self.folder, &one.name) == 1
    }

    /// Whether the segment being written is gone from the folder, or the folder with it.
    pub(crate) fn is_removed(&self) -> bool {
        self.file.as_deref().is_some_and(has_no_name)
    }

    /// Removes the oldest segment that frees something, or else the oldest freeze. False when there is nothing left.
    fn give_way(&mut self, why: &str) -> bool {
        let oldest = self.stored.iter().position(|one| self.may_go(one));
        let Some(one) = oldest.and_then(|at| self.stored.remove(at)) else {
            return match frozen::remove_oldest(&self.folder) {
                Some(name) => {
                    self.discarded.push(format!("The log could not be written ({why}): the freeze {name} was removed to go on."));
                    true
                }
                None => false,
            };
        };
        let unsent = if self.is_sent(&one) { "" } else { ", which was not sent yet," };
        self.count_unsent(&one);
        let text = format!("The log could not be written ({why}): {}{unsent} was removed to go on.", describe(&one));
        self.remove(&one);
        self.sync.release_removed();
        self.discarded.push(text);
        true
    }

    /// Removes what is more than is kept. The segment being written always stays.
    fn remove_what_is_over(&mut self) {
        let now = SystemTime::now();
        while self.stored.len() > 1 {
            let all: u64 = self.stored.iter().map(|one| one.bytes).sum();
            let too_many = self.bounds.keep_bytes.is_some_and(|most| all > most);
            // A segment ended when the next began.
            let ended = self.stored[1].begun;
            let too_old =
                self.bounds.keep_time.is_some_and(|most| now.duration_since(ended).is_ok_and(|since_end| since_end > most));
            if !too_many && !too_old {
                return;
            }
            let Some(at) = self.stored.iter().position(|one| !self.is_on_its_way(one)) else { return };
            if at + 1 == self.stored.len() {
                return;
            }
            let Some(one) = self.stored.remove(at) else { return };
            if !self.is_sent(&one) {
                self.count_unsent(&one);
                self.discarded.push(format!("The spool is full: {} was removed before it was sent.", describe(&one)));
            }
            self.remove(&one);
        }
    }

    fn remove(&self, one: &Stored) {
        if let Err(error) = self.folder.remove_file(&one.name) {
            tracing::warn!("{} cannot be removed: {error}", self.folder.at(&one.name).display());
        }
    }

    fn is_sent(&self, one: &Stored) -> bool {
        self.sent.as_ref().is_none_or(|sent| one.number < sent.acknowledged.load(Ordering::Acquire))
    }

    fn count_unsent(&self, one: &Stored) {
        if let Some(sent) = self.sent.as_ref().filter(|_| !self.is_sent(one)) {
            sent.discarded.fetch_add(one.bytes, Ordering::Relaxed);
        }
    }

    fn is_on_its_way(&self, one: &Stored) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.is_on_its_way(one.number))
    }
}

/// A segment for people: `segment 41 (67,108,864 bytes from 20261122-131400 on)`.
fn describe(one: &Stored) -> String {
    format!("segment {} ({} bytes from {} on)", one.number, one.bytes, compact_time(one.begun))
}

/// Whether a write failed for want of room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

struct Closed {
    bytes: u64,
    recording: Option<String>,
}

/// Cuts a segment after its last whole block.
fn close(folder: &Folder, name: &str) -> io::Result<Closed> {
    let mut file = folder.open_file_for_writing(name)?;
    let mut decoder = Decoder::new();
    let mut recording = None;
    let mut chunk = vec![0; 1 << 20];
    let mut take = |record: Record<'_>| {
        if let Record::Section(section) = record {
            recording = section.segment().map(|segment| segment.recording);
        }
    };
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            length => decoder.push(&chunk[..length], &mut take),
        }
    }
    let bytes = match decoder.finish(&mut take) {
        Ok(()) => decoder.bytes_read(),
        // After a power cut the end may be zeros instead of missing.
        Err(End::CutShort { at, .. } | End::Damaged { at, .. }) => at,
        Err(End::Unsupported { .. }) => 0,
    };
    if bytes < decoder.bytes_read() {
        file.set_len(bytes)?;
        file.sync_all()?;
    }
    Ok(Closed { bytes, recording })
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::from)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
