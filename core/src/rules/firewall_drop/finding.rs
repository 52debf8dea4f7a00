//! The finding about a rule that drops: its sentence, reasons, commands and questions.

use super::SLUG;
use super::dropper::{Dropper, Way};
use super::missing::Missing;
use super::weighed::{Dropped, Weighed};
use crate::anchor::{Anchor, Place};
use crate::finding::{Confidence, Finding, FindingId, Picture, Question, Reason, Severity};
use crate::ids::FlowId;
use crate::log::block::KernelDrop;
use crate::rules::{Explained, View, chance, say};
use crate::time::{Span, Timestamp};

impl Dropper<'_> {
    /// The finding, and the conversations that it explains.
    pub(super) fn finding(&self, view: &View<'_>, all: &[Self], weighed: &Weighed<'_>) -> (Finding, Vec<FlowId>) {
        let Weighed { growth, missing, drops, passed, .. } = weighed;
        let (hits, confidence, subject) = (growth.by, weighed.confidence(), self.subject());
        let mut evidence = vec![self.anchor(), growth.anchor()];
        evidence.extend(anchors_of(drops));
        evidence.extend(missing.seen.iter().take(16).map(|seen| Anchor::from(Place::Packet(seen.no))));
        let share =
            passed.map(|(passed, _)| format!(" of {} ({})", say::number(passed), say::percent(hits, passed))).unwrap_or_default();
        let unanswered = match missing.failed {
            0 => String::new(),
            n => format!("; {} got no answer", say::count(n, "connection attempt")),
        };
        let name = say::capital(&self.name(view));
        let finding = Finding {
            id: FindingId::new(SLUG, &subject, &self.anchor()),
            rule: SLUG.into(),
            severity: weighed.severity(self),
            confidence,
            sentence: format!("{name} dropped {}{share}: `{}`{unanswered}.", say::count(hits, "packet"), self.text()),
            span: growth.span,
            count: hits,
            evidence,
            reasons: self.reasons(all, weighed),
            confidence_reason: weighed.confidence_reason(),
            rival: match weighed.rivals.first() {
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
            questions: self.questions(passed.map(|(passed, _)| passed), hits),
            picture: Some(Picture::HitSteps {
                rule: self.text(),
                hits: thin(&self.hits),
                unanswered: missing.seen.iter().take(200).map(|seen| seen.at).collect(),
            }),
            subject,
        };
        let explains = if confidence >= Confidence::Strong { missing.explained() } else { Vec::new() };
        (finding, explains)
    }

    fn reasons(&self, all: &[Self], weighed: &Weighed<'_>) -> Vec<Reason> {
        let Weighed { growth, missing, drops, .. } = weighed;
        let gone = if self.removed.is_some() { " It was deleted while the log was written." } else { "" };
        let mut reasons = vec![Reason {
            text: format!(
                "The hits of `{}` rose by {} in {}, from {} to {}.{gone}",
                self.text(),
                say::number(growth.by),
                growth.span.length(),
                say::number(growth.from),
                say::number(growth.to)
            ),
            anchors: vec![self.anchor(), growth.anchor()],
        }];
        reasons.extend(weighed.passed.map(|(passed, how)| self.share_reason(growth.by, passed, how)));
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

    fn share_reason(&self, hits: u64, passed: u64, how: &str) -> Reason {
        let probability = self.rule.and_then(|rule| rule.probability);
        let matching = if self.predicate.is_exact() { "" } else { " at most" };
        let mut text =
            format!("That is {}{matching} of the {} {how}", say::percent(hits, passed), say::count(passed, "matching packet"));
        match (probability, chance::interval95(hits, passed)) {
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

    fn questions(&self, passed: Option<u64>, hits: u64) -> Vec<Question> {
        let (Some(p), Some(passed)) = (self.rule.and_then(|rule| rule.probability), passed) else { return Vec::new() };
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
    pub(super) fn unseen(
        &self,
        view: &View<'_>,
        counting: &[Self],
        dropped: &[Dropped<'_>],
        explained: &Explained,
    ) -> Option<(Finding, Vec<FlowId>)> {
        let drops = self.of_it(dropped);
        let same_way = |other: &&Self| other.netns == self.netns && other.way() == self.way();
        let counted: u64 = counting.iter().filter(same_way).filter_map(|other| other.growth).map(|g| g.by).sum();
        let unaccounted = (drops.len() as u64).checked_sub(counted).filter(|n| *n > 0)?;
        let missing = Missing::of(self, &drops, view, explained);
        let subject = self.subject();
        let at = |drop: &KernelDrop| Timestamp::from_nanos(drop.at_ns);
        let span = Span::new(at(drops.first()?.1), at(drops.last()?.1));
        let anchors: Vec<Anchor> = anchors_of(&drops).collect();
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
        Some((finding, missing.explained()))
    }
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
