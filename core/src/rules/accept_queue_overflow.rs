//! `accept_queue_overflow`: an application accepts connections more slowly than they come, so new ones are dropped.
//!
//! **What.** A finished handshake waits in the listening socket's accept queue. When that is full, Linux drops new SYNs without a
//! word (before 4.10 also the last ACK of handshakes); clients try again after 1, 3, 7 seconds. No packet is freed as
//! dropped: only counters tell (measured on 6.18: 16 ListenDrops, no `kfree_skb` event).
//!
//! **When.** `TcpExtListenOverflows` rose. `TcpExtListenDrops` alone means another reason (want of memory) and is told as such.
//!
//! **Near misses.** A SYN flood fills the *SYN* queue: `TcpExtTCPReqQFullDrop`, SYN cookies.
//!
//! **Sources.** Documentation/networking/snmp_counter.rst (TcpExtListenOverflows, TcpExtListenDrops), ip-sysctl.rst
//! (tcp_abort_on_overflow, somaxconn); DIAGNOSIS H5; the lab `listen-overflow`.

use super::draft::{Draft, command, reason};
use super::host;
use super::{Explained, Outcome, View, say};
use crate::anchor::{Anchor, Place};
use crate::finding::{Confidence, Severity, Subject};
use crate::flow::Flow;
use crate::ids::{Direction, NetnsId};
use crate::time::Nanos;
use std::collections::BTreeMap;

const SLUG: &str = "accept_queue_overflow";
/// What it says where no host says anything.
pub(super) const UNRECORDED: &str = "TcpExtListenOverflows was not recorded.";

/// Judges each namespace.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let Some(whole) = host::recorded(view) else {
        return Outcome::cannot_tell(UNRECORDED);
    };
    let mut outcome = Outcome::default();
    let mut looked = 0;
    for namespace in view.counters.namespaces() {
        let netns = NetnsId(namespace.netns);
        let grown = |key| host::namespace_growth(view, key, netns, whole);
        looked += u64::from(view.counters.of_namespace("nstat.TcpExtListenOverflows", netns).is_some());
        let (overflows, drops) = (grown("nstat.TcpExtListenOverflows"), grown("nstat.TcpExtListenDrops"));
        let Some(told) = overflows.or(drops) else { continue };

        // Whose SYNs, or last ACKs, went unanswered on this host.
        let mut services: BTreeMap<String, Vec<&Flow>> = BTreeMap::new();
        for flow in view.flows.iter().filter(|flow| !explained.has(flow.id) && ignored(view, flow)) {
            let here = host::own(view, flow.server.address).is_some_and(|at| at.netns() == netns);
            if here && host::inbound(view, flow) == Some(Direction::AToB) {
                services.entry(flow.server.to_string()).or_default().push(flow);
            }
        }
        let most = services.iter().max_by_key(|(_, flows)| flows.len());
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
        let full = overflows.is_some();
        outcome.findings.push(
            Draft {
                rule: SLUG,
                subject: Subject::Socket { netns, local: local.clone() },
                identity: Place::Interface { netns, ifindex: 0 }.into(),
                severity: if waiting.is_empty() { Severity::Warning } else { Severity::Critical },
                confidence: if full { Confidence::Strong } else { Confidence::Possible },
                sentence: if full {
                    format!("The accept queue of {local} on {name} overflowed {}: the application accepts too slowly{waited}.", say::count(told.by, "time"))
                } else {
                    format!("Listening sockets on {name} dropped {} without a full accept queue{waited}.", say::count(told.by, "connection"))
                },
                span: told.span,
                count: told.by,
                evidence: [told.anchor()].into_iter().chain(anchors().take(15)).collect(),
                reasons,
                confidence_reason: if full {
                    "The kernel counts exactly this; which socket it was follows from the SYNs that got no answer.".into()
                } else {
                    "ListenDrops without ListenOverflows has several causes, want of memory among them.".into()
                },
                rival: "A firewall rule that drops SYNs: it would count hits, and these counters would stand still.".into(),
                confirm: command("ss -lnt", "A listening socket whose Recv-Q is above its Send-Q has a full accept queue (Send-Q is its limit)."),
                fix: Some(command(
                    "sysctl -w net.core.somaxconn=4096",
                    "Raises the limit of new listening sockets; the application must also ask for more (nginx: `listen … backlog=4096`) and be \
                     restarted. It helps against bursts only: an application that is too slow stays too slow.",
                )),
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
            _ => Outcome::clear("TcpExtListenOverflows and TcpExtListenDrops did not rise."),
        };
    }
    outcome
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
    fn unanswered_syns_alone_do_not_accuse_the_application() {
        check(
            "accept_queue_overflow",
            &format!("{HOST}14:40:09 counters\n  nstat.TcpExtListenDrops 0\n"),
            "clear: TcpExtListenOverflows and TcpExtListenDrops did not rise.",
        );
    }
}
