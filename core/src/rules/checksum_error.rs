//! `checksum_error`: packets arrive in a tunnel with a wrong outer checksum, and nobody answers what they carry.
//!
//! **What.** VXLAN and Geneve are UDP, and a network card that computes their outer checksum wrongly (or a virtual one that is told to and does not) sends packets
//! that the receiver's kernel drops (`UdpInCsumErrors`): connections inside the tunnel do not open, while pings between the hosts are fine.
//!
//! **When.** Packets of a conversation in a tunnel with a wrong outer UDP checksum, two SYNs of it or more, and the answer came only to one
//! sent after them: the capture shows the bytes that the receiver judged. Where no answer came at all, only the suspicion is reported.
//!
//! **Near misses.** On the sender's own host the checksum is not computed yet (offload): there other conversations of the same tunnel have
//! their answers, and one that has none has another cause. Checksum 0 says that there is none (RFC 7348 section 5 asks for it). Packets that
//! were cut.
//!
//! **Sources.** RFC 768, RFC 6935, RFC 7348 section 5; flannel#1279, calico#3145, k3s#2013; DIAGNOSIS K1.

use super::draft::{Draft, Fix, evidence, packet, reason};
use super::{Explained, Outcome, View, host, say};
use crate::command::Command;
use crate::exchange::Damaged;
use crate::finding::{Confidence, Finding, Picture, Severity, Subject};
use crate::flow::Flow;
use crate::time::{Nanos, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

const SLUG: &str = "checksum_error";

/// Of more tunnels the first are reported.
const MOST: usize = 6;
/// A user waits so long in vain.
const LONG: Nanos = Nanos::from_secs(3);

/// Judges every tunnel over UDP.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let tunnels = &view.exchanges.tunnels;
    let mut found: BTreeMap<(IpAddr, IpAddr), Vec<(&Flow, Damaged)>> = BTreeMap::new();
    let mut offloaded = BTreeSet::new();
    let mut packets = 0;
    for (id, damaged) in tunnels.damaged() {
        packets += u64::from(damaged.packets);
        let Some(flow) = view.flows.get(id) else { continue };
        let ends = (damaged.from, damaged.to);
        if !is_unheard(flow, damaged) {
            offloaded.extend(flow.handshake.syn_ack.map(|_| ends));
        } else if !explained.has(flow.id) {
            found.entry(ends).or_default().push((flow, *damaged));
        }
    }
    found.retain(|ends, _| !offloaded.contains(ends));
    if found.is_empty() {
        return match (tunnels.judged, packets) {
            (0, _) => Outcome::cannot_tell("No tunnel over UDP with a checksum was captured."),
            (n, 0) => Outcome::clear(format!("The outer checksum of {} is right.", say::count(n, "tunnelled packet"))),
            (_, n) => Outcome::clear(format!(
                "Of {} the outer checksum is wrong, and what they carry was answered: it is computed after the capture point (offload).",
                say::count(n, "tunnelled packet")
            )),
        };
    }
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(found.values().flatten().map(|(flow, _)| flow.id));
    outcome.findings = found.values().take(MOST).map(|hits| finding(view, hits)).collect();
    outcome
}

/// Whether nothing was answered until the last of the damaged packets had come.
fn is_unheard(flow: &Flow, damaged: &Damaged) -> bool {
    let handshake = &flow.handshake;
    let waits =
        handshake.syn.zip(handshake.last_syn).is_some_and(|(first, last)| last.no > first.no && damaged.first.no <= first.no);
    waits && damaged.packets >= 2 && handshake.syn_ack.is_none_or(|answer| answer.no > damaged.last.no)
}

fn finding(view: &View<'_>, hits: &[(&Flow, Damaged)]) -> Finding {
    let (first, damaged) = hits[0];
    let packets: u64 = hits.iter().map(|(_, damaged)| u64::from(damaged.packets)).sum();
    let opened = hits.iter().filter(|(flow, _)| flow.handshake.syn_ack.is_some()).count() as u64;
    let wait = |flow: &Flow| {
        let end = flow.handshake.syn_ack.or(flow.handshake.last_syn).unwrap_or(flow.last);
        flow.handshake.syn.map(|syn| end.at - syn.at).unwrap_or_default()
    };
    let longest = hits.iter().map(|(flow, _)| wait(flow)).max().unwrap_or_default();
    let anchors = || hits.iter().flat_map(|(_, damaged)| [damaged.first, damaged.last]).map(packet);
    let span = hits.iter().map(|(_, damaged)| Span::new(damaged.first.at, damaged.last.at)).reduce(Span::union);
    let mut reasons = vec![reason(
        format!(
            "The outer UDP checksum of {} of {} is wrong, and none of them was answered.",
            say::count(packets, "packet"),
            say::count(hits.len() as u64, "connection")
        ),
        anchors(),
    )];
    if opened > 0 {
        reasons.push(reason(
            format!(
                "{} opened by the first SYN after them, whose checksum is right or not there.",
                say::count(opened, "connection")
            ),
            hits.iter().filter_map(|(flow, _)| flow.handshake.syn_ack).map(packet),
        ));
    }
    Draft {
        rule: SLUG,
        identity: packet(damaged.first),
        severity: if longest >= LONG && opened > 0 { Severity::Critical } else { Severity::Warning },
        confidence: if opened > 0 { Confidence::Strong } else { Confidence::Possible },
        sentence: format!(
            "{} sends {} packets with a wrong outer UDP checksum to {}, which {} them: {} of {}, which waited up to {longest}.",
            damaged.from,
            damaged.tunnel,
            damaged.to,
            if opened > 0 { "drops" } else { "probably drops" },
            say::count(packets, "packet"),
            say::count(hits.len() as u64, "connection")
        ),
        span: span.unwrap_or(first.span()),
        count: packets,
        evidence: evidence(anchors()),
        reasons,
        confidence_reason: if opened > 0 {
            "What has a wrong checksum is not answered, and what has a right one is: the receiver judges as this capture does."
        } else {
            "What has a wrong checksum is not answered; no packet with a right one was captured that would show whether that is why."
        }
        .into(),
        rival: "A capture on the sender, whose network card computes the checksum later: then the answers are missing for another reason.".into(),
        confirm: vec![host::on(
            view,
            damaged.to,
            Command::new("nstat").args(["-az", "UdpInCsumErrors"]).effect("Shows whether the receiver counts wrong checksums."),
        )],
        fix: Some(Fix::Say(
            "Turn off the checksum offload (tx-checksum-ip-generic) of the tunnel's interface on the sender, flannel.1 or vxlan.calico for instance, so that the \
             kernel computes it; a newer driver mends it."
                .into(),
        )),
        questions: Vec::new(),
        picture: Some(Picture::Ladder { flow: first.id }),
        subject: Subject::Path { from: damaged.from.to_string(), to: damaged.to.to_string() },
    }
    .finding()
}
