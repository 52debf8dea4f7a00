//! The registry: numbers for counters, and samples turned into the records of a log.
//!
//! It remembers what was said, so that a counter is described once, a snapshot holds only what changed, and a new segment
//! of the log can begin with everything a reader needs ([`Registry::restate`]). It reads nothing itself: samples in,
//! records out.

use super::sample::{Name, Reading, Sample};
use dropscope_core::log::block::{Backend, Catalogue, Clock, Counter, Host, Namespace, RuleSet, Snapshot};
use dropscope_core::log::record::Record;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};

/// A full snapshot is written this often, so that a reader that starts late, or reads a damaged log, catches up.
const FULL_EVERY_NS: i64 = 60_000_000_000;
/// A counter that was not read for so long is gone (an interface, a rule) and left out of full snapshots.
const GONE_AFTER_NS: i64 = 180_000_000_000;

/// What the log has said so far.
pub struct Registry {
    host: Host,
    namespaces: BTreeMap<u64, Namespace>,
    rule_sets: BTreeMap<(u64, Backend), RuleSet>,
    clock: Option<Clock>,
    /// Thousands of names are looked up every second, and nobody from outside chooses them: a fast hash will do.
    ids: HashMap<Name, usize, RandomState>,
    counters: Vec<Known>,
    last_full_ns: Option<i64>,
}

struct Known {
    counter: Counter,
    value: u64,
    read_ns: i64,
}

impl Registry {
    /// A registry that has said nothing; `host` names the host, without its namespaces.
    pub fn new(host: Host) -> Self {
        Self {
            host,
            namespaces: BTreeMap::new(),
            rule_sets: BTreeMap::new(),
            clock: None,
            ids: HashMap::default(),
            counters: Vec::new(),
            last_full_ns: None,
        }
    }

    /// Says what cannot be read, with the next host record; said once however often it is told.
    pub fn limit(&mut self, sentence: String) -> bool {
        let new = !self.host.limits.contains(&sentence);
        if new {
            self.host.limits.push(sentence);
        }
        new
    }

    /// The records that say what is new in a sample, in the order in which they must stand.
    pub fn records(&mut self, sample: Sample) -> Vec<Record<'static>> {
        let mut records = Vec::new();
        let mut facts_changed = false;
        for sentence in sample.limits {
            facts_changed |= self.limit(sentence);
        }
        let mut named = Vec::new();
        if let Some(namespace) = sample.namespace {
            facts_changed = true;
            named.push((*namespace).clone());
            self.namespaces.insert(namespace.netns, *namespace);
        }
        if let Some(clock) = sample.clock {
            records.push(Record::Clock(clock.clone()));
            self.clock = Some(clock);
        }
        if facts_changed {
            self.host.at_ns = sample.at_ns;
            records.push(Record::Host(Box::new(Host { namespaces: named, ..self.host.clone() })));
        }
        for rules in sample.rule_sets {
            records.push(Record::RuleSet(Box::new(rules.clone())));
            self.rule_sets.insert((rules.netns, rules.backend), rules);
        }
        self.values(sample.at_ns, sample.took_ns, sample.readings, &mut records);
        records.extend(sample.drops.into_iter().map(|drop| Record::KernelDrop(Box::new(drop))));
        records.extend(sample.marks.into_iter().map(Record::Mark));
        records.extend(sample.probes.into_iter().map(|probe| Record::Probe(Box::new(probe))));
        records
    }

    /// Everything a new segment of the log has to begin with: the host and its namespaces, the clocks, every counter that is
    /// still read with its value, the rules.
    pub fn restate(&mut self, at_ns: i64) -> Vec<Record<'static>> {
        self.counters.retain(|known| at_ns - known.read_ns < GONE_AFTER_NS);
        self.ids = self.counters.iter().enumerate().map(|(at, known)| (name_of(&known.counter), at)).collect();
        let namespaces = self.namespaces.values().cloned().collect();
        let mut records = vec![Record::Host(Box::new(Host { at_ns, namespaces, ..self.host.clone() }))];
        records.extend(self.clock.clone().map(Record::Clock));
        records.extend(self.rule_sets.values().map(|rules| Record::RuleSet(Box::new(rules.clone()))));
        if !self.counters.is_empty() {
            let counters = self.counters.iter().map(|known| known.counter.clone()).collect();
            records.push(Record::Catalogue(Catalogue { counters }));
            let values = self.counters.iter().map(|known| (known.counter.id, known.value)).collect();
            records.push(Record::Snapshot(Snapshot { at_ns, took_ns: 0, full: true, values }));
            self.last_full_ns = Some(at_ns);
        }
        records
    }

    fn values(&mut self, at_ns: i64, took_ns: u64, readings: Vec<Reading>, records: &mut Vec<Record<'static>>) {
        if readings.is_empty() {
            return;
        }
        let first_new = self.counters.len();
        let mut changed = Vec::new();
        for reading in readings {
            let Some(known) = self.ids.get(&reading.name).map(|&at| &mut self.counters[at]) else {
                let counter = describe(self.next_id(), &reading);
                changed.push((counter.id, reading.value));
                self.ids.insert(reading.name, self.counters.len());
                self.counters.push(Known { counter, value: reading.value, read_ns: at_ns });
                continue;
            };
            known.read_ns = at_ns;
            if known.value != reading.value {
                known.value = reading.value;
                changed.push((known.counter.id, reading.value));
            }
        }
        if let new @ [_, ..] = &self.counters[first_new..] {
            let counters = new.iter().map(|known| known.counter.clone()).collect();
            records.push(Record::Catalogue(Catalogue { counters }));
        }
        let full = self.last_full_ns.is_none_or(|last| at_ns - last >= FULL_EVERY_NS);
        let values = if full {
            self.last_full_ns = Some(at_ns);
            // A counter that begins in this very sample, at zero and then at its value, keeps both.
            changed
                .retain(|(id, value)| self.counters[first_new..].iter().any(|one| one.counter.id == *id && one.value != *value));
            let live = self.counters.iter().filter(|known| at_ns - known.read_ns < GONE_AFTER_NS);
            changed.into_iter().chain(live.map(|known| (known.counter.id, known.value))).collect()
        } else {
            changed.sort_unstable();
            changed
        };
        records.push(Record::Snapshot(Snapshot { at_ns, took_ns, full, values }));
    }

    fn next_id(&self) -> u32 {
        self.counters.last().map_or(1, |known| known.counter.id + 1)
    }
}

fn describe(id: u32, reading: &Reading) -> Counter {
    let Reading { name, family, kernel_name, ifname, .. } = reading;
    Counter {
        id,
        key: name.key.to_string(),
        unit: family.unit,
        kind: family.kind,
        kernel_name: kernel_name.to_string(),
        source: family.source.into(),
        netns: name.netns,
        ifindex: name.ifindex,
        ifname: ifname.as_deref().map(str::to_owned),
        rule: name.rule.as_deref().map(str::to_owned),
        cpu: name.cpu,
        object: name.object.as_deref().map(str::to_owned),
        station: family.station,
    }
}

fn name_of(counter: &Counter) -> Name {
    Name {
        key: counter.key.clone().into(),
        netns: counter.netns,
        ifindex: counter.ifindex,
        cpu: counter.cpu,
        rule: counter.rule.as_deref().map(Into::into),
        object: counter.object.as_deref().map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::sample::Family;
    use dropscope_core::log::block::{CounterKind, Unit};

    static TEST: Family = Family { unit: Unit::Count, kind: CounterKind::Monotonic, source: "test", station: None };

    fn sample(at_s: i64, values: &[(&'static str, u64)]) -> Sample {
        let mut sample = Sample { at_ns: at_s * 1_000_000_000, ..Sample::default() };
        for &(key, value) in values {
            sample.read(&TEST, Name { key: key.into(), netns: Some(7), ..Name::default() }, key, value);
        }
        sample
    }

    /// One line a record: `describes 1=a 2=b`, `full 1:5 2:6`, `delta 2:7`.
    fn said(records: Vec<Record<'static>>) -> Vec<String> {
        records
            .into_iter()
            .map(|record| match record {
                Record::Catalogue(c) => {
                    c.counters.iter().fold("describes".into(), |text, c| format!("{text} {}={}", c.id, c.key))
                }
                Record::Snapshot(s) => s
                    .values
                    .iter()
                    .fold(if s.full { "full" } else { "delta" }.into(), |text, (id, value)| format!("{text} {id}:{value}")),
                Record::Host(host) => format!("host {} limits", host.limits.len()),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_counter_is_described_once_and_then_told_when_it_changes() {
        let mut registry = Registry::new(Host::default());
        assert_eq!(said(registry.records(sample(1, &[("a", 5), ("b", 6)]))), ["describes 1=a 2=b", "full 1:5 2:6"]);
        assert_eq!(said(registry.records(sample(2, &[("a", 5), ("b", 7)]))), ["delta 2:7"]);
        assert_eq!(said(registry.records(sample(3, &[("c", 0), ("b", 8)]))), ["describes 3=c", "delta 2:8 3:0"]);
    }

    #[test]
    fn every_minute_everything_is_told_again() {
        let mut registry = Registry::new(Host::default());
        registry.records(sample(1, &[("a", 5)]));
        assert_eq!(said(registry.records(sample(60, &[("a", 5)]))), ["delta"]);
        assert_eq!(said(registry.records(sample(61, &[("a", 5)]))), ["full 1:5"]);
    }

    #[test]
    fn a_new_segment_says_again_what_still_holds_and_keeps_the_numbers() {
        let mut registry = Registry::new(Host::default());
        registry.records(sample(1, &[("gone", 1), ("a", 5)]));
        registry.records(sample(200, &[("a", 6)]));
        assert_eq!(said(registry.restate(200_000_000_000)), ["host 0 limits", "describes 2=a", "full 2:6"]);
        assert_eq!(said(registry.records(sample(201, &[("a", 7), ("b", 1)]))), ["describes 3=b", "delta 2:7 3:1"]);
    }

    #[test]
    fn a_counter_that_begins_at_zero_within_a_sample_keeps_its_zero() {
        let mut registry = Registry::new(Host::default());
        assert_eq!(said(registry.records(sample(1, &[("a", 5), ("b", 0), ("b", 3)]))), ["describes 1=a 2=b", "full 2:0 1:5 2:3"]);
        assert_eq!(said(registry.records(sample(2, &[("c", 0), ("c", 1)]))), ["describes 3=c", "delta 3:0 3:1"]);
    }

    #[test]
    fn a_limit_is_said_once() {
        let mut registry = Registry::new(Host::default());
        let limited = || Sample { limits: vec!["no eBPF".into()], ..Sample::default() };
        assert_eq!(said(registry.records(limited())), ["host 1 limits"]);
        assert!(registry.records(limited()).is_empty());
    }
}
