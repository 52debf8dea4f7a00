//! Triggers by finding: the engine reads the segments behind the recorder, as a viewer would, and tells what it finds.
//!
//! It reads files and holds up nobody. Its memory is bounded by beginning anew with a segment, each of which can be judged
//! alone. When it falls behind what is kept, it goes on with the oldest segment there is.

use crate::segments::{Progress, list_in};
use crate::trigger::{Fired, Trigger};
use dropscope_core::finding::Finding;
use dropscope_core::query::Engine;
use dropscope_review::Folder;
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks at what was recorded since.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The engine begins anew with the segment after it has read so many bytes.
const MOST_JUDGED: u64 = 64 << 20;
/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// Starts to read the recording in `folder` on a thread of its own, which ends with the recording, and tells when one of these
/// triggers fires.
///
/// # Errors
/// When no thread can be had.
pub(crate) fn start(
    folder: &Folder,
    triggers: Vec<Trigger>,
    progress: watch::Receiver<Progress>,
    tell: SyncSender<Fired>,
) -> io::Result<()> {
    let mut judge = Judge {
        folder: folder.clone(),
        triggers,
        engine: Engine::new(),
        generation: 0,
        number: progress.borrow().number,
        at: 0,
        told: HashMap::new(),
    };
    std::thread::Builder::new().name("findings".into()).spawn(move || {
        loop {
            let now = progress.borrow().clone();
            if let Err(error) = judge.catch_up(&now) {
                tracing::debug!("findings are looked for again later: {error}");
            }
            for fired in judge.fired() {
                if tell.send(fired).is_err() {
                    return;
                }
            }
            if now.ended || progress.has_changed().is_err() {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    })?;
    Ok(())
}

struct Judge {
    folder: Folder,
    triggers: Vec<Trigger>,
    engine: Engine,
    /// How often it began anew.
    generation: u64,
    /// The segment it reads, and how far.
    number: u64,
    at: u64,
    /// What was told, and in which generation it was last there: it may be told again once it was gone for a whole one.
    told: HashMap<String, u64>,
}

impl Judge {
    /// Reads what is new.
    fn catch_up(&mut self, now: &Progress) -> io::Result<()> {
        while self.number <= now.number {
            let stored = list_in(&self.folder)?;
            let Some(segment) = stored.iter().find(|one| one.number >= self.number) else { return Ok(()) };
            if segment.number != self.number {
                self.begin_anew(segment.number);
            }
            let is_current = segment.number >= now.number;
            let end = if is_current { now.bytes } else { segment.bytes };
            let file = match self.folder.open_file(&segment.name) {
                Ok(file) => file,
                // It was just removed: the next turn finds the oldest that is left.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let mut chunk = vec![0; CHUNK];
            while self.at < end {
                let most = CHUNK.min(usize::try_from(end - self.at).unwrap_or(CHUNK));
                let length = file.read_at(&mut chunk[..most], self.at)?;
                if length == 0 {
                    break;
                }
                self.engine.push(&chunk[..length]);
                self.at += length as u64;
            }
            if is_current {
                return Ok(());
            }
            (self.number, self.at) = (segment.number + 1, 0);
            if self.engine.progress().bytes_read > MOST_JUDGED {
                self.begin_anew(self.number);
            }
        }
        Ok(())
    }

    fn begin_anew(&mut self, number: u64) {
        self.engine = Engine::new();
        self.generation += 1;
        (self.number, self.at) = (number, 0);
        self.told.retain(|_, last| *last + 1 >= self.generation);
    }

    /// What is found now and was not told yet.
    fn fired(&mut self) -> Vec<Fired> {
        self.engine.judge();
        let mut fired = Vec::new();
        for finding in &self.engine.findings().findings {
            let trigger = self.triggers.iter().find(|trigger| trigger.finding().is_some_and(|alarm| alarm.is_raised_by(finding)));
            let Some(trigger) = trigger else { continue };
            if self.told.insert(subject(finding), self.generation).is_none() {
                fired.push(Fired { trigger: trigger.text.clone(), what: finding.sentence.trim_end_matches('.').to_owned() });
            }
        }
        fired
    }
}

/// What a finding is about: the same cause, whichever segment it is found in.
fn subject(finding: &Finding) -> String {
    format!("{} {:?}", finding.rule, finding.subject)
}
