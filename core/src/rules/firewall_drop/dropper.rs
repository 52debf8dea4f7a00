//! The rules and policies of a firewall that drop or reject, and what can be said of each by itself.

use crate::anchor::{Anchor, Place};
use crate::finding::{Command, Subject};
use crate::flow::Flow;
use crate::ids::{Direction, NetnsId};
use crate::log::block::{Backend, Chain, FirewallRule, Verdict};
use crate::rules::View;
use crate::rules::host::{self, Growth};
use crate::rules::predicate::Predicate;
use crate::time::{Span, Timestamp};

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
    pub(super) growth: Option<Growth>,
    pub(super) hits: Vec<(Timestamp, u64)>,
    /// The time in which it was there.
    pub(super) window: Span,
    pub(super) predicate: Predicate,
}

/// Rules and policies of one verdict.
pub(super) fn droppers<'a>(view: &View<'a>, verdict: Verdict) -> Vec<Dropper<'a>> {
    let counters = view.counters;
    let whole = host::recorded(view).unwrap_or(Span::at(view.watermark));
    let make = |netns: NetnsId, backend, chain: &'a Chain, rule: Option<&'a FirewallRule>, removed: Option<Timestamp>| {
        let id = rule.map_or_else(|| chain.policy_id.clone().unwrap_or_default(), |rule| rule.id.clone());
        let window = Span::new(whole.start, removed.unwrap_or(whole.end));
        let key = if rule.is_some() { "firewall.rule.packets" } else { "firewall.policy.packets" };
        let counter = counters.of_rule(key, netns, &id);
        Dropper {
            netns,
            backend,
            chain,
            rule,
            removed,
            growth: counter.and_then(|counter| host::growth(counter, window)),
            hits: counter.map(|(_, s)| s.points().iter().map(|p| (p.at, p.value)).collect()).unwrap_or_default(),
            window,
            predicate: rule.map(|rule| Predicate::parse(&rule.text)).unwrap_or_default(),
            id,
        }
    };
    let mut droppers = Vec::new();
    for set in counters.rule_sets() {
        for chain in &set.chains {
            let netns = NetnsId(set.netns);
            let drops = chain.rules.iter().filter(|rule| rule.verdict == verdict);
            droppers.extend(drops.map(|rule| make(netns, set.backend, chain, Some(rule), None)));
            if chain.policy == Some(verdict) {
                droppers.push(make(netns, set.backend, chain, None, None));
            }
        }
    }
    for (netns, backend, gone) in counters.removed_rules().filter(|(_, _, gone)| gone.rule.verdict == verdict) {
        droppers.push(make(netns, backend, &gone.chain, Some(&gone.rule), Some(gone.at)));
    }
    droppers
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
            None => format!("-P {} DROP", self.chain.name),
        }
    }

    pub(super) fn anchor(&self) -> Anchor {
        Place::FirewallRule { netns: self.netns, rule: self.id.clone() }.into()
    }

    pub(super) fn subject(&self) -> Subject {
        Subject::FirewallRule { netns: self.netns, rule: self.id.clone(), text: self.text() }
    }

    /// The directions of a conversation that pass this rule's chain.
    pub(super) fn directions(&self, view: &View<'_>, flow: &Flow) -> Vec<Direction> {
        let inbound = match self.way() {
            Way::In | Way::Out => host::captured_in(view, flow, self.netns).and_then(|at| at.inbound(flow)),
            Way::Forward | Way::Unknown => host::inbound(view, flow),
        };
        match (self.way(), inbound) {
            (Way::In, Some(inbound)) => vec![inbound],
            (Way::Out, Some(inbound)) => vec![inbound.reverse()],
            (Way::In | Way::Out, None) => Vec::new(),
            (Way::Forward, Some(_)) => Vec::new(),
            (Way::Forward, None) | (Way::Unknown, _) => vec![Direction::AToB, Direction::BToA],
        }
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

    pub(super) fn confirm(&self, view: &View<'_>) -> Command {
        let (family, table) = self.chain.table.split_once(' ').unwrap_or(("ip", &self.chain.table));
        let line = match self.backend {
            Backend::Nftables => format!("nft -a list chain {family} {table} {}", self.chain.name),
            Backend::Ip6tablesNft | Backend::Ip6tablesLegacy => {
                format!("ip6tables -t {table} -nvL {} --line-numbers", self.chain.name)
            }
            _ => format!("iptables -t {table} -nvL {} --line-numbers", self.chain.name),
        };
        let inside = view.counters.namespace(self.netns).map(host::run_inside).unwrap_or_default();
        Command { line, effect: format!("Shows the rules with their hits; run it twice and see which rise.{inside}") }
    }

    pub(super) fn fix(&self, view: &View<'_>) -> Vec<Command> {
        let inside = view.counters.namespace(self.netns).map(host::run_inside).unwrap_or_default();
        let (line, effect) = match (self.removed, self.rule) {
            (Some(_), _) => return Vec::new(),
            (None, Some(rule)) => (rule.delete.clone(), "Deletes exactly this rule; what it kept out comes in from then on."),
            (None, None) => (
                format!("iptables -t {} -I {} 1 … -j ACCEPT", self.chain.table, self.chain.name),
                "With the conditions of the traffic that is wanted: lets it in before the policy applies.",
            ),
        };
        vec![Command { line, effect: format!("{effect} Make sure that nobody put it there on purpose.{inside}") }]
    }
}
