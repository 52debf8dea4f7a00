//! `arp_unanswered`: a host asks again and again who has an address, and nobody says.
//!
//! **What.** Before a host sends to a neighbour it asks by ARP for its MAC. Linux asks three times, a second apart, and then reports "no route to host". The
//! neighbour is off, in another VLAN, or the netmask makes a distant address look near.
//!
//! **When.** The same host asks for the same address three times or more, each within ten seconds of the one before, and no ARP message of
//! that address is in the capture. Whoever had an answer, which goes to the asker alone, does not ask again at once.
//!
//! **Near misses.** One question, or one an hour: its answer goes to the asker alone. A host that asks for many addresses is looking for
//! neighbours (a scan): a note. So is what hosts ask that take no part in what was captured beside ARP: the noise of any large network.
//! Announcements and probes ask for the sender's own address (RFC 5227).
//!
//! **Sources.** RFC 826; arp(7) (mcast_solicit 3, retrans_time_ms 1000); DIAGNOSIS C6.

use super::draft::{Draft, evidence, packet, reason};
use super::{Explained, Outcome, View, host, say};
use crate::command::Command;
use crate::exchange::Wanted;
use crate::finding::{Confidence, Finding, Severity, Subject};
use crate::time::Span;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

const SLUG: &str = "arp_unanswered";

/// So often an address was asked for again before it is believed that nobody answers.
const AGAIN: u32 = 2;
/// Who asks for more addresses in vain is looking for neighbours.
const SCAN: usize = 8;
/// Of more askers the first are reported.
const MOST: usize = 6;

/// Judges every question.
pub(super) fn judge(view: &View<'_>, _: &Explained) -> Outcome {
    let mut by: BTreeMap<Ipv4Addr, Vec<(Ipv4Addr, Wanted)>> = BTreeMap::new();
    for (asker, target, wanted) in view.exchanges.arp.unclaimed().filter(|(.., wanted)| wanted.again >= AGAIN) {
        by.entry(asker).or_default().push((target, *wanted));
    }
    if by.is_empty() {
        return match view.exchanges.arp.asked() {
            0 => Outcome::cannot_tell("No ARP request was captured."),
            n => Outcome::clear(format!("{} asked for by ARP, none again and again.", say::count(n, "address"))),
        };
    }
    let findings = by.iter().take(MOST).map(|(asker, targets)| finding(view, *asker, targets)).collect();
    Outcome { findings, ..Outcome::default() }
}

fn finding(view: &View<'_>, asker: Ipv4Addr, targets: &[(Ipv4Addr, Wanted)]) -> Finding {
    let asked: u64 = targets.iter().map(|(_, wanted)| u64::from(wanted.asked)).sum();
    let names: Vec<String> = targets.iter().map(|(target, _)| target.to_string()).collect();
    let first = targets.iter().min_by_key(|(_, wanted)| wanted.first.no).expect("an asker asked for something");
    let anchors = || targets.iter().flat_map(|(_, wanted)| [wanted.first, wanted.last]).map(packet);
    let span = targets.iter().map(|(_, wanted)| Span::new(wanted.first.at, wanted.last.at.max(wanted.first.at)));
    let is_scan = targets.len() > SCAN;
    let takes_part = view.flows.iter().any(|flow| [flow.client.address, flow.server.address].contains(&IpAddr::V4(asker)));
    let is_noise = !view.flows.is_empty() && !takes_part;
    Draft {
        rule: SLUG,
        identity: packet(first.1.first),
        severity: if is_scan || is_noise { Severity::Note } else { Severity::Warning },
        confidence: Confidence::Strong,
        sentence: format!(
            "{asker} asked {} by ARP for {}, and nobody has answered.",
            say::count(asked, "time"),
            if is_scan { say::count(targets.len() as u64, "address") } else { say::list(&names, SCAN) }
        ),
        span: span.reduce(Span::union).unwrap_or(Span::at(first.1.first.at)),
        count: asked,
        evidence: evidence(anchors()),
        reasons: vec![reason(
            "It asked again within seconds, which a host that has its answer does not; nothing in the capture comes from the address.",
            anchors(),
        )],
        confidence_reason: "The questions repeat, so no answer came, also where it would not be seen.".into(),
        rival: "The answer reaches the asker and is dropped there (arptables, another VLAN), so it asks again.".into(),
        confirm: vec![host::on(
            view,
            IpAddr::V4(asker),
            Command::new("ip").args(["neigh", "show"]).arg(IpAddr::V4(first.0)).effect("Shows whether the neighbour is FAILED or INCOMPLETE there."),
        )],
        fix: None,
        questions: Vec::new(),
        picture: None,
        subject: Subject::Host { address: asker.to_string() },
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    fn asked(seconds: &[u32]) -> String {
        let line = |second: &u32| format!("14:40:{second:02} ARP, Request who-has 10.0.0.9 tell 10.0.0.2, length 28\n");
        format!("date 2021-06-01\n{}", seconds.iter().map(line).collect::<String>())
    }

    #[test]
    fn a_neighbour_that_is_asked_for_again_and_again() {
        check(
            "arp_unanswered",
            &asked(&[1, 2, 3]),
            "warning strong: 10.0.0.2 asked 3 times by ARP for 10.0.0.9, and nobody has answered.",
        );
    }

    #[test]
    fn what_others_ask_is_a_note() {
        let other = "14:40:04.000 IP 10.0.0.7.5 > 10.0.0.1.80: Flags [S], seq 100, win 512, length 0
";
        check(
            "arp_unanswered",
            &format!("{}{other}", asked(&[1, 2, 3])),
            "note strong: 10.0.0.2 asked 3 times by ARP for 10.0.0.9, and nobody has answered.",
        );
    }

    #[test]
    fn an_answer_and_a_question_now_and_then_are_fine() {
        let clear = "clear: 1 address asked for by ARP, none again and again.";
        check(
            "arp_unanswered",
            &format!("{}14:40:04 ARP, Reply 10.0.0.9 is-at 02:00:00:00:00:09, length 28\n", asked(&[1, 2, 3])),
            clear,
        );
        check("arp_unanswered", &asked(&[1, 21, 41]), clear);
        check("arp_unanswered", &asked(&[1, 2]), clear);
        check("arp_unanswered", &asked(&[]), "cannot tell: No ARP request was captured.");
    }
}
