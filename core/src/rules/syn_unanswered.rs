//! `syn_unanswered`: a client asks for a connection, and nobody answers.
//!
//! **What.** Linux sends a SYN again after 1, 3, 7, 15, 31, 63 s (tcp_syn_retries 6; newer kernels first four times a second apart,
//! tcp_syn_linear_timeouts), so each lost SYN costs the user at least a second, and the whole attempt 127 s.
//!
//! **When.** A SYN without SYN-ACK, RST or ICMP error for 3 s, or for 1 s (the RTO before anything was measured) where the same
//! service answered other SYNs at once; two or more SYNs make it sure. Answered, but only after SYNs were
//! repeated: a warning with the time it cost. On the server's own host the SYN was seen at the tap, so it was dropped on this
//! host (firewall, accept queue, rp_filter, conntrack); rules that found such a cause explain it, and nothing is told here.
//!
//! What the failed attempts have in common is told: where each lost every SYN and the others of the service none, it is not chance but a path or a member
//! behind a balancer that the ports choose.
//!
//! **Near misses.** The capture ends before the time has passed. The capture shows one direction only, of all conversations or of
//! this one: a client that goes on after its SYN had an answer. A client that scans many ports is one note.
//!
//! **Sources.** RFC 9293 section 3.8.1, RFC 6298 section 2.1; Documentation/networking/ip-sysctl.rst; DIAGNOSIS H1; the labs
//! `syn-blackhole` and `random-drop`, where a prober sends each SYN once and the capture ends soon after.

use super::commands;
use super::draft::{Draft, evidence, packet, reason};
use super::group::{self, Group};
use super::host;
use super::{Explained, Outcome, View, say};
use crate::command::{Arg, Command};
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Severity};
use crate::flow::Flow;
use crate::ids::Direction;
use crate::sort;
use crate::time::Nanos;
use std::net::SocketAddr;

const SLUG: &str = "syn_unanswered";

/// So long a SYN may wait for its answer.
const PATIENCE: Nanos = Nanos::from_secs(3);

/// The same of a service that is known to answer others at once (RFC 6298, 2.1: a client asks again after 1 s).
const PATIENCE_WITH_THE_PROMPT: Nanos = Nanos::from_secs(1);

/// An answer within this time came at once.
const AT_ONCE: Nanos = Nanos::from_millis(300);

/// So many clients that ask once each may be forged ones.
const FLOOD: u64 = 1_000;

/// Judges every connection attempt.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let attempts: Vec<&Flow> =
        view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp && flow.handshake.syn.is_some()).collect();
    if attempts.is_empty() {
        return Outcome::cannot_tell("No connection attempt was captured.");
    }
    if group::is_one_way(view) {
        return Outcome::cannot_tell("The capture shows one direction only, so answers would not be seen.");
    }
    let open = |flow: &&&Flow| !explained.has(flow.id);
    let unanswered = |flow: &&&Flow| {
        let handshake = &flow.handshake;
        let silent = handshake.syn_ack.is_none() && handshake.refused.is_none() && flow.icmp_error_count == 0;
        let client = flow.side(Direction::AToB);
        let goes_on = client.header_bytes().is_some() && client.rst.is_none();
        silent && !goes_on && flow.side(Direction::BToA).packets == 0
    };
    let prompt = sort::set(attempts.iter().filter_map(|flow| {
        let (syn, answer) = flow.handshake.syn.zip(flow.handshake.syn_ack)?;
        (answer.at - syn.at <= AT_ONCE).then_some(flow.server)
    }));
    let patience = |flow: &Flow| if prompt.contains(&flow.server) { PATIENCE_WITH_THE_PROMPT } else { PATIENCE };
    let overdue = |flow: &&&Flow| flow.handshake.syn.is_some_and(|syn| view.watermark - syn.at >= patience(flow));
    let late = |flow: &&&Flow| {
        let handshake = &flow.handshake;
        let waited =
            handshake.syn.zip(handshake.syn_ack).is_some_and(|(syn, answer)| answer.at - syn.at >= Nanos::from_millis(900));
        handshake.syn_count > 1 && waited
    };
    let failed: Vec<&Flow> = attempts.iter().filter(open).filter(unanswered).filter(overdue).copied().collect();
    let slow: Vec<&Flow> = attempts.iter().filter(open).filter(late).copied().collect();
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(failed.iter().chain(&slow).map(|flow| flow.id));
    for group in group::by_service(failed.iter().copied()) {
        let answered =
            attempts.iter().filter(|flow| flow.server == group.flows[0].server && flow.handshake.syn_ack.is_some()).count();
        outcome.findings.push(unanswered_finding(view, &group, answered as u64, patience(group.flows[0])));
    }
    for group in group::by_service(slow.iter().copied()) {
        outcome.findings.push(late_finding(view, &group));
    }
    if outcome.findings.is_empty() {
        let others = attempts.iter().filter(|flow| explained.has(flow.id)).count() as u64;
        let has = if others == 1 { "has" } else { "have" };
        let known = if others > 0 { format!("; {others} of them {has} a cause that is told elsewhere") } else { String::new() };
        let waiting = attempts.iter().filter(open).filter(unanswered).count() as u64;
        let waiting = if waiting > 0 { format!("; {} had none yet at the end", say::number(waiting)) } else { String::new() };
        return Outcome {
            quiet: Some((
                crate::finding::Quiet::Clear,
                format!(
                    "{}, none left without an answer for {PATIENCE}{known}{waiting}.",
                    say::count(attempts.len() as u64, "connection attempt")
                ),
            )),
            ..outcome
        };
    }
    outcome
}

fn unanswered_finding(view: &View<'_>, group: &Group<'_>, answered: u64, patience: Nanos) -> Finding {
    let first = group.flows[0];
    let syns: u64 = group.flows.iter().map(|flow| u64::from(flow.handshake.syn_count)).sum();
    let attempts = group.flows.len() as u64;
    let repeated = group.flows.iter().any(|flow| flow.handshake.syn_count > 1);
    // Hardly anybody asks twice.
    let is_flood = group.clients >= FLOOD && syns <= group.clients + group.clients / 10;
    let here = host::captured_at(view, first).filter(|_| host::inbound(view, first) == Some(Direction::AToB));
    let severity = match (group.scan, answered, repeated) {
        (true, ..) => Severity::Note,
        (false, 0, true) => Severity::Critical,
        _ => Severity::Warning,
    };
    let anchors = || group.flows.iter().flat_map(|flow| [flow.handshake.syn, flow.handshake.last_syn]).flatten().map(packet);
    let place = match here {
        Some(at) => format!("; they reached {}, so they were dropped on this host", at.name()),
        None => String::new(),
    };
    let choice = match is_all_or_nothing(view, group) {
        true => format!("; {} others lost no SYN: one of several paths is dead", say::number(answered)),
        false => String::new(),
    };
    let mut reasons = vec![reason(
        format!(
            "{} sent {} to {} and got no SYN-ACK, no RST and no ICMP error{}.",
            say::capital(&group.clients()),
            say::count(syns, "SYN"),
            group.name,
            match group.flows.iter().filter(|flow| flow.handshake.syn_count > 1).count() as u64 {
                0 => String::new(),
                n if n == attempts => ", though each was sent again".to_owned(),
                n => format!(", though {} of {} sent it again", say::number(n), say::count(attempts, "connection attempt")),
            }
        ),
        anchors(),
    )];
    reasons.push(match here {
        Some(at) => reason(
            format!(
                "The capture on {} stands before the firewall and the socket: the SYNs came that far. A rule, a full accept queue, reverse \
                 path filtering or a full connection tracking table on this host may have dropped them.",
                at.name()
            ),
            [at.anchor()],
        ),
        None => reason("The capture does not show where they were lost: on the way there, on that host, or the answer on its way back.", []),
    });
    if !choice.is_empty() {
        let text = format!(
            "Each of these {} lost every SYN, and each of the other {} lost none: what decides is the connection, not chance. One of several equal \
             paths (ECMP, a bond), or one member behind a load balancer, is dead, and ports and addresses choose it.",
            say::number(attempts),
            say::number(answered)
        );
        reasons.push(reason(text, anchors()));
    } else if answered > 0 {
        let text = format!(
            "{} to the same service got an answer: it is up, and only part of the SYNs is lost.",
            say::count(answered, "other attempt")
        );
        reasons.push(reason(text, []));
    }
    Draft {
        rule: SLUG,
        identity: packet(first.handshake.syn.unwrap_or(first.first)),
        severity,
        confidence: if repeated { Confidence::Strong } else { Confidence::Possible },
        sentence: if group.scan {
            format!("{} got no answer: {} of {}.", say::capital(&group.name), say::count(syns, "SYN"), group.clients())
        } else {
            let of = if attempts > 1 && attempts != syns {
                format!(" ({})", say::count(attempts, "connection attempt"))
            } else {
                String::new()
            };
            format!(
                "{} did not answer {} from {}{of} within {}{place}{choice}.",
                group.name,
                say::count(syns, "SYN"),
                group.clients(),
                group.span().length().max(patience)
            )
        },
        span: group.span(),
        count: attempts,
        evidence: evidence(anchors()),
        reasons,
        confidence_reason: if repeated {
            "The client itself had no answer, since it asked again; where the SYNs were lost is not told by this capture.".into()
        } else {
            "Each SYN was sent only once, as probers do: the answer may have taken another way.".into()
        },
        rival: if is_flood {
            "A SYN flood: senders that are forged ask once and never again, and whoever answers them answers nobody.".into()
        } else {
            "The answer takes another way back and the client drops it, or this capture misses that direction: a capture on the other \
             host tells them apart."
                .into()
        },
        confirm: match here {
            Some(at) => {
                let [rules, native] = commands::firewall(first.server.address);
                let counters = Command::new("nstat").args(["-az", "TcpExtListenDrops", "TcpExtIPReversePathFilter"]);
                let all = [
                    counters.effect("Shows which of the host's counters rises with each SYN."),
                    rules.effect("Shows which rule's hits rise with each SYN."),
                    native.effect("Shows the rules of nftables, with hits where they are counted."),
                ];
                all.map(|command| host::inside(Some(at.namespace), command)).into()
            }
            None => vec![host::on(
                view,
                first.server.address,
                commands::watch_syns(first.server.address, false)
                    .effect("Shows whether the SYNs arrive there, and whether it answers."),
            )],
        },
        fix: None,
        questions: Vec::new(),
        picture: Some(Picture::Ladder { flow: first.id }),
        subject: group.subject.clone(),
    }
    .finding()
}

/// Whether attempts at this service lost every SYN or none: three or more each, in two or more, beside three or more that lost none.
fn is_all_or_nothing(view: &View<'_>, group: &Group<'_>) -> bool {
    let server = group.flows[0].server;
    let others = || view.flows.iter().filter(|flow| flow.server == server && flow.handshake.syn_ack.is_some());
    let lost_all = group.flows.len() >= 2 && group.flows.iter().all(|flow| flow.handshake.syn_count >= 3);
    !group.scan && lost_all && others().count() >= 3 && others().all(|flow| flow.handshake.syn_count == 1)
}

fn late_finding(view: &View<'_>, group: &Group<'_>) -> Finding {
    let wait =
        |flow: &Flow| flow.handshake.syn.zip(flow.handshake.syn_ack).map(|(syn, answer)| answer.at - syn.at).unwrap_or_default();
    let worst = group.flows.iter().max_by_key(|flow| wait(flow)).expect("a group has a conversation");
    let anchors = || [worst.handshake.syn, worst.handshake.last_syn, worst.handshake.syn_ack].into_iter().flatten().map(packet);
    let attempts = group.flows.len() as u64;
    let first = group.flows[0];
    Draft {
        rule: SLUG,
        identity: packet(first.handshake.syn_ack.unwrap_or(first.first)),
        severity: Severity::Warning,
        confidence: Confidence::Strong,
        sentence: format!(
            "{} answered {} of {} only after SYNs were repeated: the slowest took {} and {}.",
            say::capital(&group.name),
            say::count(attempts, "connection attempt"),
            group.clients(),
            wait(worst),
            say::count(worst.handshake.syn_count.into(), "SYN")
        ),
        span: group.span(),
        count: attempts,
        evidence: evidence(anchors().chain(group.flows.iter().filter_map(|flow| flow.handshake.syn).map(packet))),
        reasons: vec![reason(
            format!("{} sent the same SYN {} before the answer came.", worst.client, say::count(worst.handshake.syn_count.into(), "time")),
            anchors(),
        )],
        confidence_reason: "The repeated SYNs and the late answer are in the capture; where the first ones were lost is not.".into(),
        rival: "A server too busy to answer: its ListenDrops would rise. Packets lost on the way: other conversations would suffer too.".into(),
        confirm: vec![host::on(
            view,
            worst.client.address,
            Command::new("dropscope")
                .args(["probe"])
                .arg(Arg::from(SocketAddr::new(worst.server.address, worst.server.port)))
                .args(["--syn", "20"])
                .effect("Sends 20 SYNs and reports loss and round-trip time, with repeated answers counted apart."),
        )],
        fix: None,
        questions: Vec::new(),
        picture: Some(Picture::Ladder { flow: worst.id }),
        subject: group.subject.clone(),
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    const TRIES: &str = "date 2021-06-01
14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:02.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:04.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
";

    #[test]
    fn repeated_syns_without_an_answer_are_found() {
        check(
            "syn_unanswered",
            &format!("{TRIES}14:40:05 mark recording_stopped The end.\n"),
            "critical strong: 10.0.0.1:80 did not answer 3 SYNs from 10.0.0.2 within 3.00 s.",
        );
    }

    #[test]
    fn on_the_servers_own_host_it_says_so() {
        let host = "namespace 7 web-1\ninterface 2 eth0 veth mtu 1500 address 10.0.0.1/24\n";
        check(
            "syn_unanswered",
            &TRIES.replacen('\n', &format!("\n{host}"), 1),
            "critical strong: 10.0.0.1:80 did not answer 3 SYNs from 10.0.0.2 within 3.00 s; they reached eth0 of web-1, so they were dropped on \
             this host.",
        );
    }

    #[test]
    fn syns_that_two_capture_points_show_are_no_capture_of_one_direction() {
        let copies: String = (1..=3).map(|no| format!("14:40:0{}.000040 copy of {}\n", [1, 2, 4][no - 1], no * 2 - 1)).collect();
        let mut lines: Vec<&str> = TRIES.lines().chain(copies.lines()).collect();
        lines[1..].sort_by_key(|line| line[..8].to_owned());
        check(
            "syn_unanswered",
            &format!("{}\n14:40:05 mark recording_stopped The end.\n", lines.join("\n")),
            "critical strong: 10.0.0.1:80 did not answer 3 SYNs from 10.0.0.2 within 3.00 s.",
        );
    }

    #[test]
    fn a_late_answer_is_a_warning_with_its_price() {
        check(
            "syn_unanswered",
            &format!("{TRIES}14:40:04.01 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 9, ack 2, win 512, length 0\n"),
            "warning strong: 10.0.0.1:80 answered 1 connection attempt of 10.0.0.2 only after SYNs were repeated: the slowest took 3.01 s and 3 SYNs.",
        );
    }

    #[test]
    fn a_capture_that_ends_too_early_says_nothing() {
        let two: String = TRIES.lines().take(3).map(|line| format!("{line}\n")).collect();
        check(
            "syn_unanswered",
            &two,
            "clear: 1 connection attempt, none left without an answer for 3.00 s; 1 had none yet at the end.",
        );
    }

    /// A prober's SYNs, each sent once: the first is answered at once, `lost` others never.
    fn probes(lost: u32, end: &str) -> String {
        let lost: String = (1..=lost)
            .map(|no| format!("14:40:01.{no} IP 10.0.0.2.{no} > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0\n"))
            .collect();
        format!(
            "date 2021-06-01
14:40:01.0 IP 10.0.0.2.99 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:01.001 IP 10.0.0.1.80 > 10.0.0.2.99: Flags [S.], seq 9, ack 2, win 512, length 0
14:40:01.002 IP 10.0.0.2.99 > 10.0.0.1.80: Flags [R], seq 2, win 0, length 0
{lost}{end} mark recording_stopped The end.
"
        )
    }

    #[test]
    fn a_service_that_answers_others_at_once_is_waited_for_a_second() {
        check(
            "syn_unanswered",
            &probes(2, "14:40:02.3"),
            "warning possible: 10.0.0.1:80 did not answer 2 SYNs from 10.0.0.2 within 1.00 s.",
        );
        check(
            "syn_unanswered",
            &probes(2, "14:40:01.9"),
            "clear: 3 connection attempts, none left without an answer for 3.00 s; 2 had none yet at the end.",
        );
    }

    #[test]
    fn a_client_that_goes_on_had_an_answer_that_the_capture_does_not_show() {
        let one_way = "14:40:01.101 IP 10.0.0.2.1 > 10.0.0.1.80: Flags [.], seq 2, ack 10, win 512, length 0
";
        check(
            "syn_unanswered",
            &probes(1, "14:40:09").replace("14:40:09", &format!("{one_way}14:40:09")),
            "clear: 2 connection attempts, none left without an answer for 3.00 s.",
        );
    }

    #[test]
    fn a_tap_of_one_direction_cannot_tell() {
        check(
            "syn_unanswered",
            "date 2021-06-01
14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:01.1 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 2, ack 10, win 512, length 0
14:40:01.2 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 2, ack 10, win 512, length 90
14:40:09.0 IP 10.0.0.2.6 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:19.0 IP 10.0.0.2.7 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
",
            "cannot tell: The capture shows one direction only, so answers would not be seen.",
        );
    }

    #[test]
    fn a_scan_is_one_note() {
        let scan: String = (1..=40)
            .map(|port| format!("14:40:01.{port:03} IP 10.0.0.2.5 > 10.0.0.1.{port}: Flags [S], seq 1, win 512, length 0\n"))
            .collect();
        check(
            "syn_unanswered",
            &format!("date 2021-06-01\n{scan}14:40:09 mark recording_stopped The end.\n"),
            "note possible: 40 services that 10.0.0.2 asked got no answer: 40 SYNs of 10.0.0.2.",
        );
    }

    #[test]
    fn attempts_that_lose_every_syn_beside_others_that_lose_none_meet_a_dead_path() {
        let answered = |port: u16| {
            format!(
                "14:40:05.{port} IP 10.0.0.2.{port} > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:05.{port}1 IP 10.0.0.1.80 > 10.0.0.2.{port}: Flags [S.], seq 9, ack 2, win 512, length 0
"
            )
        };
        let lost = |port: u16| {
            TRIES
                .lines()
                .skip(1)
                .map(|line| format!("{line}\n"))
                .collect::<String>()
                .replace("10.0.0.2.5", &format!("10.0.0.2.{port}"))
        };
        let script = |ports: &[u16]| {
            let mut lines: Vec<String> = format!("{}{}", lost(5), lost(6)).lines().map(str::to_owned).collect();
            lines.sort_by_key(|line| line[..8].to_owned());
            let others: String = ports.iter().map(|port| answered(*port)).collect();
            format!("date 2021-06-01\n{}\n{others}14:40:09 mark recording_stopped The end.\n", lines.join("\n"))
        };
        check(
            "syn_unanswered",
            &script(&[100, 101, 102]),
            "warning strong: 10.0.0.1:80 did not answer 6 SYNs from 10.0.0.2 (2 connection attempts) within 3.00 s; 3 others lost no SYN: one of several paths \
             is dead.",
        );
        check(
            "syn_unanswered",
            &script(&[100]),
            "warning strong: 10.0.0.1:80 did not answer 6 SYNs from 10.0.0.2 (2 connection attempts) within 3.00 s.",
        );
    }
}
