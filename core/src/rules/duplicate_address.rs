//! `duplicate_address`: two machines claim one IPv4 address.
//!
//! **What.** Two hosts have the same address (by hand, a cloned machine, two DHCP servers, a load balancer's virtual address announced twice). Whoever
//! asks by ARP sends to the one that answered last, and a connection that one of them opened is reset by the other.
//!
//! **When.** By their ARP messages two MACs claim the address by turns: the one, the other, and the one again, each twice or more. Connections of that address that
//! a RST ended have this cause, and make it critical.
//!
//! **Near misses.** An address that moves once, as at a failover (one change, also announced more than once). Virtual MACs of VRRP and HSRP beside the router's own.
//! A bond in balance-alb mode answers with several MACs of one machine, which looks the same.
//!
//! **Sources.** RFC 5227; RFC 5798 section 7.3 (00-00-5E-00-01-xx); metallb#598.

use super::draft::{Draft, Fix, evidence, packet, reason};
use super::{Explained, Outcome, View, say};
use crate::anchor::Anchor;
use crate::command::Command;
use crate::dissect::Protocol;
use crate::exchange::Claim;
use crate::finding::{Confidence, Finding, Severity, Subject};
use crate::flow::Flow;
use crate::time::Span;
use std::net::{IpAddr, Ipv4Addr};

const SLUG: &str = "duplicate_address";

/// Of more addresses the first are reported.
const MOST: usize = 6;

/// Judges every address that was claimed.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let claims = || view.exchanges.arp.claims();
    let found: Vec<(Ipv4Addr, &Claim)> = claims().filter(|(_, claim)| is_contested(claim)).collect();
    if found.is_empty() {
        return match claims().count() as u64 {
            0 => Outcome::cannot_tell("No ARP message claims an address."),
            n => Outcome::clear(format!("{}, none by two machines in turn.", say::count(n, "claimed address"))),
        };
    }
    let mut outcome = Outcome::default();
    for (address, claim) in found.into_iter().take(MOST) {
        let is_its = |flow: &&Flow| [flow.client.address, flow.server.address].contains(&IpAddr::V4(address));
        let was_reset = |flow: &&Flow| flow.transport == Protocol::Tcp && flow.sides.iter().any(|side| side.rst.is_some());
        let reset: Vec<&Flow> =
            view.flows.iter().filter(was_reset).filter(is_its).filter(|flow| !explained.has(flow.id)).collect();
        outcome.explains.flows.extend(reset.iter().map(|flow| flow.id));
        outcome.findings.push(finding(address, claim, &reset));
    }
    outcome
}

fn is_contested(claim: &Claim) -> bool {
    // VRRP's and HSRP's: whoever is master has them beside its own.
    let is_virtual = |mac: &[u8; 6]| mac.starts_with(&[0, 0, 0x5e, 0]) || mac.starts_with(&[0, 0, 0x0c, 7, 0xac]);
    // One that spoke but once, or hardly ever among so many, was damaged, or moved on.
    let often = claim.macs.iter().filter(|(.., count)| *count >= 2 && *count >= claim.claimed / 20).count();
    claim.changes >= 2 && often >= 2 && !claim.macs.iter().any(|(mac, ..)| is_virtual(mac))
}

fn written(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

fn finding(address: Ipv4Addr, claim: &Claim, reset: &[&Flow]) -> Finding {
    let macs: Vec<String> = claim.macs.iter().map(|(mac, ..)| written(*mac)).collect();
    let firsts = || claim.macs.iter().map(|(_, first, _)| packet(*first));
    let turns = || claim.changed.iter().map(|seen| packet(*seen));
    let rsts = || reset.iter().filter_map(|flow| flow.sides.iter().find_map(|side| side.rst)).map(packet);
    let cost = match reset.len() as u64 {
        0 => String::new(),
        n => format!("; {} of it {} reset", say::count(n, "connection"), if n == 1 { "was" } else { "were" }),
    };
    let claims = claim.macs.iter().map(|(mac, _, count)| format!("{} {}", written(*mac), say::count((*count).into(), "time")));
    let mut reasons = vec![reason(
        format!(
            "{} claimed it, and the last claim changed {}: each ARP message moves what others send from the one machine to the other.",
            say::list(&claims.collect::<Vec<_>>(), 4),
            say::count(claim.changes.into(), "time")
        ),
        firsts().chain(turns()),
    )];
    if !reset.is_empty() {
        let text = "The machine that did not open a connection resets it when the segments come to it.";
        reasons.push(reason(text, rsts()));
    }
    let start = claim.macs.iter().map(|(_, first, _)| first.at).min().unwrap_or_default();
    let end = claim.changed.last().map_or(start, |seen| seen.at);
    let anchors: Vec<Anchor> = firsts().chain(turns()).chain(rsts()).collect();
    Draft {
        rule: SLUG,
        identity: packet(claim.macs[0].1),
        severity: if reset.is_empty() { Severity::Warning } else { Severity::Critical },
        confidence: Confidence::Strong,
        sentence: format!("{} claim {address} in turn, {} in all{cost}.", say::list(&macs, 4), say::count(claim.changes.into(), "change")),
        span: Span::new(start, end.max(start)),
        count: claim.changes.into(),
        evidence: evidence(anchors),
        reasons,
        confidence_reason: "Both claims are in the capture, and each came back after the other.".into(),
        rival: "One machine with several interfaces in this network, or a bond in balance-alb mode, which answers with any of its MACs.".into(),
        confirm: vec![
            Command::new("arping")
                .args(["-c", "3"])
                .arg(IpAddr::V4(address))
                .effect("Asks who has the address and shows every MAC that answers."),
        ],
        fix: Some(Fix::Say("Find both machines by their MACs in the switch's table, and give one of them another address.".into())),
        questions: Vec::new(),
        picture: None,
        subject: Subject::Host { address: address.to_string() },
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::{check, said};

    fn claims(turns: &[u8]) -> String {
        let line =
            |(second, mac): (usize, &u8)| format!("14:40:0{second} ARP, Reply 10.0.0.1 is-at 02:00:00:00:00:0{mac}, length 28\n");
        format!("date 2021-06-01\n{}", turns.iter().enumerate().map(line).collect::<String>())
    }

    #[test]
    fn two_machines_that_claim_an_address_in_turn() {
        check(
            "duplicate_address",
            &claims(&[1, 2, 1, 2]),
            "warning strong: 02:00:00:00:00:01 and 02:00:00:00:00:02 claim 10.0.0.1 in turn, 3 changes in all.",
        );
    }

    #[test]
    fn a_connection_that_the_other_machine_resets_has_this_cause() {
        let reset = "14:40:08.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 100, win 512, length 0
14:40:08.001 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 900, ack 101, win 512, length 0
14:40:08.002 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:75, ack 1, win 512, length 74
14:40:08.003 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [R], seq 1, win 0, length 0
";
        let told = said(&format!("{}{reset}", claims(&[1, 2, 1, 2])), &["duplicate_address", "reset_midway"]);
        assert!(
            told.starts_with("critical strong duplicate_address: ") && told.contains("1 connection of it was reset."),
            "{told}"
        );
        assert!(!told.contains("warning"), "one cause, one finding: {told}");
    }

    #[test]
    fn an_address_that_moves_once_is_a_failover() {
        check("duplicate_address", &claims(&[1, 1, 2, 1, 1]), "clear: 1 claimed address, none by two machines in turn.");
        check("duplicate_address", &claims(&[1, 1, 2, 2, 2]), "clear: 1 claimed address, none by two machines in turn.");
        check("duplicate_address", &claims(&[]), "cannot tell: No ARP message claims an address.");
    }
}
