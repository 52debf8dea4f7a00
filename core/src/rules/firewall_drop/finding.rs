//! The finding about a rule that drops: its sentence, reasons, commands and questions.

use super::SLUG;
use super::dropper::{Dropper, Way};
use super::missing::Missing;
use super::weighed::{Dropped, Share, Weighed};
use crate::anchor::{Anchor, Place};
use crate::command::Command;
use crate::finding::{Confidence, Finding, FindingId, Picture, Question, Reason, Severity, Subject};
use crate::ids::{FlowId, NetnsId};
use crate::log::block::{KernelDrop, Verdict};
use crate::rules::draft::{Draft, Fix, reason};
use crate::rules::{Explained, View, chance, host, say};
use crate::time::{Span, Timestamp};
use std::collections::BTreeSet;

impl Dropper<'_> {
    /// The finding, and the conversations that it explains.
    pub(super) fn finding(&self, view: &View<'_>, all: &[Self], weighed: &Weighed<'_>) -> (Finding, Vec<FlowId>) {
        let Weighed { growth, missing, share, .. } = weighed;
        let (hits, confidence, subject) = (growth.by, weighed.confidence(), self.subject());
        let mut evidence = vec![self.anchor(), growth.anchor()];
        evidence.extend(anchors_of(&weighed.drops));
        let meanwhile = || missing.seen.iter().filter(|seen| growth.span.contains(seen.at));
        evidence.extend(meanwhile().take(16).map(|seen| Anchor::from(Place::Packet(seen.no))));
        let of = share.filter(|share| share.is_whole);
        let of = of.map(|of| format!(" of {} ({})", say::number(of.passed), say::percent(hits, of.passed))).unwrap_or_default();
        let unanswered = match missing.failed {
            0 => String::new(),
            n => format!("; {} got no answer", say::count(n, "connection attempt")),
        };
        let name = say::capital(&self.name(view));
        let wanted = missing.flows.first().and_then(|flow| view.flows.get(*flow));
        let (fix, advice) = Fix::parts(self.fix(view, wanted));
        let finding = Finding {
            id: FindingId::new(SLUG, &subject, &self.anchor()),
            rule: SLUG.into(),
            severity: weighed.severity(self),
            confidence,
            sentence: format!("{name} dropped {}{of}: `{}`{unanswered}.", say::count(hits, "packet"), self.text()),
            span: growth.span,
            count: hits,
            evidence,
            reasons: self.reasons(all, weighed),
            confidence_reason: weighed.confidence_reason(),
            rival: match weighed.rivals.first() {
                Some(rival) => format!(
                    "{} (`{}`) also dropped {} here. Send one test packet and list both again: it adds one to the hits of the rule it meets first.",
                    say::capital(&rival.name(view)),
                    rival.text(),
                    say::count(rival.growth.map_or(0, |g| g.by), "packet")
                ),
                None => "A loss elsewhere on the path at the same time. Then the rule's hits would not follow the missing answers, and \
                     deleting the rule would not end them."
                    .into(),
            },
            confirm: lists(view, [self].into_iter().chain(weighed.rivals.first().copied())),
            fix,
            advice,
            questions: self.questions(*share),
            picture: Some(Picture::HitSteps {
                rule: self.text(),
                hits: thin(&self.hits),
                unanswered: meanwhile().take(200).map(|seen| seen.at).collect(),
            }),
            subject,
        };
        let explains = if confidence >= Confidence::Strong { missing.explained() } else { Vec::new() };
        (finding, explains)
    }

    fn reasons(&self, all: &[Self], weighed: &Weighed<'_>) -> Vec<Reason> {
        let Weighed { growth, missing, drops, .. } = weighed;
        let is_new = growth.from == 0 && self.inserted.is_some();
        let gone = match (self.removed, self.rule) {
            (None, _) => "",
            (Some(_), Some(_)) => " It was deleted while the log was written.",
            (Some(_), None) => " Another policy took its place while the log was written.",
        };
        let rose = match self.inserted {
            Some(_) if is_new => format!("It came while the log was written and had {}", say::count(growth.by, "hit")),
            _ => format!(
                "Its hits rose by {}, from {} to {},",
                say::number(growth.by),
                say::number(growth.from),
                say::number(growth.to)
            ),
        };
        let mut reasons = vec![Reason {
            text: format!("{rose} within {}.{gone}", growth.span.length()),
            anchors: vec![self.anchor(), growth.anchor()],
        }];
        reasons.extend(weighed.share.map(|share| self.share_reason(share)));
        reasons.extend(self.gap_reason(weighed));
        if missing.packets > 0 {
            reasons.push(self.missing_reason(missing));
        }
        if let Some((_, first)) = drops.first() {
            reasons.push(Reason {
                text: format!(
                    "The kernel recorded {} with the reason NETFILTER_DROP at `{}` for packets that this rule matches.",
                    say::count(drops.len() as u64, "drop"),
                    first.place
                ),
                anchors: anchors_of(drops).collect(),
            });
        }
        reasons.extend(self.loss_of_a_probe(all));
        reasons
    }

    fn gap_reason(&self, weighed: &Weighed<'_>) -> Option<Reason> {
        let (taken, handed, gap) = weighed.gap.filter(|(.., gap)| *gap > 0)?;
        let (took, gave) = if self.way() == Way::In { ("received", "delivered") } else { ("was asked to send", "sent") };
        let verdict = match (weighed.gap_fits, weighed.rivals.is_empty()) {
            (true, true) => ", about as many as this rule hit",
            (true, false) => ", about as many as the rules here hit together",
            (false, _) => "",
        };
        let text = format!(
            "Meanwhile the host's IP layer {took} {} and {gave} {}: {} vanished between the two, where {} stands{verdict}.",
            say::count(taken, "packet"),
            say::number(handed),
            say::number(gap),
            self.chain.name
        );
        Some(Reason { text, anchors: Vec::new() })
    }

    fn share_reason(&self, share: Share) -> Reason {
        let Share { hits, passed, how, is_whole } = share;
        let probability = self.rule.and_then(|rule| rule.probability);
        let matching = if self.predicate.is_exact() { "" } else { " at most" };
        let (part, packets) = (say::percent(hits, passed), say::count(passed, "matching packet"));
        let mut text = if is_whole {
            format!("That is {part}{matching} of the {packets} {how}")
        } else {
            // The other hits lie before its first reading, or after its last.
            format!("While it was read it hit {} of the {packets} {how}, {part}{matching}", say::number(hits))
        };
        match (probability, chance::interval95(hits, passed)) {
            (Some(p), Some((low, high))) => {
                let (says, low_text, high_text) = (say::share(p), say::share(low), say::share(high));
                let rest = match (low..=high).contains(&p) {
                    true => format!("which lies in the 95 % interval of what was seen, {low_text} to {high_text}."),
                    false if self.rule.is_some_and(|rule| rule.position > 1) => format!(
                        "outside the 95 % interval of what was seen, {low_text} to {high_text}: a rule before it takes part of the packets."
                    ),
                    false => format!(
                        "outside the 95 % interval of what was seen, {low_text} to {high_text}: some of these packets did not pass its chain."
                    ),
                };
                text.push_str(&format!("; the rule says {says}, {rest}"));
            }
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

    fn questions(&self, share: Option<Share>) -> Vec<Question> {
        let (Some(p), Some(share)) = (self.rule.and_then(|rule| rule.probability), share) else { return Vec::new() };
        vec![Question {
            question: format!("Why {} and not exactly {}?", say::percent(share.hits, share.passed), say::share(p)),
            answer: format!(
                "The rule throws dice for each packet. Of {} packets it drops {:.0} on average; the more packets, the closer the share comes.",
                say::number(share.passed),
                share.passed as f64 * p
            ),
        }]
    }

    /// A rule whose counter does not tell what it drops, or that has none: told by those of the kernel's drops that it matches
    /// and no counting rule accounts for.
    pub(super) fn unseen(&self, view: &View<'_>, drops: &[Dropped<'_>], explained: &Explained) -> Option<(Finding, Vec<FlowId>)> {
        let unaccounted = drops.len() as u64;
        let missing = Missing::of(self, drops, view, explained);
        let subject = self.subject();
        let at = |drop: &KernelDrop| Timestamp::from_nanos(drop.at_ns);
        let span = Span::new(at(drops.first()?.1), at(drops.last()?.1));
        let anchors: Vec<Anchor> = anchors_of(drops).collect();
        let is_map = self.rule.is_some_and(|rule| rule.verdict == Verdict::Other);
        let matching = if self.rule.is_some() { "that it matches and " } else { "that " };
        let (why, question) = match (is_map, self.rule.is_some()) {
            (true, _) => (
                "looks its verdict up in a map, so its counter would not tell what it drops",
                "A verdict map decides packet by packet; a counter in the rule counts each look-up, whatever came of it. Counters in the \
                 map's elements (`80 counter : drop`) tell them apart.",
            ),
            (false, true) => (
                "has no counter",
                "A native nftables rule counts only if the word `counter` stands in it. iptables rules always count.",
            ),
            (false, false) => (
                "has no counter",
                "The policy of a native nftables chain is never counted. A last rule `counter drop` would count what it decides.",
            ),
        };
        let (fix, advice) = Fix::parts(self.fix(view, None));
        let finding = Finding {
            id: FindingId::new(SLUG, &subject, &self.anchor()),
            rule: SLUG.into(),
            severity: if missing.failed > 0 { Severity::Critical } else { Severity::Warning },
            confidence: Confidence::Strong,
            sentence: format!(
                "{} {why}, and netfilter dropped {} {matching}no counting rule accounts for: `{}`.",
                say::capital(&self.name(view)),
                say::count(unaccounted, "packet"),
                self.text()
            ),
            span,
            count: unaccounted,
            evidence: anchors.iter().cloned().chain([self.anchor()]).collect(),
            reasons: vec![Reason {
                text: format!(
                    "The kernel recorded {} with NETFILTER_DROP for packets that it matches, beyond the hits of the rules that count.",
                    say::count(unaccounted, "drop")
                ),
                anchors,
            }],
            confidence_reason:
                "The kernel names netfilter, not the rule: this one matches, and the ones that count do not account for it. \
                 A counter would settle it."
                    .into(),
            rival: "Another rule without a counter, or a chain that a table of another family hangs on the same hook.".into(),
            confirm: self.confirm(view),
            fix,
            advice,
            questions: vec![Question { question: "Why are no hits shown for it?".into(), answer: question.into() }],
            picture: None,
            subject,
        };
        Some((finding, missing.explained()))
    }
}

/// What netfilter dropped in a namespace and nothing that was recorded accounts for.
pub(super) fn unaccounted(
    view: &View<'_>,
    netns: NetnsId,
    drops: &[Dropped<'_>],
    rules_are_known: bool,
) -> Option<(Finding, Vec<FlowId>)> {
    let ((first, drop), (_, last)) = (drops.first()?, drops.last()?);
    let at = |drop: &KernelDrop| Timestamp::from_nanos(drop.at_ns);
    let flows: BTreeSet<FlowId> = drops.iter().filter_map(|(no, _)| view.joined.flow(*no)).collect();
    let unanswered = |flow: &FlowId| view.flows.get(*flow).is_some_and(|flow| flow.sides.iter().any(|side| side.packets == 0));
    let name = view.counters.namespace(netns).map_or_else(|| "this host".to_owned(), |namespace| namespace.name.clone());
    let (but, rival) = match rules_are_known {
        true => (
            "no rule and no policy that was recorded accounts for that",
            "A rule that came and went between two readings, a bridge's or a device's own rules (ebtables, netdev), or a program in the \
             kernel: connection tracking, IPVS, BPF.",
        ),
        false => {
            ("its rules were not recorded", "Connection tracking, IPVS or a BPF program: they drop in netfilter's name, too.")
        }
    };
    let subject = Subject::FirewallRule { netns, rule: String::new(), text: String::new() };
    let finding = Draft {
        rule: SLUG,
        subject,
        identity: Place::KernelDrop(*first).into(),
        severity: if flows.iter().any(unanswered) { Severity::Critical } else { Severity::Warning },
        confidence: Confidence::Possible,
        sentence: format!("Netfilter dropped {} in {name}, and {but}.", say::count(drops.len() as u64, "packet")),
        span: Span::new(at(drop), at(last)),
        count: drops.len() as u64,
        evidence: anchors_of(drops).collect(),
        reasons: vec![reason(
            format!("The kernel recorded {} with NETFILTER_DROP at `{}`.", say::count(drops.len() as u64, "drop"), drop.place),
            anchors_of(drops),
        )],
        confidence_reason: "The kernel names netfilter for certain, and not what in it decided.".into(),
        rival: rival.into(),
        confirm: vec![host::inside(
            view.counters.namespace(netns),
            Command::new("nft")
                .args(["-a", "list", "ruleset"])
                .effect("Shows all rules of nf_tables, those of iptables-nft among them."),
        )],
        fix: None,
        questions: Vec::new(),
        picture: None,
    };
    Some((finding.finding(), flows.into_iter().collect()))
}

/// Lists the chains of these rules, each once.
fn lists<'a>(view: &View<'_>, droppers: impl Iterator<Item = &'a Dropper<'a>>) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for command in droppers.flat_map(|dropper| dropper.confirm(view)) {
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    commands
}

fn anchors_of(drops: &[Dropped<'_>]) -> impl Iterator<Item = Anchor> {
    drops.iter().take(16).map(|(no, _)| Place::KernelDrop(*no).into())
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
