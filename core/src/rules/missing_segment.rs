//! `missing_segment`: data was lost before the capture point and did not come again.
//!
//! **What.** A later segment shows a gap, and the receiver says that it misses the same bytes (duplicate ACKs, SACK), so it is the
//! network and not the capture that lost them.
//!
//! **When.** A gap that was never filled, that the peer did not acknowledge, and that no cause explains. Where the peer says nothing
//! either way the finding is weaker. The same gap acknowledged by the peer is `capture_loss`. Where every gap is made of full-sized
//! segments, while packets after it and before it are smaller, it is the receiver's view of a path MTU black hole: nothing large arrives, so
//! nothing ever will, and that is critical.
//!
//! **Near misses.** Conversations that were under way when the capture began; gaps that a retransmission filled.
//!
//! **Sources.** Wireshark `tcp.analysis.lost_segment`; RFC 2018; RFC 2923 section 2.1; DIAGNOSIS V4, V5, R1, M3.

use super::commands;
use super::draft::{Draft, packet, reason};
use super::group::{self, PathGroup};
use super::{Explained, Outcome, View, say};
use crate::anchor::{Anchor, Place};
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Severity};
use crate::flow::{Flow, Hole};
use crate::ids::Direction;

const SLUG: &str = "missing_segment";

/// Judges every TCP conversation.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let tcp = || view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp);
    if tcp().all(|flow| flow.sides.iter().all(|side| side.payload_bytes == 0)) {
        return Outcome::cannot_tell("No TCP data was captured.");
    }
    if group::is_one_way(view) {
        return Outcome::cannot_tell("The capture shows one direction only, so the receiver's word is missing.");
    }
    let hits: Vec<(&Flow, Direction)> = tcp()
        .filter(|flow| !explained.has(flow.id) && flow.client_known)
        .flat_map(|flow| [Direction::AToB, Direction::BToA].map(|direction| (flow, direction)))
        .filter(|(flow, direction)| open(flow, *direction).next().is_some() && flow.side(direction.reverse()).packets > 0)
        .collect();
    if hits.is_empty() {
        return Outcome::clear("No data is missing that its receiver misses too.");
    }
    let groups = group::by_path(hits, |flow, direction| open(flow, direction).map(Hole::bytes).sum());
    Outcome { findings: groups.iter().map(finding).collect(), ..Outcome::default() }
}

fn open(flow: &Flow, direction: Direction) -> impl Iterator<Item = &Hole> {
    flow.side(direction).holes.iter().filter(|hole| hole.filled.is_none() && hole.acked.is_none())
}

/// Bytes of data in a full segment of this direction, if it lacks those alone: whole ones are missing, and none as large arrived.
fn lacks_full_segments(flow: &Flow, direction: Direction) -> Option<u64> {
    let side = flow.side(direction);
    let mss = flow.side(direction.reverse()).mss?.min(side.mss?);
    // Options that every segment has (RFC 7323: 12 bytes) take part of the MSS.
    let fixed = if flow.client.address.is_ipv4() { 40 } else { 60 };
    let full = (u32::from(mss) + fixed).saturating_sub(side.header_bytes()?);
    let largest_data = side.largest_ip.saturating_sub(side.header_bytes()?);
    let whole = |hole: &Hole| hole.missed_by_peer.is_some() && hole.bytes().is_multiple_of(u64::from(full));
    let is_it = full > 0 && open(flow, direction).all(whole) && largest_data < full && side.acked_to().is_some();
    is_it.then_some(full.into())
}

fn finding(group: &PathGroup<'_>) -> Finding {
    let holes =
        || group.hits.iter().flat_map(|(flow, direction)| open(flow, *direction).map(move |hole| (*flow, *direction, hole)));
    let bytes: u64 = holes().map(|(_, _, hole)| hole.bytes()).sum();
    let count = holes().count() as u64;
    let missed = holes().filter(|(_, _, hole)| hole.missed_by_peer.is_some()).count() as u64;
    let (flow, direction, first) = holes().next().expect("a group has a gap");
    let anchor = |flow: &Flow, direction, hole: &Hole| {
        Anchor::from(Place::Bytes { flow: flow.id, direction, first: hole.first, last: hole.last })
    };
    let mut evidence: Vec<Anchor> = holes().take(12).map(|(flow, direction, hole)| anchor(flow, direction, hole)).collect();
    evidence.push(packet(first.noticed));
    evidence.extend(first.missed_by_peer.map(packet));
    let mut reasons = vec![reason(
        format!(
            "{} of {} never arrived: packet {} begins at byte {}.",
            say::capital(&say::bytes(first.first, first.last)),
            flow.sender(direction),
            first.noticed.no,
            say::number(first.last + 1)
        ),
        [anchor(flow, direction, first), packet(first.noticed)],
    )];
    reasons.push(match (missed, first.missed_by_peer) {
        (0, _) => reason("The receiver neither acknowledged these bytes nor asked for them while the capture lasted.", []),
        (n, seen) => reason(
            format!("The receiver misses {} of {} too, by its own acknowledgements.", say::number(n), say::count(count, "gap")),
            seen.map(packet),
        ),
    });
    // One gap may be whole segments by chance.
    let full = lacks_full_segments(flow, direction).filter(|full| {
        bytes / full >= 2 && group.hits.iter().all(|(flow, direction)| lacks_full_segments(flow, *direction).is_some())
    });
    if let Some(full) = full {
        reasons.push(reason(
            format!(
                "Each gap is as long as full segments of {full} bytes are, and no packet of {} has more than {} bytes: the small ones arrive.",
                flow.sender(direction),
                flow.side(direction).largest_ip
            ),
            [],
        ));
    }
    let suspicion = match full {
        Some(_) => ": only full-sized segments are missing, so their size is the likely cause (path MTU)",
        None => "",
    };
    Draft {
        rule: SLUG,
        identity: packet(first.noticed),
        severity: match (missed, full) {
            (0, _) => Severity::Note,
            (_, None) => Severity::Warning,
            (_, Some(_)) => Severity::Critical,
        },
        confidence: if missed > 0 { Confidence::Strong } else { Confidence::Possible },
        sentence: format!(
            "{} lost {} in {} before the capture point, and they did not come again while it lasted{suspicion}.",
            say::capital(&group.name()),
            say::count(bytes, "byte"),
            say::count(count, "gap")
        ),
        span: group.span(),
        count,
        evidence,
        reasons,
        confidence_reason: match missed {
            0 => "The gap is in the capture; whether the receiver has the bytes is not told.".into(),
            _ => "Capture and receiver miss the same bytes, so it is not the capture that lost them.".into(),
        },
        rival: "The capture itself missed the packets: then the receiver would acknowledge the bytes.".into(),
        confirm: vec![commands::watch_between(flow.client.address, flow.server.address).effect(
            "Closer to the sender: shows whether the segments pass there, and so on which side of that point they are lost.",
        )],
        fix: None,
        questions: Vec::new(),
        picture: Some(Picture::Ladder { flow: flow.id }),
        subject: group.subject(),
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::{OPEN, check};

    const GAP: &str = "14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 101:201, ack 1, win 512, length 100
";

    #[test]
    fn a_gap_that_the_receiver_sees_too_is_loss() {
        check(
            "missing_segment",
            &format!(
                "{OPEN}{GAP}14:40:01.004 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 1, win 512, options [nop,nop,sack 1 {{101:201}}], length 0\n"
            ),
            "warning strong: 10.0.0.2 to 10.0.0.1 lost 100 bytes in 1 gap before the capture point, and they did not come again while it lasted.",
        );
    }

    const TAIL: &str = "14:40:01.003 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq 2921:3021, ack 75, win 512, length 100
14:40:01.004 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 75, ack 1, win 512, options [nop,nop,sack 1 {2921:3021}], length 0
";

    #[test]
    fn where_only_full_sized_segments_are_missing_it_is_their_size() {
        let request = "14:40:01.0025 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:75, ack 1, win 512, length 74
14:40:01.0027 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 75, win 512, length 0
";
        let begin = "10.0.0.1 to 10.0.0.2 lost 2,920 bytes in 1 gap before the capture point, and they did not come again while it lasted";
        check(
            "missing_segment",
            &format!("{OPEN}{request}{TAIL}"),
            &format!(
                "critical strong: {begin}: only full-sized segments are missing, so their size is the likely cause (path MTU)."
            ),
        );
        // One as large arrived.
        let large = "14:40:01.005 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 3021:4481, ack 75, win 512, length 1460\n";
        check("missing_segment", &format!("{OPEN}{request}{TAIL}{large}"), &format!("warning strong: {begin}."));
    }

    #[test]
    fn a_gap_that_the_receiver_acknowledges_is_the_captures_own() {
        let acked =
            format!("{OPEN}{GAP}14:40:01.004 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 201, win 512, length 0\n");
        check("missing_segment", &acked, "clear: No data is missing that its receiver misses too.");
        check(
            "capture_loss",
            &acked,
            "note strong: The capture missed 100 bytes in 1 gap of 1 conversation: the receivers acknowledged them, so they arrived.",
        );
    }
}
