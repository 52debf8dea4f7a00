//! `firewall_drop`: a firewall rule, or a chain's policy, drops packets that somebody waits for.
//!
//! **What.** Rules count what they match. A DROP rule whose hits rose while packets went unanswered is the cause as far as the
//! numbers agree; the kernel's own drop records prove it.
//!
//! **When.** Each DROP rule and DROP policy whose hits rose while the log was written, deleted rules included. *Proved* when
//! the kernel recorded drops with the reason NETFILTER_DROP for packets that the rule matches. *Strong* when its hits equal,
//! within 10 % or 2, what went missing: packets that got no effect in the capture, or the gap between what the host's IP layer
//! received and what it delivered; or when the share that a `statistic` rule dropped agrees with its probability. Else
//! *possible*. A rule that hit nothing anybody waited for is a note: a closed door is no fault. Native nftables rules
//! without `counter` are invisible except by kernel drops, and are named (wiki.nftables.org, Counters).
//!
//! **Counting unit.** A host counts packets after GRO and before TSO, so hits are compared with the host's own counters first
//! (`IpInReceives`, `IpOutRequests`; Documentation/networking/snmp_counter.rst), with captured packets second. The capture
//! sees what INPUT drops (its tap stands before), and not what OUTPUT drops (its tap stands behind).
//!
//! **Near misses.** A rule whose hits did not rise. A rule that rejects: see `rejected` and `refused`.
//!
//! **Length.** One argument with all its texts and cases; the texts are most of it.
//!
//! **Sources.** DIAGNOSIS F1 to F8; the labs `random-drop`, `random-drop-legacy`, `nft-drop`, `syn-blackhole`.

use super::host::{self, Growth};
use super::predicate::Predicate;
use super::{Explained, Outcome, View, binomial, say};
use crate::anchor::{Anchor, Place};
use crate::dissect::Protocol;
use crate::finding::{Command, Confidence, Finding, FindingId, Picture, Question, Reason, Severity, Subject};
use crate::flow::{Flow, Seen};
use crate::ids::{Direction, DropNo, FlowId, NetnsId};
use crate::log::block::{Backend, Chain, FirewallRule, KernelDrop, Verdict};
use crate::sort;
use crate::time::{Nanos, Span, Timestamp};

const SLUG: &str = "firewall_drop";

/// Of more rules that dropped, only the ones with most hits are told one by one.
const MOST_FINDINGS: usize = 12;

/// Where a chain hangs, as seen from the host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
    Forward,
    Unknown,
}

/// A rule or policy that drops.
struct Dropper<'a> {
    netns: NetnsId,
    backend: Backend,
    chain: &'a Chain,
    /// `None` for the chain's policy.
    rule: Option<&'a FirewallRule>,
    id: String,
    removed: Option<Timestamp>,
    growth: Option<Growth>,
    hits: Vec<(Timestamp, u64)>,
    /// The time in which it was there.
    window: Span,
    predicate: Predicate,
}

/// What went unanswered in the conversations that a rule matches.
#[derive(Default)]
struct Missing {
    packets: u64,
    flows: Vec<FlowId>,
    seen: Vec<Seen>,
    /// Conversations that never opened.
    failed: u64,
}

/// Judges all rules that drop.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let mut droppers = droppers(view, Verdict::Drop);
    let counted = droppers.len() as u64;
    if counted == 0 {
        return if view.counters.rule_sets().next().is_some() {
            Outcome::clear("The firewall has no rule and no policy that drops.")
        } else {
            Outcome::cannot_tell("No firewall rules were recorded.")
        };
    }
    let uncounted: Vec<Dropper<'_>> = extract(&mut droppers, |d| d.rule.is_some_and(|rule| !rule.counted));
    droppers.retain(|d| d.growth.is_some());
    sort::by_key(&mut droppers, |d| (std::cmp::Reverse(d.growth.map_or(0, |g| g.by)), d.id.clone()));

    let mut outcome = Outcome::default();
    let more = droppers.len().saturating_sub(MOST_FINDINGS) as u64;
    for dropper in droppers.iter().take(MOST_FINDINGS) {
        let missing = dropper.missing(view, explained);
        let (finding, explains) = dropper.finding(view, &droppers, &missing);
        outcome.explains.flows.extend(explains);
        outcome.findings.push(finding);
    }
    for dropper in &uncounted {
        if let Some((finding, explains)) = dropper.unseen(view, &droppers, explained) {
            outcome.explains.flows.extend(explains);
            outcome.findings.push(finding);
        }
    }
    let rest = if more > 0 {
        format!(" {} with fewer hits are not told one by one.", say::count(more, "more rule"))
    } else {
        String::new()
    };
    let invisible = uncounted.iter().filter_map(|d| d.rule).map(|rule| format!("`{}`", rule.text)).collect::<Vec<_>>();
    outcome.quiet = match (outcome.findings.is_empty(), invisible.is_empty()) {
        (true, true) => Some((
            crate::finding::Quiet::Clear,
            format!("{}, and no packet was dropped while the log was written.", say::count(counted, "rule that drops")),
        )),
        (true, false) => Some((
            crate::finding::Quiet::CannotTell,
            format!(
                "Rules without a counter cannot be judged: {}. Add the word `counter` to them, or record kernel drops.",
                say::list(&invisible, 3)
            ),
        )),
        (false, _) if more > 0 => Some((crate::finding::Quiet::CannotTell, rest.trim().to_owned())),
        _ => None,
    };
    outcome
}

/// A rule that rejects, for the rules that see its answers.
pub(super) struct Rejecting {
    /// As [`Dropper::name`].
    pub(super) name: String,
    pub(super) text: String,
    pub(super) hits: u64,
    pub(super) anchors: Vec<Anchor>,
    /// The command that deletes it, if it still stands.
    pub(super) fix: Option<Command>,
}

/// The REJECT rule that answered this conversation's first packet: it matches, its hits rose, and it answers `with` that
/// (`tcp-reset`, or else ICMP, which is what REJECT does unless told otherwise).
pub(super) fn rejecting(view: &View<'_>, flow: &Flow, with: &str) -> Option<Rejecting> {
    let reset = |text: &str| text.contains("tcp-reset") || text.contains("tcp reset");
    let answers = |dropper: &Dropper<'_>| reset(&dropper.text()) == (with == "tcp-reset");
    let matches = |dropper: &Dropper<'_>| {
        dropper.growth.is_some()
            && dropper.family(flow)
            && dropper.window.contains(flow.first.at)
            && dropper
                .directions(view, flow)
                .iter()
                .any(|direction| dropper.predicate.matches(flow, *direction, dropper.captured_on(view, flow)))
    };
    let all = droppers(view, Verdict::Reject);
    let dropper =
        all.iter().filter(|dropper| answers(dropper) && matches(dropper)).max_by_key(|d| d.growth.map_or(0, |g| g.by))?;
    dropper.told(view)
}

/// A rule that drops ICMP and whose hits rose: it keeps from senders what they must know of the path's MTU.
pub(super) fn dropping_icmp(view: &View<'_>) -> Option<Rejecting> {
    let all = droppers(view, Verdict::Drop);
    let dropper = all.iter().find(|dropper| dropper.growth.is_some() && dropper.predicate.is_icmp())?;
    dropper.told(view)
}

fn extract<T>(from: &mut Vec<T>, wanted: impl Fn(&T) -> bool) -> Vec<T> {
    let (taken, kept) = std::mem::take(from).into_iter().partition(wanted);
    *from = kept;
    taken
}

/// Rules and policies of one verdict.
fn droppers<'a>(view: &View<'a>, verdict: Verdict) -> Vec<Dropper<'a>> {
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

impl<'a> Dropper<'a> {
    /// What other rules say of it, where its hits rose.
    fn told(&self, view: &View<'_>) -> Option<Rejecting> {
        let growth = self.growth?;
        Some(Rejecting {
            name: self.name(view),
            text: self.text(),
            hits: growth.by,
            anchors: vec![self.anchor(), growth.anchor()],
            fix: self.fix(view).into_iter().next(),
        })
    }

    fn way(&self) -> Way {
        match self.chain.hook.as_deref() {
            Some("input" | "prerouting" | "ingress") => Way::In,
            Some("output" | "postrouting" | "egress") => Way::Out,
            Some("forward") => Way::Forward,
            _ => Way::Unknown,
        }
    }

    /// `rule 1 of INPUT (table filter, iptables-nft) in web-1`.
    fn name(&self, view: &View<'_>) -> String {
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

    fn text(&self) -> String {
        match self.rule {
            Some(rule) => rule.text.clone(),
            None => format!("-P {} DROP", self.chain.name),
        }
    }

    fn anchor(&self) -> Anchor {
        Place::FirewallRule { netns: self.netns, rule: self.id.clone() }.into()
    }

    /// The directions of a conversation that pass this rule's chain.
    fn directions(&self, view: &View<'_>, flow: &Flow) -> Vec<Direction> {
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
    fn captured_on<'v>(&self, view: &View<'v>, flow: &Flow) -> Option<&'v str> {
        let here = host::captured_in(view, flow, self.netns).map(|at| at.facts.name.as_str());
        here.or_else(|| view.interfaces.get(flow.interface.0 as usize)?.name.as_deref())
    }

    fn family(&self, flow: &Flow) -> bool {
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

    /// Packets that this rule may have dropped: they reached the capture point and had no effect, or never came out.
    fn missing(&self, view: &View<'_>, explained: &Explained) -> Missing {
        let mut missing = Missing::default();
        for flow in view.flows.iter() {
            if !self.window.contains(flow.first.at) || explained.has(flow.id) || !self.family(flow) {
                continue;
            }
            let on = self.captured_on(view, flow);
            for direction in self.directions(view, flow) {
                if !self.predicate.matches(flow, direction, on) {
                    continue;
                }
                let (lost, failed, seen) = match self.way() {
                    Way::Out => lost_on_the_way_out(flow, direction),
                    _ => lost_on_the_way_in(view, flow, direction),
                };
                if lost > 0 {
                    missing.packets += lost;
                    missing.failed += u64::from(failed);
                    missing.flows.push(flow.id);
                    missing.seen.extend(seen);
                }
            }
        }
        missing
    }

    /// Packets that passed this rule's chain, as the host counted them or, for narrower rules, as they were captured.
    fn passed(&self, view: &View<'_>) -> Option<(u64, &'static str)> {
        let grown = |key| host::namespace_growth(view, key, self.netns, self.window).map(|g| g.by);
        if self.predicate.is_everything() && self.backend != Backend::Ip6tablesNft && self.backend != Backend::Ip6tablesLegacy {
            match self.way() {
                Way::In => {
                    let received = grown("nstat.IpInReceives")?;
                    return Some((received - grown("nstat.IpForwDatagrams").unwrap_or(0).min(received), "received"));
                }
                Way::Out => return Some((grown("nstat.IpOutRequests")?, "sent")),
                Way::Forward => return Some((grown("nstat.IpForwDatagrams")?, "forwarded")),
                Way::Unknown => {}
            }
        }
        if self.way() != Way::In {
            return None;
        }
        let mut packets = 0;
        for flow in view.flows.iter().filter(|flow| self.window.contains(flow.first.at) && self.family(flow)) {
            let on = self.captured_on(view, flow);
            for direction in self.directions(view, flow) {
                packets += self.predicate.packets(flow, direction, on);
            }
        }
        (packets > 0).then_some((packets, "captured"))
    }

    /// What the IP layer took in less what it handed on: what vanished where this rule stands.
    fn gap(&self, view: &View<'_>) -> Option<(u64, u64, u64)> {
        let grown = |key| {
            let (id, series) = view.counters.of_namespace(key, self.netns)?;
            Some(host::growth((id, series), self.window).map_or(0, |g| g.by))
        };
        match self.way() {
            Way::In => {
                let (received, delivered) = (grown("nstat.IpInReceives")?, grown("nstat.IpInDelivers")?);
                let delivered = delivered + grown("nstat.IpForwDatagrams").unwrap_or(0);
                Some((received, delivered, received.checked_sub(delivered)?))
            }
            Way::Out => {
                let (requested, sent) = (grown("nstat.IpOutRequests")?, grown("nstat.IpOutTransmits")?);
                let forwarded = grown("nstat.IpForwDatagrams").unwrap_or(0);
                let sent = sent.checked_sub(forwarded)?;
                Some((requested, sent, requested.checked_sub(sent)?))
            }
            _ => None,
        }
    }

    /// Packets that the kernel says netfilter dropped, and that this rule matches.
    fn kernel_drops<'v>(&self, view: &View<'v>) -> Vec<(DropNo, &'v KernelDrop)> {
        let ours = |drop: &KernelDrop| {
            let has_device = drop.ifindex != 0;
            let way = match self.way() {
                Way::In | Way::Forward => has_device,
                Way::Out => !has_device,
                Way::Unknown => true,
            };
            drop.reason == "NETFILTER_DROP"
                && drop.netns == self.netns.0
                && way
                && self.window.contains(Timestamp::from_nanos(drop.at_ns))
                && self.predicate.matches_drop(drop)
        };
        let numbered = view.drops.iter().enumerate().map(|(i, drop)| (DropNo(i as u32 + 1), drop));
        numbered.filter(|(_, drop)| ours(drop)).collect()
    }

    fn finding(&self, view: &View<'_>, all: &[Self], missing: &Missing) -> (Finding, Vec<FlowId>) {
        let growth = self.growth.expect("only rules whose hits rose come here");
        let hits = growth.by;
        let near = |other: u64| hits.abs_diff(other) <= (hits / 10).max(2);
        let same_place = |other: &&Self| other.netns == self.netns && other.way() == self.way() && other.id != self.id;
        let rivals: Vec<&Self> = all.iter().filter(same_place).collect();
        let total_here = hits + rivals.iter().filter_map(|other| other.growth).map(|g| g.by).sum::<u64>();
        let drops = self.kernel_drops(view);
        let passed = self.passed(view).filter(|(passed, _)| *passed >= hits);
        let interval = passed.and_then(|(passed, _)| binomial::interval95(hits, passed));
        let probability = self.rule.and_then(|rule| rule.probability);
        let fits = |p: f64| interval.is_some_and(|(low, high)| low <= p && p <= high);
        let gap = self.gap(view);
        let gap_fits = gap.is_some_and(|(_, _, gap)| gap.abs_diff(total_here) <= (total_here / 10).max(2));
        let missing_fits = missing.packets > 0 && near(missing.packets);
        let share_fits = passed.is_some_and(|(passed, _)| passed >= 10) && probability.is_some_and(fits);
        // Somebody waited, or the host itself misses the packets.
        let matters = missing.packets > 0 || !drops.is_empty() && hits >= 3 && missing.failed > 0;
        let confidence = if !drops.is_empty() {
            Confidence::Proved
        } else if missing_fits || gap_fits || share_fits {
            Confidence::Strong
        } else {
            Confidence::Possible
        };
        let severity = match (matters || probability.is_some(), missing.failed) {
            (false, _) => Severity::Note,
            (true, 0) => Severity::Warning,
            // What was deleted fails nobody any more.
            (true, _) if self.removed.is_some() => Severity::Warning,
            (true, _) => Severity::Critical,
        };

        let name = self.name(view);
        let subject = self.subject();
        let mut reasons = Vec::new();
        let gone = match self.removed {
            Some(_) => " It was deleted while the log was written.",
            None => "",
        };
        reasons.push(Reason {
            text: format!(
                "The hits of `{}` rose by {} in {}, from {} to {}.{gone}",
                self.text(),
                say::number(hits),
                growth.span.length(),
                say::number(growth.from),
                say::number(growth.to)
            ),
            anchors: vec![self.anchor(), growth.anchor()],
        });
        if let Some((passed, how)) = passed {
            reasons.push(self.share_reason(hits, passed, how, probability));
        }
        if let Some((taken, handed, gap)) = gap.filter(|(.., gap)| *gap > 0) {
            let (took, gave) = if self.way() == Way::In { ("received", "delivered") } else { ("was asked to send", "sent") };
            let verdict = match (gap_fits, rivals.is_empty()) {
                (true, true) => ", about as many as this rule hit",
                (true, false) => ", about as many as the rules here hit together",
                (false, _) => "",
            };
            reasons.push(Reason {
                text: format!(
                    "Meanwhile the host's IP layer {took} {} and {gave} {}: {} vanished between the two, where {} stands{verdict}.",
                    say::count(taken, "packet"),
                    say::number(handed),
                    say::number(gap),
                    self.chain.name
                ),
                anchors: Vec::new(),
            });
        }
        if missing.packets > 0 {
            reasons.push(self.missing_reason(missing));
        }
        if !drops.is_empty() {
            let (_, first) = drops[0];
            reasons.push(Reason {
                text: format!(
                    "The kernel recorded {} with the reason NETFILTER_DROP at `{}` for packets that this rule matches.",
                    say::count(drops.len() as u64, "drop"),
                    first.place
                ),
                anchors: drops.iter().take(16).map(|(no, _)| Place::KernelDrop(*no).into()).collect(),
            });
        }
        reasons.extend(self.loss_of_a_probe(all));

        let mut evidence = vec![self.anchor(), growth.anchor()];
        evidence.extend(drops.iter().take(16).map(|(no, _)| Anchor::from(Place::KernelDrop(*no))));
        evidence.extend(missing.seen.iter().take(16).map(|seen| Anchor::from(Place::Packet(seen.no))));
        let share =
            passed.map(|(passed, _)| format!(" of {} ({})", say::number(passed), say::percent(hits, passed))).unwrap_or_default();
        let unanswered = match missing.failed {
            0 => String::new(),
            n => format!("; {} got no answer", say::count(n, "connection attempt")),
        };
        let finding = Finding {
            id: FindingId::new(SLUG, &subject, &self.anchor()),
            rule: SLUG.into(),
            severity,
            confidence,
            sentence: format!("{} dropped {}{share}: `{}`{unanswered}.", say::capital(&name), say::count(hits, "packet"), self.text()),
            span: growth.span,
            count: hits,
            evidence,
            reasons,
            confidence_reason: match confidence {
                Confidence::Proved => "The kernel itself named netfilter for packets that this rule matches.".into(),
                Confidence::Strong => {
                    let mut agree = Vec::new();
                    if missing_fits {
                        agree.push(format!("the {} that went missing in the capture", say::count(missing.packets, "packet")));
                    }
                    if gap_fits {
                        agree.push("the gap in the host's own IP counters".to_owned());
                    }
                    if share_fits {
                        agree.push("the probability in its text".to_owned());
                    }
                    format!("Its hits agree with {}. Kernel drop records with NETFILTER_DROP would prove it.", say::list(&agree, 3))
                }
                Confidence::Possible => "Only its conditions and rising hits speak for it: what went missing in the capture does not add up \
                     to its hits. Kernel drop records would decide it."
                    .into(),
            },
            rival: match rivals.first() {
                Some(rival) => format!(
                    "{} (`{}`) also dropped {} here. `iptables -Z` and one test packet show which of them it meets first.",
                    say::capital(&rival.name(view)),
                    rival.text(),
                    say::count(rival.growth.map_or(0, |g| g.by), "packet")
                ),
                None => "A loss elsewhere on the path at the same time. Then the rule's hits would not follow the missing answers, and \
                     deleting the rule would not end them."
                    .into(),
            },
            confirm: vec![self.confirm(view)],
            fix: self.fix(view),
            questions: self.questions(probability, passed.map(|(passed, _)| passed), hits),
            picture: Some(Picture::HitSteps {
                rule: self.text(),
                hits: thin(&self.hits),
                unanswered: missing.seen.iter().take(200).map(|seen| seen.at).collect(),
            }),
            subject,
        };
        let explains = if confidence >= Confidence::Strong { missing.flows.clone() } else { Vec::new() };
        (finding, explains)
    }

    fn subject(&self) -> Subject {
        Subject::FirewallRule { netns: self.netns, rule: self.id.clone(), text: self.text() }
    }

    fn share_reason(&self, hits: u64, passed: u64, how: &str, probability: Option<f64>) -> Reason {
        let matching = if self.predicate.is_exact() { "" } else { " at most" };
        let mut text =
            format!("That is {}{matching} of the {} {how}", say::percent(hits, passed), say::count(passed, "matching packet"));
        match (probability, binomial::interval95(hits, passed)) {
            (Some(p), Some((low, high))) if low <= p && p <= high => text.push_str(&format!(
                "; the rule says {}, which lies in the 95 % interval of what was seen, {} to {}.",
                say::share(p),
                say::share(low),
                say::share(high)
            )),
            (Some(p), Some((low, high))) => text.push_str(&format!(
                "; the rule says {}, outside the 95 % interval of what was seen, {} to {}: a rule before it takes part of the packets.",
                say::share(p),
                say::share(low),
                say::share(high)
            )),
            _ => text.push('.'),
        }
        Reason { text, anchors: vec![self.anchor()] }
    }

    fn missing_reason(&self, missing: &Missing) -> Reason {
        let text = match self.way() {
            Way::Out => format!(
                "In the capture, taken behind {}, {} of {} came late or not at all: the host sent them again after 1, 2, 4 seconds.",
                self.chain.name,
                say::count(missing.packets, "answer"),
                say::count(missing.flows.len() as u64, "conversation")
            ),
            _ => format!(
                "In the capture, taken before {}, {} of {} arrived and had no effect.",
                self.chain.name,
                say::count(missing.packets, "packet"),
                say::count(missing.flows.len() as u64, "conversation")
            ),
        };
        Reason { text, anchors: missing.seen.iter().take(12).map(|seen| Place::Packet(seen.no).into()).collect() }
    }

    /// What a prober should lose when both directions are thinned.
    fn loss_of_a_probe(&self, all: &[Self]) -> Option<Reason> {
        let p = |way: Way| {
            let rules = all.iter().filter(|d| d.netns == self.netns && d.way() == way && d.predicate.is_everything());
            rules.filter_map(|d| d.rule?.probability).reduce(|a, b| 1.0 - (1.0 - a) * (1.0 - b))
        };
        let (p_in, p_out) = (p(Way::In)?, p(Way::Out)?);
        let text = format!(
            "With {} dropped on the way in and {} on the way out, a probe that is not repeated fails in 1 - (1 - {p_in:.2}) x (1 - {p_out:.2}) = {} \
             of all tries; TCP answers some of them late, after 1, 3 or 7 seconds.",
            say::share(p_in),
            say::share(p_out),
            say::share(1.0 - (1.0 - p_in) * (1.0 - p_out))
        );
        Some(Reason { text, anchors: Vec::new() })
    }

    fn confirm(&self, view: &View<'_>) -> Command {
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

    fn fix(&self, view: &View<'_>) -> Vec<Command> {
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

    fn questions(&self, probability: Option<f64>, passed: Option<u64>, hits: u64) -> Vec<Question> {
        let (Some(p), Some(passed)) = (probability, passed) else { return Vec::new() };
        vec![Question {
            question: format!("Why {} and not exactly {}?", say::percent(hits, passed), say::share(p)),
            answer: format!(
                "The rule throws dice for each packet. Of {} packets it drops {:.0} on average; the more packets, the closer the share comes.",
                say::number(passed),
                passed as f64 * p
            ),
        }]
    }

    /// A rule without a counter, told by kernel drops that no counting rule accounts for.
    fn unseen(&self, view: &View<'_>, counting: &[Self], explained: &Explained) -> Option<(Finding, Vec<FlowId>)> {
        let drops = self.kernel_drops(view);
        let same_way = |other: &&Self| other.netns == self.netns && other.way() == self.way();
        let counted: u64 = counting.iter().filter(same_way).filter_map(|other| other.growth).map(|g| g.by).sum();
        let unaccounted = (drops.len() as u64).checked_sub(counted).filter(|n| *n > 0)?;
        let missing = self.missing(view, explained);
        let subject = self.subject();
        let at = |drop: &KernelDrop| Timestamp::from_nanos(drop.at_ns);
        let span = Span::new(at(drops.first()?.1), at(drops.last()?.1));
        let anchors: Vec<Anchor> = drops.iter().take(16).map(|(no, _)| Place::KernelDrop(*no).into()).collect();
        let finding = Finding {
            id: FindingId::new(SLUG, &subject, &self.anchor()),
            rule: SLUG.into(),
            severity: if missing.failed > 0 { Severity::Critical } else { Severity::Warning },
            confidence: Confidence::Strong,
            sentence: format!(
                "{} has no counter, and netfilter dropped {} that it matches and no counting rule accounts for: `{}`.",
                say::capital(&self.name(view)),
                say::count(unaccounted, "packet"),
                self.text()
            ),
            span,
            count: unaccounted,
            evidence: anchors.iter().cloned().chain([self.anchor()]).collect(),
            reasons: vec![Reason {
                text: format!(
                    "The kernel recorded {} with NETFILTER_DROP for packets that this rule matches; the rules beside it that count had {} hits \
                     together.",
                    say::count(drops.len() as u64, "drop"),
                    say::number(counted)
                ),
                anchors,
            }],
            confidence_reason:
                "The kernel names netfilter, not the rule: this one matches, and the ones that count do not account for it. With \
                 the word `counter` in the rule, its hits would settle it."
                    .into(),
            rival: "Another rule without a counter, or a chain that a table of another family hangs on the same hook.".into(),
            confirm: vec![self.confirm(view)],
            fix: self.fix(view),
            questions: vec![Question {
                question: "Why does this rule show no hits?".into(),
                answer: "A native nftables rule counts only if the word `counter` stands in it. iptables rules always count."
                    .into(),
            }],
            picture: None,
            subject,
        };
        Some((finding, missing.flows))
    }
}

/// Packets that came in and had no effect: SYNs without an answer, RSTs after which SYN-ACKs went on, data that its sender sent
/// again though it had arrived.
fn lost_on_the_way_in(view: &View<'_>, flow: &Flow, inbound: Direction) -> (u64, bool, Vec<Seen>) {
    let handshake = &flow.handshake;
    if flow.transport != Protocol::Tcp {
        return (0, false, Vec::new());
    }
    let side = flow.side(inbound);
    let mut lost = 0;
    let mut seen = Vec::new();
    let mut failed = false;
    if inbound == Direction::AToB {
        let unanswered = handshake.syn_ack.is_none() && handshake.refused.is_none() && flow.icmp_error_count == 0;
        if let Some(syn) = handshake.syn {
            if unanswered && view.watermark - syn.at > Nanos::from_millis(900) {
                lost += u64::from(handshake.syn_count);
                failed = true;
                seen.push(syn);
            } else if handshake.syn_count > 1 && handshake.syn_ack.is_some() {
                lost += u64::from(handshake.syn_count) - 1;
                seen.push(syn);
            }
        }
        if let Some(rst) = side.rst {
            // The first SYN-ACK was answered with RST; each further one says that the RST before it did not arrive.
            let again = u64::from(handshake.syn_ack_count.saturating_sub(1));
            if again > 0 {
                lost += again;
                seen.push(rst);
            }
        }
    } else if handshake.syn_ack_count > 1 && handshake.ack.is_none() && side.rst.is_none() {
        lost += u64::from(handshake.syn_ack_count);
        failed = true;
        seen.extend(handshake.syn_ack);
    }
    // Repeated SYNs are labelled retransmissions, too, and are counted above.
    let syns = if inbound == Direction::AToB {
        handshake.syn_count.saturating_sub(1)
    } else {
        handshake.syn_ack_count.saturating_sub(1)
    };
    let data = side.retransmissions.saturating_sub(syns);
    if data > 0 {
        lost += u64::from(data);
        seen.extend(side.last_retransmission);
    }
    (lost, failed, seen)
}

/// SYN-ACKs that did not come out: Linux sends one again after 1, 2, 4, 8, 16 s (tcp_synack_retries), so the first one that is
/// seen tells by its delay how many went before it.
fn lost_on_the_way_out(flow: &Flow, outbound: Direction) -> (u64, bool, Vec<Seen>) {
    let handshake = &flow.handshake;
    let (Some(syn), Some(syn_ack), Direction::BToA) = (handshake.last_syn, handshake.syn_ack, outbound) else {
        return (0, false, Vec::new());
    };
    let waited = syn_ack.at - syn.at;
    let before = [900, 2_700, 6_500, 14_000, 30_000];
    let lost = before.iter().filter(|ms| waited >= Nanos::from_millis(**ms)).count() as u64;
    (lost, false, if lost > 0 { vec![syn_ack] } else { Vec::new() })
}

/// At most 200 of them, the first and the last among them.
fn thin(points: &[(Timestamp, u64)]) -> Vec<(Timestamp, u64)> {
    let step = points.len().div_ceil(200).max(1);
    let mut thinned: Vec<_> = points.iter().copied().step_by(step).collect();
    if let Some(last) = points.last().filter(|last| thinned.last() != Some(*last)) {
        thinned.push(*last);
    }
    thinned
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    const HOST: &str = "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 1500 address 10.0.0.1/24
14:40:00 rules iptables-nft
  filter INPUT input ACCEPT
  -A INPUT -p tcp -m tcp --dport 80 -j DROP
14:40:00 counters
  firewall.rule.packets INPUT 1 7
";
    const TRIES: &str = "14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:02.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:04.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
";
    const RULE: &str = "`-A INPUT -p tcp -m tcp --dport 80 -j DROP`";

    #[test]
    fn hits_that_equal_the_missing_answers_are_strong() {
        check(
            "firewall_drop",
            &format!("{HOST}{TRIES}14:40:09 counters\n  firewall.rule.packets INPUT 1 10\n"),
            &format!(
                "critical strong: Rule 1 of INPUT (table filter, iptables-nft) in web-1 dropped 3 packets of 3 (100 %): {RULE}; 1 connection attempt got no \
                 answer."
            ),
        );
    }

    #[test]
    fn the_kernels_own_word_proves_it() {
        let drop = "14:40:01.0 drop NETFILTER_DROP nft_do_chain+0x3e8 eth0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0\n";
        check(
            "firewall_drop",
            &format!("{HOST}{TRIES}{drop}14:40:09 counters\n  firewall.rule.packets INPUT 1 10\n"),
            &format!(
                "critical proved: Rule 1 of INPUT (table filter, iptables-nft) in web-1 dropped 3 packets of 3 (100 %): {RULE}; 1 connection attempt got no \
                 answer."
            ),
        );
    }

    #[test]
    fn a_closed_door_that_nobody_missed_is_a_note() {
        check(
            "firewall_drop",
            &format!("{HOST}14:40:09 counters\n  firewall.rule.packets INPUT 1 900\n"),
            &format!("note possible: Rule 1 of INPUT (table filter, iptables-nft) in web-1 dropped 893 packets: {RULE}."),
        );
    }

    #[test]
    fn a_rule_whose_hits_stand_still_is_innocent() {
        check(
            "firewall_drop",
            &format!("{HOST}{TRIES}14:40:09 counters\n  firewall.rule.packets INPUT 1 7\n"),
            "clear: 1 rule that drops, and no packet was dropped while the log was written.",
        );
    }

    #[test]
    fn a_rule_without_a_counter_cannot_be_judged() {
        check(
            "firewall_drop",
            &format!(
                "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 1500 address 10.0.0.1/24
14:40:00 rules nftables
  inet filter input input ACCEPT
  tcp dport 80 drop
14:40:00 counters
  nstat.IpInReceives 1
{TRIES}"
            ),
            "cannot tell: Rules without a counter cannot be judged: `tcp dport 80 drop`. Add the word `counter` to them, or record kernel drops.",
        );
    }

    #[test]
    fn without_rules_it_cannot_tell() {
        check("firewall_drop", &format!("date 2021-06-01\n{TRIES}"), "cannot tell: No firewall rules were recorded.");
    }
}
