//! The recorder: the only writer of a log.
//!
//! Capture threads and sources send it what they have over one bounded channel. Packets come as the blocks they will be; the
//! rest it encodes. All of it is written in the order in which it comes, in whole blocks and at the recording's pace; then the
//! published length rises, which wakes the viewers. The recorder waits for nobody but the disk. While the disk takes nothing it
//! keeps a bounded number of bytes; what comes after those is counted, and told in the log once there is room again. A log in
//! segments begins each with everything a reader needs; there a full disk takes the oldest segments first.
//!
//! ```text
//! events ─▶ encode ─▶ pending blocks ─▶ write ─▶ published length
//!                        ▲    │ the disk is full: kept, tried again
//!                        └────┘ more than MOST_PENDING: counted as lost, told later
//! ```
//! Here is what the rest of the agent sees of it: what it begins with, its thread, what it answers at the end.

mod lane;
mod writer;

pub(crate) use lane::Described;

use crate::log_file::LogFile;
use crate::metrics::Metrics;
use crate::source::{Event, Pace};
use crate::trigger::Trigger;
use dropscope_core::log::block::Host;
use dropscope_review::Growth;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use tokio::sync::watch;
use writer::Writer;

/// What a log begins with.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The host, without its namespaces.
    pub(crate) host: Host,
    /// The captures, in the order of their numbers.
    pub(crate) captures: Vec<Described>,
    /// What cannot be read, in full sentences.
    pub(crate) limits: Vec<String>,
    /// Where each event is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// What freezes the minutes around it, in a log of segments.
    pub(crate) triggers: Vec<Trigger>,
    /// How long what comes may wait to be written.
    pub(crate) pace: Pace,
}

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Bytes of the log.
    pub(crate) bytes: u64,
    /// For each capture its interface's name, packets in the log, packets it lost.
    pub(crate) captures: Vec<(String, u64, u64)>,
    /// What ended before the recording did, or is missing from the log, in full sentences.
    pub(crate) missing: Vec<String>,
    /// Why it ended early: the log could no longer be written.
    pub(crate) trouble: Option<String>,
}

/// A recorder at work on a thread of its own.
#[derive(Debug)]
pub(crate) struct Recorder {
    thread: JoinHandle<Summary>,
    growth: watch::Receiver<Growth>,
    over: watch::Receiver<()>,
}

impl Recorder {
    /// Starts to write what comes from `events`, until all its senders are gone.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(crate) fn start(log: LogFile, opening: Opening, events: Receiver<Event>) -> io::Result<Self> {
        let (tell, growth) = watch::channel(Growth::default());
        let metrics = Arc::clone(&opening.metrics);
        let writer = Writer::begin(log, opening, tell);
        let (working, over) = watch::channel(());
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || {
            let summary = writer.run(&events, &metrics);
            drop(working);
            summary
        })?;
        Ok(Self { thread, growth, over })
    }

    /// Changes once, to an error: when the log has ended. Whoever waits for that is not woken by its growth.
    pub(crate) fn over(&self) -> watch::Receiver<()> {
        self.over.clone()
    }

    /// How far the log is on disk, and when it ends.
    pub(crate) fn growth(&self) -> watch::Receiver<Growth> {
        self.growth.clone()
    }

    /// Waits for the end of the log. All senders must be gone, or this waits for ever.
    pub(crate) fn join(self) -> Summary {
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
