//! `port_reuse`: a connection attempt meets an earlier connection on the same ports.
//!
//! **What.** A client, or the NAT before it, uses a source port again while the server still has the old connection. The server answers the SYN
//! with an ACK of the old numbers (a challenge ACK); the client does not know these, resets, and tries again a second later. Each
//! such attempt costs a second or more, or fails where the RST does not arrive.
//!
//! **When.** Before any SYN-ACK the server answers a SYN with a bare ACK of other numbers, and the client resets it or sends its SYN again.
//!
//! **Near misses.** The last ACK of the old connection that was under way: then a SYN-ACK follows, and no SYN is repeated.
//!
//! **Sources.** RFC 5961 section 4.2, RFC 9293 section 3.10.7.4, RFC 6191; projectcalico/felix#2983, kubernetes#76699; DIAGNOSIS H7.

use super::draft::{Draft, Fix, evidence, packet, reason};
use super::group::{self, Group};
use super::{Explained, Outcome, View, host, say};
use crate::command::Command;
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Severity};
use crate::flow::Flow;
use crate::ids::Direction;

const SLUG: &str = "port_reuse";

/// Judges every connection attempt.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let attempts = || view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp && flow.handshake.syn.is_some());
    let count = attempts().count() as u64;
    if count == 0 {
        return Outcome::cannot_tell("No connection attempt was captured.");
    }
    let met = |flow: &&Flow| {
        let tried_again = flow.handshake.syn_count > 1 || flow.side(Direction::AToB).rst.is_some();
        flow.handshake.challenged.is_some() && tried_again && !explained.has(flow.id)
    };
    let hits: Vec<&Flow> = attempts().filter(met).collect();
    if hits.is_empty() {
        return Outcome::clear(format!("{}, none answered for an earlier connection.", say::count(count, "connection attempt")));
    }
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(hits.iter().map(|flow| flow.id));
    outcome.findings = group::by_service(hits).iter().map(|group| finding(view, group)).collect();
    outcome
}

fn finding(view: &View<'_>, group: &Group<'_>) -> Finding {
    let first = group.flows[0];
    let count = group.flows.len() as u64;
    let failed = group.flows.iter().filter(|flow| flow.handshake.syn_ack.is_none()).count() as u64;
    let challenges: u64 = group.flows.iter().map(|flow| u64::from(flow.handshake.challenges)).sum();
    let seen_before = group.flows.iter().filter(|flow| flow.reopened).count() as u64;
    let anchors = || {
        let of = |flow: &&Flow| [flow.handshake.challenged, flow.side(Direction::AToB).rst, flow.handshake.last_syn];
        group.flows.iter().flat_map(of).flatten().map(packet)
    };
    let outcome = match failed {
        0 => "each opened only after the SYN was sent again".to_owned(),
        n if n == count => "none opened".to_owned(),
        n => format!("{} of them did not open, the others only after the SYN was sent again", say::number(n)),
    };
    let mut reasons = vec![reason(
        format!(
            "The server answered SYNs {} with an ACK of other numbers, as of a connection that it still has; the client knows none and resets it, or asks \
             again.",
            say::count(challenges, "time")
        ),
        anchors(),
    )];
    if seen_before > 0 {
        let text = format!("The capture holds the earlier connection on the same ports of {} of them.", say::number(seen_before));
        reasons.push(reason(text, []));
    }
    Draft {
        rule: SLUG,
        identity: packet(first.handshake.challenged.unwrap_or(first.first)),
        severity: Severity::Warning,
        confidence: Confidence::Strong,
        sentence: format!(
            "{} of {} to {} met an earlier connection on the same ports: {outcome}.",
            say::capital(&say::count(count, "connection attempt")),
            group.clients(),
            group.name
        ),
        span: group.span(),
        count,
        evidence: evidence(anchors()),
        reasons,
        confidence_reason: "The server's ACK acknowledges numbers that this SYN does not have, so it means another connection.".into(),
        rival: "A forged ACK, or a late one of the connection before: then no SYN would have to be repeated.".into(),
        confirm: vec![host::on(
            view,
            first.server.address,
            Command::new("nstat")
                .args(["-az", "TcpExtTCPChallengeACK", "TcpExtTCPSYNChallenge"])
                .effect("Shows whether the server sends such ACKs."),
        )],
        fix: Some(Fix::Say(
            "Give the client, or the NAT before it, more ports to choose from (`ip_local_port_range`, a second address, `--random-fully`), and have both ends close \
             their connections, so that a port is free when it is used again."
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

    const AGAIN: &str = "14:40:09.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 70000, win 512, length 0
14:40:09.001 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 4294897397, win 512, length 0
";
    const RESET: &str = "14:40:09.002 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [R], seq 101, win 0, length 0
14:40:10.002 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 70000, win 512, length 0
";

    #[test]
    fn a_syn_that_an_earlier_connection_answers() {
        let script = format!("{OPEN}{AGAIN}{RESET}14:40:14 mark recording_stopped The end.\n");
        check(
            "port_reuse",
            &script,
            "warning strong: 1 connection attempt of 10.0.0.2 to 10.0.0.1:80 met an earlier connection on the same ports: none opened.",
        );
        let others = said(&script, &["syn_unanswered", "retransmission"]);
        assert!(!others.contains("critical") && !others.contains("warning"), "one cause, one finding: {others}");
    }

    #[test]
    fn a_client_that_had_an_answer_which_the_capture_missed_met_none() {
        let script = "date 2021-06-01
14:40:01.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 100, win 512, length 0
14:40:01.002 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 101, ack 901, win 512, length 100
14:40:01.003 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 901, ack 201, win 512, length 0
14:40:01.004 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [R], seq 201, win 0, length 0
";
        check("port_reuse", script, "clear: 1 connection attempt, none answered for an earlier connection.");
    }

    #[test]
    fn the_last_ack_of_the_connection_before_costs_nothing() {
        let answer = "14:40:09.003 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 900, ack 70001, win 512, length 0
";
        check(
            "port_reuse",
            &format!("{OPEN}{AGAIN}{answer}"),
            "clear: 2 connection attempts, none answered for an earlier connection.",
        );
    }
}
