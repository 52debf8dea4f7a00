//! Words for counters, namespaces and interfaces.

use super::engine::Knowledge;
use crate::anchor::Place;
use crate::counters::Series;
use crate::ids::{CounterId, NetnsId};
use crate::log::block::{Chain, CounterKind, FirewallRule, Unit, Verdict};
use crate::sort;
use crate::time::{Span, Timestamp};
use std::collections::BTreeSet;

impl Knowledge<'_> {
    /// What the user calls a namespace; its number where nobody said.
    pub(super) fn netns_name(&self, netns: NetnsId) -> String {
        self.recording.counters.namespace(netns).map_or_else(|| format!("netns {}", netns.0), |namespace| namespace.name.clone())
    }

    /// ` (web-1)` where there are several namespaces to tell apart.
    fn netns_suffix(&self, netns: Option<u64>) -> String {
        match netns {
            Some(netns) if self.recording.counters.namespaces().count() > 1 => format!(" ({})", self.netns_name(NetnsId(netns))),
            _ => String::new(),
        }
    }

    /// A counter's name on a track: `eth0 RX-DRP`, `INPUT rule 1 hits`, `conntrack entries`, `TcpRetransSegs`.
    pub(super) fn counter_title(&self, series: &Series) -> String {
        let counter = &series.counter;
        let suffix = self.netns_suffix(counter.netns);
        let key = counter.key.as_str();
        let name = if let Some(field) = key.strip_prefix("link.") {
            let word = match field {
                "rx_packets" => "RX-OK",
                "rx_errors" => "RX-ERR",
                "rx_dropped" => "RX-DRP",
                "rx_over_errors" => "RX-OVR",
                "tx_packets" => "TX-OK",
                "tx_errors" => "TX-ERR",
                "tx_dropped" => "TX-DRP",
                "mtu" => "MTU",
                other => other,
            };
            format!("{} {word}", counter.ifname.as_deref().unwrap_or("interface"))
        } else if key.starts_with("firewall.") {
            self.rule_title(series)
        } else if key == "conntrack.count" {
            "conntrack entries".into()
        } else {
            let object = counter.object.as_deref().map(|object| format!(" {object}")).unwrap_or_default();
            let cpu = counter.cpu.map(|cpu| format!(" cpu {cpu}")).unwrap_or_default();
            let interface = counter.ifname.as_deref().map(|name| format!("{name} ")).unwrap_or_default();
            let group = match key.split_once('.') {
                Some(("nstat", _)) | None => String::new(),
                Some((group, _)) => format!("{group} "),
            };
            format!("{interface}{group}{}{object}{cpu}", counter.kernel_name)
        };
        name + &suffix
    }

    fn rule_title(&self, series: &Series) -> String {
        let counter = &series.counter;
        let wanted = counter.rule.as_deref().unwrap_or("");
        let unit = if counter.unit == Unit::Bytes { "bytes" } else { "hits" };
        if let Some((chain, rule, removed)) = counter.netns.and_then(|netns| self.rule(NetnsId(netns), wanted)) {
            let gone = if removed.is_some() { ", deleted" } else { "" };
            return format!("{} rule {} {unit}{gone}", chain.name, rule.position);
        }
        let mut chains = self.recording.counters.rule_sets().flat_map(|set| &set.chains);
        match chains.find(|chain| chain.policy_id.as_deref() == Some(wanted)) {
            Some(chain) => format!("{} policy {unit}", chain.name),
            None => format!("{} rule {unit}", chain_of(wanted)),
        }
    }

    /// A firewall rule with its chain, and when it was found deleted, if it was.
    pub(super) fn rule(&self, netns: NetnsId, id: &str) -> Option<(&Chain, &FirewallRule, Option<Timestamp>)> {
        let counters = &self.recording.counters;
        let there = counters.rules().find(|(set, _, rule)| set.netns == netns.0 && rule.id == id);
        let gone = || counters.removed_rules().find(|(n, _, gone)| *n == netns && gone.rule.id == id);
        there
            .map(|(_, chain, rule)| (chain, rule, None))
            .or_else(|| gone().map(|(.., gone)| (&gone.chain, &gone.rule, Some(gone.at))))
    }

    /// What hovering over a counter's track says.
    pub(super) fn counter_about(&self, id: CounterId, series: &Series, span: Span) -> String {
        let counter = &series.counter;
        let change = match (series.grown(span), counter.kind) {
            (Some(delta), CounterKind::Monotonic) => format!("{delta:+} in view"),
            (Some(delta), CounterKind::Gauge) => format!("now {}, {delta:+} in view", series.at(span.end).unwrap_or(0)),
            (None, _) => "it was reset in view".into(),
        };
        format!("{}, from {}: {change} (counter {id}).", counter.kernel_name, counter.source)
    }

    /// Whether a firewall counter belongs to a rule or policy that drops or rejects.
    pub(super) fn is_dropping(&self, series: &Series) -> bool {
        let counter = &series.counter;
        let wanted = counter.rule.as_deref().unwrap_or("");
        let counters = &self.recording.counters;
        let stops = |verdict: Verdict| matches!(verdict, Verdict::Drop | Verdict::Reject);
        let rule = counter.netns.and_then(|netns| self.rule(NetnsId(netns), wanted));
        let of_rule = rule.is_some_and(|(_, rule, _)| stops(rule.verdict));
        let of_policy = counters
            .rule_sets()
            .filter(|set| Some(set.netns) == counter.netns)
            .flat_map(|set| &set.chains)
            .any(|chain| chain.policy_id.as_deref() == Some(wanted) && chain.policy.is_some_and(stops));
        of_rule || of_policy
    }

    /// Counters that some finding rests on.
    pub(super) fn evidence_counters(&self) -> BTreeSet<CounterId> {
        let anchors = self
            .findings
            .iter()
            .flat_map(|finding| finding.evidence.iter().chain(finding.reasons.iter().flat_map(|reason| &reason.anchors)));
        sort::set(anchors.filter_map(|anchor| match anchor.place {
            Place::Counter { counter, .. } => Some(counter),
            _ => None,
        }))
    }
}

/// The chain in a rule's identity, for a rule whose text no rule set of the log holds; see [`FirewallRule::id`].
fn chain_of(id: &str) -> &str {
    id.split('/').nth(1).unwrap_or(id)
}
