//! What one round of reading brought: values by self-describing names, and what else was learnt.

use dropscope_core::log::block::{Clock, CounterKind, KernelDrop, Mark, Namespace, Probe, RuleSet, Station, Unit};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What the sources of one thread read at one moment.
#[derive(Debug, Default)]
pub struct Sample {
    /// When reading began, nanoseconds since the Unix epoch.
    pub at_ns: i64,
    /// How long reading took, in nanoseconds.
    pub took_ns: u64,
    /// Whether its thread ends with it: sources then read what was not yet due.
    pub is_last: bool,
    /// Values of counters.
    pub readings: Vec<Reading>,
    /// Facts about the namespace, when they changed.
    pub namespace: Option<Box<Namespace>>,
    /// Rule sets that were read anew.
    pub rule_sets: Vec<RuleSet>,
    /// Packets the kernel dropped.
    pub drops: Vec<KernelDrop>,
    /// Things that happened.
    pub marks: Vec<Mark>,
    /// Results of active checks.
    pub probes: Vec<Probe>,
    /// A reading of the clocks.
    pub clock: Option<Clock>,
    /// What cannot be read, in full sentences, each said once.
    pub limits: Vec<String>,
}

/// One value of one counter.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Which counter.
    pub name: Name,
    /// What all counters of its kind have in common.
    pub family: &'static Family,
    /// The kernel's own name for it.
    pub kernel_name: Cow<'static, str>,
    /// The interface's name, for one that belongs to an interface.
    pub ifname: Option<Arc<str>>,
    /// Its value.
    pub value: u64,
}

/// What tells a counter from every other of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Name {
    /// FORMAT.md, "Counter keys".
    pub key: Cow<'static, str>,
    /// The namespace it counts in; `None` for the whole host.
    pub netns: Option<u64>,
    /// The interface it counts on.
    pub ifindex: Option<u32>,
    /// The processor it belongs to.
    pub cpu: Option<u32>,
    /// The firewall rule it belongs to.
    pub rule: Option<Arc<str>>,
    /// Anything else that tells it from its like.
    pub object: Option<Arc<str>>,
}

/// What counters of one kind have in common.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// In what they count.
    pub unit: Unit,
    /// Whether they only grow.
    pub kind: CounterKind,
    /// Where they are read.
    pub source: &'static str,
    /// At which station of a packet's path they count.
    pub station: Option<Station>,
}

/// A text that stays as long as the process. For names that a kernel or a driver gives its counters: they are a few hundred,
/// always the same, and told once a second each.
pub(super) fn interned(text: &str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match known.get(text) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(text.into());
            known.insert(kept);
            kept
        }
    }
}

impl Sample {
    /// A sample that begins now.
    pub fn begin() -> Self {
        Self { at_ns: super::clock::realtime_ns(), ..Self::default() }
    }

    /// Takes a value of a counter that belongs to no interface.
    pub fn read(&mut self, family: &'static Family, name: Name, kernel_name: impl Into<Cow<'static, str>>, value: u64) {
        self.readings.push(Reading { name, family, kernel_name: kernel_name.into(), ifname: None, value });
    }

    /// Says that something happened, now.
    pub fn mark(&mut self, kind: &str, text: impl Into<String>, netns: Option<u64>, ifindex: Option<u32>) {
        let at_ns = super::clock::realtime_ns();
        debug_assert!(dropscope_core::query::is_known_mark(kind), "core does not know marks of the kind {kind}");
        self.marks.push(Mark { at_ns, kind: kind.into(), text: text.into(), netns, ifindex });
    }

    /// Whether there is nothing in it worth sending.
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
            && self.namespace.is_none()
            && self.rule_sets.is_empty()
            && self.drops.is_empty()
            && self.marks.is_empty()
            && self.probes.is_empty()
            && self.clock.is_none()
            && self.limits.is_empty()
    }
}
