//! `path_mtu`: a router said that packets are too large, and the sender made them smaller: path MTU discovery works.
//!
//! **What.** A link on the way carries less than the sender's own. The router drops the first packets that are too large and says
//! with ICMP how much fits; the sender sends the same bytes again in smaller packets. That is no trouble, but it explains the
//! retransmissions, costs a moment at the beginning of each connection, and tells which link is small.
//!
//! **When.** "Fragmentation needed" (ICMP 3/4) or "packet too big" (ICMPv6 2) about a conversation. Obeyed, and so sure, if what TCP
//! sent again came after the first such error and got through. Retransmissions that all follow the errors closely are explained.
//!
//! **Near misses.** The sender goes on with the same size: `pmtud_black_hole`. Segments that were sent again before the error, or
//! long after it, were lost for another reason: `retransmission`.
//!
//! **Sources.** RFC 1191, RFC 8201; DIAGNOSIS M3; the lab `pmtud-ok`.

use super::commands;
use super::draft::{Draft, evidence, packet, reason};
use super::host;
use super::{Explained, Outcome, View, say};
use crate::anchor::Place;
use crate::command::Command;
use crate::finding::{Confidence, Finding, Picture, Quiet, Severity, Subject};
use crate::flow::{Flow, IcmpError, Side};
use crate::ids::Direction;
use crate::sort;
use crate::time::{Nanos, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

const SLUG: &str = "path_mtu";

/// Sent again within this time of the last error, a segment was sent again because of it: RFC 6298's initial timer is 1 s, and
/// backs off once.
const BECAUSE: Nanos = Nanos::from_secs(3);

/// Of more routers, those that spoke most often.
const MOST: usize = 6;

/// One conversation's direction that met a link too small for it.
struct Met<'a> {
    flow: &'a Flow,
    direction: Direction,
    errors: Vec<&'a IcmpError>,
}

/// Judges every conversation that a router called too large.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let mut groups: BTreeMap<(IpAddr, u32), Vec<Met<'_>>> = BTreeMap::new();
    for flow in view.flows.iter().filter(|flow| flow.icmp_error_count > 0 && !explained.has(flow.id)) {
        for direction in [Direction::AToB, Direction::BToA] {
            let about = |error: &&IcmpError| error.about == direction && error.is_too_big();
            let errors: Vec<&IcmpError> = flow.icmp_errors.iter().filter(about).collect();
            if let Some(first) = errors.first() {
                groups.entry((first.from, first.mtu.unwrap_or(0))).or_default().push(Met { flow, direction, errors });
            }
        }
    }
    if groups.is_empty() {
        let elsewhere = view.flows.iter().any(|flow| flow.icmp_errors.iter().any(IcmpError::is_too_big));
        return Outcome::clear(if elsewhere {
            "The only packets that a router called too large have a cause that is told elsewhere."
        } else {
            "No router said that a packet was too large."
        });
    }
    let mut outcome = Outcome::default();
    let explained = groups.values().flatten().filter(|met| met.explains_all());
    outcome.explains.flows.extend(explained.map(|met| met.flow.id));
    let mut groups: Vec<_> = groups.into_iter().collect();
    sort::by_key(&mut groups, |(_, met)| (std::cmp::Reverse(met.len()), met[0].flow.id));
    let more = groups.split_off(groups.len().min(MOST));
    outcome.findings = groups.iter().map(|((router, mtu), met)| finding(view, *router, *mtu, met)).collect();
    if !more.is_empty() {
        let why = format!("{} that said the same are not told one by one.", say::count(more.len() as u64, "more router"));
        outcome.quiet = Some((Quiet::CannotTell, why));
    }
    outcome
}

impl Met<'_> {
    fn side(&self) -> &Side {
        self.flow.side(self.direction)
    }

    /// Whether what the router dropped was sent again and is not stuck.
    fn is_obeyed(&self) -> bool {
        let side = self.side();
        side.stuck.is_none() && side.last_retransmission.is_some_and(|again| again.no > self.errors[0].seen.no)
    }

    /// Whether all that was sent again in this conversation was sent again because of the errors.
    fn explains_all(&self) -> bool {
        let (side, other) = (self.side(), self.flow.side(self.direction.reverse()));
        let last = self.errors[self.errors.len() - 1].seen.at;
        let after = side.first_retransmission.is_none_or(|again| again.no > self.errors[0].seen.no);
        let soon = side.last_retransmission.is_none_or(|again| again.at - last <= BECAUSE);
        self.is_obeyed() && after && soon && other.retransmissions == 0
    }

    /// From the first error until the last of what was dropped was sent again.
    fn cost(&self) -> Option<Nanos> {
        let again = self.side().last_retransmission.filter(|_| self.explains_all())?;
        Some(again.at - self.errors[0].seen.at)
    }
}

/// Which links usually have that MTU.
fn usual(mtu: u32) -> &'static str {
    match mtu {
        1492 => " (PPPoE)",
        1480 => " (IP in IP)",
        1476 => " (GRE)",
        1450 => " (VXLAN)",
        1420 | 1440 => " (WireGuard)",
        1280 => " (the least IPv6 allows)",
        _ => "",
    }
}

fn finding(view: &View<'_>, router: IpAddr, mtu: u32, met: &[Met<'_>]) -> Finding {
    let first = &met[0];
    let errors = || met.iter().flat_map(|met| met.errors.iter().copied());
    let senders = sort::set(met.iter().map(|met| met.flow.sender(met.direction).address));
    let targets = sort::set(met.iter().map(|met| met.flow.sender(met.direction.reverse()).address));
    let hosts = |set: &BTreeSet<IpAddr>| match set.first() {
        Some(only) if set.len() == 1 => only.to_string(),
        _ => say::count(set.len() as u64, "host"),
    };
    let (from, to) = (hosts(&senders), hosts(&targets));
    let obeyed = met.iter().all(Met::is_obeyed);
    let cost = met.iter().filter_map(Met::cost).max();
    let fits = match mtu {
        0 => "said that packets are too large, but not how much fits".to_owned(),
        mtu => format!("passes on at most {} bytes{}", say::number(mtu.into()), usual(mtu)),
    };
    let what_then = match (obeyed, cost) {
        (true, Some(cost)) => format!("{from} made its packets smaller, so path MTU discovery works; it cost {cost}"),
        (true, None) => format!("{from} made its packets smaller, so path MTU discovery works"),
        (false, _) => format!("whether {from} made its packets smaller is not to be seen"),
    };
    let largest = met.iter().map(|met| met.side().largest_ip).max().unwrap_or(0);
    let mut reasons = vec![reason(
        format!(
            "{router} answered packets of up to {} bytes to {to} with \"too large\" {}{}.",
            say::number(largest.into()),
            say::count(errors().count() as u64, "time"),
            if mtu > 0 { format!(", and named {} bytes as what fits", say::number(mtu.into())) } else { String::new() }
        ),
        errors().map(|error| packet(error.seen)),
    )];
    let again = || met.iter().filter(|met| met.is_obeyed()).map(|met| met.side());
    let count: u64 = again().map(|side| u64::from(side.retransmissions)).sum();
    if count > 0 {
        reasons.push(reason(
            format!(
                "After that {} again in smaller packets, and got through.",
                match count {
                    1 => "1 segment was sent".to_owned(),
                    n => format!("{} were sent", say::count(n, "segment")),
                }
            ),
            again().flat_map(|side| [side.first_retransmission, side.last_retransmission]).flatten().map(packet),
        ));
    }
    let span = met.iter().map(|met| Span::new(met.errors[0].seen.at, met.errors[met.errors.len() - 1].seen.at));
    let (sender, receiver) = (first.flow.sender(first.direction).address, first.flow.sender(first.direction.reverse()).address);
    // An end of the path may say it of its own link.
    let is_router = !senders.contains(&router) && !targets.contains(&router);
    let often = match errors().count() as u64 {
        1 => String::new(),
        n => format!(" {}", say::count(n, "time")),
    };
    Draft {
        rule: SLUG,
        identity: packet(first.errors[0].seen),
        severity: Severity::Note,
        confidence: if obeyed { Confidence::Strong } else { Confidence::Possible },
        sentence: format!("{router} {fits} on the way to {to}, and said so with ICMP{often}: {what_then}."),
        span: span.reduce(Span::union).unwrap_or(first.flow.span()),
        count: errors().count() as u64,
        evidence: evidence(errors().map(|error| packet(error.seen)).chain(met.iter().map(|met| Place::Flow(met.flow.id).into()))),
        reasons,
        confidence_reason: if obeyed {
            "The router says so itself, and what it dropped was sent again and acknowledged.".into()
        } else {
            "The router says so itself; the capture does not show what the sender made of it.".into()
        },
        rival:
            "A forged ICMP error that makes a sender use small packets: it would quote a packet that was never sent (RFC 5927)."
                .into(),
        confirm: vec![commands::trace_path(view, sender, receiver)],
        fix: is_router.then(|| clamp(view, router).into()),
        questions: Vec::new(),
        picture: Some(Picture::SizeRuler {
            mtu,
            limit: None,
            passed: first.side().sizes().into_iter().filter(|(size, _)| *size <= mtu).collect(),
            vanished: first.side().sizes().into_iter().filter(|(size, _)| *size > mtu).collect(),
        }),
        subject: Subject::Path { from, to },
    }
    .finding()
}

/// Has connections through this router begin with segments that fit its next link.
fn clamp(view: &View<'_>, router: IpAddr) -> Command {
    let iptables = if router.is_ipv4() { "iptables" } else { "ip6tables" };
    let command = Command::new(iptables).args(["-t", "mangle", "-A", "FORWARD", "-p", "tcp", "--tcp-flags", "SYN,RST", "SYN"]);
    let command = command
        .args(["-j", "TCPMSS", "--clamp-mss-to-pmtu"])
        .effect("TCP then begins with segments that fit, and nothing is dropped first. Not needed for anything to work.");
    host::on(view, router, command)
}

#[cfg(test)]
mod tests {
    use crate::rules::case::{OPEN, check, said};

    const TOO_LARGE: &str = "14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:1461, ack 1, win 512, length 1460
14:40:01.005 IP 10.0.0.9 > 10.0.0.2: ICMP 3/4 quoting 4 mtu 1492
";
    const SMALLER: &str = "14:40:01.415 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:1453, ack 1, win 512, length 1452
14:40:01.425 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 1453, win 512, length 0
";

    #[test]
    fn discovery_that_works_is_a_note_and_explains_what_was_sent_again() {
        let script = format!("{OPEN}{TOO_LARGE}{SMALLER}");
        assert_eq!(
            said(&script, &["path_mtu", "retransmission", "pmtud_black_hole"]),
            "note strong path_mtu: 10.0.0.9 passes on at most 1,492 bytes (PPPoE) on the way to 10.0.0.1, and said so with ICMP: 10.0.0.2 made its packets smaller, \
             so path MTU discovery works; it cost 410 ms.
clear pmtud_black_hole: Large packets got through on 1 connection.
clear retransmission: The only retransmissions are those of 1 conversation whose cause is told.
"
        );
    }

    #[test]
    fn what_is_sent_again_long_after_was_lost_for_another_reason() {
        let later = "14:40:01.426 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1453:1461, ack 1, win 512, length 8
14:40:09.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1461:1561, ack 1, win 512, length 100
14:40:09.400 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1461:1561, ack 1, win 512, length 100
14:40:09.410 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 1561, win 512, length 0
";
        let told = said(&format!("{OPEN}{TOO_LARGE}{SMALLER}{later}"), &["path_mtu", "retransmission"]);
        assert!(
            told.contains("note strong path_mtu: ") && told.contains("possible retransmission: 10.0.0.2 to 10.0.0.1 sent 3 of"),
            "{told}"
        );
    }

    #[test]
    fn an_error_at_the_end_of_a_capture_leaves_open_whether_it_was_obeyed() {
        check(
            "path_mtu",
            &format!("{OPEN}{TOO_LARGE}"),
            "note possible: 10.0.0.9 passes on at most 1,492 bytes (PPPoE) on the way to 10.0.0.1, and said so with ICMP: whether 10.0.0.2 made its packets smaller is not to be seen.",
        );
    }

    #[test]
    fn without_such_an_error_there_is_nothing_to_tell() {
        check("path_mtu", OPEN, "clear: No router said that a packet was too large.");
    }
}
