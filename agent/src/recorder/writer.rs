//! The recorder's work: events in, whole blocks of a log out.

use super::lane::{Described, Lane};
use super::{Opening, Summary};
use crate::finding_watch;
use crate::log_file::LogFile;
use crate::metrics::Metrics;
use crate::source::catalogue::Registry;
use crate::source::clock::realtime_ns;
use crate::source::{CaptureStatistics, Event, Pace, Sample};
use crate::trigger::{CounterTriggers, Fired, Trigger};
use dropscope_core::log::block::Mark;
use dropscope_core::log::record::{FileFormat, Record, Section};
use dropscope_core::log::{Encoder, TooLong};
use dropscope_core::query::is_known_mark;
use dropscope_review::Growth;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Between two writes at least, but for many bytes: what several captures hand on at one moment is one write.
const FLUSH_EVERY: Duration = Duration::from_millis(20);
/// Blocks are written earlier when there are so many bytes of them. A batch that is as long is written from its own buffer: to
/// copy it costs more than a system call.
const FLUSH_AT: usize = 64 << 10;
/// What was written is asked onto the disk itself after so long, with all that was written by then: at the steady pace, every
/// other write.
const SYNC_AFTER: Duration = Pace::STEADY;
/// A sync that would be due so soon goes along with a write, so that this thread need not wake for it.
const SYNC_ALONG: Duration = Duration::from_millis(100);
/// A disk that takes nothing is tried again after so long.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// What the buffer of pending blocks may grow to and keep.
const KEPT_PENDING: usize = 2 << 20;
/// Bytes of blocks that are kept while the disk takes nothing.
const MOST_PENDING: usize = 8 << 20;
/// Sentences on what the log lacks that are said at the end.
const MOST_MISSING: usize = 16;
/// Triggers by finding that may wait; then the engine waits.
const MOST_FOUND: usize = 16;

pub(super) struct Writer {
    log: LogFile,
    /// What each section begins with.
    section: Section,
    encoder: Encoder,
    registry: Registry,
    lanes: Vec<Lane>,
    pending: Vec<u8>,
    flush_at: Option<Instant>,
    flushed_at: Instant,
    /// When what was written since the last time is to be put on the disk.
    sync_at: Option<Instant>,
    tell: watch::Sender<Growth>,
    /// Since when the disk takes nothing, and what it says.
    stuck: Option<(Instant, io::Error)>,
    /// Whether records were left out while it did, so that everything has to be said again.
    gap: bool,
    pace: Pace,
    triggers: CounterTriggers,
    /// Triggers by finding that happened.
    found: Receiver<Fired>,
    /// Why nobody can read what is written any more.
    removed: Option<String>,
    /// What ended before the recording did, or is missing from the log, in full sentences: it is not the whole that was asked for.
    missing: Vec<String>,
}

impl Writer {
    pub(super) fn begin(log: LogFile, opening: Opening, tell: watch::Sender<Growth>) -> Self {
        let section = Section {
            format: FileFormat::PcapNg,
            hardware: Some(opening.host.machine.clone()),
            os: Some(format!("Linux {}", opening.host.kernel)),
            application: Some(opening.host.agent.clone()),
            comments: Vec::new(),
        };
        let mut registry = Registry::new(opening.host);
        for limit in opening.limits {
            registry.limit(limit);
        }
        let (tell_found, found) = sync_channel(MOST_FOUND);
        let now = Instant::now();
        let mut writer = Self {
            log,
            encoder: Encoder::begin(&section, &mut Vec::new()),
            section,
            registry,
            lanes: (0..).zip(opening.captures).map(|(number, capture)| Lane::new(number, capture)).collect(),
            pending: Vec::new(),
            flush_at: Some(now),
            flushed_at: now,
            sync_at: None,
            tell,
            stuck: None,
            gap: false,
            pace: opening.pace,
            triggers: CounterTriggers::of(&opening.triggers),
            found,
            removed: None,
            missing: Vec::new(),
        };
        writer.begin_section();
        let names: Vec<&str> = writer.lanes.iter().map(|lane| lane.capture.name.as_str()).collect();
        let mut began = match names.as_slice() {
            [] => "Recording of counters began.".to_owned(),
            names => format!("Recording on {} began.", names.join(", ")),
        };
        if let Some(reopened) = writer.log.segments().and_then(|segments| segments.reopened.take()) {
            began = format!("{began} {reopened}");
        }
        writer.mark("recording_started", began, None);
        writer.look_for_findings(opening.triggers, tell_found);
        writer
    }

    /// Has the engine read the log behind this recorder, where a trigger asks for what it finds.
    fn look_for_findings(&mut self, mut triggers: Vec<Trigger>, tell: SyncSender<Fired>) {
        triggers.retain(|trigger| trigger.finding().is_some());
        if let Some(segments) = self.log.segments().filter(|_| !triggers.is_empty())
            && let Err(error) = finding_watch::start(segments.folder(), triggers, segments.progress(), tell)
        {
            let text = format!("Triggers by finding do not work: {error}.");
            self.is_missing(text.clone());
            self.mark("source_failed", text, None);
        }
    }

    /// Begins a section: the log's first, or its next segment. A segment that cannot be begun leaves the one before going on.
    fn begin_section(&mut self) {
        let Some(segment) = self.log.segments().map(|segments| segments.next()) else {
            let head = self.head(Vec::new());
            return self.pending.extend(head);
        };
        let head = self.head(vec![segment.comment()]);
        let begun = self.log.begin_segment(&head);
        if let Err(error) = begun {
            tracing::warn!("no new segment can be begun: {error}; the one before goes on");
        }
    }

    /// Everything a section has to begin with: its head, the captures, and what holds now.
    fn head(&mut self, comments: Vec<String>) -> Vec<u8> {
        let pending = std::mem::take(&mut self.pending);
        self.encoder = Encoder::begin(&Section { comments, ..self.section.clone() }, &mut self.pending);
        let os = self.section.os.clone().unwrap_or_default();
        for lane in &self.lanes {
            let id = self.encoder.interface(&lane.capture.interface(&os), &mut self.pending);
            debug_assert_eq!(id, lane.statistics().interface, "captures bear the numbers of their interfaces");
        }
        for record in self.registry.restate(realtime_ns()) {
            self.record(&record);
        }
        for lane in self.lanes.iter().filter(|lane| lane.has_counted()) {
            self.encoder.statistics(&lane.statistics(), &mut self.pending);
        }
        std::mem::replace(&mut self.pending, pending)
    }

    /// Writes what comes, until all senders are gone or the log can never be written again.
    pub(super) fn run(mut self, events: &Receiver<Event>, metrics: &Metrics) -> Summary {
        self.pace.is_set_by_this_thread();
        loop {
            match events.try_recv() {
                Ok(event) => {
                    metrics.see(&event);
                    if !self.take(event) {
                        return self.end();
                    }
                }
                Err(TryRecvError::Empty) => {
                    if !self.do_what_is_due() {
                        return self.end();
                    }
                    let look_at = Instant::now() + self.pace.interval();
                    let next = self.flush_at.into_iter().chain(self.sync_at).fold(look_at, Instant::min);
                    std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
                }
                Err(TryRecvError::Disconnected) => return self.end(),
            }
        }
    }

    /// What the clock asks for, once everything that came is taken. False when the log can never be written again.
    fn do_what_is_due(&mut self) -> bool {
        while let Ok(fired) = self.found.try_recv() {
            self.fire(&fired);
        }
        let now = Instant::now();
        let writes = self.flush_at.is_some_and(|at| at <= now);
        if writes && !self.flush() {
            return false;
        }
        if self.sync_at.is_some_and(|at| at <= now + if writes { SYNC_ALONG } else { Duration::ZERO }) {
            self.sync_at = None;
            self.log.sync_soon();
            if self.log.is_removed() {
                let why = "its file was removed while it was being written";
                tracing::warn!("the log ends: {why}");
                self.removed = Some(why.to_owned());
                return false;
            }
        }
        true
    }

    /// Takes what came. False when the log can never be written again.
    fn take(&mut self, event: Event) -> bool {
        // That a capture ended comes once, and is short.
        if self.pending.len() > MOST_PENDING && !matches!(event, Event::CaptureEnded { .. }) {
            self.leave_out(event);
            return true;
        }
        match event {
            Event::Packets(batch) => {
                self.pace.taken(batch.bytes());
                if batch.bytes() >= FLUSH_AT && !self.flush_from(1) {
                    return false;
                }
                if let Some(lane) = self.lane(batch.capture) {
                    self.lanes[lane].take(batch, &mut self.pending);
                }
            }
            Event::Sample(sample) => self.sample(sample),
            Event::Capture(statistics) => self.statistics(statistics),
            Event::CaptureEnded { capture, at_ns, why } => {
                tracing::warn!("{why}");
                self.is_missing(why.clone());
                let of = self.lane(capture).map(|at| &self.lanes[at].capture);
                let (netns, ifindex) = of.map(|of| (of.netns.0, of.ifindex)).unzip();
                self.record(&Record::Mark(Mark { at_ns, kind: "source_failed".into(), text: why, netns, ifindex }));
            }
        }
        self.flush_soon();
        self.flush_from(FLUSH_AT)
    }

    /// Has what is pending written, but [`FLUSH_EVERY`] after what was written before.
    fn flush_soon(&mut self) {
        self.flush_at.get_or_insert(self.flushed_at + FLUSH_EVERY);
    }

    /// Where a capture's lane is.
    fn lane(&self, capture: u32) -> Option<usize> {
        usize::try_from(capture).ok().filter(|at| *at < self.lanes.len())
    }

    fn sample(&mut self, sample: Sample) {
        for fired in self.triggers.judge(&sample) {
            self.fire(&fired);
        }
        for record in self.registry.records(sample) {
            self.record(&record);
        }
    }

    /// Freezes the time around a trigger, and says so.
    fn fire(&mut self, fired: &Fired) {
        let Some(segments) = self.log.segments() else { return };
        let kept = match segments.freeze(&fired.trigger) {
            Ok(place) => place,
            Err(error) => format!("what was recorded around it could not be frozen: {error}"),
        };
        let text = format!("Trigger {}: {}; {kept}.", fired.trigger, fired.what);
        tracing::warn!("{text}");
        self.mark("trigger", text, None);
        self.flush_soon();
    }

    fn statistics(&mut self, now: CaptureStatistics) {
        let Some(lane) = self.lane(now.capture).map(|at| &mut self.lanes[at]) else { return };
        let Some(lost) = lane.count(now) else { return };
        self.encoder.statistics(&lane.statistics(), &mut self.pending);
        let (sample, of) = (lane.sample(), lane.capture.clone());
        self.sample(sample);
        if lost > 0 {
            let text = format!("The capture on {} lost {lost} packets: they came faster than they were taken.", of.name);
            tracing::warn!("{text}");
            self.mark("capture_lost", text, Some(&of));
        }
    }

    /// Counts what can no longer be kept.
    fn leave_out(&mut self, event: Event) {
        match event {
            Event::Packets(batch) => {
                self.pace.taken(batch.bytes());
                if let Some(at) = self.lane(batch.capture) {
                    self.lanes[at].leave_out(&batch);
                }
            }
            // The registry goes on, so that numbers and changes stay right; its records are said again later.
            Event::Sample(sample) => drop(self.registry.records(sample)),
            Event::Capture(_) | Event::CaptureEnded { .. } => {}
        }
        self.gap = true;
    }

    /// Remembers for the end what the log lacks.
    fn is_missing(&mut self, sentence: String) {
        if self.missing.len() < MOST_MISSING {
            self.missing.push(sentence);
        }
    }

    fn mark(&mut self, kind: &str, text: String, of: Option<&Described>) {
        debug_assert!(is_known_mark(kind), "core tells in a remark, or keeps silent of, every kind of mark: not of {kind}");
        let (netns, ifindex) = of.map(|capture| (capture.netns.0, capture.ifindex)).unzip();
        self.record(&Record::Mark(Mark { at_ns: realtime_ns(), kind: kind.into(), text, netns, ifindex }));
    }

    fn record(&mut self, record: &Record<'static>) {
        if let Err(error) = encode(&self.encoder, record, &mut self.pending) {
            // Only a rule set of many ten thousand rules gets there.
            self.mark("source_failed", format!("Something that was read is not in the log: {error}."), None);
        }
    }

    /// Writes what is pending if it is so many bytes and the disk takes some. False when the log can never be written again.
    fn flush_from(&mut self, bytes: usize) -> bool {
        self.pending.len() < bytes || self.stuck.is_some() || self.flush()
    }

    /// Writes what is pending. False when the log can never be written again.
    fn flush(&mut self) -> bool {
        let before = self.log.length();
        let appended = self.log.append(&self.pending);
        if appended.is_err() {
            self.keep_unwritten(before);
        }
        match appended {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.stuck = Some((Instant::now(), error));
                return false;
            }
            Err(error) => {
                self.flush_at = Some(Instant::now() + RETRY_EVERY);
                if self.stuck.is_none() {
                    tracing::warn!("the log cannot be written: {error}; trying again until it can");
                    self.stuck = Some((Instant::now(), error));
                }
                return true;
            }
        }
        self.pending.clear();
        self.pending.shrink_to(KEPT_PENDING);
        self.flush_at = None;
        self.flushed_at = Instant::now();
        self.tell.send_modify(|growth| growth.bytes = self.log.length());
        self.sync_at.get_or_insert_with(|| Instant::now() + SYNC_AFTER);
        self.go_on_in_segments();
        if let Some((since, error)) = self.stuck.take() {
            self.tell_of_gap(since, &error);
        }
        true
    }

    /// Keeps what did not fit, after what did was published.
    fn keep_unwritten(&mut self, before: u64) {
        let written = usize::try_from(self.log.length() - before).unwrap_or(usize::MAX).min(self.pending.len());
        if written > 0 {
            self.pending.drain(..written);
            self.tell.send_modify(|growth| growth.bytes = self.log.length());
            self.sync_at.get_or_insert_with(|| Instant::now() + SYNC_AFTER);
            self.go_on_in_segments();
        }
    }

    /// Begins the next segment when it is time, and says what the log had to give up.
    fn go_on_in_segments(&mut self) {
        let Some(segments) = self.log.segments() else { return };
        let discarded = segments.take_discarded();
        if segments.is_due() {
            self.begin_section();
        }
        for text in discarded {
            tracing::warn!("{text}");
            self.mark("data_discarded", text, None);
            self.flush_at = Some(Instant::now());
        }
    }

    /// Says in the log what is missing from it, and again what still holds.
    fn tell_of_gap(&mut self, since: Instant, error: &io::Error) {
        tracing::warn!("the log can be written again");
        let unwritten: u64 = self.lanes.iter().map(|lane| lane.unwritten).sum();
        let seconds = since.elapsed().as_secs_f64();
        if std::mem::take(&mut self.gap) {
            let text =
                format!("The log could not be written for {seconds:.1} s ({error}); {unwritten} packets so far are not in it.");
            self.is_missing(text.clone());
            self.mark("capture_lost", text, None);
            for record in self.registry.restate(realtime_ns()) {
                self.record(&record);
            }
            self.flush_at = Some(Instant::now());
        }
    }

    fn end(mut self) -> Summary {
        for at in 0..self.lanes.len() {
            let lane = &self.lanes[at];
            self.encoder.statistics(&lane.statistics(), &mut self.pending);
        }
        let packets: u64 = self.lanes.iter().map(|lane| lane.packets).sum();
        self.mark("recording_stopped", format!("Recording ended after {packets} packets."), None);
        let is_written = self.stuck.as_ref().is_none_or(|(_, error)| error.kind() != io::ErrorKind::BrokenPipe)
            && self.flush()
            && self.stuck.is_none();
        // A mark of a gap, or a new segment, may have come of that flush.
        let is_written = is_written && (self.pending.is_empty() || (self.flush() && self.stuck.is_none()));
        if let Err(error) = self.log.sync() {
            tracing::debug!("the log was not put on the disk: {error}");
        }
        let trouble = self.removed.take().or_else(|| {
            (!is_written).then(|| {
                let why = self.stuck.as_ref().map(|(_, error)| error.to_string()).unwrap_or_default();
                format!("the last {} bytes could not be written: {why}", self.pending.len())
            })
        });
        if let Some(segments) = self.log.segments() {
            segments.end();
        }
        let why = trouble.clone().map_or_else(|| "The recording ended.".to_owned(), |why| format!("The recording ended; {why}."));
        self.tell.send_modify(|growth| growth.ended = Some(why));
        let captures = self.lanes.iter().map(|lane| (lane.capture.name.clone(), lane.packets, lane.lost())).collect();
        Summary { bytes: self.log.length(), captures, missing: self.missing, trouble }
    }
}

fn encode(encoder: &Encoder, record: &Record<'static>, out: &mut Vec<u8>) -> Result<(), TooLong> {
    match record {
        Record::Host(host) => encoder.record(&**host, out),
        Record::Clock(clock) => encoder.record(clock, out),
        Record::Catalogue(catalogue) => encoder.record(catalogue, out),
        Record::Snapshot(snapshot) => encoder.record(snapshot, out),
        Record::RuleSet(rules) => encoder.record(&**rules, out),
        Record::KernelDrop(drop) => encoder.record(&**drop, out),
        Record::Probe(probe) => encoder.record(&**probe, out),
        Record::Mark(mark) => encoder.record(mark, out),
        // What only a reader of other people's files meets: no source makes it.
        Record::Section(_)
        | Record::Interface(_)
        | Record::Packet(_)
        | Record::Statistics(_)
        | Record::Names(_)
        | Record::Skipped { .. } => Ok(()),
    }
}
