//! `ecn_black_hole`: a path drops SYNs that offer ECN.
//!
//! **What.** A client that would use Explicit Congestion Notification sets ECE and CWR in its SYN. Some firewalls take these bits, reserved before
//! 2001, for an attack and drop the SYN. Linux sends it again without them after two tries (tcp_ecn_fallback), so each connection opens
//! seconds late.
//!
//! **When.** Two or more SYNs with both bits had no answer, and the first without them had one within a second, in two connections or more
//! of a service, none of which a SYN with the bits opened.
//!
//! **Near misses.** Plain loss hits SYNs with and without the bits; one connection may be chance. A service that answers late answers after the plain SYN, but
//! the ones before as well.
//!
//! **Sources.** RFC 3168 sections 6.1.1 and 6.1.1.1; ip-sysctl.rst (tcp_ecn, tcp_ecn_fallback); DIAGNOSIS H10.

use super::draft::{Draft, evidence, packet, reason};
use super::group::{self, Group};
use super::{Explained, Outcome, View, host, say};
use crate::command::Command;
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Severity};
use crate::flow::Flow;
use crate::sort;
use crate::time::Nanos;

const SLUG: &str = "ecn_black_hole";

/// An answer to the SYN without the bits comes at once.
const AT_ONCE: Nanos = Nanos::from_secs(1);

/// Judges every connection attempt that offered ECN.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let offered: Vec<&Flow> =
        view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp && flow.handshake.ecn_syns > 0).collect();
    if offered.is_empty() {
        return Outcome::cannot_tell("No connection attempt offered ECN.");
    }
    let opened = sort::set(offered.iter().filter(|flow| is_accepted(flow)).map(|flow| flow.server));
    let dropped = |flow: &&&Flow| !explained.has(flow.id) && !opened.contains(&flow.server) && is_dropped(flow);
    let hits: Vec<&Flow> = offered.iter().filter(dropped).copied().collect();
    let groups: Vec<Group<'_>> = group::by_service(hits).into_iter().filter(|group| group.flows.len() >= 2).collect();
    if groups.is_empty() {
        let count = offered.iter().filter(|flow| is_accepted(flow)).count() as u64;
        return Outcome::clear(format!(
            "{} of {} that offered ECN had an answer.",
            say::number(count),
            say::count(offered.len() as u64, "connection attempt")
        ));
    }
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(groups.iter().flat_map(|group| &group.flows).map(|flow| flow.id));
    outcome.findings = groups.iter().map(|group| finding(view, group)).collect();
    outcome
}

/// Whether a SYN with the bits was answered, or may have been: none without them had been sent.
fn is_accepted(flow: &Flow) -> bool {
    let handshake = &flow.handshake;
    handshake.syn_ack.is_some() && handshake.syn_count == handshake.ecn_syns
}

fn is_dropped(flow: &Flow) -> bool {
    let handshake = &flow.handshake;
    let (Some(last), Some(with), Some(answer)) = (handshake.last_syn, handshake.last_ecn_syn, handshake.syn_ack) else {
        return false;
    };
    handshake.ecn_syns >= 2
        && handshake.ecn_syns < handshake.syn_count
        && with.no < last.no
        && answer.no > last.no
        && answer.at - last.at <= AT_ONCE
}

fn finding(view: &View<'_>, group: &Group<'_>) -> Finding {
    let first = group.flows[0];
    let with: u64 = group.flows.iter().map(|flow| u64::from(flow.handshake.ecn_syns)).sum();
    let count = group.flows.len() as u64;
    let wait =
        |flow: &Flow| flow.handshake.syn.zip(flow.handshake.syn_ack).map(|(syn, answer)| answer.at - syn.at).unwrap_or_default();
    let longest = group.flows.iter().map(|flow| wait(flow)).max().unwrap_or_default();
    let anchors = || {
        let of =
            |flow: &&Flow| [flow.handshake.syn, flow.handshake.last_ecn_syn, flow.handshake.last_syn, flow.handshake.syn_ack];
        group.flows.iter().flat_map(of).flatten().map(packet)
    };
    Draft {
        rule: SLUG,
        identity: packet(first.handshake.syn.unwrap_or(first.first)),
        severity: Severity::Warning,
        confidence: Confidence::Strong,
        sentence: format!(
            "{} did not answer SYNs that offer ECN and answered those without it, so {} of {} opened up to {longest} late.",
            group.name,
            say::count(count, "connection"),
            group.clients()
        ),
        span: group.span(),
        count,
        evidence: evidence(anchors()),
        reasons: vec![reason(
            format!(
                "{} with ECE and CWR had no answer; in each connection the first SYN without these bits had one within {AT_ONCE}.",
                say::capital(&say::count(with, "SYN"))
            ),
            anchors(),
        )],
        confidence_reason: "What was answered and what was not differ in these two bits, in every connection.".into(),
        rival: "Loss that happened to hit the first SYNs of each connection and never a later one.".into(),
        confirm: vec![host::on(
            view,
            first.client.address,
            Command::new("sysctl")
                .args(["net.ipv4.tcp_ecn", "net.ipv4.tcp_ecn_fallback"])
                .effect("Shows whether this host asks for ECN (1), and whether it tries without it."),
        )],
        fix: Some(
            host::on(
                view,
                first.client.address,
                Command::new("sysctl")
                    .args(["-w", "net.ipv4.tcp_ecn=2"])
                    .effect("The host uses ECN only if the other end asks. The firewall that drops such SYNs is what is at fault."),
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
    use crate::rules::case::{check, said};

    fn tries(port: u16, second: u32, flags: [&str; 3]) -> String {
        let syn = |at: u32, flags: &str| {
            format!("14:40:{at:02}.0 IP 10.0.0.2.{port} > 10.0.0.1.80: Flags [{flags}], seq 1, win 512, length 0\n")
        };
        format!(
            "{}{}{}14:40:{:02}.1 IP 10.0.0.1.80 > 10.0.0.2.{port}: Flags [S.], seq 9, ack 2, win 512, length 0\n",
            syn(second, flags[0]),
            syn(second + 1, flags[1]),
            syn(second + 3, flags[2]),
            second + 3
        )
    }

    #[test]
    fn syns_that_are_answered_only_without_the_bits() {
        let ecn = ["SEW", "SEW", "S"];
        let script = format!("date 2021-06-01\n{}{}", tries(5, 1, ecn), tries(6, 5, ecn));
        check(
            "ecn_black_hole",
            &script,
            "warning strong: 10.0.0.1:80 did not answer SYNs that offer ECN and answered those without it, so 2 connections of 10.0.0.2 opened up to 3.10 s late.",
        );
        assert!(said(&script, &["syn_unanswered"]).starts_with("clear"), "one cause, one finding");
    }

    #[test]
    fn once_may_be_chance_and_an_answer_to_the_bits_says_that_they_pass() {
        let once = format!("date 2021-06-01\n{}", tries(5, 1, ["SEW", "SEW", "S"]));
        check("ecn_black_hole", &once, "clear: 0 of 1 connection attempt that offered ECN had an answer.");
        let passes = format!("{once}{}{}", tries(6, 5, ["SEW", "SEW", "S"]), tries(7, 9, ["SEW", "SEW", "SEW"]));
        check("ecn_black_hole", &passes, "clear: 1 of 3 connection attempts that offered ECN had an answer.");
        check(
            "ecn_black_hole",
            "date 2021-06-01\n14:40:00 mark recording_stopped The end.\n",
            "cannot tell: No connection attempt offered ECN.",
        );
    }
}
