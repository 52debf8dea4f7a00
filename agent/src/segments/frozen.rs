//! Freezing: the segments around a trigger get a second name (a hard link) in a folder that says when and why, and so outlive
//! the recording's bounds. Nothing is copied, and a segment that is still being written is frozen while it grows.

use super::{Segments, compact_time, describe};
use dropscope_review::Folder;
use std::io;
use std::time::SystemTime;

/// The folder of freezes.
const FROZEN: &str = "frozen";

/// A freeze that is under way: segments that begin before `until` still belong to it.
#[derive(Debug)]
pub(super) struct Freeze {
    folder: Folder,
    until: SystemTime,
}

impl Segments {
    /// Freezes the time around now under a name that says why; answers where, in words. One that is under way goes on for
    /// longer instead.
    ///
    /// # Errors
    /// What the operating system answered. What could be frozen is.
    pub(crate) fn freeze(&mut self, why: &str) -> io::Result<String> {
        let now = SystemTime::now();
        let until = now + self.bounds.freeze;
        if let Some(freeze) = self.freeze.as_mut().filter(|freeze| freeze.until > now) {
            freeze.until = until;
            return Ok(format!("the freeze in {} goes on", freeze.folder.path().display()));
        }
        while existing(&self.folder).len() >= self.bounds.most_frozen.max(1) {
            let Some(name) = remove_oldest(&self.folder) else { break };
            self.discarded.push(format!("There are {} freezes: the oldest, {name}, was removed.", self.bounds.most_frozen));
        }
        let name = format!("{}-{}", compact_time(now), file_name(why));
        let folder = self.folder.make_subfolder(FROZEN)?.make_subfolder(&name)?;
        let from = now.checked_sub(self.bounds.freeze).unwrap_or(SystemTime::UNIX_EPOCH);
        // A segment ended when the next one began; the last has not ended.
        let ends = self.stored.iter().skip(1).map(|next| Some(next.begun)).chain([None]);
        let around = self.stored.iter().zip(ends).filter(|(_, end)| end.is_none_or(|end| end >= from));
        let mut frozen = Ok(());
        for (one, _) in around {
            frozen = frozen.and(link(&self.folder, &one.name, &folder));
        }
        let place = format!("the minutes around it are kept in {}", folder.path().display());
        self.freeze = Some(Freeze { folder, until });
        frozen.map(|()| place)
    }

    /// Freezes the segment that was just begun, if a freeze is under way.
    pub(super) fn freeze_current(&mut self) {
        let (Some(freeze), Some(last)) = (&self.freeze, self.stored.back()) else { return };
        if last.begun > freeze.until {
            self.freeze = None;
        } else if let Err(error) = link(&self.folder, &last.name, &freeze.folder) {
            self.discarded.push(format!("{} could not be frozen: {error}.", describe(last)));
        }
    }
}

/// How many names a file has: more than one when it is frozen, and then removing it frees nothing.
pub(super) fn names(folder: &Folder, segment: &str) -> u64 {
    folder.entry(segment).map_or(1, |entry| entry.names())
}

/// Whether there are freezes.
pub(super) fn are_some(folder: &Folder) -> bool {
    !existing(folder).is_empty()
}

/// Removes the oldest freeze, and answers its name.
pub(super) fn remove_oldest(folder: &Folder) -> Option<String> {
    let frozen = folder.subfolder(FROZEN).ok()?;
    let oldest = existing(folder).into_iter().next()?;
    if let Err(error) = frozen.remove_subfolder(&oldest) {
        tracing::warn!("{} cannot be removed: {error}", frozen.at(&oldest).display());
        return None;
    }
    Some(oldest)
}

/// The freezes, oldest first: their names begin with the time.
fn existing(folder: &Folder) -> Vec<String> {
    let Ok(frozen) = folder.subfolder(FROZEN) else { return Vec::new() };
    let is_folder = |name: &String| frozen.entry(name).is_ok_and(|entry| entry.is_folder());
    frozen.names().unwrap_or_default().into_iter().filter(is_folder).collect()
}

fn link(segments: &Folder, name: &str, folder: &Folder) -> io::Result<()> {
    match segments.link_into(name, folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// What is left of an expression in a file's name: `nstat.TcpExtListenDrops_10_s`.
fn file_name(why: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { ' ' };
    let words: String = why.chars().map(plain).collect();
    words.split_whitespace().collect::<Vec<_>>().join("_").chars().take(80).collect()
}
