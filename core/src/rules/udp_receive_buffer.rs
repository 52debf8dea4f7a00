//! `udp_receive_buffer`: an application reads UDP datagrams more slowly than they come, so its socket's buffer overflows.
//!
//! **What.** Datagrams that find a socket's receive buffer full are dropped and counted; nobody is told.
//!
//! **When.** `UdpRcvbufErrors` (or `Udp6RcvbufErrors`) rose. `UdpMemErrors` means the host's limit for all UDP sockets (`udp_mem`).
//!
//! **Near misses.** `UdpNoPorts`: nobody listens. `UdpInCsumErrors`: damaged datagrams. Both are part of `UdpInErrors` or beside it,
//! which therefore says nothing alone.
//!
//! **Sources.** net/ipv4/udp.c `__udp_enqueue_schedule_skb`; DIAGNOSIS U1; the lab `udp-rcvbuf` (194 of 200).

use super::draft::{Draft, reason};
use super::host;
use super::{Explained, Outcome, View, say};
use crate::anchor::{Anchor, Place};
use crate::command::Command;
use crate::dissect::Protocol;
use crate::finding::{Confidence, Severity, Subject};
use crate::ids::{Direction, DropNo, NetnsId};
use std::collections::BTreeMap;

const SLUG: &str = "udp_receive_buffer";
/// What it says where no host says anything.
const UNRECORDED: &str = "UdpRcvbufErrors was not recorded.";

/// Judges each namespace.
pub(super) fn judge(view: &View<'_>, _: &Explained) -> Outcome {
    let Some(whole) = host::recorded(view) else {
        return Outcome::cannot_tell(UNRECORDED);
    };
    let mut outcome = Outcome::default();
    let mut looked = 0;
    for namespace in view.counters.namespaces() {
        let netns = NetnsId(namespace.netns);
        for key in ["nstat.UdpRcvbufErrors", "nstat.Udp6RcvbufErrors"] {
            looked += u64::from(view.counters.of_namespace(key, netns).is_some());
            let Some(errors) = host::namespace_growth(view, key, netns, whole) else { continue };
            // The socket that most datagrams went to is the likeliest one.
            let mut services: BTreeMap<String, (u64, Vec<Anchor>)> = BTreeMap::new();
            for flow in view.flows.iter().filter(|flow| flow.transport == Protocol::Udp && whole.overlaps(flow.span())) {
                for direction in [Direction::AToB, Direction::BToA] {
                    let to = flow.sender(direction.reverse());
                    if host::own(view, to.address).is_some_and(|at| at.netns() == netns) && flow.side(direction).packets > 0 {
                        let service = services.entry(to.to_string()).or_default();
                        service.0 += host::packets_in(view, flow, direction, netns);
                        service.1.push(Place::Flow(flow.id).into());
                    }
                }
            }
            let most = services.iter().max_by_key(|(_, (packets, _))| *packets);
            let drops: Vec<Anchor> = (view.drops.iter().enumerate())
                .filter(|(_, drop)| drop.reason == "SOCKET_RCVBUFF" && drop.netns == netns.0)
                .map(|(i, _)| Place::KernelDrop(DropNo(i as u32 + 1)).into())
                .collect();
            let local = most.map_or_else(|| "a UDP socket".to_owned(), |(service, _)| service.clone());
            let of = most.map(|(_, (packets, _))| *packets).filter(|packets| *packets >= errors.by);
            let share = of.map(|of| format!(" of {} ({})", say::number(of), say::percent(errors.by, of))).unwrap_or_default();
            let mut reasons = vec![reason(
                format!(
                    "{} rose by {}, from {} to {}.",
                    &key[6..],
                    say::number(errors.by),
                    say::number(errors.from),
                    say::number(errors.to)
                ),
                [errors.anchor()],
            )];
            if let Some((service, (packets, flows))) = most {
                let text = format!(
                    "{} to {service} were captured meanwhile: more than to any other socket here.",
                    say::count(*packets, "datagram")
                );
                reasons.push(reason(text, flows.iter().cloned()));
            }
            if !drops.is_empty() {
                let text =
                    format!("The kernel recorded {} with the reason SOCKET_RCVBUFF.", say::count(drops.len() as u64, "drop"));
                reasons.push(reason(text, drops.iter().cloned()));
            }
            outcome.findings.push(
                Draft {
                    rule: SLUG,
                    subject: Subject::Socket { netns, local: local.clone() },
                    identity: Place::Interface { netns, ifindex: u32::from(key.contains('6')) }.into(),
                    severity: if of.is_some_and(|of| errors.by * 100 < of) { Severity::Warning } else { Severity::Critical },
                    confidence: if drops.is_empty() { Confidence::Strong } else { Confidence::Proved },
                    sentence: format!(
                        "The receive buffer of {local} on {} was full for {}{share}: the application reads too slowly.",
                        namespace.name,
                        say::count(errors.by, "datagram")
                    ),
                    span: errors.span,
                    count: errors.by,
                    evidence: [errors.anchor()].into_iter().chain(drops.iter().take(15).cloned()).collect(),
                    reasons,
                    confidence_reason: if drops.is_empty() {
                        "The kernel counts exactly this, for all sockets together; which socket it was follows from the datagrams captured.".into()
                    } else {
                        "The kernel itself named the full buffer for these packets.".into()
                    },
                    rival: "Another UDP socket on the same host: the command below shows the drops of each.".into(),
                    confirm: vec![host::inside(
                        Some(namespace),
                        Command::new("ss")
                            .args(["-uanm"])
                            .effect("Shows each UDP socket's buffer: Recv-Q near `rb`, and its own drops after `d`."),
                    )],
                    // One limit for the whole host: in another namespace it cannot be set.
                    fix: Some(
                        Command::new("sysctl")
                            .args(["-w", "net.core.rmem_max=8388608"])
                            .effect(
                                "Lets sockets ask for a larger buffer; the application must ask (SO_RCVBUF) and be restarted. It helps \
                                 against bursts; a reader that is too slow needs more threads.",
                            )
                            .into(),
                    ),
                    questions: Vec::new(),
                    picture: None,
                }
                .finding(),
            );
        }
    }
    if outcome.findings.is_empty() {
        return match looked {
            0 => Outcome::cannot_tell(UNRECORDED),
            _ => Outcome::clear("UdpRcvbufErrors did not rise."),
        };
    }
    outcome
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    #[test]
    fn a_full_buffer_is_found_and_a_count_that_stands_is_not() {
        let host = "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 1500 address 10.0.0.1/24
14:40:00 counters
  nstat.UdpRcvbufErrors 6
";
        let datagrams: String =
            (0..200).map(|i| format!("14:40:01.{i:03} IP 10.0.0.2.5 > 10.0.0.1.514: UDP, length 900\n")).collect();
        check(
            "udp_receive_buffer",
            &format!("{host}{datagrams}14:40:09 counters\n  nstat.UdpRcvbufErrors 200\n"),
            "critical strong: The receive buffer of 10.0.0.1:514 on web-1 was full for 194 datagrams of 200 (97 %): the application reads too slowly.",
        );
        check(
            "udp_receive_buffer",
            &format!("{host}{datagrams}14:40:09 counters\n  nstat.UdpRcvbufErrors 6\n"),
            "clear: UdpRcvbufErrors did not rise.",
        );
    }
}
