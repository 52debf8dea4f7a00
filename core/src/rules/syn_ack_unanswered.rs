//! `syn_ack_unanswered`: a server answers, and the client acts as if it had not.
//!
//! **What.** The SYN-ACK is lost on its way back, or dropped on the client's host. Linux sends it again after 1, 3, 7, 15, 31 s
//! (tcp_synack_retries 5). A full accept queue of kernels before 4.10 looks the same from the server's side, but then the client
//! already sends data.
//!
//! **When.** Two or more SYN-ACKs with the same number and neither ACK nor RST from the client for 900 ms after the first. Or the client's ACK
//! is in the capture, and does not arrive: the server sends its SYN-ACK again after it, twice or more, and what the client sends
//! three times or more is never acknowledged. Both ends repeat themselves for the same reason, which is one finding: as where the answer
//! comes another way than packets go, and a firewall on that way, which saw no SYN-ACK, drops what follows the SYN.
//!
//! **Near misses.** A prober that answers with RST. An ACK that came, and only late. A server that waits for data (TCP_DEFER_ACCEPT) repeats its SYN-ACK, and
//! acknowledges the data when it comes.
//!
//! **Sources.** RFC 9293 section 3.5; tcp(7) (TCP_DEFER_ACCEPT); metallb#297, kube-router#549 (asymmetric paths); DIAGNOSIS H4 (bcc tcpdrop's sample: SYN_SENT, SYN|ACK dropped by netfilter).

use super::commands;
use super::draft::{Draft, Fix, evidence, packet, reason};
use super::group;
use super::host;
use super::{Explained, Outcome, View, say};
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Severity};
use crate::flow::Flow;
use crate::ids::Direction;
use crate::time::Nanos;

const SLUG: &str = "syn_ack_unanswered";

/// Judges every answered connection attempt.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let answered: Vec<&Flow> =
        view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp && flow.handshake.syn_ack.is_some()).collect();
    if answered.is_empty() {
        return Outcome::cannot_tell("No SYN-ACK was captured.");
    }
    let ignored = |flow: &&&Flow| {
        let handshake = &flow.handshake;
        let client = flow.side(Direction::AToB);
        handshake.syn.is_some()
            && handshake.syn_ack_count >= 2
            && handshake.ack.is_none()
            && client.rst.is_none()
            && client.sent() == handshake.syn_count
            && handshake.syn_ack.is_some_and(|first| view.watermark - first.at >= Nanos::from_millis(900))
    };
    let found: Vec<&Flow> = answered.iter().filter(|flow| !explained.has(flow.id)).filter(ignored).copied().collect();
    let unheard: Vec<&Flow> = answered.iter().filter(|flow| !explained.has(flow.id) && is_unheard(flow)).copied().collect();
    if found.is_empty() && unheard.is_empty() {
        return Outcome::clear(format!(
            "{}, none sent again without an ACK.",
            say::count(answered.len() as u64, "answered attempt")
        ));
    }
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(found.iter().chain(&unheard).map(|flow| flow.id));
    outcome.findings.extend(group::by_service(unheard).iter().map(|group| unheard_finding(view, group)));
    for group in group::by_service(found) {
        let first = group.flows[0];
        let answers: u64 = group.flows.iter().map(|flow| u64::from(flow.handshake.syn_ack_count)).sum();
        let on_client = host::inbound(view, first) == Some(Direction::BToA);
        let here = host::captured_at(view, first).filter(|_| on_client);
        let anchors =
            || group.flows.iter().flat_map(|flow| [flow.handshake.syn_ack, flow.handshake.last_syn_ack]).flatten().map(packet);
        let place = match here {
            Some(at) => format!("; they reached {}, so they were dropped on this host", at.name()),
            None => "; they are lost on the way back, or dropped by the client's host".to_owned(),
        };
        outcome.findings.push(
            Draft {
                rule: SLUG,
                identity: packet(first.handshake.syn_ack.unwrap_or(first.first)),
                severity: if group.scan { Severity::Note } else { Severity::Critical },
                confidence: Confidence::Strong,
                sentence: format!(
                    "{} answered {} with {}, and {} never acknowledged one{place}.",
                    group.name,
                    say::count(group.flows.len() as u64, "connection attempt"),
                    say::count(answers, "SYN-ACK"),
                    group.clients()
                ),
                span: group.span(),
                count: group.flows.len() as u64,
                evidence: evidence(anchors()),
                reasons: vec![reason(
                    format!(
                        "The server sent its SYN-ACK again, {} in all: it got no ACK. The client sent nothing but SYNs.",
                        say::count(answers, "time")
                    ),
                    anchors(),
                )],
                confidence_reason: "Both ends repeat themselves, so both miss the other; only the place of the loss is open."
                    .into(),
                rival: "Spoofed source addresses (a SYN flood): then no client exists, and the addresses vary.".into(),
                confirm: vec![host::on(
                    view,
                    first.client.address,
                    commands::watch_syns(first.client.address, true).effect("Shows whether the SYN-ACKs arrive there."),
                )],
                fix: None,
                questions: Vec::new(),
                picture: Some(Picture::Ladder { flow: first.id }),
                subject: group.subject.clone(),
            }
            .finding(),
        );
    }
    outcome
}

/// Whether what the client sends after its SYN does not arrive at the server, though the capture shows it.
fn is_unheard(flow: &Flow) -> bool {
    let handshake = &flow.handshake;
    let (Some(ack), Some(again)) = (handshake.ack, handshake.last_syn_ack) else { return false };
    let client = flow.side(Direction::AToB);
    let in_vain = client.stuck.is_some_and(|stuck| stuck.sent >= 3) && client.acked_to().unwrap_or(0) == 0;
    handshake.syn_ack_count >= 3 && again.no > ack.no && in_vain && flow.side(Direction::BToA).payload_bytes == 0
}

fn unheard_finding(view: &View<'_>, group: &group::Group<'_>) -> Finding {
    let first = group.flows[0];
    let count = group.flows.len() as u64;
    let answers: u64 = group.flows.iter().map(|flow| u64::from(flow.handshake.syn_ack_count)).sum();
    let stuck = |flow: &Flow| flow.side(Direction::AToB).stuck;
    let sent: u64 = group.flows.iter().filter_map(|flow| stuck(flow)).map(|stuck| u64::from(stuck.sent)).sum();
    let opening = |flow: &&Flow| [flow.handshake.ack, flow.handshake.last_syn_ack];
    let data = |flow: &&Flow| stuck(flow).map(|stuck| [stuck.first_sent, stuck.last_sent]);
    let anchors =
        || group.flows.iter().flat_map(opening).flatten().chain(group.flows.iter().filter_map(data).flatten()).map(packet);
    Draft {
        rule: SLUG,
        identity: packet(first.handshake.ack.unwrap_or(first.first)),
        severity: Severity::Critical,
        confidence: Confidence::Strong,
        sentence: format!(
            "{} hears the SYN of {} and nothing after it: in {} it sent its SYN-ACK again though that was acknowledged, and never acknowledged data.",
            say::capital(&group.name),
            group.clients(),
            say::count(count, "connection")
        ),
        span: group.span(),
        count,
        evidence: evidence(anchors()),
        reasons: vec![
            reason(
                format!(
                    "The SYN-ACK arrived and was acknowledged, and the server sent it again, {} in all: the ACK did not reach it.",
                    say::count(answers, "time")
                ),
                group.flows.iter().flat_map(opening).flatten().map(packet),
            ),
            reason(
                format!("The client's first data was sent {} and never acknowledged.", say::count(sent, "time")),
                group.flows.iter().filter_map(data).flatten().map(packet),
            ),
        ],
        confidence_reason: "Both ends repeat themselves, and both say the same: after its SYN nothing of the client arrives.".into(),
        rival: "Loss of all that is not a SYN by a rule of a firewall; asymmetric paths through a firewall that keeps state look so, when it never sees the SYN-ACK."
            .into(),
        confirm: vec![host::on(
            view,
            first.server.address,
            commands::watch_between(first.client.address, first.server.address)
                .effect("Shows whether the ACK arrives there, and by which interface the SYN-ACK leaves."),
        )],
        fix: Some(Fix::Say(
            "Have answers take the way that requests came (routes of both hosts, the gateway of the server), or have the firewall on the way not insist on having seen \
             the SYN-ACK."
                .into(),
        )),
        questions: Vec::new(),
        picture: Some(Picture::Ladder { flow: first.id }),
        subject: group.subject.clone(),
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::{OPEN, check, said};

    const ANSWERS: &str = "date 2021-06-01
14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:01.1 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 9, ack 2, win 512, length 0
14:40:02.1 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 0, ack 1, win 512, length 0
";

    #[test]
    fn answers_that_are_never_acknowledged_are_found() {
        check(
            "syn_ack_unanswered",
            ANSWERS,
            "critical strong: 10.0.0.1:80 answered 1 connection attempt with 2 SYN-ACKs, and 10.0.0.2 never acknowledged one; they are lost on the \
             way back, or dropped by the client's host.",
        );
    }

    #[test]
    fn a_prober_that_resets_is_fine() {
        check(
            "syn_ack_unanswered",
            &format!("{ANSWERS}14:40:02.2 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [R], seq 2, win 0, length 0\n"),
            "clear: 1 answered attempt, none sent again without an ACK.",
        );
    }

    const HEARD_NOT: &str = "14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:75, ack 1, win 512, length 74
14:40:01.210 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:75, ack 1, win 512, length 74
14:40:01.630 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:75, ack 1, win 512, length 74
14:40:02.001 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 0, ack 1, win 512, length 0
14:40:02.500 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:75, ack 1, win 512, length 74
14:40:04.001 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 0, ack 1, win 512, length 0
";

    #[test]
    fn a_server_that_hears_nothing_but_the_syn_is_one_finding() {
        let script = format!("{OPEN}{HEARD_NOT}");
        check(
            "syn_ack_unanswered",
            &script,
            "critical strong: 10.0.0.1:80 hears the SYN of 10.0.0.2 and nothing after it: in 1 connection it sent its SYN-ACK again though that was \
             acknowledged, and never acknowledged data.",
        );
        assert!(said(&script, &["retransmission"]).starts_with("clear"), "one cause, one finding");
    }

    #[test]
    fn a_server_that_waits_for_data_acknowledges_it() {
        let acked = "14:40:04.500 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 75, win 512, length 0
";
        check(
            "syn_ack_unanswered",
            &format!("{OPEN}{HEARD_NOT}{acked}"),
            "clear: 1 answered attempt, none sent again without an ACK.",
        );
    }
}
