//! The rules and policies of a firewall that drop or reject, and what can be said of each by itself.

use super::weighed::Dropped;
use crate::anchor::{self, Anchor};
use crate::command::Command;
use crate::command::netfilter::{ChainName, Traffic};
use crate::counters::{Inserted, Series, policy_identity};
use crate::dissect::Protocol;
use crate::finding::Subject;
use crate::flow::Flow;
use crate::ids::{CounterId, Direction, NetnsId};
use crate::log::block::{Backend, Chain, FirewallRule, Verdict};
use crate::rules::View;
use crate::rules::draft::Fix;
use crate::rules::host::{self, Growth};
use crate::rules::predicate::Predicate;
use crate::time::{Nanos, Span, Timestamp};
use std::net::IpAddr;

/// Where a chain hangs, as seen from the host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
    Forward,
    Unknown,
}

/// A rule or policy that drops.
pub(super) struct Dropper<'a> {
    pub(super) netns: NetnsId,
    pub(super) backend: Backend,
    pub(super) chain: &'a Chain,
    /// `None` for the chain's policy.
    pub(super) rule: Option<&'a FirewallRule>,
    pub(super) id: String,
    pub(super) removed: Option<Timestamp>,
    /// When it came, if it was not there from the beginning.
    pub(super) inserted: Option<Inserted>,
    /// Its hits, from its first moment on.
    pub(super) growth: Option<Growth>,
    counter: Option<(CounterId, &'a Series)>,
    pub(super) hits: Vec<(Timestamp, u64)>,
    /// The time in which it was there.
    pub(super) window: Span,
    /// Until when its counter counts its hits.
    counted_to: Timestamp,
    /// The part of it between its first reading and its last: for this time other counters can be compared with its hits.
    pub(super) read: Span,
    pub(super) predicate: Predicate,
}

/// Rules and policies of one verdict.
pub(super) fn droppers<'a>(view: &View<'a>, verdict: Verdict) -> Vec<Dropper<'a>> {
    let mut droppers = Vec::new();
    for set in view.counters.rule_sets() {
        for chain in &set.chains {
            let place = Place { netns: NetnsId(set.netns), backend: set.backend, chain };
            let drops = chain.rules.iter().filter(|rule| is_of(rule, verdict));
            droppers.extend(drops.map(|rule| Dropper::new(view, place, Some(rule), place.life(view, &rule.id))));
            if chain.policy == Some(verdict) {
                droppers.push(Dropper::new(view, place, None, place.life(view, &policy_identity(chain))));
            }
        }
    }
    for (netns, backend, gone) in view.counters.removed_rules().filter(|(_, _, gone)| is_of(&gone.rule, verdict)) {
        let place = Place { netns, backend, chain: &gone.chain };
        let life = Life { gone: Some(Gone { last_read: gone.last_read, at: gone.at }), ..place.life(view, &gone.rule.id) };
        droppers.push(Dropper::new(view, place, Some(&gone.rule), life));
    }
    let policies = view.counters.removed_policies().filter(|(_, _, gone)| gone.chain.policy == Some(verdict));
    for (netns, backend, gone) in policies {
        let life = Life { inserted: gone.inserted, gone: Some(Gone { last_read: gone.last_read, at: gone.at }) };
        droppers.push(Dropper::new(view, Place { netns, backend, chain: &gone.chain }, None, life));
    }
    droppers
}

/// Whether a rule has that verdict for some packets. Those of a verdict map are in its text, or nowhere for a named map.
fn is_of(rule: &FirewallRule, verdict: Verdict) -> bool {
    rule.verdict == verdict || verdict == Verdict::Drop && rule.verdict == Verdict::Other && maps_to_drop(&rule.text)
}

/// Whether a rule looks its verdict up in a map that may say `drop`.
fn maps_to_drop(text: &str) -> bool {
    text.split_once(" vmap ").is_some_and(|(_, map)| map.starts_with('@') || map.contains(": drop"))
}

/// Where a rule stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    netns: NetnsId,
    backend: Backend,
    chain: &'a Chain,
}

impl Place<'_> {
    /// The life of one that is there.
    fn life(self, view: &View<'_>, id: &str) -> Life {
        Life { inserted: view.counters.inserted(self.netns, self.backend, id), gone: None }
    }
}

/// When one came and went, if it did.
#[derive(Clone, Copy)]
struct Life {
    inserted: Option<Inserted>,
    gone: Option<Gone>,
}

/// When one went.
#[derive(Clone, Copy)]
struct Gone {
    /// The last reading with it.
    last_read: Timestamp,
    /// The first without it.
    at: Timestamp,
}

impl<'a> Dropper<'a> {
    fn new(view: &View<'a>, at: Place<'a>, rule: Option<&'a FirewallRule>, life: Life) -> Self {
        let Place { netns, backend, chain } = at;
        let counters = view.counters;
        let whole = host::recorded(view).unwrap_or(Span::at(view.watermark));
        let id = rule.map_or_else(|| policy_identity(chain), |rule| rule.id.clone());
        let Life { inserted, gone } = life;
        let inserted = inserted.filter(|inserted| inserted.after >= whole.start);
        let removed = gone.map(|gone| gone.at);
        let window = Span::new(inserted.map_or(whole.start, |inserted| inserted.after), removed.unwrap_or(whole.end));
        let key = if rule.is_some() { "firewall.rule.packets" } else { "firewall.policy.packets" };
        let counter = counters.of_rule(key, netns, &id);
        let first_read = inserted.map_or(window.start, |inserted| inserted.by);
        let last_read = gone.map_or(window.end, |gone| gone.last_read);
        // The counter of a policy goes on under the next one.
        let counted_to = if rule.is_some() { window.end } else { last_read };
        let mut dropper = Self {
            netns,
            backend,
            chain,
            rule,
            removed,
            inserted,
            growth: None,
            counter,
            hits: counter
                .map(|(_, s)| {
                    s.points().iter().filter(|p| gone.is_none() || p.at <= counted_to).map(|p| (p.at, p.value)).collect()
                })
                .unwrap_or_default(),
            window,
            counted_to,
            read: Span::new(first_read, last_read.max(first_read)),
            predicate: rule.map(|rule| Predicate::parse(&rule.text)).unwrap_or_default(),
            id,
        };
        dropper.growth = if dropper.counts_drops() { dropper.all_hits(view) } else { None };
        if let Some(inserted) = inserted.filter(|inserted| inserted.counts_from_zero) {
            dropper.hits.insert(0, (inserted.after, 0));
        }
        dropper
    }

    /// Whether its counter counts what it drops: a verdict map's counts what was looked up, and many native rules and all native
    /// policies have none.
    pub(super) fn counts_drops(&self) -> bool {
        match self.rule {
            Some(rule) => rule.counted && rule.verdict != Verdict::Other,
            None => self.chain.policy_id.is_some(),
        }
    }

    /// How many of these drops it can have made by its hits, and by those after the last reading of a counter that went.
    pub(super) fn most_of(&self, drops: &[Dropped<'_>]) -> usize {
        let counted = self.growth.map_or(0, |growth| growth.by) as usize;
        let is_after = |drop: &&Dropped<'_>| Timestamp::from_nanos(drop.1.at_ns) > self.read.end;
        let unread = if self.removed.is_some() { drops.iter().filter(is_after).count() } else { 0 };
        counted.saturating_add(unread)
    }

    /// Its hits within `span`, both ends being readings.
    pub(super) fn hits_within(&self, span: Span) -> Option<Growth> {
        host::growth(self.counter?, span)
    }

    /// All its hits. A rule that came meanwhile had its first ones before it was first read.
    fn all_hits(&self, view: &View<'_>) -> Option<Growth> {
        let (id, series) = self.counter?;
        let Some(inserted) = self.inserted else { return self.hits_within(Span::new(self.window.start, self.counted_to)) };
        let later = self.hits_within(Span::new(inserted.by, self.counted_to.max(inserted.by)));
        let first = series.points().first().filter(|_| inserted.counts_from_zero).map_or(0, |first| first.value);
        if first == 0 {
            return later;
        }
        // Rules that are loaded with their old counts have more than can have come since.
        if self.most_since(view, inserted).is_some_and(|most| first > most) {
            return later;
        }
        let to = later.map_or(first, |later| later.to);
        let end = later.map_or(inserted.by, |later| later.span.end);
        let by = first.saturating_add(later.map_or(0, |later| later.by));
        Some(Growth { counter: id, by, from: 0, to, span: Span::new(inserted.after, end) })
    }

    /// The most packets that its host can have shown it before its first reading; `None` where nothing counted them.
    fn most_since(&self, view: &View<'_>, inserted: Inserted) -> Option<u64> {
        // Each source reads in its own time, once a second.
        let second = Nanos::from_secs(1);
        let around = Span::new(inserted.after - second, inserted.by + second);
        let sum = |keys: [&str; 2]| {
            let known = keys.iter().filter_map(|key| view.counters.of_namespace(key, self.netns));
            let grown = known.map(|counter| host::growth(counter, around).map_or(0, |growth| growth.by));
            grown.reduce(u64::saturating_add)
        };
        let received = sum(["nstat.IpInReceives", "nstat.Ip6InReceives"])?;
        Some(received.saturating_add(sum(["nstat.IpOutRequests", "nstat.Ip6OutRequests"])?))
    }
}

impl Dropper<'_> {
    pub(super) fn way(&self) -> Way {
        match self.chain.hook.as_deref() {
            Some("input" | "prerouting" | "ingress") => Way::In,
            Some("output" | "postrouting" | "egress") => Way::Out,
            Some("forward") => Way::Forward,
            _ => Way::Unknown,
        }
    }

    /// `rule 1 of INPUT (table filter, iptables-nft) in web-1`.
    pub(super) fn name(&self, view: &View<'_>) -> String {
        let place = match self.rule {
            Some(rule) => format!("rule {} of {}", rule.position, self.chain.name),
            None => format!("the DROP policy of {}", self.chain.name),
        };
        let backend = match self.backend {
            Backend::IptablesNft => "iptables-nft",
            Backend::IptablesLegacy => "iptables-legacy",
            Backend::Ip6tablesNft => "ip6tables-nft",
            Backend::Ip6tablesLegacy => "ip6tables-legacy",
            Backend::Nftables => "nftables",
        };
        let host = view.counters.namespace(self.netns).map(|n| format!(" in {}", n.name)).unwrap_or_default();
        format!("{place} (table {}, {backend}){host}", self.chain.table)
    }

    pub(super) fn text(&self) -> String {
        match self.rule {
            Some(rule) => rule.text.clone(),
            None if self.backend == Backend::Nftables => "policy drop".to_owned(),
            None => format!("-P {} DROP", self.chain.name),
        }
    }

    pub(super) fn anchor(&self) -> Anchor {
        anchor::Place::FirewallRule { netns: self.netns, rule: self.id.clone() }.into()
    }

    pub(super) fn subject(&self) -> Subject {
        Subject::FirewallRule { netns: self.netns, rule: self.id.clone(), text: self.text() }
    }

    /// The directions of a conversation that pass this rule's chain.
    pub(super) fn directions(&self, view: &View<'_>, flow: &Flow) -> Vec<Direction> {
        match self.way() {
            Way::In | Way::Out => {
                let inbound = host::captured_in(view, flow, self.netns).and_then(|at| at.inbound(flow));
                let way = |inbound: Direction| if self.way() == Way::In { inbound } else { inbound.reverse() };
                inbound.map(way).into_iter().collect()
            }
            Way::Forward if [flow.client, flow.server].iter().any(|end| self.is_own(view, end.address)) => Vec::new(),
            Way::Forward | Way::Unknown => vec![Direction::AToB, Direction::BToA],
        }
    }

    /// Whether this is an address of its namespace.
    pub(super) fn is_own(&self, view: &View<'_>, address: IpAddr) -> bool {
        host::own(view, address).is_some_and(|at| at.netns() == self.netns)
    }

    /// The name of the interface on which its host captured a conversation.
    pub(super) fn captured_on<'v>(&self, view: &View<'v>, flow: &Flow) -> Option<&'v str> {
        let here = host::captured_in(view, flow, self.netns).map(|at| at.facts.name.as_str());
        here.or_else(|| view.interfaces.get(flow.interface.0 as usize)?.name.as_deref())
    }

    pub(super) fn family(&self, flow: &Flow) -> bool {
        match self.backend {
            Backend::IptablesNft | Backend::IptablesLegacy => flow.server.address.is_ipv4(),
            Backend::Ip6tablesNft | Backend::Ip6tablesLegacy => flow.server.address.is_ipv6(),
            Backend::Nftables => match self.chain.table.split(' ').next() {
                Some("ip") => flow.server.address.is_ipv4(),
                Some("ip6") => flow.server.address.is_ipv6(),
                _ => true,
            },
        }
    }

    fn chain_name(&self) -> ChainName<'_> {
        ChainName::of(self.backend, self.chain)
    }

    pub(super) fn confirm(&self, view: &View<'_>) -> Vec<Command> {
        let command = self.chain_name().list();
        let command = command.map(|c| c.effect("Shows the rules with their hits; run it twice and see which rise."));
        command.into_iter().map(|command| host::inside(view.counters.namespace(self.netns), command)).collect()
    }

    /// What undoes it; for a policy, what lets in a conversation like `wanted`.
    pub(super) fn fix(&self, view: &View<'_>, wanted: Option<&Flow>) -> Option<Fix> {
        let (command, otherwise) = match (self.removed, self.rule) {
            (Some(_), _) => return None,
            (None, Some(rule)) => (
                self.chain_name()
                    .delete(&rule.text, rule.handle)
                    .map(|c| c.effect("Deletes exactly this rule; what it kept out comes in from then on.")),
                "Delete the rule, if nobody put it there on purpose. What this log says of it cannot be read as a rule of that chain, so \
                 no command is made of it.",
            ),
            (None, None) => (
                wanted.and_then(|flow| self.accept(view, flow)),
                "A rule before the policy that accepts the traffic that is wanted, if the policy is there on purpose.",
            ),
        };
        Some(match command {
            Some(command) => {
                let effect = format!("{} Make sure that nobody put it there on purpose.", command.effect);
                host::inside(view.counters.namespace(self.netns), command.effect(effect)).into()
            }
            None => Fix::Say(otherwise.into()),
        })
    }

    fn accept(&self, view: &View<'_>, flow: &Flow) -> Option<Command> {
        let protocol = match flow.transport {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            _ => return None,
        };
        let to_server = self.directions(view, flow).first().is_none_or(|direction| *direction == Direction::AToB);
        let server = (flow.server.address, flow.server.port);
        let command = self.chain_name().accept(Traffic { protocol, server, to_server })?;
        Some(command.effect("Accepts the packets of conversations like this one before the policy applies."))
    }
}
