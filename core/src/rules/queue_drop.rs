//! `queue_drop`: a queueing discipline dropped packets on their way out.
//!
//! **What.** Each interface sends through a queueing discipline (qdisc). One that shapes (tbf, htb), models a bad line (netem) or
//! keeps queues short (fq_codel) drops packets and counts them. A capture on the same host is taken behind it and never sees them.
//!
//! **When.** A qdisc's `drops` rose. fq_codel and its like drop a little on purpose, to tell senders to slow down: below 1 % of
//! what they sent that is a note.
//!
//! **Near misses.** `overlimits` without drops (packets were delayed, not lost).
//!
//! **Sources.** tc(8), `tc -s qdisc`; DIAGNOSIS N3; the lab `tbf-overlimit` (43 drops, 160 overlimits, 56 retransmissions).

use super::commands;
use super::draft::{Draft, Fix, reason};
use super::host::{self, growth};
use super::{Explained, Outcome, View, say};
use crate::anchor::Place;
use crate::command::Command;
use crate::finding::{Confidence, Severity, Subject};
use crate::flow::Flow;
use crate::ids::{FlowId, NetnsId};

const SLUG: &str = "queue_drop";
/// What it says where no host says anything.
const UNRECORDED: &str = "No queueing disciplines were recorded.";

/// Judges each qdisc whose drops were recorded.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let Some(whole) = host::recorded(view) else {
        return Outcome::cannot_tell(UNRECORDED);
    };
    let mut outcome = Outcome::default();
    let mut looked = 0u64;
    for (id, series) in view.counters.of_key("qdisc.drops") {
        looked += 1;
        let Some(drops) = growth((id, series), whole) else { continue };
        let counter = &series.counter;
        let netns = NetnsId(counter.netns.unwrap_or_default());
        let (ifname, qdisc) = (counter.ifname.clone().unwrap_or_default(), counter.object.clone().unwrap_or_default());
        let of_same = |key: &str| {
            let same = view.counters.of_key(key).find(|(_, s)| {
                (s.counter.netns, s.counter.ifindex, &s.counter.object) == (counter.netns, counter.ifindex, &counter.object)
            });
            same.and_then(|counter| growth(counter, whole))
        };
        let sent = of_same("qdisc.packets").map_or(0, |g| g.by);
        let kind = qdisc.split(' ').next().unwrap_or_default().to_owned();
        let on_purpose = matches!(kind.as_str(), "fq_codel" | "codel" | "cake" | "fq_pie" | "pie");
        let host = view.counters.namespace(netns).map(|n| n.name.clone()).unwrap_or_default();
        // Who sends out of here had to send again; where the capture was taken elsewhere on the path, those whose retransmissions
        // the drops can account for.
        let resent: Vec<&Flow> = view
            .flows
            .iter()
            .filter(|flow| !explained.has(flow.id) && whole.overlaps(flow.span()))
            .filter(|flow| {
                let sent_again = |direction| u64::from(flow.side(direction).retransmissions);
                match (host::captured_at(view, flow), host::inbound(view, flow)) {
                    (Some(at), Some(inbound)) if at.netns() == netns && at.facts.name == ifname => {
                        sent_again(inbound.reverse()) > 0
                    }
                    (Some(at), Some(inbound)) if at.netns() != netns => {
                        (3..=drops.by * 2).contains(&sent_again(inbound.reverse()))
                    }
                    _ => false,
                }
            })
            .collect();
        let again: u64 =
            resent.iter().map(|flow| flow.sides.iter().map(|side| u64::from(side.retransmissions)).sum::<u64>()).sum();
        let flows: Vec<FlowId> = resent.iter().map(|flow| flow.id).collect();
        let share = if sent > 0 { format!(" of {} it was given", say::number(sent + drops.by)) } else { String::new() };
        let mut reasons = vec![reason(
            format!(
                "Its drops rose by {}, from {} to {}.",
                say::number(drops.by),
                say::number(drops.from),
                say::number(drops.to)
            ),
            [drops.anchor()],
        )];
        if let Some(limits) = of_same("qdisc.overlimits") {
            let text = format!(
                "Its overlimits rose by {}: so often it had to hold packets back to keep its rate.",
                say::number(limits.by)
            );
            reasons.push(reason(text, [limits.anchor()]));
        }
        if again > 0 {
            let text = format!(
                "{} sent {} again meanwhile.",
                say::count(resent.len() as u64, "conversation"),
                say::count(again, "segment")
            );
            reasons.push(reason(text, flows.iter().map(|flow| Place::Flow(*flow).into())));
        }
        let namespace = view.counters.namespace(netns);
        let replaced = commands::about_interface(namespace, &ifname, |name| {
            let command = Command::new("tc").args(["qdisc", "replace", "dev"]).arg(name).args(["root", "fq_codel"]);
            command.effect(
                "Replaces the queue by the usual one, without a rate limit. Where the limit is wanted, raise its rate or its queue instead.",
            )
        });
        let little = on_purpose && sent > 0 && drops.by * 100 < sent;
        outcome.findings.push(
            Draft {
                rule: SLUG,
                subject: Subject::Queue { netns, ifname: ifname.clone(), qdisc: qdisc.clone() },
                identity: Place::Interface { netns, ifindex: counter.ifindex.unwrap_or_default() }.into(),
                severity: if little { Severity::Note } else { Severity::Warning },
                confidence: Confidence::Strong,
                sentence: format!(
                    "The queue of {ifname} on {host} ({kind}) dropped {}{share} on their way out.",
                    say::count(drops.by, "packet")
                ),
                span: drops.span,
                count: drops.by,
                evidence: [drops.anchor()]
                    .into_iter()
                    .chain(flows.iter().take(8).map(|flow| Place::Flow(*flow).into()))
                    .collect(),
                reasons,
                confidence_reason:
                    "The queue itself counted what it dropped; kernel drops with the reason QDISC_DROP would say whose packets \
                     they were."
                        .into(),
                rival: "A loss further along the path on top of it: then more is sent again than the queue dropped.".into(),
                confirm: commands::about_interface(namespace, &ifname, |name| {
                    let command = Command::new("tc").args(["-s", "qdisc", "show", "dev"]).arg(name);
                    command.effect("Shows what each queue sent, dropped and held back.")
                })
                .into_iter()
                .collect(),
                fix: Some(
                    replaced
                        .map_or_else(|| Fix::Say(format!("Another queue, or a higher rate. {}", commands::UNTYPEABLE)), Fix::Run),
                ),
                questions: Vec::new(),
                picture: None,
            }
            .finding(),
        );
        outcome.explains.flows.extend(flows);
    }
    if outcome.findings.is_empty() {
        return match looked {
            0 => Outcome::cannot_tell(UNRECORDED),
            n => Outcome::clear(format!("{} dropped nothing.", say::count(n, "queue"))),
        };
    }
    outcome
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    const HOST: &str = "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 1500 address 10.0.0.1/24
14:40:00 counters
  qdisc.drops eth0 tbf 8001: 0
  qdisc.overlimits eth0 tbf 8001: 0
  qdisc.packets eth0 tbf 8001: 10
";

    #[test]
    fn a_shaper_that_drops_is_found() {
        check(
            "queue_drop",
            &format!("{HOST}14:40:09 counters\n  qdisc.drops eth0 tbf 8001: 43\n  qdisc.overlimits eth0 tbf 8001: 160\n"),
            "warning strong: The queue of eth0 on web-1 (tbf) dropped 43 packets on their way out.",
        );
    }

    #[test]
    fn a_shaper_that_only_delays_is_not() {
        check(
            "queue_drop",
            &format!("{HOST}14:40:09 counters\n  qdisc.overlimits eth0 tbf 8001: 160\n"),
            "clear: 1 queue dropped nothing.",
        );
    }
}
