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

use super::commands;
use super::draft::{Draft, Fix, packet, reason};
use super::group;
use super::{Explained, Outcome, View, say};
use crate::anchor::{Anchor, Place};
use crate::command::Command;
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
    for flow in view.flows.iter() {
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
        return if view.packets == 0 {
            Outcome::cannot_tell("No packet was captured.")
        } else if one_way {
            Outcome::cannot_tell("The capture shows one direction only, so acknowledged gaps would not be seen.")
        } else {
            Outcome::clear("The capture lost nothing that it or the conversations know of.")
        };
    }
    let interface = view.interfaces.first();
    let name = interface.and_then(|interface| interface.name.clone()).unwrap_or_else(|| "the capture".into());
    let interface_name = interface.and_then(|interface| interface.name.as_deref()).unwrap_or_default();
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
            say::percent(lost, view.capture_offered)
        ),
    };
    let finding = Draft {
        rule: SLUG,
        subject: Subject::Interface { netns, ifindex, name },
        identity: Place::Interface { netns, ifindex }.into(),
        severity: if lost > view.capture_offered / 100 { Severity::Warning } else { Severity::Note },
        confidence: Confidence::Strong,
        sentence,
        span: span.unwrap_or(whole),
        count: lost.saturating_add(gaps),
        evidence,
        reasons,
        confidence_reason: if lost > 0 {
            "The capture counted it.".into()
        } else {
            "Receivers acknowledge only what they have.".into()
        },
        rival: "A filter or a mirror port that leaves packets out on purpose.".into(),
        // What the capture counted is in the file; nothing that runs now shows it.
        confirm: Vec::new(),
        fix: (lost > 0).then(|| {
            let record = commands::about_interface(view.counters.namespace(netns), interface_name, |name| {
                let command = Command::new("dropscope").args(["record", "-i"]).arg(name).args(["-s", "128"]);
                command.effect("Keeps 128 bytes of each packet: less to write, so fewer are lost.")
            });
            record.map_or_else(
                || Fix::Say("Keep fewer bytes of each packet (`-s 128`): less to write, so fewer are lost.".into()),
                Fix::Run,
            )
        }),
        questions: Vec::new(),
        picture: None,
    }
    .finding();
    Outcome { findings: vec![finding], ..Outcome::default() }
}

#[cfg(test)]
mod tests {
    use super::SLUG;
    use crate::ids::InterfaceId;
    use crate::log::record::{Interface, Section, Statistics};
    use crate::log::{Encoder, PacketToWrite};
    use crate::rules::case::{OPEN, check, said_of};
    use crate::script::Script;

    /// What is said when the capture's own counters stand at its end.
    fn said_with(statistics: Statistics) -> String {
        let script = Script::parse(OPEN).expect("a script");
        let mut log = crate::reference::encode(&script);
        // The block alone: what a section's head takes is cut off again.
        let mut block = Vec::new();
        let encoder = Encoder::begin(&Section::default(), &mut block);
        let head = block.len();
        encoder.statistics(&statistics, &mut block);
        log.extend_from_slice(&block[head..]);
        said_of(&log, &[SLUG])
    }

    fn counted(if_dropped: Option<u64>, os_dropped: Option<u64>) -> Statistics {
        Statistics {
            interface: InterfaceId(0),
            time: Default::default(),
            received: Some(50),
            if_dropped,
            os_dropped,
            delivered: Some(3),
        }
    }

    #[test]
    fn what_the_capture_counted_as_lost_is_told() {
        assert_eq!(
            said_with(counted(Some(2), Some(7))),
            "warning strong capture_loss: The capture lost 9 packets itself (18 % of what passed): what seems lost below may have arrived.\n"
        );
    }

    /// A file from which packets were taken holds few of those that came.
    #[test]
    fn the_share_is_of_what_came_to_the_capture_and_not_of_what_the_file_holds() {
        let lost = |application: &str, received, lost| {
            let section = Section { application: Some(application.into()), ..Section::default() };
            let mut log = Vec::new();
            let mut encoder = Encoder::begin(&section, &mut log);
            let interface = encoder.interface(&Interface { link_type: 1, ..Interface::default() }, &mut log);
            let packet = PacketToWrite { interface, data: &[0; 60], wire_len: 60, ..PacketToWrite::default() };
            encoder.packet(&packet, &mut log);
            encoder.statistics(&Statistics { interface, received, if_dropped: Some(lost), ..Statistics::default() }, &mut log);
            said_of(&log, &[SLUG]).split(['(', ')']).nth(1).map(str::to_owned)
        };
        // libpcap counts what it lost among what it received.
        assert_eq!(lost("tcpdump", Some(35_000), 33_985).as_deref(), Some("97.1 % of what passed"));
        // Dumpcap does not, and neither does whoever says that less came than was lost.
        assert_eq!(lost("Dumpcap (Wireshark) 4.0.17", Some(1_015), 33_985).as_deref(), Some("97.1 % of what passed"));
        assert_eq!(lost("some program", Some(1_015), 33_985).as_deref(), Some("97.1 % of what passed"));
        // Without the count all that is known to have come is what the file holds.
        assert_eq!(lost("tcpdump", None, 3).as_deref(), Some("75 % of what passed"));
    }

    #[test]
    fn a_capture_that_counted_no_loss_is_clear() {
        let clear = "clear capture_loss: The capture lost nothing that it or the conversations know of.\n";
        assert_eq!(said_with(counted(Some(0), Some(0))), clear);
        assert_eq!(said_with(counted(None, None)), clear);
    }

    #[test]
    fn a_gap_that_is_filled_later_is_only_out_of_order() {
        let script = format!(
            "{OPEN}14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 101:201, ack 1, win 512, length 100
14:40:01.004 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:101, ack 1, win 512, length 100
14:40:01.005 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 201, win 512, length 0\n"
        );
        check(SLUG, &script, "clear: The capture lost nothing that it or the conversations know of.");
    }

    #[test]
    fn one_direction_alone_cannot_tell() {
        let script = "date 2021-06-01
14:40:01.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 100, win 512, options [mss 1460], length 0
14:40:01.002 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], ack 1, win 512, length 0
14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 101:201, ack 1, win 512, length 100
";
        check(SLUG, script, "cannot tell: The capture shows one direction only, so acknowledged gaps would not be seen.");
        check(SLUG, "date 2021-06-01\n", "cannot tell: No packet was captured.");
    }
}
