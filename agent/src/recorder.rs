//! The recorder: the only writer of a log.
//!
//! Capture threads and sources send it what they have over one bounded channel. It encodes whatever comes, in the order in
//! which it comes, and writes whole blocks at least every [`FLUSH_EVERY`]; then it raises the published length, which wakes the
//! viewers. It waits for nobody but the disk. While the disk takes nothing it keeps [`MOST_PENDING`] bytes; what comes after
//! those is counted, and told in the log once there is room again. A log in segments begins each with everything a reader
//! needs; there a full disk takes the oldest segments first.
//!
//! ```text
//! events ─▶ encode ─▶ pending blocks ─▶ write ─▶ published length
//!                        ▲    │ the disk is full: kept, tried again
//!                        └────┘ more than MOST_PENDING: counted as lost, told later
//! ```

use crate::finding_watch;
use crate::log_file::LogFile;
use crate::metrics::Metrics;
use crate::source::capture::{Direction, Packet};
use crate::source::catalogue::Registry;
use crate::source::clock::realtime_ns;
use crate::source::sample::{Family, Name};
use crate::source::{Batch, Capture, CaptureStatistics, Event, Sample};
use crate::trigger::{CounterTriggers, Fired, Trigger};
use dropscope_core::ids::{InterfaceId, NetnsId};
use dropscope_core::log::block::{CounterKind, Host, Mark, Station, Unit};
use dropscope_core::log::record::{FileFormat, Interface, Record, Section, Statistics, Watched};
use dropscope_core::log::{Encoder, PacketToWrite, TooLong};
use dropscope_core::time::Timestamp;
use dropscope_review::Growth;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Between two writes: blocks wait at most so long, which is what `kill -9` may cost and a viewer waits. After a pause they
/// are written at once, so that one event costs one wake.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Blocks are written earlier when there are so many bytes of them.
const FLUSH_AT: usize = 256 << 10;
/// What is written is asked onto the disk itself this often: what a power cut may cost.
const SYNC_EVERY: Duration = Duration::from_millis(500);
/// A disk that takes nothing is tried again after so long.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// Bytes of blocks that are kept while the disk takes nothing.
const MOST_PENDING: usize = 8 << 20;
/// Triggers by finding that may wait; then the engine waits.
const MOST_FOUND: usize = 16;

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
}

/// A capture as the log describes it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// Its namespace.
    pub(crate) netns: NetnsId,
    /// The kernel's number of its interface; 0 for `any`.
    pub(crate) ifindex: u32,
    /// Its interface's name.
    pub(crate) name: String,
    /// LINKTYPE_ value of its packets.
    pub(crate) link_type: u32,
    /// Bytes kept of each packet at most.
    pub(crate) snaplen: u32,
    /// The filter that is set; empty for none.
    pub(crate) filter: String,
}

impl Described {
    /// How the log describes an open capture.
    pub(crate) fn of(capture: &Capture) -> Self {
        Self {
            netns: capture.netns,
            ifindex: capture.ifindex,
            name: capture.interface.clone(),
            link_type: capture.link_type,
            snaplen: capture.snaplen,
            filter: capture.filter.clone(),
        }
    }

    fn interface(&self, os: &str) -> Interface {
        Interface {
            id: InterfaceId::default(),
            number: 0,
            link_type: self.link_type,
            snaplen: self.snaplen,
            name: Some(self.name.clone()),
            description: None,
            filter: Some(self.filter.clone()).filter(|filter| !filter.is_empty()),
            os: Some(os.to_owned()),
            ticks_per_second: 1_000_000_000,
            comments: vec![Watched { netns: self.netns, ifindex: self.ifindex }.comment()],
        }
    }
}

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Bytes of the log.
    pub(crate) bytes: u64,
    /// For each capture its interface's name, packets in the log, packets it lost.
    pub(crate) captures: Vec<(String, u64, u64)>,
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
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// One capture's part of the log.
struct Lane {
    capture: Described,
    id: InterfaceId,
    packets: u64,
    counted: CaptureStatistics,
    /// Lost since the packet before, to be told with the next one.
    lost_before: u64,
    /// Lost because the disk took nothing.
    unwritten: u64,
}

struct Writer {
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
    triggers: CounterTriggers,
    /// Triggers by finding that happened.
    found: Receiver<Fired>,
}

impl Writer {
    fn begin(log: LogFile, opening: Opening, tell: watch::Sender<Growth>) -> Self {
        let section = Section {
            format: FileFormat::PcapNg,
            hardware: Some(opening.host.machine.clone()),
            os: Some(format!("Linux {}", opening.host.kernel)),
            application: Some(opening.host.agent.clone()),
            comments: Vec::new(),
        };
        let lane = |(number, capture)| Lane {
            capture,
            id: InterfaceId(number),
            packets: 0,
            counted: CaptureStatistics::default(),
            lost_before: 0,
            unwritten: 0,
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
            lanes: (0..).zip(opening.captures).map(lane).collect(),
            pending: Vec::with_capacity(2 * FLUSH_AT),
            flush_at: Some(now),
            flushed_at: now,
            sync_at: None,
            tell,
            stuck: None,
            gap: false,
            triggers: CounterTriggers::of(&opening.triggers),
            found,
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
            self.mark("source_failed", format!("Triggers by finding do not work: {error}."), None);
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
        for lane in &mut self.lanes {
            lane.id = self.encoder.interface(&lane.capture.interface(&os), &mut self.pending);
        }
        for record in self.registry.restate(realtime_ns()) {
            self.record(&record);
        }
        for lane in self.lanes.iter().filter(|lane| lane.counted.at_ns != 0) {
            self.encoder.statistics(&lane.statistics(), &mut self.pending);
        }
        std::mem::replace(&mut self.pending, pending)
    }

    fn run(mut self, events: &Receiver<Event>, metrics: &Metrics) -> Summary {
        loop {
            let next = self.flush_at.into_iter().chain(self.sync_at).min();
            let wait = next.map_or(SYNC_EVERY, |at| at.saturating_duration_since(Instant::now()));
            match events.recv_timeout(wait) {
                Ok(event) => {
                    metrics.see(&event);
                    self.take(event);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
            while let Ok(fired) = self.found.try_recv() {
                self.fire(&fired);
            }
            let now = Instant::now();
            let is_due = self.flush_at.is_some_and(|at| at <= now) || (self.pending.len() >= FLUSH_AT && self.stuck.is_none());
            if is_due && !self.flush() {
                return self.end();
            }
            // A sync that would soon have to wake this thread goes along with a write.
            if self.sync_at.is_some_and(|at| at <= now + if is_due { FLUSH_EVERY } else { Duration::ZERO }) {
                self.sync_at = None;
                self.log.sync_soon();
            }
        }
    }

    fn take(&mut self, event: Event) {
        if self.pending.len() > MOST_PENDING {
            return self.leave_out(event);
        }
        match event {
            Event::Packets(batch) => self.packets(&batch),
            Event::Sample(sample) => self.sample(sample),
            Event::Capture(statistics) => self.statistics(statistics),
            Event::CaptureEnded { capture, at_ns, why } => {
                tracing::warn!("{why}");
                let lane = usize::try_from(capture).ok().and_then(|at| self.lanes.get(at));
                let (netns, ifindex) = lane.map(|lane| (lane.capture.netns.0, lane.capture.ifindex)).unzip();
                self.record(&Record::Mark(Mark { at_ns, kind: "source_failed".into(), text: why, netns, ifindex }));
            }
        }
        self.flush_soon();
    }

    /// Has what is pending written [`FLUSH_EVERY`] after what was written before.
    fn flush_soon(&mut self) {
        self.flush_at.get_or_insert(self.flushed_at + FLUSH_EVERY);
    }

    fn packets(&mut self, batch: &Batch) {
        let Some(lane) = usize::try_from(batch.capture).ok().and_then(|at| self.lanes.get_mut(at)) else { return };
        for packet in batch.packets() {
            let lost = std::mem::take(&mut lane.lost_before);
            self.encoder.packet(&to_write(&packet, lane.id, lost), &mut self.pending);
            lane.packets += 1;
        }
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
        let Some(lane) = usize::try_from(now.capture).ok().and_then(|at| self.lanes.get_mut(at)) else { return };
        let before = std::mem::replace(&mut lane.counted, now);
        if before.at_ns != 0 && before == (CaptureStatistics { at_ns: before.at_ns, ..now }) {
            return;
        }
        let lost = now.dropped.saturating_sub(before.dropped) + now.if_dropped.saturating_sub(before.if_dropped);
        lane.lost_before += lost;
        self.encoder.statistics(&lane.statistics(), &mut self.pending);
        let mut sample = Sample { at_ns: now.at_ns, ..Sample::default() };
        let counts = [
            ("capture.received", "ps_recv", now.received),
            ("capture.dropped", "ps_drop", now.dropped),
            ("capture.if_dropped", "ps_ifdrop", now.if_dropped),
        ];
        for (key, kernel_name, value) in counts {
            let (netns, ifindex) = (Some(lane.capture.netns.0), Some(lane.capture.ifindex));
            sample.read(&OF_CAPTURE, Name { key: key.into(), netns, ifindex, ..Name::default() }, kernel_name, value);
            if let Some(reading) = sample.readings.last_mut() {
                reading.ifname = Some(lane.capture.name.as_str().into());
            }
        }
        let text = format!("The capture on {} lost {lost} packets: they came faster than they were taken.", lane.capture.name);
        let of = lane.capture.clone();
        self.sample(sample);
        if lost > 0 {
            tracing::warn!("{text}");
            self.mark("capture_lost", text, Some(&of));
        }
    }

    /// Counts what can no longer be kept.
    fn leave_out(&mut self, event: Event) {
        match event {
            Event::Packets(batch) => {
                if let Some(lane) = usize::try_from(batch.capture).ok().and_then(|at| self.lanes.get_mut(at)) {
                    lane.unwritten += batch.len() as u64;
                    lane.lost_before += batch.len() as u64;
                }
            }
            // The registry goes on, so that numbers and changes stay right; its records are said again later.
            Event::Sample(sample) => drop(self.registry.records(sample)),
            Event::Capture(_) | Event::CaptureEnded { .. } => {}
        }
        self.gap = true;
    }

    fn mark(&mut self, kind: &str, text: String, of: Option<&Described>) {
        let (netns, ifindex) = of.map(|capture| (capture.netns.0, capture.ifindex)).unzip();
        self.record(&Record::Mark(Mark { at_ns: realtime_ns(), kind: kind.into(), text, netns, ifindex }));
    }

    fn record(&mut self, record: &Record<'static>) {
        if let Err(error) = encode(&self.encoder, record, &mut self.pending) {
            // Only a rule set of many ten thousand rules gets there.
            self.mark("source_failed", format!("Something that was read is not in the log: {error}."), None);
        }
    }

    /// Writes what is pending. False when the log can never be written again.
    fn flush(&mut self) -> bool {
        match self.log.append(&self.pending) {
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
        self.pending.shrink_to(2 * FLUSH_AT);
        self.flush_at = None;
        self.flushed_at = Instant::now();
        self.tell.send_modify(|growth| growth.bytes = self.log.length());
        self.sync_at.get_or_insert_with(|| Instant::now() + SYNC_EVERY);
        self.go_on_in_segments();
        if let Some((since, error)) = self.stuck.take() {
            self.tell_of_gap(since, &error);
        }
        true
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
        let trouble = (!is_written).then(|| {
            let why = self.stuck.as_ref().map(|(_, error)| error.to_string()).unwrap_or_default();
            format!("the last {} bytes could not be written: {why}", self.pending.len())
        });
        if let Some(segments) = self.log.segments() {
            segments.end();
        }
        let why = trouble.clone().map_or_else(|| "The recording ended.".to_owned(), |why| format!("The recording ended; {why}."));
        self.tell.send_modify(|growth| growth.ended = Some(why));
        let captures = self.lanes.iter().map(|lane| (lane.capture.name.clone(), lane.packets, lane.lost())).collect();
        Summary { bytes: self.log.length(), captures, trouble }
    }
}

impl Lane {
    fn statistics(&self) -> Statistics {
        Statistics {
            interface: self.id,
            time: Timestamp::from_nanos(if self.counted.at_ns == 0 { realtime_ns() } else { self.counted.at_ns }),
            received: Some(self.counted.received),
            if_dropped: Some(self.counted.if_dropped),
            os_dropped: Some(self.counted.dropped),
            delivered: Some(self.counted.delivered.saturating_sub(self.unwritten)),
        }
    }

    fn lost(&self) -> u64 {
        self.counted.dropped + self.counted.if_dropped + self.unwritten
    }
}

/// What a capture's own counters have in common.
static OF_CAPTURE: Family =
    Family { unit: Unit::Packets, kind: CounterKind::Monotonic, source: "pcap_stats", station: Some(Station::Capture) };

fn to_write<'a>(packet: &Packet<'a>, interface: InterfaceId, lost: u64) -> PacketToWrite<'a> {
    PacketToWrite {
        interface,
        time: Timestamp::from_nanos(packet.at_ns),
        wire_len: packet.wire_len,
        data: packet.data,
        // The two lowest bits of epb_flags: 01 inbound, 10 outbound.
        flags: packet.direction.map(|direction| match direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        }),
        drop_count: (lost > 0).then_some(lost),
        comment: None,
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
