//! `reset_forged`: a RST in a host's name that the host did not send.
//!
//! **What.** A device on the path (a firewall with a list of names, an intrusion prevention system, a censor) sees a packet it
//! dislikes and sends a RST in the name of the other end. The host itself knows nothing of it and goes on.
//!
//! **When.** The RST has another TTL than its host's packets before it, by two or more, and after it the same host goes on
//! with packets of the usual TTL that are no RST. The same of a RST that answers a SYN, where the SYN-ACK follows with another TTL.
//!
//! **Near misses.** A load balancer that resets for a host that then says nothing: `idle_timeout`, `reset_midway`. Packets that the RST overtook
//! by the same way have its TTL.
//!
//! **Sources.** Weaver, Sommer and Paxson, "Detecting Forged TCP Reset Packets" (NDSS 2009): the RST's TTL, and data after it; RFC 9293 section
//! 3.5.2: who sent a RST sends nothing more; naiveproxy#558.

use super::draft::{Draft, evidence, packet, reason};
use super::group;
use super::resets::{self, Ended};
use super::{Explained, Outcome, View, commands, host, say};
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Severity};
use crate::flow::{Flow, Seen};
use crate::ids::Direction;
use std::collections::BTreeMap;

const SLUG: &str = "reset_forged";

/// A RST, and what gives it away.
#[derive(Clone, Copy)]
struct Forged {
    rst: Seen,
    ttl: u8,
    usual: u8,
    belied: Seen,
    /// Whose name it has.
    direction: Direction,
}

/// Judges every conversation that a RST ended.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let midway = resets::ended(view, explained);
    let refused = view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp && !explained.has(flow.id));
    let refused: Vec<(&Flow, Forged)> = refused.filter_map(|flow| Some((flow, refusal(flow)?))).collect();
    let found: BTreeMap<_, _> = midway
        .iter()
        .filter_map(|one| Some((one.flow, of(one)?)))
        .chain(refused)
        .map(|(flow, forged)| (flow.id, (flow, forged)))
        .collect();
    if found.is_empty() {
        return match midway.len() as u64 {
            0 => Outcome::clear("No connection was ended by a RST before it was closed."),
            n => Outcome::clear(format!("Nothing speaks against the sender of the RST in {}.", say::count(n, "connection"))),
        };
    }
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(found.keys().copied());
    for group in group::by_service(found.values().map(|(flow, _)| *flow)) {
        let forged: Vec<(&Flow, Forged)> = group.flows.iter().filter_map(|flow| found.get(&flow.id)).copied().collect();
        outcome.findings.push(finding(view, &group, &forged));
    }
    outcome
}

fn of(ended: &Ended<'_>) -> Option<Forged> {
    let (usual, belied) = (ended.usual_ttl()?, ended.reset.belied?);
    Some(Forged { rst: ended.reset.seen, ttl: ended.reset.ttl, usual, belied, direction: ended.direction })
}

/// One that answered the SYN before the server did.
fn refusal(flow: &Flow) -> Option<Forged> {
    let (rst, belied) = (flow.handshake.refused?, flow.handshake.refusal_belied?);
    Some(Forged {
        rst,
        ttl: flow.handshake.refused_ttl,
        usual: flow.side(Direction::BToA).ttl()?,
        belied,
        direction: Direction::BToA,
    })
}

fn finding(view: &View<'_>, group: &group::Group<'_>, forged: &[(&Flow, Forged)]) -> Finding {
    let (flow, first) = forged[0];
    let name = flow.sender(first.direction).address;
    let anchors = || forged.iter().flat_map(|(_, forged)| [forged.rst, forged.belied]).map(packet);
    Draft {
        rule: SLUG,
        identity: packet(first.rst),
        severity: Severity::Critical,
        confidence: Confidence::Strong,
        sentence: format!(
            "{} of {} to {} {} ended by a forged RST in the name of {name}: its TTL is {} where that host's packets have {}, and the host \
             went on after it.",
            say::capital(&say::count(forged.len() as u64, "connection")),
            group.clients(),
            group.name,
            if forged.len() == 1 { "was" } else { "were" },
            first.ttl,
            first.usual
        ),
        span: group.span(),
        count: forged.len() as u64,
        evidence: evidence(anchors()),
        reasons: vec![
            reason(
                format!("The RST, packet {}, has TTL {}; packets of {name} before it have {}.", first.rst.no, first.ttl, first.usual),
                [packet(first.rst)],
            ),
            reason(
                format!(
                    "Packet {}, {} later, comes from the same host with its usual TTL and is no RST: who resets a connection does not go on with it.",
                    first.belied.no,
                    first.belied.at - first.rst.at
                ),
                [packet(first.belied)],
            ),
        ],
        confidence_reason: "The TTL tells that the RST came another way, and the host's own packets after it that it knew nothing of it.".into(),
        rival: "A load balancer whose members answer over paths of different length, one of which reset the connection: then that one would go on with \
                none of it."
            .into(),
        confirm: vec![host::on(
            view,
            name,
            commands::watch_between(flow.client.address, flow.server.address)
                .effect("Shows whether the RST leaves there: if it does not, a device between the two sent it."),
        )],
        fix: None,
        questions: Vec::new(),
        picture: Some(Picture::Ladder { flow: flow.id }),
        subject: group.subject.clone(),
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::{OPEN, check, said};

    const HELLO: &str = "14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:75, ack 1, win 512, length 74
14:40:01.004 IP (ttl 119) 10.0.0.1.80 > 10.0.0.2.5: Flags [R.], seq 1, ack 75, win 0, length 0
";
    const ANSWER: &str = "14:40:01.300 IP (ttl 64) 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq 1:101, ack 75, win 512, length 100
";

    #[test]
    fn a_reset_from_elsewhere_after_which_the_host_goes_on_is_forged() {
        check(
            "reset_forged",
            &format!("{OPEN}{HELLO}{ANSWER}"),
            "critical strong: 1 connection of 10.0.0.2 to 10.0.0.1:80 was ended by a forged RST in the name of 10.0.0.1: its TTL is 119 where that host's \
             packets have 64, and the host went on after it.",
        );
    }

    #[test]
    fn a_syn_ack_after_the_refusal_gives_it_away() {
        let script = "date 2021-06-01
14:40:01.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 100, win 512, length 0
14:40:01.001 IP (ttl 250) 10.0.0.1.80 > 10.0.0.2.5: Flags [R.], seq 0, ack 101, win 0, length 0
14:40:01.050 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 900, ack 101, win 512, length 0
";
        let told = said(script, &["reset_forged", "refused"]);
        assert!(
            told.starts_with("critical strong reset_forged: 1 connection of 10.0.0.2 to 10.0.0.1:80 was ended by a forged RST"),
            "{told}"
        );
        assert_eq!(told.matches("strong").count(), 1, "{told}");
    }

    #[test]
    fn a_host_that_says_nothing_more_may_have_sent_it_and_data_on_its_way_has_its_ttl() {
        let clear = "clear: Nothing speaks against the sender of the RST in 1 connection.";
        check("reset_forged", &format!("{OPEN}{HELLO}"), clear);
        check("reset_forged", &format!("{OPEN}{HELLO}{}", ANSWER.replace("ttl 64", "ttl 119")), clear);
        check("reset_forged", &format!("{OPEN}{}{ANSWER}", HELLO.replace("ttl 119", "ttl 64")), clear);
    }

    #[test]
    fn a_refused_attempt_is_no_business_of_this_rule() {
        check("reset_forged", OPEN, "clear: No connection was ended by a RST before it was closed.");
    }
}
