//! `idle_timeout`: a connection that was silent for long is dead when it is used again.
//!
//! **What.** A NAT, a load balancer or a firewall forgets a connection over which nothing was sent for some minutes (350 s in AWS, 240 s in Azure,
//! 5 days in Linux's conntrack), and tells nobody. The next request meets a device that does not know the connection, which
//! resets it or drops it.
//!
//! **When.** Neither end spoke for a minute or more, then one sent data, and the only answer was a RST; or none, though it was sent three times or
//! more. A RST with another TTL than its host's packets shows that a device on the path forgot. Reported once per service,
//! with the shortest silence that killed.
//!
//! **Near misses.** The end that was silent closes with FIN (a server's own idle time). A pause after which data was answered.
//! Silence after data that was never acknowledged is loss.
//!
//! **Sources.** RFC 5382 section 5 (REQ-5: not before 2 h 4 min), AWS NLB and NAT gateway documentation (350 s), nf_conntrack-sysctl.rst;
//! ingress-nginx#5695.

use super::draft::{Draft, evidence, packet, reason};
use super::group::{self, Group};
use super::resets;
use super::{Explained, Outcome, View, host, say};
use crate::command::Command;
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Reason, Severity};
use crate::flow::{Flow, Seen};
use crate::ids::{Direction, FlowId};
use crate::time::Nanos;
use std::collections::BTreeMap;

const SLUG: &str = "idle_timeout";

/// A RST that answers the first data after the silence comes within the round trip.
const AT_ONCE: Nanos = Nanos::from_secs(3);

/// A connection that did not outlive its silence.
struct Dead {
    silence: Nanos,
    /// The first data after it, and the RST, or the last time that it was sent.
    request: Seen,
    end: Seen,
    by_reset: bool,
    author: Option<Reason>,
}

/// Judges every conversation with a pause.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let tcp = view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp);
    let paused: Vec<&Flow> = tcp.filter(|flow| flow.pause.is_some()).collect();
    let mut dead: BTreeMap<FlowId, (&Flow, Dead)> = BTreeMap::new();
    for one in resets::ended(view, explained) {
        let Some((before, after)) = one.flow.pause else { continue };
        let soon = one.reset.seen.at - after.at <= AT_ONCE && after.no < one.reset.seen.no;
        // Data of the other end was the first that came after the pause, and is what the RST answers.
        // A host that knows the connection acknowledges with the RST what it takes no more, as after a farewell.
        let author = one.author();
        if soon && one.reset.peer_spoke_last && (one.reset.unacked > 0 || author.is_some()) {
            let found = Dead { silence: after.at - before.at, request: after, end: one.reset.seen, by_reset: true, author };
            dead.insert(one.flow.id, (one.flow, found));
        }
    }
    for flow in paused.iter().filter(|flow| !explained.has(flow.id)) {
        for direction in [Direction::AToB, Direction::BToA] {
            dead.extend(unheard(flow, direction).map(|found| (flow.id, (*flow, found))));
        }
    }
    if dead.is_empty() {
        return match paused.len() as u64 {
            0 => Outcome::cannot_tell("No connection was silent for a minute."),
            n => Outcome::clear(format!("{} outlived a silence of a minute or more.", say::count(n, "connection"))),
        };
    }
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(dead.keys().copied());
    for group in group::by_service(dead.values().map(|(flow, _)| *flow)) {
        let dead: Vec<&Dead> = group.flows.iter().map(|flow| &dead[&flow.id].1).collect();
        outcome.findings.push(finding(view, &group, &dead));
    }
    outcome
}

/// Data after the silence that was sent again and again, and nobody said anything any more.
fn unheard(flow: &Flow, direction: Direction) -> Option<Dead> {
    let (before, after) = flow.pause?;
    let stuck = flow.side(direction).stuck.filter(|stuck| stuck.sent >= 3 && stuck.first_sent.no == after.no)?;
    let was_open = flow.sides.iter().all(|side| side.payload_bytes > 0) && flow.sides.iter().all(|side| side.fin().is_none());
    let is_end = flow.last.no == stuck.last_sent.no;
    let found = Dead { silence: after.at - before.at, request: after, end: stuck.last_sent, by_reset: false, author: None };
    (was_open && is_end).then_some(found)
}

fn finding(view: &View<'_>, group: &Group<'_>, dead: &[&Dead]) -> Finding {
    let first = group.flows[0];
    let shortest = dead.iter().map(|dead| dead.silence).min().unwrap_or_default();
    let count = dead.len() as u64;
    let by_reset = dead.iter().filter(|dead| dead.by_reset).count() as u64;
    let anchors = || dead.iter().flat_map(|dead| [dead.request, dead.end]).map(packet);
    let author = dead.iter().find_map(|dead| dead.author.clone());
    let has_author = author.is_some();
    let met = match (by_reset == count, by_reset) {
        (true, _) => "was reset",
        (_, 0) => "had no answer",
        _ => "was reset or had no answer",
    };
    let mut reasons = vec![reason(
        format!(
            "Packet {} is the first after {}; {}.",
            dead[0].request.no,
            dead[0].silence,
            if dead[0].by_reset {
                format!("packet {} resets the connection {} later", dead[0].end.no, dead[0].end.at - dead[0].request.at)
            } else {
                format!("it was sent again until packet {}, and nothing came back", dead[0].end.no)
            }
        ),
        [packet(dead[0].request), packet(dead[0].end)],
    )];
    reasons.extend(author);
    Draft {
        rule: SLUG,
        identity: packet(dead[0].request),
        severity: Severity::Warning,
        confidence: if has_author || count > 1 { Confidence::Strong } else { Confidence::Possible },
        sentence: format!(
            "{} of {} to {} did not outlive {} of silence: the first data after it {met}.",
            say::count(count, "connection"),
            group.clients(),
            group.name,
            match count {
                1 => format!("{shortest}"),
                _ => format!("{shortest} or more"),
            }
        ),
        span: group.span(),
        count,
        evidence: evidence(anchors()),
        reasons,
        confidence_reason: if has_author {
            "The RST did not come from the host it names, so a device on the path had forgotten the connection.".into()
        } else {
            "Silence came before each end; the capture does not show which device forgot the connection.".into()
        },
        rival: "The server itself closed the connection, and its FIN was lost or came before the capture began.".into(),
        confirm: vec![host::on(
            view,
            first.client.address,
            Command::new("ss")
                .args(["-tno", "state", "established"])
                .effect("Shows the timers of connections: one without `keepalive` sends nothing while idle."),
        )],
        fix: Some(
            host::on(
                view,
                first.client.address,
                Command::new("sysctl").args(["-w", "net.ipv4.tcp_keepalive_time=120"]).effect(
                    "Sockets with SO_KEEPALIVE then speak every two minutes; or close connections in the pool before that time.",
                ),
            )
            .into(),
        ),
        questions: Vec::new(),
        picture: Some(Picture::Ladder { flow: first.id }),
        subject: group.subject.clone(),
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::{OPEN, check, said};

    const BEFORE: &str = "14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:75, ack 1, win 512, length 74
14:40:01.004 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq 1:101, ack 75, win 512, length 100
14:40:01.005 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 75, ack 101, win 512, length 0
";
    const REQUEST: &str = "14:46:01.005 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 75:149, ack 101, win 512, length 74
";
    const RESET: &str = "14:46:01.006 IP (ttl 255) 10.0.0.1.80 > 10.0.0.2.5: Flags [R], seq 1001, win 0, length 0
";

    #[test]
    fn a_request_after_silence_that_a_device_on_the_path_resets() {
        let script = format!("{OPEN}{BEFORE}{REQUEST}{RESET}");
        check(
            "idle_timeout",
            &script,
            "warning strong: 1 connection of 10.0.0.2 to 10.0.0.1:80 did not outlive 6 min 00 s of silence: the first data after it was reset.",
        );
        assert!(said(&script, &["reset_midway"]).starts_with("clear"), "one cause, one finding");
    }

    #[test]
    fn a_request_after_silence_that_nobody_hears() {
        let again = ["14:46:01.205", "14:46:01.605", "14:46:02.405"].map(|at| REQUEST.replace("14:46:01.005", at)).concat();
        check(
            "idle_timeout",
            &format!("{OPEN}{BEFORE}{REQUEST}{again}"),
            "warning possible: 1 connection of 10.0.0.2 to 10.0.0.1:80 did not outlive 6 min 00 s of silence: the first data after it had no answer.",
        );
    }

    #[test]
    fn an_answer_after_silence_is_fine_and_so_is_a_close() {
        let answer = "14:46:01.006 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq 101:201, ack 149, win 512, length 100
14:46:01.007 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [R.], seq 201, ack 149, win 0, length 0
";
        let clear = "clear: 1 connection outlived a silence of a minute or more.";
        check("idle_timeout", &format!("{OPEN}{BEFORE}{REQUEST}{answer}"), clear);
        let closed = "14:46:01.004 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [F.], seq 101, ack 75, win 512, length 0
";
        check("idle_timeout", &format!("{OPEN}{BEFORE}{closed}{REQUEST}{RESET}"), clear);
        check("idle_timeout", OPEN, "cannot tell: No connection was silent for a minute.");
    }
}
