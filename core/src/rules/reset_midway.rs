//! `reset_midway`: a connection that had opened is reset in the middle of a transfer.
//!
//! **What.** A RST ends a connection at once, and what was under way is lost: the download stops short, the request fails. A process
//! that dies with data unread resets (RFC 2525 section 2.17), a proxy that gives up, a firewall that no longer knows the connection,
//! a host that never knew it (NAT not undone for one packet: conntrack calls it INVALID).
//!
//! **When.** Before any FIN, a RST of the server right after a full segment of its own, so that more was to come; or in answer to data of
//! the client that it never acknowledged. Reported once per service, with how many of its connections ended so. A RST with
//! another TTL than its host's packets is a device's on the path.
//!
//! **Near misses.** RST after a FIN of either end (an orderly close that one end cuts short), or after everything was answered (closing with
//! SO_LINGER 0); a server that acknowledges a farewell with its RST. A client that resets has lost interest: a note, if data was under way to it. The forged: `reset_forged`;
//! after silence: `idle_timeout`.
//!
//! **Sources.** RFC 9293 section 3.5.2, RFC 2525 section 2.17; kubernetes#74839 and moby/libnetwork#1090 (a late segment, not NATed, that the
//! client resets; `nf_conntrack_tcp_be_liberal`, nf_conntrack-sysctl.rst); DIAGNOSIS H15, C2.

use super::draft::{Draft, evidence, packet, reason};
use super::group::Group;
use super::resets::{self, Ended};
use super::{Explained, Outcome, View, commands, host, say};
use crate::command::Command;
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Reason, Severity};
use crate::flow::{Endpoint, Flow, Seen};
use crate::ids::{Direction, FlowId};
use crate::time::Nanos;
use std::collections::BTreeMap;

const SLUG: &str = "reset_midway";

/// A stray segment that the client resets kills the connection behind it within a round trip or few.
const JUST_BEFORE: Nanos = Nanos::from_secs(2);

/// Judges every conversation that a RST ended.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let all = resets::ended(view, explained);
    let midway: Vec<Ended<'_>> = all.iter().filter(|one| is_midway(one)).copied().collect();
    if midway.is_empty() {
        return Outcome::clear(match all.len() as u64 {
            0 => "No connection was reset before it was closed.".to_owned(),
            n => format!("{} ended with a RST when nothing was under way.", say::count(n, "connection")),
        });
    }
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(midway.iter().map(|one| one.flow.id));
    let of: BTreeMap<FlowId, Ended<'_>> = midway.iter().map(|one| (one.flow.id, *one)).collect();
    let strays = strays(view, &midway);
    for (direction, group) in resets::by_resetter(&midway) {
        let ended: Vec<&Ended<'_>> = group.flows.iter().map(|flow| &of[&flow.id]).collect();
        outcome.findings.push(finding(view, direction, &group, &ended, &strays));
    }
    outcome
}

fn is_midway(one: &Ended<'_>) -> bool {
    match one.direction {
        Direction::BToA => {
            one.reset.cuts_data && !one.reset.peer_spoke_last || one.reset.peer_spoke_last && one.reset.unacked > 0
        }
        Direction::AToB => one.reset.peer_spoke_last && one.reset.unacked > 0,
    }
}

/// Segments of conversations that were never opened, and that one end reset, by that end.
type Strays<'a> = BTreeMap<Endpoint, (&'a Flow, Seen)>;

/// Those of ends whose connections were reset.
fn strays<'a>(view: &View<'a>, midway: &[Ended<'_>]) -> Strays<'a> {
    let mut wanted: BTreeMap<Endpoint, Option<(&Flow, Seen)>> = midway.iter().map(|one| (one.flow.client, None)).collect();
    let unopened =
        |flow: &&Flow| flow.transport == Protocol::Tcp && flow.handshake.syn.is_none() && flow.handshake.syn_ack.is_none();
    for flow in view.flows.iter().filter(unopened) {
        for direction in [Direction::AToB, Direction::BToA] {
            let Some(rst) = flow.side(direction).rst else { continue };
            if let Some(found) = wanted.get_mut(&flow.sender(direction)) {
                *found = found.or(Some((flow, rst)));
            }
        }
    }
    wanted.into_iter().filter_map(|(end, found)| Some((end, found?))).collect()
}

/// A segment from another address to the client's port that the client reset just before: the address was not put back (NAT).
fn stray<'a>(strays: &Strays<'a>, ended: &Ended<'_>) -> Option<&'a Flow> {
    let (flow, rst) = strays.get(&ended.flow.client).filter(|(flow, _)| flow.id != ended.flow.id)?;
    (rst.at <= ended.reset.seen.at && ended.reset.seen.at - rst.at <= JUST_BEFORE).then_some(*flow)
}

fn finding(view: &View<'_>, direction: Direction, group: &Group<'_>, ended: &[&Ended<'_>], strays: &Strays<'_>) -> Finding {
    let first = ended[0];
    let count = ended.len() as u64;
    let service = group.flows[0].server;
    let all = view.flows.iter().filter(|flow| flow.server == service && flow.handshake.ack.is_some()).count() as u64;
    let anchors = || ended.iter().map(|one| packet(one.reset.seen));
    let is_server = direction == Direction::BToA;
    let stray = ended.iter().find_map(|one| stray(strays, one)).filter(|_| is_server);
    let author = ended.iter().find_map(|one| one.author());
    let has_author = author.is_some();
    let mut reasons = vec![what_was_under_way(first)];
    reasons.extend(author);
    reasons.extend(stray.map(|flow| {
        let other = if flow.client == first.flow.client { flow.server } else { flow.client };
        let rst = flow.sides.iter().find_map(|side| side.rst).unwrap_or(flow.last);
        reason(
            format!(
                "Just before, a segment came to {} from {other}, an address the client never spoke to, and it answered with a RST (packet {}): an answer \
                 whose address was not put back on its way (NAT), as conntrack does with what it calls INVALID.",
                first.flow.client, rst.no
            ),
            [packet(flow.first), packet(rst)],
        )
    }));
    let of = if all >= count && group.clients == 1 && all > 0 { format!(" of {}", say::number(all)) } else { String::new() };
    let (who, whose) = if is_server { (group.name.clone(), group.clients()) } else { (group.clients(), group.name.clone()) };
    Draft {
        rule: SLUG,
        identity: packet(first.reset.seen),
        severity: if is_server { Severity::Warning } else { Severity::Note },
        confidence: if has_author || stray.is_some() || count > 1 { Confidence::Strong } else { Confidence::Possible },
        sentence: format!(
            "{} reset {}{of} {} {whose} {}.",
            say::capital(&who),
            say::number(count),
            match (is_server, all.max(count)) {
                (true, 1) => "connection of",
                (true, _) => "connections of",
                (false, 1) => "connection to",
                (false, _) => "connections to",
            },
            match (first.reset.cuts_data, is_server) {
                (true, _) => "in the middle of a transfer",
                (false, true) => "instead of an answer",
                (false, false) => "while data was under way to it",
            }
        ),
        span: group.span(),
        count,
        evidence: evidence(anchors().chain(stray.map(|flow| packet(flow.last)))),
        reasons,
        confidence_reason: if stray.is_some() {
            "What the client reset and what ended the transfer follow each other at once.".into()
        } else {
            "The RST and what was under way are in the capture; why its sender gave up is not.".into()
        },
        rival: "A process that ends its connections with RST when it has sent all it wanted (SO_LINGER 0): what it sent last would then end the answer.".into(),
        confirm: vec![host::on(
            view,
            first.flow.sender(direction).address,
            if stray.is_some() {
                Command::new("conntrack").args(["-S"]).effect("Shows whether `invalid` rises.")
            } else {
                commands::watch_between(first.flow.client.address, first.flow.server.address)
                    .effect("Shows whether the RST leaves there: if it does not, a device between the two sent it.")
            },
        )],
        fix: stray.map(|_| {
            let command = Command::new("sysctl").args(["-w", "net.netfilter.nf_conntrack_tcp_be_liberal=1"]);
            command.effect("Conntrack no longer calls late segments INVALID; or drop what is INVALID in FORWARD. On the node that does the NAT.").into()
        }),
        questions: Vec::new(),
        picture: Some(Picture::Ladder { flow: first.flow.id }),
        subject: group.subject.clone(),
    }
    .finding()
}

fn what_was_under_way(one: &Ended<'_>) -> Reason {
    let name = one.flow.sender(one.direction);
    let text = if one.reset.cuts_data && !one.reset.peer_spoke_last {
        format!(
            "Packet {} of {name} resets the connection; its data before was a full segment, so more was to come, and neither end had sent a FIN.",
            one.reset.seen.no
        )
    } else {
        format!(
            "Packet {} of {name} resets the connection when {} of the other end had not been acknowledged, and neither end had sent a FIN.",
            one.reset.seen.no,
            say::count(one.reset.unacked, "byte")
        )
    };
    reason(text, [packet(one.reset.seen)])
}

#[cfg(test)]
mod tests {
    use crate::rules::case::{OPEN, check};

    const REQUEST: &str = "14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:75, ack 1, win 512, length 74
";
    const PART: &str = "14:40:01.004 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1:1461, ack 75, win 512, length 1460
14:40:01.005 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 75, ack 1461, win 512, length 0
";
    const RESET: &str = "14:40:01.006 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [R.], seq 1461, ack 75, win 0, length 0
";

    #[test]
    fn a_server_that_resets_after_a_full_segment_cuts_its_answer_short() {
        check(
            "reset_midway",
            &format!("{OPEN}{REQUEST}{PART}{RESET}"),
            "warning possible: 10.0.0.1:80 reset 1 of 1 connection of 10.0.0.2 in the middle of a transfer.",
        );
    }

    #[test]
    fn a_server_that_resets_instead_of_answering() {
        let reset = RESET.replace("seq 1461, ack 75", "seq 1, ack 1");
        check(
            "reset_midway",
            &format!("{OPEN}{REQUEST}{reset}"),
            "warning possible: 10.0.0.1:80 reset 1 of 1 connection of 10.0.0.2 instead of an answer.",
        );
    }

    #[test]
    fn a_reset_after_the_end_of_an_answer_or_a_fin_is_a_way_to_close() {
        let end = "14:40:01.0055 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq 1461:1561, ack 75, win 512, length 100
";
        let clear = "clear: 1 connection ended with a RST when nothing was under way.";
        check("reset_midway", &format!("{OPEN}{REQUEST}{PART}{end}{}", RESET.replace("seq 1461", "seq 1561")), clear);
        let idle = RESET.replace("14:40:01.006", "14:40:31.006");
        check("reset_midway", &format!("{OPEN}{REQUEST}{PART}{idle}"), clear);
        let farewell = RESET.replace("seq 1461, ack 75", "seq 1, ack 75");
        check("reset_midway", &format!("{OPEN}{REQUEST}{farewell}"), clear);
        let fin = "14:40:01.0055 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [F.], seq 75, ack 1461, win 512, length 0
";
        let none = "clear: No connection was reset before it was closed.";
        check("reset_midway", &format!("{OPEN}{REQUEST}{PART}{fin}{RESET}"), none);
        check("reset_midway", OPEN, none);
    }

    #[test]
    fn a_client_that_loses_interest_is_a_note() {
        let gone = "14:40:01.0045 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [R], seq 75, win 0, length 0
";
        let part = PART.lines().next().unwrap_or_default();
        check(
            "reset_midway",
            &format!("{OPEN}{REQUEST}{part}\n{gone}"),
            "note possible: 10.0.0.2 reset 1 of 1 connection to 10.0.0.1:80 while data was under way to it.",
        );
    }

    #[test]
    fn an_answer_from_an_address_that_was_not_put_back_is_named() {
        let stray = "14:40:01.0055 IP 10.0.3.9.8080 > 10.0.0.2.5: Flags [.], seq 5, ack 1, win 512, length 1460
14:40:01.0056 IP 10.0.0.2.5 > 10.0.3.9.8080: Flags [R], seq 1, win 0, length 0
";
        let script = format!("{OPEN}{REQUEST}{PART}{stray}{RESET}");
        check(
            "reset_midway",
            &script,
            "warning strong: 10.0.0.1:80 reset 1 of 1 connection of 10.0.0.2 in the middle of a transfer.",
        );
    }
}
