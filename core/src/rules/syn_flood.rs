//! `syn_flood`: one service is asked by many, hardly any of whom ask twice.
//!
//! **What.** A SYN flood fills a server's queue of half-open connections; its senders are forged, so nobody answers the SYN-ACKs and nobody
//! repeats a SYN. Linux answers with SYN cookies when the queue is full. That nobody gets an answer then says nothing of the
//! path, and a capture of one direction looks the same.
//!
//! **When.** A hundred or more clients of one service whose SYNs were not followed by anything, of which at most one in ten asked again. A real
//! client asks again after a second (RFC 6298), so it is judged only where a second went by.
//!
//! **Near misses.** Many clients of a service that is down: each asks again. One client that asks many services: a scan. A capture that kept
//! only SYNs: where nothing of the service was captured, no connection going on and no answer, this is only possible.
//!
//! **Sources.** RFC 4987; tcp_syncookies in ip-sysctl.rst; StopDDoS/packet-captures.

use super::draft::{Draft, evidence, packet, reason};
use super::{Explained, Outcome, View, host, say};
use crate::command::Command;
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Severity, Subject};
use crate::flow::{Endpoint, Flow};
use crate::ids::Direction;
use crate::sort;
use crate::time::{Nanos, Span};
use std::collections::BTreeMap;

const SLUG: &str = "syn_flood";

/// So many clients that ask and are not heard of again.
const MANY: usize = 100;
/// One in so many of real ones may have given up at once.
const HARDLY: usize = 10;
/// A client asks again after this time.
const PATIENCE: Nanos = Nanos::from_secs(1);
/// Of more services the first are reported.
const MOST: usize = 6;

/// Judges every service.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let is_open = |flow: &&Flow| {
        let client = flow.side(Direction::AToB);
        let only_syns = client.sent() == flow.handshake.syn_count && client.rst.is_none();
        flow.transport == Protocol::Tcp && flow.handshake.syn.is_some() && only_syns && flow.handshake.refused.is_none()
    };
    let open = view.flows.iter().filter(is_open).filter(|flow| !explained.has(flow.id));
    let mut services: BTreeMap<Endpoint, Vec<&Flow>> = BTreeMap::new();
    let overdue = |flow: &Flow| flow.handshake.syn.is_some_and(|syn| view.watermark - syn.at >= PATIENCE);
    for flow in open.filter(|flow| overdue(flow)) {
        services.entry(flow.server).or_default().push(flow);
    }
    let asked = services.values().map(Vec::len).max().unwrap_or(0) as u64;
    services.retain(|_, flows| is_flood(flows));
    if services.is_empty() {
        return Outcome::clear(match asked {
            0 => "No SYN was left without anything that followed.".to_owned(),
            n => format!("At most {} to one service had nothing that followed.", say::count(n, "connection attempt")),
        });
    }
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(services.values().flatten().map(|flow| flow.id));
    let mut services: Vec<_> = services.into_iter().collect();
    sort::by_key(&mut services, |(_, flows)| (std::cmp::Reverse(flows.len()), flows[0].id));
    outcome.findings = services.iter().take(MOST).map(|(service, flows)| finding(view, *service, flows)).collect();
    outcome
}

fn is_flood(flows: &[&Flow]) -> bool {
    if flows.len() < MANY {
        return false;
    }
    let clients = sort::set(flows.iter().map(|flow| flow.client.address)).len();
    let again = flows.iter().filter(|flow| flow.handshake.syn_count > 1).count();
    clients >= MANY && again * HARDLY <= flows.len()
}

fn finding(view: &View<'_>, service: Endpoint, flows: &[&Flow]) -> Finding {
    let clients = sort::set(flows.iter().map(|flow| flow.client.address)).len() as u64;
    let again = flows.iter().filter(|flow| flow.handshake.syn_count > 1).count() as u64;
    let answered = flows.iter().filter(|flow| flow.handshake.syn_ack.is_some()).count() as u64;
    let span = flows.iter().map(|flow| flow.span()).reduce(Span::union).unwrap_or(flows[0].span());
    let others = view.flows.iter().filter(|flow| flow.server == service && flow.handshake.ack.is_some()).count() as u64;
    let syns = || flows.iter().filter_map(|flow| flow.handshake.syn).map(packet);
    Draft {
        rule: SLUG,
        identity: packet(flows[0].handshake.syn.unwrap_or(flows[0].first)),
        severity: Severity::Warning,
        confidence: if others + answered > 0 { Confidence::Strong } else { Confidence::Possible },
        sentence: format!(
            "{service} was asked for {} by {} within {}, and only {} asked again: {}.",
            say::count(flows.len() as u64, "connection"),
            say::count(clients, "client"),
            span.length(),
            say::number(again),
            if others + answered > 0 {
                "a SYN flood, not clients that wait for an answer"
            } else {
                "probably a SYN flood, unless only SYNs were captured"
            }
        ),
        span,
        count: flows.len() as u64,
        evidence: evidence(syns()),
        reasons: vec![
            reason(
                format!(
                    "After a second without an answer a client sends its SYN again; {} of {} did.",
                    say::number(again),
                    say::number(flows.len() as u64)
                ),
                flows.iter().filter(|flow| flow.handshake.syn_count > 1).filter_map(|flow| flow.handshake.last_syn).map(packet),
            ),
            reason(
                format!(
                    "{service} answered {} of them, and {} with it went on in the same time.",
                    say::number(answered),
                    say::count(others, "connection")
                ),
                [],
            ),
        ],
        confidence_reason: "That the senders do not wait is in the capture; who they are is not, as their addresses may be forged.".into(),
        rival: "A capture that kept only SYNs: then no connection would go on in it.".into(),
        confirm: vec![host::on(
            view,
            service.address,
            Command::new("nstat")
                .args(["-az", "TcpExtSyncookiesSent", "TcpExtTCPReqQFullDoCookies", "TcpExtTCPReqQFullDrop"])
                .effect("Shows whether the queue of half-open connections was full, and cookies were sent or SYNs dropped."),
        )],
        fix: Some(
            host::on(
                view,
                service.address,
                Command::new("sysctl")
                    .args(["-w", "net.ipv4.tcp_syncookies=1"])
                    .effect("Real clients are served though the queue is full. Whether the flood reaches the host at all is for the provider to stop."),
            )
            .into(),
        ),
        questions: Vec::new(),
        picture: None,
        subject: Subject::Service { server: service.to_string(), transport: "tcp".into() },
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::{check, said};

    /// SYNs of as many clients, 10 ms apart, of which the first few ask again a second after.
    fn syns(clients: usize, again: usize) -> String {
        let syn = |at: usize, client: usize| {
            format!(
                "14:40:{:02}.{:03} IP 10.0.1.{client}.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0",
                1 + at / 1_000,
                at % 1_000
            )
        };
        let mut lines: Vec<String> = (0..clients).map(|client| syn(client * 8, client)).collect();
        lines.extend((0..again).map(|client| syn(3_000 + client, client)));
        format!("date 2021-06-01\n{}\n14:40:05 mark recording_stopped The end.\n", lines.join("\n"))
    }

    #[test]
    fn many_that_ask_once_are_a_flood_and_nothing_else() {
        let begin = "10.0.0.1:80 was asked for 120 connections by 120 clients within 3.00 s, and only 3 asked again";
        let told = said(&syns(120, 3), &["syn_flood", "syn_unanswered"]);
        assert!(
            told.starts_with(&format!(
                "warning possible syn_flood: {begin}: probably a SYN flood, unless only SYNs were captured.\nclear syn_unanswered"
            )),
            "{told}"
        );
        // The server answers one of them, so more than SYNs was captured.
        let answer = "14:40:01.001 IP 10.0.0.1.80 > 10.0.1.0.5: Flags [S.], seq 9, ack 2, win 512, length 0\n14:40:01.008 ";
        check(
            "syn_flood",
            &syns(120, 3).replacen("14:40:01.008 ", answer, 1),
            &format!("warning strong: {begin}: a SYN flood, not clients that wait for an answer."),
        );
    }

    #[test]
    fn many_that_ask_again_are_clients_of_a_service_that_is_down() {
        check("syn_flood", &syns(120, 120), "clear: At most 120 connection attempts to one service had nothing that followed.");
    }

    #[test]
    fn few_are_no_flood() {
        check("syn_flood", &syns(20, 0), "clear: At most 20 connection attempts to one service had nothing that followed.");
    }
}
