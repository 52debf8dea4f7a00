//! `retransmission`: TCP sent segments again, and no rule before this one says why.
//!
//! **What.** A retransmission is a symptom: a segment or its acknowledgement was lost, or was late. Bytes that this capture had
//! already seen were lost *behind* the capture point (or their ACK was); bytes that it had not seen were lost *before* it. What
//! made the sender send again (a timer, a probe, the receiver's or a router's word) is told beside, and what was sent needlessly
//! or only cut smaller is not counted as loss.
//!
//! **When.** Conversations with retransmissions that no cause explains, told once for each pair of hosts and direction, with the
//! longest stall. Severity follows what it cost: a stall of 3 s or data that never got through is critical, a second or 2 % of the
//! segments a warning, the rest a note; so is what was repeated within a millisecond, which nobody waits for.
//!
//! **Near misses.** Packets captured twice are copies, not retransmissions. A capture of one direction cannot tell.
//!
//! **Sources.** Wireshark packet-tcp.c for the label; `flow::Judgement` for the causes (RFC 6298, RFC 6675, RFC 8985) and for
//! what was needless (RFC 2883, RFC 3522, RFC 5682); DIAGNOSIS R1 to R5; `loss_model` for how it lies. The lab `tbf-overlimit`: the kernel counts 56 segments sent
//! again (TcpRetransSegs), as does this.

use super::draft::{Draft, evidence, packet, reason};
use super::group::{self, PathGroup};
use super::host;
use super::{Explained, Outcome, View, loss_model, say};
use crate::anchor::{Anchor, Place};
use crate::command::Command;
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Reason, Severity};
use crate::flow::{Cause, Flow, Side};
use crate::ids::Direction;
use crate::time::Nanos;

const SLUG: &str = "retransmission";

/// Judges every TCP conversation.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let tcp = || view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp);
    let segments: u64 = tcp().flat_map(|flow| &flow.sides).map(Side::segments).sum();
    if segments == 0 {
        return Outcome::cannot_tell("No TCP segment was captured.");
    }
    if group::is_one_way(view) {
        return Outcome::cannot_tell(
            "The capture shows one direction only, so lost and repeated segments cannot be told from unseen ones.",
        );
    }
    let known =
        tcp().filter(|flow| explained.has(flow.id) && flow.sides.iter().any(|side| side.retransmissions > 0)).count() as u64;
    let hits: Vec<(&Flow, Direction)> = tcp()
        .filter(|flow| !explained.has(flow.id))
        .flat_map(|flow| [Direction::AToB, Direction::BToA].map(|direction| (flow, direction)))
        .filter(|(flow, direction)| flow.side(*direction).retransmissions > 0 && flow.side(direction.reverse()).packets > 0)
        .collect();
    if hits.is_empty() {
        let text = match known {
            0 => format!("None of {} was sent again.", say::count(segments, "TCP segment")),
            n => format!("The only retransmissions are those of {} whose cause is told.", say::count(n, "conversation")),
        };
        return Outcome::clear(text);
    }
    let groups = group::by_path(hits, |flow, direction| {
        let side = flow.side(direction);
        side.longest_stall.unwrap_or_default().get().unsigned_abs() / 1_000_000 + u64::from(side.retransmissions)
    });
    Outcome { findings: groups.iter().map(|group| finding(view, group)).collect(), ..Outcome::default() }
}

fn finding(view: &View<'_>, group: &PathGroup<'_>) -> Finding {
    let sides = || group.hits.iter().map(|(flow, direction)| flow.side(*direction));
    let again: u64 = sides().map(|side| u64::from(side.retransmissions)).sum();
    let segments: u64 = sides().map(Side::segments).sum();
    let needless: u64 = sides().map(|side| u64::from(side.needless)).sum();
    // What a router asked for in smaller pieces is how the path's MTU is found, not a fault.
    let cut: u64 = sides().map(|side| u64::from(side.causes[Cause::PathMtu as usize])).sum();
    let lost = again.saturating_sub(needless + cut);
    // Time stamps that run backwards tell no wait.
    let stall = sides().filter_map(|side| side.longest_stall).filter(|stall| stall.get() > 0).max();
    // Never acknowledged, though sent three times or more: somebody waits in vain.
    let is_stuck = |side: &Side| side.stuck.filter(|stuck| stuck.sent >= 3);
    let stuck = group.hits.iter().find_map(|(flow, direction)| Some((*flow, *direction, is_stuck(flow.side(*direction))?)));
    let upstream: u64 = sides().flat_map(|side| &side.holes).filter(|hole| hole.filled.is_some()).count() as u64;
    let long = stall.unwrap_or_default();
    let severity = match (stuck.is_some() || long >= Nanos::from_secs(3), long >= Nanos::from_secs(1) || lost * 50 >= segments) {
        (true, _) => Severity::Critical,
        // What is repeated at once answers no loss, for the sender cannot have known of one, or costs nobody anything.
        (_, true) if (lost >= 3 && long >= Nanos::from_millis(1)) || long >= Nanos::from_secs(1) => Severity::Warning,
        _ => Severity::Note,
    };
    let worst = group
        .hits
        .iter()
        .max_by_key(|(flow, direction)| flow.side(*direction).longest_stall)
        .expect("a group has a conversation");
    let worst_side = worst.0.side(worst.1);
    let seen = |side: &Side| {
        [side.first_retransmission, side.last_retransmission].into_iter().flatten().map(packet).collect::<Vec<Anchor>>()
    };
    let firsts = sides().flat_map(|side| side.first_retransmission).map(packet);
    let evidence = evidence(seen(worst_side).into_iter().chain(firsts));
    let waited = stall.map(|stall| format!("; the longest wait was {stall}")).unwrap_or_default();
    let vain = match stuck {
        Some((_, _, stuck)) => format!(", and {} never got through", say::bytes(stuck.first, stuck.last)),
        None => String::new(),
    };
    let mut reasons = vec![reason(
        format!(
            "{} of {} in {} {} sent again ({}).",
            say::number(again),
            say::count(segments, "segment"),
            say::count(group.hits.len() as u64, "conversation"),
            if again == 1 { "was" } else { "were" },
            say::percent(again, segments)
        ),
        group.hits.iter().map(|(flow, _)| Place::Flow(flow.id).into()),
    )];
    reasons.extend(causes(group, again).map(|text| reason(text, [])));
    reasons.extend(tail_losses(group).map(|text| reason(text, [])));
    reasons.extend(impossible_sacks(group));
    reasons.extend(loss_model::reason_of(view, group));
    if let Some(stall) = worst_side.longest_stall.filter(|stall| stall.get() > 0) {
        reasons.push(reason(
            format!("The longest wait was {stall}, between {} and {}.", worst.0.client, worst.0.server),
            seen(worst_side),
        ));
    }
    if let Some((flow, direction, stuck)) = stuck {
        let text = format!(
            "{} of {} were sent {} in packets of {} bytes and never acknowledged.",
            say::capital(&say::bytes(stuck.first, stuck.last)),
            flow.sender(direction),
            say::count(stuck.sent.into(), "time"),
            stuck.ip_len
        );
        reasons.push(reason(text, [packet(stuck.first_sent), packet(stuck.last_sent)]));
        reasons.extend(given_up(flow, direction).map(|text| reason(text, [packet(stuck.last_sent)])));
    }
    reasons.push(reason(
        match upstream {
            _ if cut == again => "A router had called them too large for its next link, and the sender took its word.".to_owned(),
            _ if needless == again => {
                "The receiver had all of them: no data was lost; its acknowledgement was, or came after the sender had waited long enough."
                    .to_owned()
            }
            0 => "The capture had already seen these bytes: they, or their acknowledgements, were lost behind the capture point."
                .to_owned(),
            n if n >= again => {
                "The bytes were not seen before they were sent again: they were lost before the capture point.".to_owned()
            }
            n => format!(
                "{} had not been seen before: part of the loss lies before the capture point, part behind it.",
                say::count(n, "stretch")
            ),
        },
        [],
    ));
    let first = group.hits[0].0;
    Draft {
        rule: SLUG,
        identity: packet(first.side(group.hits[0].1).first_retransmission.unwrap_or(first.first)),
        severity,
        confidence: Confidence::Possible,
        sentence: format!(
            "{} sent {} of {} again ({}){waited}{vain}.",
            say::capital(&group.name()),
            say::number(again),
            say::count(segments, "segment"),
            say::percent(again, segments)
        ),
        span: group.span(),
        count: again,
        evidence,
        reasons,
        confidence_reason: "That segments were sent again is certain; which device lost them is not told by this capture. Counters of the hosts, \
             or a capture at the other end, would tell."
            .into(),
        rival: "Acknowledgements that were lost or late: then the receiver got the data twice, and would say so with D-SACK.".into(),
        confirm: vec![host::on(
            view,
            first.sender(group.hits[0].1).address,
            Command::new("nstat")
                .args(["-az", "TcpRetransSegs", "TcpExtTCPTimeouts", "TcpExtTCPLossProbes"])
                .effect("Shows how often and why it sends again."),
        )],
        fix: None,
        questions: Vec::new(),
        picture: Some(Picture::Ladder { flow: worst.0.id }),
        subject: group.subject(),
    }
    .finding()
}

/// From the first sending to the last before Linux gives a connection up: `tcp_retries2` = 15 times, the wait doubling from
/// 200 ms to 120 s, and a last wait of 120 s, 924.6 s in all (ip-sysctl.rst). Applications that wait less long set
/// `TCP_USER_TIMEOUT`.
const LONGEST_TRY: Nanos = Nanos::from_millis(804_600);

/// The end of a sender that tried as long as it does: no RST says so on the wire.
fn given_up(flow: &Flow, direction: Direction) -> Option<String> {
    let side = flow.side(direction);
    let stuck = side.stuck?;
    let tried = stuck.last_sent.at - stuck.first_sent.at;
    let is_end = flow.last.no == stuck.last_sent.no && side.rst.is_none();
    (is_end && tried >= LONGEST_TRY).then(|| {
        format!(
            "{} tried for {tried}, as long as Linux does (tcp_retries2), and then fell silent: it has given the connection up, which the \
             other side was not told (TcpExtTCPAbortOnTimeout counts it).",
            flow.sender(direction)
        )
    })
}

/// That the receiver's SACK blocks help nobody, for a device between the two changes one kind of number and not the other.
fn impossible_sacks(group: &PathGroup<'_>) -> Option<Reason> {
    let sides = || group.hits.iter().map(|(flow, direction)| flow.side(*direction));
    let acks: u64 = sides().map(|side| u64::from(side.impossible_sacks)).sum();
    let text = format!(
        "The SACK blocks of {} name bytes that were never sent: a firewall on the path changes sequence numbers and leaves those in SACK as they \
         were, so the sender ignores them and each loss waits for a timeout (Cisco: `no set connection random-sequence-number`).",
        say::count(acks, "acknowledgement")
    );
    (acks >= 3).then(|| reason(text, sides().filter_map(|side| side.impossible_sack).map(packet)))
}

/// What made the senders send again: `Of 10 segments sent again 4 by timeout, 5 fast, 1 as tail loss probe; 2 needlessly
/// (D-SACK).`
fn causes(group: &PathGroup<'_>, again: u64) -> Option<String> {
    let sum = |count: fn(&Side) -> u32| -> u64 {
        group.hits.iter().map(|(flow, direction)| u64::from(count(flow.side(*direction)))).sum()
    };
    let named = [
        (sum(|side| side.causes[Cause::Timeout as usize]), "by timeout"),
        (sum(|side| side.causes[Cause::AfterTimeout as usize]), "in the wake of a timeout"),
        (sum(|side| side.causes[Cause::Fast as usize]), "fast"),
        (sum(|side| side.causes[Cause::Rack as usize]), "by RACK"),
        (sum(|side| side.causes[Cause::TailLossProbe as usize]), "as tail loss probe"),
        (sum(|side| side.causes[Cause::PathMtu as usize]), "in smaller pieces, as a router had called them too large"),
    ];
    let known: u64 = named.iter().map(|(count, _)| count).sum();
    let mut parts: Vec<String> =
        named.iter().filter(|(count, _)| *count > 0).map(|(count, how)| format!("{} {how}", say::number(*count))).collect();
    if parts.is_empty() {
        return None;
    }
    if again > known {
        parts.push(format!("{} for a reason that the capture does not show", say::number(again - known)));
    }
    let needless = sum(|side| side.needless);
    let proofs: Vec<&str> = [
        (sum(|side| side.needless_by_dsack), "D-SACK"),
        (sum(|side| side.needless_by_eifel), "the echoed time stamp"),
        (sum(|side| side.needless_by_frto), "F-RTO"),
    ]
    .into_iter()
    .filter_map(|(count, proof)| (count > 0).then_some(proof))
    .collect();
    let needless = match (needless, proofs.is_empty()) {
        (0, _) => String::new(),
        (n, true) => format!("; {} needlessly", say::number(n)),
        (n, false) => format!("; {} needlessly ({})", say::number(n), proofs.join(", ")),
    };
    Some(format!("Of {} sent again {}{needless}.", say::count(again, "segment"), parts.join(", ")))
}

/// What the ends of bursts cost, which no later segment could show to be missing.
fn tail_losses(group: &PathGroup<'_>) -> Option<String> {
    let sides = || group.hits.iter().map(|(flow, direction)| flow.side(*direction));
    let count: u64 = sides().map(|side| u64::from(side.tail_losses)).sum();
    let nanos = sides().map(|side| side.tail_loss_time.get()).fold(0, i64::saturating_add);
    let time = Nanos::new(nanos);
    let what = if count == 1 { "was the end" } else { "were the ends" };
    (count > 0).then(|| {
        format!(
            "{} {what} of what had been sent (tail loss): nothing after it could show that it was missing, so the sender had to wait \
             for its timer or probe, {time} in all.",
            say::count(count, "loss"),
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::rules::case::{OPEN, check};

    const REQUEST: &str = "14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:101, ack 1, win 512, length 100
";

    #[test]
    fn a_stall_is_told_with_its_length() {
        check(
            "retransmission",
            &format!(
                "{OPEN}{REQUEST}14:40:02.203 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:101, ack 1, win 512, length 100
14:40:02.204 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 101, win 512, length 0
"
            ),
            "warning possible: 10.0.0.2 to 10.0.0.1 sent 1 of 4 segments again (25 %); the longest wait was 1.20 s.",
        );
    }

    /// The reasons of the finding about data sent 16 times, `silent` or ended by a RST.
    fn reasons_of_a_long_try(end: &str) -> String {
        let mut script = format!("{OPEN}{REQUEST}");
        let (mut at, mut wait) = (3_u64, 200_u64);
        for _ in 0..15 {
            at += wait;
            wait = (wait * 2).min(120_000);
            let (minute, second, milli) = (40 + (at + 1_000) / 60_000, (at + 1_000) / 1_000 % 60, at % 1_000);
            script += &REQUEST.replace("14:40:01.003", &format!("14:{minute}:{second:02}.{milli:03}"));
        }
        let script = crate::script::Script::parse(&(script + end)).expect("a script");
        let judgement = crate::rules::case::judged(&crate::reference::encode(&script));
        let finding = judgement.findings.iter().find(|finding| finding.rule == "retransmission").expect("a finding");
        finding.reasons.iter().map(|reason| reason.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_sender_that_fell_silent_after_its_last_try_gave_up() {
        let told = "10.0.0.2:5 tried for 13 min 24 s, as long as Linux does (tcp_retries2), and then fell silent";
        let silent = reasons_of_a_long_try("");
        assert!(silent.contains(told), "{silent}");
        // Near misses: it said so itself, or it was answered after all.
        for end in [
            "14:54:26.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [R.], seq 101, ack 1, win 0, length 0\n",
            "14:54:26.000 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 101, win 512, length 0\n",
        ] {
            let ended = reasons_of_a_long_try(end);
            assert!(!ended.contains("gave up") && !ended.contains("tcp_retries2"), "{ended}");
        }
    }

    #[test]
    fn nothing_sent_twice_is_clear() {
        check(
            "retransmission",
            &format!("{OPEN}{REQUEST}14:40:01.004 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 101, win 512, length 0\n"),
            "clear: None of 5 TCP segments was sent again.",
        );
    }

    #[test]
    fn sack_of_bytes_that_were_never_sent_is_named() {
        let data = "14:40:02.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:1461, ack 1, win 512, length 1460
14:40:02.001 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1461:2921, ack 1, win 512, length 1460
";
        let sack = |left: u32| {
            let ack = format!(
                "10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 1, win 512, options [nop,nop,sack 1 {{{left}:{}}}], length 0",
                left + 1460
            );
            (1..=3).map(|ms| format!("14:40:02.10{ms} IP {ack}\n")).collect::<String>()
        };
        let again = "14:40:02.400 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:1461, ack 1, win 512, length 1460
";
        let reasons = |left| {
            let log = crate::script::Script::parse(&format!("{OPEN}{data}{}{again}", sack(left))).expect("a script");
            let judgement = crate::rules::case::judged(&crate::reference::encode(&log));
            let found =
                judgement.findings.into_iter().find(|finding| finding.rule == "retransmission").expect("it was sent again");
            found.reasons.into_iter().map(|reason| reason.text).collect::<Vec<_>>().join(" ")
        };
        assert!(reasons(900_000_000).contains("The SACK blocks of 3 acknowledgements name bytes that were never sent"));
        assert!(!reasons(1461).contains("never sent"), "an ordinary one");
    }
}
