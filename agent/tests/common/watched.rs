//! The sources at work in a lab's namespaces, and what the log would say of them.

use super::PATIENCE;
use anyhow::{Context as _, Result, ensure};
use dropscope_agent::source::catalogue::Registry;
use dropscope_agent::source::watch::{Watch, WatchSettings};
use dropscope_agent::source::{Event, Target, host_identity};
use dropscope_core::counters::Counters;
use dropscope_core::ids::NetnsId;
use dropscope_core::log::block::{KernelDrop, Mark};
use dropscope_core::log::record::Record;
use dropscope_labs::Namespace;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// A lab whose namespaces are watched.
pub(crate) struct Watched {
    watch: Watch,
    events: Receiver<Event>,
    registry: Registry,
    pub(crate) told: Told,
}

/// What the log would say.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) counters: Counters,
    pub(crate) drops: Vec<KernelDrop>,
    pub(crate) marks: Vec<Mark>,
}

impl Watched {
    /// Watches and waits until each source has been read once.
    pub(crate) fn start(namespaces: &[&Namespace]) -> Result<Self> {
        let targets = namespaces.iter().map(|one| Target::resolve(one.name())).collect::<Result<Vec<_>, _>>()?;
        let (to, events) = sync_channel(64);
        let mut watch = Watch::open(&targets, &WatchSettings::default(), &to)?;
        watch.start();
        watch.wait_for_first_reading(PATIENCE);
        let mut watched = Self { watch, events, registry: Registry::new(host_identity::read()), told: Told::default() };
        for target in &targets {
            while watched.told.counters.of_namespace("link.mtu", target.netns).is_none() {
                watched.take()?;
            }
        }
        Ok(watched)
    }

    pub(crate) fn take(&mut self) -> Result<()> {
        let event = self.events.recv_timeout(Duration::from_secs(10)).context("no source said anything for ten seconds")?;
        self.told.take(&mut self.registry, event);
        Ok(())
    }

    /// Takes what is read until it is as it should be.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Told) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.told) {
            ensure!(Instant::now() < deadline, "waited in vain until {what}; marks: {:?}", self.told.marks);
            self.take()?;
        }
        Ok(())
    }

    /// Ends it, with one last reading of everything.
    pub(crate) fn stop(mut self) -> Told {
        let Self { watch, events, .. } = self;
        let stopping = std::thread::spawn(move || watch.stop());
        while let Ok(event) = events.recv() {
            self.told.take(&mut self.registry, event);
        }
        stopping.join().expect("stopping does not panic");
        self.told
    }
}

impl Told {
    fn take(&mut self, registry: &mut Registry, event: Event) {
        let Event::Sample(sample) = event else { return };
        for record in registry.records(sample) {
            match record {
                Record::Catalogue(catalogue) => self.counters.describe(catalogue),
                Record::Snapshot(snapshot) => self.counters.record(&snapshot),
                Record::Host(host) => self.counters.learn_host(*host),
                Record::RuleSet(rules) => self.counters.learn_rules(*rules),
                Record::KernelDrop(drop) => self.drops.push(*drop),
                Record::Mark(mark) => self.marks.push(mark),
                _ => {}
            }
        }
    }

    pub(crate) fn value(&self, key: &str, netns: u64) -> u64 {
        self.counters.of_namespace(key, NetnsId(netns)).and_then(|(_, series)| series.last()).unwrap_or_default()
    }

    pub(crate) fn of_interface(&self, key: &str, netns: u64, ifindex: u32) -> (u64, u64) {
        let series = self.counters.of_interface(key, NetnsId(netns), ifindex).expect("the counter was read").1;
        (series.points()[0].value, series.last().expect("it has a value"))
    }

    /// The number of an interface, by the name its MTU was read under.
    pub(crate) fn ifindex(&self, name: &str, netns: u64) -> u32 {
        let mut mtus = self.counters.of_key("link.mtu").map(|(_, series)| &series.counter);
        let counter = mtus.find(|counter| counter.netns == Some(netns) && counter.ifname.as_deref() == Some(name));
        counter.and_then(|counter| counter.ifindex).expect("the interface was seen")
    }
}
