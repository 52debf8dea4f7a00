//! A recording: captures, sources and the recorder, put together, begun and ended in the order that loses nothing.
//!
//! Everything that needs rights is opened in [`Recording::open`]; nothing is read before [`Opened::begin`].

use crate::log_file::LogFile;
use crate::metrics::Metrics;
use crate::probe::recorded::{self, Prober};
use crate::recorder::{Described, Opening, Recorder, Summary};
use crate::rights::Rights;
use crate::source::SOURCES;
use crate::source::capture::{CaptureError, CaptureSettings, Running};
use crate::source::watch::{Confine, Watch, WatchSettings};
use crate::source::{Capture, Event, Pace, Target, host_identity};
use crate::trigger::{Trigger, unknown_counter};
use anyhow::{Context as _, Result, bail};
use dropscope_review::Growth;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Events that may wait for the recorder. A batch is full at half a megabyte, so that this bounds memory; what does not fit
/// waits in the kernel's ring, which counts what it loses.
const MOST_WAITING: usize = 32;

/// How long the first reading of all counters is waited for.
const FIRST_READING: Duration = Duration::from_secs(3);

/// What to record.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Namespaces whose counters are read.
    pub(crate) watched: Vec<Target>,
    /// What is captured where.
    pub(crate) captures: Vec<(Target, CaptureSettings)>,
    /// How the sources are read.
    pub(crate) sources: WatchSettings,
    /// What freezes the minutes around it, in a log of segments.
    pub(crate) triggers: Vec<Trigger>,
    /// What is probed meanwhile, from the first of `watched`.
    pub(crate) probes: recorded::Plan,
}

/// A recording for which everything is open.
pub(crate) struct Opened {
    captures: Vec<Capture>,
    watch: Watch,
    prober: Option<Prober>,
    watched: Vec<Target>,
    triggers: Vec<Trigger>,
    send: SyncSender<Event>,
    receive: Receiver<Event>,
}

/// A recording that is under way.
#[derive(Debug)]
pub(crate) struct Recording {
    watched: Vec<Target>,
    captures: Vec<Running>,
    watch: Watch,
    prober: Option<Prober>,
    recorder: Recorder,
    metrics: Arc<Metrics>,
}

impl Plan {
    /// Opens every capture and source. Packets wait in the rings from here on.
    ///
    /// The threads that do so keep what `rights` leave them; the calling thread's are its own business.
    pub(crate) fn open(&self, rights: &Rights) -> Result<Opened> {
        self.check_triggers()?;
        let (send, receive) = sync_channel(MOST_WAITING);
        let mut without = Vec::new();
        let mut captures: Vec<Capture> = Vec::new();
        for (target, settings) in &self.captures {
            match Capture::open(captures.len() as u32, target, settings) {
                Ok(capture) => captures.push(capture),
                // Counters can still be read.
                Err(CaptureError::Denied { .. }) => without.push(format!(
                    "packets: on {} in {}, nothing is captured; that takes root or CAP_NET_RAW.",
                    settings.interface, target.name
                )),
                Err(error) => return Err(error.into()),
            }
        }
        let confining = rights.clone();
        let confine = Confine(Arc::new(move |keep: &[_]| confining.confine(keep).map_err(|error| format!("{error:#}"))));
        let sources = WatchSettings { confine: Some(confine), ..self.sources.clone() };
        let mut watch = Watch::open(&self.watched, &sources, &send)?;
        watch.limits.splice(0..0, without);
        let prober = match self.watched.first() {
            Some(place) => Prober::open(&self.probes, place, rights, &send)?,
            None => None,
        };
        let watched = self.watched.clone();
        Ok(Opened { watched, captures, watch, prober, triggers: self.triggers.clone(), send, receive })
    }

    /// Leaves the connection to a server out of what is captured in the namespace from which it is reached.
    pub(crate) fn leave_out(&mut self, server: Option<SocketAddr>) -> Result<()> {
        let here = Target::host()?;
        for (target, settings) in &mut self.captures {
            if target.netns == here.netns {
                settings.leave_out_server = server;
            }
        }
        Ok(())
    }

    /// Reads the counters once, where a trigger names one: a name that is wrong would never fire.
    fn check_triggers(&self) -> Result<()> {
        if self.triggers.iter().all(|trigger| trigger.counter().is_none()) {
            return Ok(());
        }
        let (send, receive) = sync_channel(MOST_WAITING);
        // No reason of a drop is a name that has to be known, and loading the program for them takes longest.
        let mut settings = self.sources.clone();
        settings.without.push("kernel_drops".into());
        let watch = Watch::open(&self.watched, &settings, &send)?;
        watch.start();
        let mut known = BTreeSet::new();
        let deadline = Instant::now() + FIRST_READING;
        // Each thread's first sample has all its sources; those of the whole host come one by one.
        for _ in 0..self.watched.len() + SOURCES.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(Event::Sample(sample)) = receive.recv_timeout(left) else { break };
            known.extend(sample.readings.iter().map(|reading| reading.name.key.to_string()));
            if self.triggers.iter().all(|trigger| unknown_counter(trigger, &known).is_none()) {
                break;
            }
        }
        drop(receive);
        watch.stop();
        match self.triggers.iter().find_map(|trigger| unknown_counter(trigger, &known)) {
            // Where nothing at all could be read, that is told elsewhere.
            Some(why) if !known.is_empty() => bail!("{why}"),
            _ => Ok(()),
        }
    }
}

impl Opened {
    /// What cannot be read, in full sentences.
    pub(crate) fn limits(&self) -> &[String] {
        &self.watch.limits
    }

    /// Begins to record into `log`, at a pace.
    pub(crate) fn begin(self, log: LogFile, pace: Pace) -> Result<Recording> {
        let places: Vec<_> = self.captures.iter().map(|capture| (capture.netns, capture.interface.as_str())).collect();
        let namespaces = self.watched.iter().map(|target| (target.netns, target.name.clone())).collect();
        let metrics = Arc::new(Metrics::new(namespaces, &places));
        let opening = Opening {
            host: host_identity::read(),
            captures: self.captures.iter().map(Described::of).collect(),
            limits: self.watch.limits.clone(),
            metrics: Arc::clone(&metrics),
            triggers: self.triggers,
            pace: pace.clone(),
        };
        let recorder = Recorder::start(log, opening, self.receive).context("no thread for the recorder can be had")?;
        let start =
            |capture: Capture| capture.start(self.send.clone(), pace.clone()).context("no thread for a capture can be had");
        let captures = self.captures.into_iter().map(start).collect::<Result<_>>()?;
        self.watch.start();
        if let Some(prober) = &self.prober {
            prober.start();
        }
        // The recorder ends when the last sender is gone; `send` goes here, the others with their threads.
        Ok(Recording { watched: self.watched, captures, watch: self.watch, prober: self.prober, recorder, metrics })
    }
}

impl Recording {
    /// Waits until every source has been read once: what happens from then on shows as steps of the counters.
    pub(crate) fn wait_for_first_reading(&mut self) {
        self.watch.wait_for_first_reading(FIRST_READING);
    }

    /// What it counts of its own work.
    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// How far the log is on disk, and when it ends.
    pub(crate) fn growth(&self) -> tokio::sync::watch::Receiver<Growth> {
        self.recorder.growth()
    }

    /// Waits until it ends by itself: its log can no longer be written, or all that it watches is gone.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut over = self.recorder.over();
        let watched: Vec<_> = self.watched.iter().map(|target| target.presence().is_gone()).collect();
        async move {
            let all_gone = async {
                for mut one in watched {
                    // An error says that the recording is gone, whose end is told by the recorder's.
                    if one.wait_for(|is_gone| *is_gone).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::select! {
                // Nothing is ever sent: an error says that the recorder is gone.
                _ = over.changed() => {}
                () = all_gone => {}
            }
        }
    }

    /// Ends it: what lies in the rings is taken along, then the counters are read once more, so that they cover every packet.
    pub(crate) fn end(self) -> Summary {
        if let Some(prober) = self.prober {
            prober.stop();
        }
        for capture in self.captures {
            capture.stop();
        }
        self.watch.stop();
        let mut summary = self.recorder.join();
        if self.watched.iter().all(|target| *target.presence().is_gone().borrow()) {
            let names: Vec<&str> = self.watched.iter().map(|target| target.name.as_str()).collect();
            let why = format!(
                "it ended, since {} is gone. What has that name next is another namespace: start again to record it, as the service does by itself.",
                names.join(" and ")
            );
            summary.trouble.get_or_insert(why);
        }
        summary
    }
}
