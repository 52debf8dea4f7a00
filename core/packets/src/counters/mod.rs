//! Counters as series, and the host facts and firewall rules they are read against.
//!
//! A series holds a point where a value changed, so an hour of silence costs nothing. A monotonic counter that shrinks was
//! reset; a change across a reset is never told as a number.

mod series;

pub use series::{Point, Series, Step};

use crate::ids::{CounterId, NetnsId};
use crate::log::block::{Backend, Catalogue, Chain, Counter, FirewallRule, Host, InterfaceFacts, Namespace, RuleSet, Snapshot};
use crate::time::{Nanos, Span, Timestamp};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Everything the log says about hosts: facts, counters, rules.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    series: BTreeMap<CounterId, Series>,
    /// The numbers of all counters of a key, and of all that count a firewall rule (by its identity), ascending: a host may
    /// have ten thousand rules, and each is asked for.
    by_key: BTreeMap<String, Vec<CounterId>>,
    by_rule: BTreeMap<String, Vec<CounterId>>,
    /// From the second section on: what its catalogue's numbers stand for here.
    numbers: Option<BTreeMap<u32, CounterId>>,
    /// From the second section on: the counters of this recording by what they are.
    named: BTreeMap<Name, CounterId>,
    snapshots: Vec<Timestamp>,
    /// From the earliest snapshot to the latest: several threads read, and theirs do not arrive in order of time.
    span: Option<Span>,
    hosts: BTreeMap<String, Host>,
    rule_sets: BTreeMap<(NetnsId, Backend), RuleSet>,
    /// Rules that a later rule set no longer held, with their chain (without its rules) and when they were found gone.
    removed_rules: BTreeMap<(NetnsId, Backend, String), RemovedRule>,
    /// Policies that a later rule set no longer held, or held as another, by their identity.
    removed_policies: BTreeMap<(NetnsId, Backend, String), RemovedPolicy>,
    /// Rules and policies that came while the log was written, by their identity: a policy also where it was another before.
    inserted: BTreeMap<(NetnsId, Backend, String), Inserted>,
    /// Values that came for counters the catalogue does not describe: a damaged or foreign log.
    undescribed: u64,
}

impl Counters {
    /// A section begins, in which counters are numbered anew. `goes_on` says that it is the same recording's next segment:
    /// then its counters are those of before.
    pub fn begin_section(&mut self, goes_on: bool) {
        if self.series.is_empty() {
            return;
        }
        if !goes_on {
            self.named.clear();
        } else if self.numbers.is_none() {
            self.named = self.series.iter().map(|(id, series)| (name_of(&series.counter), *id)).collect();
        }
        self.numbers = Some(BTreeMap::new());
    }

    /// Takes descriptions of counters.
    pub fn describe(&mut self, catalogue: Catalogue) {
        for counter in catalogue.counters {
            let Some(numbers) = &mut self.numbers else {
                self.add(CounterId(counter.id), counter);
                continue;
            };
            let name = name_of(&counter);
            let id = self.named.get(&name).copied().unwrap_or_else(|| {
                // Its own number where that is free: then findings name it as they did while it was recorded.
                let taken = self.series.contains_key(&CounterId(counter.id));
                let next = || self.series.last_key_value().map_or(0, |(last, _)| last.0.saturating_add(1));
                CounterId(if taken { next() } else { counter.id })
            });
            numbers.insert(counter.id, id);
            self.named.insert(name, id);
            self.add(id, counter);
        }
    }

    /// A counter without values, unless its number is known already.
    fn add(&mut self, id: CounterId, counter: Counter) {
        let Entry::Vacant(place) = self.series.entry(id) else { return };
        enlist(&mut self.by_key, &counter.key, id);
        if let Some(rule) = &counter.rule {
            enlist(&mut self.by_rule, rule, id);
        }
        place.insert(Series::new(counter));
    }

    /// Takes values.
    pub fn record(&mut self, snapshot: &Snapshot) {
        let at = Timestamp::from_nanos(snapshot.at_ns);
        self.snapshots.push(at);
        self.span = Some(self.span.map_or(Span::at(at), |span| Span::new(span.start.min(at), span.end.max(at))));
        for &(id, value) in &snapshot.values {
            let id = match &self.numbers {
                None => Some(CounterId(id)),
                Some(numbers) => numbers.get(&id).copied(),
            };
            match id.and_then(|id| self.series.get_mut(&id)) {
                Some(series) => series.record(at, value),
                None => self.undescribed += 1,
            }
        }
    }

    /// Takes facts; they replace earlier ones of the same host and namespace.
    pub fn learn_host(&mut self, host: Host) {
        match self.hosts.get_mut(&host.boot_id) {
            None => {
                self.hosts.insert(host.boot_id.clone(), host);
            }
            Some(known) => {
                let mut namespaces = std::mem::take(&mut known.namespaces);
                namespaces.retain(|old| host.namespaces.iter().all(|new| new.netns != old.netns));
                namespaces.extend(host.namespaces.iter().cloned());
                *known = Host { namespaces, ..host };
            }
        }
    }

    /// Takes a rule set; it replaces the one before of the same namespace and back end. Rules that are gone are remembered, and
    /// policies that are other ones now: what they dropped before is still to be explained.
    pub fn learn_rules(&mut self, rules: RuleSet) {
        let (netns, backend) = (NetnsId(rules.netns), rules.backend);
        let at = Timestamp::from_nanos(rules.at_ns);
        let now: BTreeSet<&str> = rules.chains.iter().flat_map(|chain| &chain.rules).map(|rule| rule.id.as_str()).collect();
        self.removed_rules.retain(|(n, b, id), _| *n != netns || *b != backend || !now.contains(id.as_str()));
        let last_read = self.read_before(&rules).unwrap_or(at);
        if let Some(before) = self.rule_sets.get(&(netns, backend)) {
            for chain in &before.chains {
                for rule in chain.rules.iter().filter(|rule| !now.contains(rule.id.as_str())) {
                    let chain = Chain { rules: Vec::new(), ..chain.clone() };
                    let gone = RemovedRule { chain, rule: rule.clone(), last_read, at };
                    self.removed_rules.insert((netns, backend, rule.id.clone()), gone);
                }
            }
            let policies = before.chains.iter().filter(|chain| chain.policy.is_some());
            let new = chains_by_name(&rules);
            let changed = policies.filter(|old| new.get(&name_of_chain(old)).is_none_or(|new| new.policy != old.policy));
            for chain in changed {
                let key = (netns, backend, policy_identity(chain));
                let inserted = self.inserted.get(&key).copied();
                let gone = RemovedPolicy { chain: Chain { rules: Vec::new(), ..chain.clone() }, inserted, last_read, at };
                self.removed_policies.insert(key, gone);
            }
        }
        self.note_inserted(&rules);
        for chain in &rules.chains {
            // One that is back is among those that are there.
            let key = (netns, backend, policy_identity(chain));
            if self.removed_policies.get(&key).is_some_and(|gone| gone.chain.policy == chain.policy) {
                self.removed_policies.remove(&key);
            }
        }
        self.rule_sets.insert((netns, backend), rules);
    }

    /// Notes which rules and policies of a set are new. What the first reading of a recording shows was there before.
    fn note_inserted(&mut self, rules: &RuleSet) {
        let (netns, backend, by) = (NetnsId(rules.netns), rules.backend, Timestamp::from_nanos(rules.at_ns));
        let before = self.rule_sets.get(&(netns, backend));
        let began = self.span.map_or(by, |span| span.start);
        let is_first = before.is_none() && rules.after_ns.is_none() && by - began <= FIRST_READING;
        if is_first {
            return;
        }
        let Some(after) = self.read_before(rules) else { return };
        let known =
            |id: &str| before.is_some_and(|set| set.chains.iter().flat_map(|chain| &chain.rules).any(|rule| rule.id == id));
        let old = before.map(chains_by_name).unwrap_or_default();
        let policy = |chain: &Chain| old.get(&name_of_chain(chain)).map(|old| old.policy);
        let mut inserted = Vec::new();
        for chain in &rules.chains {
            let new = chain.rules.iter().filter(|rule| !known(&rule.id));
            inserted.extend(new.map(|rule| (rule.id.clone(), Inserted { after, by, counts_from_zero: true })));
            let was = policy(chain);
            if was != Some(chain.policy) {
                // A counter of a chain that was there before has counted what its other policy let pass.
                inserted.push((policy_identity(chain), Inserted { after, by, counts_from_zero: was.is_none() }));
            }
        }
        self.inserted.extend(inserted.into_iter().map(|(id, inserted)| ((netns, backend, id), inserted)));
    }

    /// When the rules were read before. Of a log that does not tell, the last reading of anything that is not of the same round:
    /// rules are read once a second.
    fn read_before(&self, rules: &RuleSet) -> Option<Timestamp> {
        let by = Timestamp::from_nanos(rules.at_ns);
        let latest = |before: Timestamp| self.snapshots.iter().copied().filter(|at| *at < before).max();
        rules.after_ns.map(Timestamp::from_nanos).or_else(|| latest(by - SAME_ROUND)).or_else(|| latest(by))
    }

    /// When a rule, or a chain's policy, came; `None` for what was there from the beginning.
    pub fn inserted(&self, netns: NetnsId, backend: Backend, id: &str) -> Option<Inserted> {
        self.inserted.get(&(netns, backend, id.to_owned())).copied()
    }

    /// Whether any values were recorded.
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty()
    }

    /// When values were read, in order of arrival.
    pub fn snapshots(&self) -> &[Timestamp] {
        &self.snapshots
    }

    /// Values for counters that no catalogue describes.
    pub fn undescribed(&self) -> u64 {
        self.undescribed
    }

    /// From the earliest to the latest snapshot, in whichever order they arrived.
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// The last snapshot at or before `span` begins and the first at or after it ends: between these two, every change that
    /// belongs to `span` has been counted.
    pub fn bracket(&self, span: Span) -> Option<Span> {
        let before = self.snapshots.iter().copied().filter(|t| *t <= span.start).max();
        let after = self.snapshots.iter().copied().filter(|t| *t >= span.end).min();
        let whole = self.span()?;
        Some(Span::new(before.unwrap_or(whole.start), after.unwrap_or(whole.end)))
    }

    /// One series.
    pub fn get(&self, id: CounterId) -> Option<&Series> {
        self.series.get(&id)
    }

    /// All series, by number.
    pub fn iter(&self) -> impl Iterator<Item = (CounterId, &Series)> {
        self.series.iter().map(|(id, series)| (*id, series))
    }

    /// All series of one key, `link.rx_dropped`.
    pub fn of_key(&self, key: &str) -> impl Iterator<Item = (CounterId, &Series)> + use<'_> {
        self.listed(self.by_key.get(key))
    }

    fn listed<'a>(&'a self, ids: Option<&'a Vec<CounterId>>) -> impl Iterator<Item = (CounterId, &'a Series)> + use<'a> {
        let ids = ids.map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| Some((*id, self.series.get(id)?)))
    }

    /// The series of an interface.
    pub fn of_interface(&self, key: &str, netns: NetnsId, ifindex: u32) -> Option<(CounterId, &Series)> {
        self.of_key(key).find(|(_, s)| s.counter.netns == Some(netns.0) && s.counter.ifindex == Some(ifindex))
    }

    /// The series of a firewall rule.
    pub fn of_rule(&self, key: &str, netns: NetnsId, rule: &str) -> Option<(CounterId, &Series)> {
        self.listed(self.by_rule.get(rule)).find(|(_, s)| s.counter.key == key && s.counter.netns == Some(netns.0))
    }

    /// The series of a namespace that has one of this key: `conntrack.count`.
    pub fn of_namespace(&self, key: &str, netns: NetnsId) -> Option<(CounterId, &Series)> {
        self.of_key(key).find(|(_, s)| s.counter.netns == Some(netns.0))
    }

    /// Hosts, by boot id.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// All watched namespaces.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.hosts.values().flat_map(|host| &host.namespaces)
    }

    /// One namespace.
    pub fn namespace(&self, netns: NetnsId) -> Option<&Namespace> {
        self.namespaces().find(|namespace| namespace.netns == netns.0)
    }

    /// One interface.
    pub fn interface(&self, netns: NetnsId, ifindex: u32) -> Option<&InterfaceFacts> {
        self.namespace(netns)?.interfaces.iter().find(|interface| interface.ifindex == ifindex)
    }

    /// The namespace and interface that bear this address (without prefix length).
    pub fn interface_with_address(&self, address: std::net::IpAddr) -> Option<(&Namespace, &InterfaceFacts)> {
        // Rules ask this of each conversation, and a plain capture knows of no interface.
        self.namespaces().next()?;
        let text = address.to_string();
        self.namespaces()
            .flat_map(|namespace| namespace.interfaces.iter().map(move |interface| (namespace, interface)))
            .find(|(_, interface)| interface.addresses.iter().any(|a| a.split('/').next() == Some(text.as_str())))
    }

    /// Rule sets, by namespace and back end.
    pub fn rule_sets(&self) -> impl Iterator<Item = &RuleSet> {
        self.rule_sets.values()
    }

    /// Every rule with its chain and rule set.
    pub fn rules(&self) -> impl Iterator<Item = (&RuleSet, &Chain, &FirewallRule)> {
        self.rule_sets()
            .flat_map(|set| set.chains.iter().flat_map(move |chain| chain.rules.iter().map(move |rule| (set, chain, rule))))
    }

    /// Rules that were there earlier in the log and are gone, with their namespace and back end.
    pub fn removed_rules(&self) -> impl Iterator<Item = (NetnsId, Backend, &RemovedRule)> {
        self.removed_rules.iter().map(|((netns, backend, _), gone)| (*netns, *backend, gone))
    }

    /// Policies that were set to others while the log was written, as [`removed_rules`](Self::removed_rules).
    pub fn removed_policies(&self) -> impl Iterator<Item = (NetnsId, Backend, &RemovedPolicy)> {
        self.removed_policies.iter().map(|((netns, backend, _), gone)| (*netns, *backend, gone))
    }
}

/// Adds a number to the list under a name, keeping it ascending.
fn enlist(lists: &mut BTreeMap<String, Vec<CounterId>>, name: &str, id: CounterId) {
    match lists.get_mut(name) {
        Some(list) => list.insert(list.partition_point(|other| *other < id), id),
        None => {
            lists.insert(name.to_owned(), vec![id]);
        }
    }
}

/// What tells a counter from every other: key, namespace, interface, processor, rule, object.
type Name = (String, Option<u64>, Option<u32>, Option<u32>, Option<String>, Option<String>);

fn name_of(counter: &Counter) -> Name {
    let Counter { key, netns, ifindex, cpu, rule, object, .. } = counter;
    (key.clone(), *netns, *ifindex, *cpu, rule.clone(), object.clone())
}

/// A first reading comes this soon after the recording began.
const FIRST_READING: Nanos = Nanos::from_secs(2);

/// Readings closer than this may belong together.
const SAME_ROUND: Nanos = Nanos::from_millis(900);

/// The identity of a chain's policy; one without a counter has a name of its own.
pub fn policy_identity(chain: &Chain) -> String {
    chain.policy_id.clone().unwrap_or_else(|| format!("{}/{}/policy", chain.table, chain.name))
}

/// The chains of a set by table and name.
fn chains_by_name(set: &RuleSet) -> BTreeMap<(&str, &str), &Chain> {
    set.chains.iter().rev().map(|chain| (name_of_chain(chain), chain)).collect()
}

fn name_of_chain(chain: &Chain) -> (&str, &str) {
    (&chain.table, &chain.name)
}

/// When a firewall rule or policy came while the log was written: between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// The last reading without it.
    pub after: Timestamp,
    /// The first reading with it.
    pub by: Timestamp,
    /// Whether its counter began at zero.
    pub counts_from_zero: bool,
}

/// A firewall rule that was deleted while the log was written.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovedRule {
    /// The chain it stood in, without its rules.
    pub chain: Chain,
    /// The rule.
    pub rule: FirewallRule,
    /// The last reading with it.
    pub last_read: Timestamp,
    /// When the rule set without it was read.
    pub at: Timestamp,
}

/// A chain's policy that was set to another, or went with its chain, while the log was written.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovedPolicy {
    /// The chain with that policy, without its rules.
    pub chain: Chain,
    /// When it came, if it was not there from the beginning.
    pub inserted: Option<Inserted>,
    /// The last reading with it. The chain's counter goes on, and later counts what another policy decides.
    pub last_read: Timestamp,
    /// When the rule set without it was read.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_reaches_from_the_earliest_snapshot_to_the_latest_whatever_arrived_last() {
        let mut counters = Counters::default();
        assert_eq!(counters.span(), None);
        for at_ns in [20, 10, 40, 30] {
            counters.record(&Snapshot { at_ns, took_ns: 0, full: false, values: Vec::new() });
        }
        let at = Timestamp::from_nanos;
        assert_eq!(counters.span(), Some(Span::new(at(10), at(40))));
    }
}
