//! Running the sources: one thread in each watched namespace, one for each source of the whole host.
//!
//! Opening and reading are two steps, so that rights can be dropped between them: [`Watch::open`] enters the namespaces and
//! opens every source while the agent still may, and has each thread give up what reading does not take; [`Watch::start`]
//! begins to read. A thread reads its sources one after the
//! other into one sample, so a snapshot of a namespace is one moment for all of them.

use super::netns::{NetnsError, Target};
use super::{Capability, Event, SOURCES, Sample, Scene, Scope, Sender, Source, SourceError, SourceKind, Tracing};
use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Gives up the calling thread's rights, but for some capabilities.
#[derive(Clone)]
pub struct Confine(pub Arc<GiveUp>);

/// What a [`Confine`] calls; an error says what could not be given up.
pub type GiveUp = dyn Fn(&[Capability]) -> Result<(), String> + Send + Sync;

impl std::fmt::Debug for Confine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Confine")
    }
}

/// Why the sources cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// A namespace cannot be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A thread could not give up its rights.
    #[error("rights cannot be given up: {0}")]
    Rights(String),
}

/// What to run.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    /// The shortest time between two readings of a source whose own interval is a second. Others keep their proportion.
    pub interval: Duration,
    /// Sources not to open, by name.
    pub without: Vec<String>,
    /// How drops of the kernel are traced.
    pub tracing: Tracing,
    /// Called once on each thread when its sources are open, with the capabilities that reading them takes: Linux keeps
    /// capabilities by thread, so the others are dropped here. What it answers as an error ends the watch before it begins.
    pub confine: Option<Confine>,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), without: Vec::new(), tracing: Tracing::default(), confine: None }
    }
}

/// The running sources.
#[derive(Debug)]
pub struct Watch {
    phase: Arc<(Mutex<Phase>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
    /// Each thread holds the other end until it has read its sources once.
    unread: (SyncSender<Infallible>, Receiver<Infallible>),
    /// What could not be opened, in full sentences.
    pub limits: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opened,
    Reading,
    /// To end after one last reading, and be it the first: whoever stops before a thread has woken still learns what was there.
    Stopped,
    /// To end without any: reading never began.
    GivenUp,
}

impl Watch {
    /// Enters the namespaces and opens every source. What cannot be opened is told in `limits`; only a namespace that cannot
    /// be entered is an error.
    pub fn open(targets: &[Target], settings: &WatchSettings, to: &Sender) -> Result<Self, WatchError> {
        let wanted = |scope| {
            let fits = move |kind: &&SourceKind| kind.scope == scope && !settings.without.iter().any(|name| name == kind.name);
            SOURCES.iter().filter(fits)
        };
        let mut watch = Self {
            phase: Arc::new((Mutex::new(Phase::Opened), Condvar::new())),
            threads: Vec::new(),
            unread: sync_channel(0),
            limits: Vec::new(),
        };
        let mut opening = Vec::new();
        for target in targets {
            opening.push(watch.run(target, target, targets, wanted(Scope::Namespace).collect(), settings, to)?);
        }
        if let Some(first) = targets.first() {
            let here = Target::host()?;
            for kind in wanted(Scope::Host) {
                opening.push(watch.run(&here, first, targets, vec![kind], settings, to)?);
            }
        }
        // All at once: loading the eBPF program takes longest, about half a second.
        for opened in opening {
            watch.limits.extend(opened.recv().unwrap_or_else(|_| Ok(Vec::new())).map_err(WatchError::Rights)?);
        }
        Ok(watch)
    }

    /// Begins to read.
    pub fn start(&self) {
        self.enter(Phase::Reading);
    }

    /// Waits until every source has been read once, so that whatever happens afterwards is a step of its counters; but at most
    /// so long, for a source may hang.
    pub fn wait_for_first_reading(&mut self, at_most: Duration) {
        self.unread.0 = sync_channel(0).0;
        // Nothing is ever sent: an error says that the last thread let go of it, or that the time is over.
        let _ = self.unread.1.recv_timeout(at_most);
    }

    /// Ends all threads; each sends one last reading first. The receiver must still be taking events.
    pub fn stop(mut self) {
        self.enter(Phase::Stopped);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }

    fn enter(&self, phase: Phase) {
        *self.phase.0.lock().expect("no thread panics while it holds the phase") = phase;
        self.phase.1.notify_all();
    }

    /// Starts a thread in `place` that opens `kinds` for `target`, gives up its rights, and then sends what could not be opened.
    fn run(
        &mut self,
        place: &Target,
        target: &Target,
        watched: &[Target],
        kinds: Vec<&'static SourceKind>,
        settings: &WatchSettings,
        to: &Sender,
    ) -> Result<Receiver<Result<Vec<String>, String>>, NetnsError> {
        let name = match kinds.as_slice() {
            [only] if only.scope == Scope::Host => format!("src-{}", only.name),
            _ => format!("src-{}", target.name),
        };
        let (opened, limits) = std::sync::mpsc::sync_channel(1);
        let (phase, settings, to, unread) = (Arc::clone(&self.phase), settings.clone(), to.clone(), self.unread.0.clone());
        let (target, watched) = (target.clone(), watched.to_vec());
        let body = move || {
            let scene = Scene { target: &target, watched: &watched, tracing: settings.tracing, limits: RefCell::default() };
            let runner = Runner::open(&kinds, &scene, &settings);
            let confined = settings.confine.as_ref().map_or(Ok(()), |confine| confine.0(&runner.keeps()));
            let may_read = confined.is_ok();
            // Whoever opens waits for this; if it is gone, so is everything.
            let _ = opened.send(confined.map(|()| scene.limits.take()));
            if may_read && wait(&phase, Phase::Opened, None) != Phase::GivenUp {
                runner.read_until_stopped(&phase, &to, unread);
            }
        };
        self.threads.push(place.spawn(&name, body)?);
        Ok(limits)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut phase = self.phase.0.lock().expect("no thread panics while it holds the phase");
        *phase = if *phase == Phase::Opened { Phase::GivenUp } else { Phase::Stopped };
        self.phase.1.notify_all();
    }
}

/// Waits until the phase is no longer `now`, or until `deadline`; answers the phase then.
fn wait(phase: &(Mutex<Phase>, Condvar), now: Phase, deadline: Option<Instant>) -> Phase {
    let mut held = phase.0.lock().expect("no thread panics while it holds the phase");
    while *held == now {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        held = match left {
            Some(Duration::ZERO) => break,
            Some(left) => phase.1.wait_timeout(held, left).expect("no thread panics while it holds the phase").0,
            None => phase.1.wait(held).expect("no thread panics while it holds the phase"),
        };
    }
    *held
}

/// The sources of one thread.
struct Runner {
    sources: Vec<Scheduled>,
    netns: u64,
    netns_name: String,
    /// Values of the last reading: the next one has as many, and need not grow.
    readings: usize,
}

struct Scheduled {
    source: Box<dyn Source>,
    standard: Duration,
    due: Instant,
    has_failed: bool,
    is_over: bool,
}

impl Runner {
    fn open(kinds: &[&'static SourceKind], scene: &Scene<'_>, settings: &WatchSettings) -> Self {
        let mut runner =
            Self { sources: Vec::new(), netns: scene.target.netns.0, netns_name: scene.target.name.clone(), readings: 0 };
        for kind in kinds {
            match (kind.open)(scene) {
                Ok(source) => {
                    runner.sources.push(Scheduled {
                        source,
                        standard: kind.interval.mul_f64(settings.interval.as_secs_f64()),
                        due: Instant::now(),
                        has_failed: false,
                        is_over: false,
                    });
                }
                Err(error) => scene.limit(runner.sentence(kind, &error)),
            }
        }
        runner
    }

    fn keeps(&self) -> Vec<Capability> {
        self.sources.iter().flat_map(|one| one.source.keeps()).collect()
    }

    fn sentence(&self, kind: &SourceKind, error: &SourceError) -> String {
        let mut text = match kind.scope {
            Scope::Namespace => format!("{}: in {}, {error}.", kind.name, self.netns_name),
            Scope::Host => format!("{}: {error}.", kind.name),
        };
        if text.ends_with("..") {
            text.pop();
        }
        text
    }

    fn read_until_stopped(mut self, phase: &(Mutex<Phase>, Condvar), to: &Sender, unread: SyncSender<Infallible>) {
        let mut unread = Some(unread);
        loop {
            let next = self.sources.iter().filter(|one| !one.is_over).map(|one| one.due).min();
            let is_last = wait(phase, Phase::Reading, next) == Phase::Stopped;
            let sample = self.read(is_last);
            if (!sample.is_empty() && to.send(Event::Sample(sample)).is_err()) || is_last {
                return;
            }
            unread.take();
        }
    }

    /// Reads what is due, or everything.
    fn read(&mut self, everything: bool) -> Sample {
        let began = Instant::now();
        let mut sample = Sample { is_last: everything, ..Sample::begin() };
        sample.readings.reserve_exact(self.readings);
        let mut limits = Vec::new();
        for at in 0..self.sources.len() {
            let one = &mut self.sources[at];
            if one.is_over || (one.due > began && !everything) {
                continue;
            }
            let result = one.source.poll(&mut sample);
            // From when it was due, not from now: readings do not drift. A late one is not made up for.
            let interval = one.source.interval(one.standard);
            one.due = (one.due + interval).max(Instant::now());
            let Err(error) = result else {
                one.has_failed = false;
                continue;
            };
            one.is_over = error.is_lasting();
            if !std::mem::replace(&mut one.has_failed, true) {
                let kind = SOURCES.iter().find(|kind| kind.name == one.source.name());
                limits.extend(kind.map(|kind| (kind, error)));
            }
        }
        for (kind, error) in limits {
            let sentence = self.sentence(kind, &error);
            if error.is_lasting() {
                sample.limits.push(sentence);
            } else {
                sample.mark("source_failed", sentence, Some(self.netns), None);
            }
        }
        self.readings = sample.readings.len();
        sample.took_ns = began.elapsed().as_nanos() as u64;
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::{Target, Watch, WatchSettings};
    use crate::source::{Event, SOURCES};
    use std::sync::mpsc::sync_channel;

    /// Reads nothing but the clock.
    fn open(to: &crate::source::Sender) -> Watch {
        let without = SOURCES.iter().map(|kind| kind.name.to_owned()).filter(|name| name != "clock").collect();
        Watch::open(&[Target::host().unwrap()], &WatchSettings { without, ..WatchSettings::default() }, to).unwrap()
    }

    /// What a thread sees that has not woken between the beginning and the end.
    #[test]
    fn whoever_stops_at_once_has_one_reading() {
        let (to, from) = sync_channel(8);
        open(&to).stop();
        let last = |event: &Event| matches!(event, Event::Sample(sample) if sample.is_last && !sample.is_empty());
        let read: Vec<Event> = from.try_iter().collect();
        assert!(matches!(read.as_slice(), [only] if last(only)), "{read:?}");
    }

    #[test]
    fn what_never_began_reads_nothing() {
        let (to, from) = sync_channel(8);
        drop(open(&to));
        drop(to);
        assert!(from.recv().is_err(), "every thread is gone and has sent nothing");
    }
}
