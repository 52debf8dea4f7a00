//! `capture_loss`: the capture itself is incomplete, so that what seems lost was not.
//!
//! **What.** The capture's ring was full (libpcap's `ps_drop`, `isb_osdrop`), the interface had no room (`isb_ifdrop`), or a mirror
//! port or filter left packets out: then receivers acknowledge bytes that the capture never shows.
//!
//! **When.** The capture counted packets it lost, or gaps in conversations were acknowledged by their receivers.
//!
//! **Near misses.** A gap that the receiver misses too is loss: see `missing_segment`.
//!
//! **Sources.** pcap_stats(3PCAP), pcapng ISB; Wireshark `tcp.analysis.ack_lost_segment`; DIAGNOSIS V5.

use super::draft::{Draft, command, packet, reason};
use super::group;
use super::{Explained, Outcome, View, say};
use crate::anchor::{Anchor, Place};
use crate::dissect::Protocol;
use crate::finding::{Confidence, Severity, Subject};
use crate::ids::{Direction, NetnsId};
use crate::time::Span;

const SLUG: &str = "capture_loss";

/// Judges the capture.
pub(super) fn judge(view: &View<'_>, _: &Explained) -> Outcome {
    let one_way = group::is_one_way(view);
    let (mut gaps, mut bytes, mut flows, mut evidence) = (0u64, 0u64, 0u64, Vec::<Anchor>::new());
    let mut span: Option<Span> = None;
    let mut packets = 0u64;
    for flow in view.flows.iter() {
        packets += flow.sides.iter().map(|side| u64::from(side.packets)).sum::<u64>();
        if flow.transport != Protocol::Tcp || one_way {
            continue;
        }
        let before = gaps;
        for direction in [Direction::AToB, Direction::BToA] {
            for hole in flow.side(direction).holes.iter().filter(|hole| hole.filled.is_none() && hole.acked.is_some()) {
                gaps += 1;
                bytes += hole.bytes();
                if evidence.len() < 15 {
                    evidence.push(Place::Bytes { flow: flow.id, direction, first: hole.first, last: hole.last }.into());
                    evidence.extend(hole.acked.map(packet));
                }
            }
        }
        if gaps > before {
            flows += 1;
            span = Some(span.map_or(flow.span(), |known| known.union(flow.span())));
        }
    }
    let lost = view.capture_lost;
    if lost == 0 && gaps == 0 {
        return if packets == 0 {
            Outcome::cannot_tell("No packet was captured.")
        } else if one_way {
            Outcome::cannot_tell("The capture shows one direction only, so acknowledged gaps would not be seen.")
        } else {
            Outcome::clear("The capture lost nothing that it or the conversations know of.")
        };
    }
    let interface = view.interfaces.first();
    let name = interface.and_then(|interface| interface.name.clone()).unwrap_or_else(|| "the capture".into());
    let watched = interface.and_then(|interface| interface.watched());
    let (netns, ifindex) = watched.map_or((NetnsId(0), 0), |at| (at.netns, at.ifindex));
    let whole = view.flows.iter().map(|flow| flow.span()).reduce(Span::union).unwrap_or(Span::at(view.watermark));
    let mut reasons = Vec::new();
    if lost > 0 {
        reasons.push(reason(
            format!("The capture's own counters say that {} did not fit its buffer.", say::count(lost, "packet")),
            [],
        ));
    }
    if gaps > 0 {
        reasons.push(reason(
            format!(
                "In {}, {} were acknowledged by their receivers and are not in the capture.",
                say::count(flows, "conversation"),
                say::count(bytes, "byte")
            ),
            evidence.iter().cloned(),
        ));
    }
    let sentence = match (lost, gaps) {
        (0, _) => format!(
            "The capture missed {} in {} of {}: the receivers acknowledged them, so they arrived.",
            say::count(bytes, "byte"),
            say::count(gaps, "gap"),
            say::count(flows, "conversation")
        ),
        (lost, _) => format!(
            "The capture lost {} itself ({} of what passed): what seems lost below may have arrived.",
            say::count(lost, "packet"),
            say::percent(lost, lost + packets)
        ),
    };
    let finding = Draft {
        rule: SLUG,
        subject: Subject::Interface { netns, ifindex, name },
        identity: Place::Interface { netns, ifindex }.into(),
        severity: if lost * 100 > packets { Severity::Warning } else { Severity::Note },
        confidence: Confidence::Strong,
        sentence,
        span: span.unwrap_or(whole),
        count: lost + gaps,
        evidence,
        reasons,
        confidence_reason: if lost > 0 {
            "The capture counted it.".into()
        } else {
            "Receivers acknowledge only what they have.".into()
        },
        rival: "A filter or a mirror port that leaves packets out on purpose.".into(),
        confirm: command("capinfos FILE", "Shows what the file says about packets that its capture dropped."),
        fix: (lost > 0).then(|| {
            command("dropscope record -i IFACE -s 128", "Keeps 128 bytes of each packet: less to write, so fewer are lost.")
        }),
        questions: Vec::new(),
        picture: None,
    }
    .finding();
    Outcome { findings: vec![finding], ..Outcome::default() }
}
