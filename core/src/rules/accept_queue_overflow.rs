//! `accept_queue_overflow`: an application accepts connections more slowly than they come, so new ones are dropped.
//!
//! **What.** A finished handshake waits in the listening socket's accept queue. When that is full, Linux drops new SYNs without a
//! word (before 4.10 also the last ACK of handshakes); clients try again after 1, 3, 7 seconds. No packet is freed as
//! dropped: only counters tell (measured on 6.18: 16 ListenDrops, no `kfree_skb` event).
//!
//! **When.** `TcpExtListenOverflows` rose. The sockets named are those whose SYNs went unanswered, and only as many of them as the
//! two counters can account for: what else is unanswered has another cause.
//!
//! **Near misses.** `TcpExtListenDrops` alone. The kernel counts there whatever keeps a listening socket from opening a connection:
//! no route for the SYN-ACK (`tcp_conn_request`), a neighbour or a router that says it is unreachable (`tcp_req_err`), a full
//! *SYN* queue (`TcpExtTCPReqQFullDrop`), want of memory. Larger queues would help none of them, so it is only mentioned.
//!
//! **Sources.** Documentation/networking/snmp_counter.rst (TcpExtListenOverflows, TcpExtListenDrops), ip-sysctl.rst
//! (tcp_abort_on_overflow, somaxconn); DIAGNOSIS H5; the lab `listen-overflow`.

use super::draft::{Draft, reason};
use super::host::{self, Growth};
use super::{Explained, Outcome, View, say};
use crate::anchor::{Anchor, Place};
use crate::command::Command;
use crate::finding::{Confidence, Severity, Subject};
use crate::flow::Flow;
use crate::ids::{Direction, NetnsId};
use crate::log::block::Namespace;
use crate::time::{Nanos, Span};
use std::collections::BTreeMap;

const SLUG: &str = "accept_queue_overflow";
/// What it says where no host says anything.
const UNRECORDED: &str = "TcpExtListenOverflows was not recorded.";

/// Judges each namespace.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let Some(whole) = host::recorded(view) else {
        return Outcome::cannot_tell(UNRECORDED);
    };
    let mut outcome = Outcome::default();
    let (mut looked, mut others) = (0, Vec::new());
    for namespace in view.counters.namespaces() {
        let netns = NetnsId(namespace.netns);
        let grown = |key| host::namespace_growth(view, key, netns, whole);
        looked += u64::from(view.counters.of_namespace("nstat.TcpExtListenOverflows", netns).is_some());
        let (overflows, drops) = (grown("nstat.TcpExtListenOverflows"), grown("nstat.TcpExtListenDrops"));
        let Some(told) = overflows else {
            others.extend(drops.map(|drops| other_reasons(view, namespace, drops, whole)));
            continue;
        };

        // Whose SYNs, or last ACKs, went unanswered on this host.
        let mut services: BTreeMap<String, Vec<&Flow>> = BTreeMap::new();
        for flow in view.flows.iter().filter(|flow| !explained.has(flow.id) && ignored(view, flow)) {
            let here = host::own(view, flow.server.address).is_some_and(|at| at.netns() == netns);
            if here && host::inbound(view, flow) == Some(Direction::AToB) {
                services.entry(flow.server.to_string()).or_default().push(flow);
            }
        }
        let most = services.iter().max_by_key(|(_, flows)| flows.len());
        let lost: u64 = most.map_or(0, |(_, flows)| flows.iter().map(|flow| packets_ignored(flow)).sum());
        // Within a tenth, or two: a reading may lie between a packet and its count.
        let counted = drops.map_or(told.by, |drops| drops.by.max(told.by));
        let most = most.filter(|_| lost <= counted + (counted / 10).max(2));
        let local = most.map_or_else(|| "a listening socket".to_owned(), |(service, _)| service.clone());
        let waiting: Vec<&Flow> = most.map(|(_, flows)| flows.clone()).unwrap_or_default();
        let name = &namespace.name;
        let waited = match waiting.len() as u64 {
            0 => String::new(),
            n => format!("; {} in the capture had to wait or failed", say::count(n, "connection")),
        };
        let mut reasons = Vec::new();
        for (growth, key, means) in [
            (overflows, "TcpExtListenOverflows", "the accept queue of a listening socket was full when a connection came"),
            (drops, "TcpExtListenDrops", "connections that a listening socket dropped, for that or another reason"),
        ] {
            if let Some(growth) = growth {
                reasons.push(reason(format!("{key} rose by {}: {means}.", say::number(growth.by)), [growth.anchor()]));
            }
        }
        let anchors = || waiting.iter().map(|flow| Anchor::from(Place::Flow(flow.id)));
        if !waiting.is_empty() {
            let text = format!(
                "SYNs to {local} arrived here and got no answer at once: {}.",
                say::count(waiting.len() as u64, "connection")
            );
            reasons.push(reason(text, anchors()));
        }
        outcome.findings.push(
            Draft {
                rule: SLUG,
                subject: Subject::Socket { netns, local: local.clone() },
                identity: Place::Interface { netns, ifindex: 0 }.into(),
                severity: if waiting.is_empty() { Severity::Warning } else { Severity::Critical },
                confidence: Confidence::Strong,
                sentence: format!(
                    "The accept queue of {local} on {name} overflowed {}: the application accepts too slowly{waited}.",
                    say::count(told.by, "time")
                ),
                span: told.span,
                count: told.by,
                evidence: [told.anchor()].into_iter().chain(anchors().take(15)).collect(),
                reasons,
                confidence_reason: match most {
                    Some(_) => "The kernel counts exactly this; which socket it was follows from the SYNs that got no answer.".into(),
                    None => "The kernel counts exactly this, for all sockets of the host together.".into(),
                },
                rival: "A firewall rule that drops SYNs: it would count hits, and these counters would stand still.".into(),
                confirm: vec![host::inside(
                    Some(namespace),
                    Command::new("ss")
                        .args(["-lnt"])
                        .effect("A listening socket whose Recv-Q is above its Send-Q has a full accept queue (Send-Q is its limit)."),
                )],
                fix: Some(
                    host::inside(
                        Some(namespace),
                        Command::new("sysctl").args(["-w", "net.core.somaxconn=4096"]).effect(
                            "Raises the limit of new listening sockets; the application must also ask for more (nginx: `listen … \
                             backlog=4096`) and be restarted. It helps against bursts only: an application that is too slow stays too slow.",
                        ),
                    )
                    .into(),
                ),
                questions: Vec::new(),
                picture: None,
            }
            .finding(),
        );
        outcome.explains.flows.extend(waiting.iter().map(|flow| flow.id));
    }
    if outcome.findings.is_empty() {
        return match looked {
            0 => Outcome::cannot_tell(UNRECORDED),
            _ if others.is_empty() => Outcome::clear("TcpExtListenOverflows and TcpExtListenDrops did not rise."),
            _ => Outcome::clear(format!("No accept queue was full: TcpExtListenOverflows did not rise. {}", others.join(" "))),
        };
    }
    outcome
}

/// What `TcpExtListenDrops` counted where no accept queue was full, with the counters that may say why.
fn other_reasons(view: &View<'_>, namespace: &Namespace, drops: Growth, whole: Span) -> String {
    let also = [
        ("nstat.IpOutNoRoutes", "the host had no route for an answer"),
        ("nstat.Ip6OutNoRoutes", "the host had no route for an answer"),
        ("nstat.IcmpInDestUnreachs", "answers came back as unreachable"),
        ("nstat.Icmp6InDestUnreachs", "answers came back as unreachable"),
        ("nstat.TcpExtTCPReqQFullDrop", "the queue of half-open connections was full"),
    ];
    let grown = also.into_iter().filter_map(|(key, means)| {
        let growth = host::namespace_growth(view, key, NetnsId(namespace.netns), whole)?;
        Some(format!("{} rose by {} ({means})", key.trim_start_matches("nstat."), say::number(growth.by)))
    });
    let grown: Vec<String> = grown.collect();
    let why = if grown.is_empty() { String::new() } else { format!("; {}", say::list(&grown, 3)) };
    format!(
        "TcpExtListenDrops rose by {} on {} for another reason (no route or no neighbour for the answer, a full queue of half-open \
         connections, want of memory){why}.",
        say::number(drops.by),
        namespace.name
    )
}

/// Packets of a handshake that the server seems to have ignored.
fn packets_ignored(flow: &Flow) -> u64 {
    let handshake = &flow.handshake;
    let answered = u32::from(handshake.syn_ack.is_some());
    u64::from(handshake.syn_count.saturating_sub(answered)) + u64::from(handshake.syn_ack_count.saturating_sub(1))
}

/// The server did not react to its SYN at once, or acts as if the last ACK of the handshake had not come.
fn ignored(view: &View<'_>, flow: &Flow) -> bool {
    let handshake = &flow.handshake;
    let Some(syn) = handshake.syn else { return false };
    let silent = handshake.syn_ack.is_none() && handshake.refused.is_none() && view.watermark - syn.at > Nanos::from_millis(900);
    silent || handshake.syn_count > 1 || handshake.syn_ack_count > 1 && handshake.ack.is_some()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    const HOST: &str = "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 1500 address 10.0.0.1/24
14:40:00 counters
  nstat.TcpExtListenOverflows 0
  nstat.TcpExtListenDrops 0
14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:02.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:04.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
";

    #[test]
    fn an_overflow_names_the_socket_whose_syns_went_unanswered() {
        check(
            "accept_queue_overflow",
            &format!("{HOST}14:40:09 counters\n  nstat.TcpExtListenOverflows 3\n  nstat.TcpExtListenDrops 3\n"),
            "critical strong: The accept queue of 10.0.0.1:80 on web-1 overflowed 3 times: the application accepts too slowly; 1 connection \
             in the capture had to wait or failed.",
        );
    }

    #[test]
    fn listen_drops_without_an_overflow_accuse_no_application() {
        check(
            "accept_queue_overflow",
            &format!(
                "{HOST}14:40:09 counters\n  nstat.TcpExtListenOverflows 0\n  nstat.TcpExtListenDrops 3\n  nstat.IpOutNoRoutes 0\n\
                 14:40:10 counters\n  nstat.IpOutNoRoutes 3\n"
            ),
            "clear: No accept queue was full: TcpExtListenOverflows did not rise. TcpExtListenDrops rose by 3 on web-1 for another reason (no \
             route or no neighbour for the answer, a full queue of half-open connections, want of memory); IpOutNoRoutes rose by 3 (the \
             host had no route for an answer).",
        );
    }

    /// One overflow does not account for three SYNs and their thirty friends.
    #[test]
    fn more_silence_than_was_counted_has_another_cause() {
        let others: String = (10..40)
            .map(|port| format!("14:40:03.{port} IP 10.0.0.2.{port} > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0\n"))
            .collect();
        check(
            "accept_queue_overflow",
            &format!("{HOST}{others}14:40:09 counters\n  nstat.TcpExtListenOverflows 1\n  nstat.TcpExtListenDrops 1\n"),
            "warning strong: The accept queue of a listening socket on web-1 overflowed 1 time: the application accepts too slowly.",
        );
    }

    #[test]
    fn unanswered_syns_alone_do_not_accuse_the_application() {
        check(
            "accept_queue_overflow",
            &format!("{HOST}14:40:09 counters\n  nstat.TcpExtListenDrops 0\n"),
            "clear: TcpExtListenOverflows and TcpExtListenDrops did not rise.",
        );
    }
}
