//! `zero_window`: a receiver has no room, so the sender must wait. The application reads too slowly; nothing is lost.
//!
//! **What.** A receiver announces window 0 when its buffer is full; the sender probes until there is room again. It looks like a
//! stall on the network and is none.
//!
//! **When.** Segments that announce window 0 without SYN, FIN or RST, told once for each service and the side that closed its window,
//! with how long it stayed closed: from the first such segment to the next with a window above 0. A note where it was open again
//! before anybody would have probed it (200 ms in all, Linux' least retransmission timeout).
//!
//! **Near misses.** A full but open window ("window full"); a RST, whose window is always 0.
//!
//! **Sources.** RFC 9293 section 3.8.6.1; Wireshark `tcp.analysis.zero_window`; DIAGNOSIS R7; the lab `zero-window`.

use super::draft::{Draft, evidence, reason};
use super::group;
use super::host;
use super::{Explained, Outcome, View, say};
use crate::anchor::Place;
use crate::command::{Arg, Command};
use crate::dissect::Protocol;
use crate::finding::{Confidence, Picture, Severity};
use crate::flow::{Flow, Side};
use crate::ids::Direction;
use crate::time::Nanos;

const SLUG: &str = "zero_window";

/// A sender that waits no longer has lost next to nothing.
const UNFELT: Nanos = Nanos::new(200_000_000);

/// Judges every TCP conversation.
pub(super) fn judge(view: &View<'_>, _: &Explained) -> Outcome {
    let tcp = || view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp);
    let opened = tcp().filter(|flow| flow.sides.iter().any(|side| side.payload_bytes > 0)).count() as u64;
    if opened == 0 {
        return Outcome::cannot_tell("No TCP data was captured.");
    }
    let hits: Vec<(&Flow, Direction)> = tcp()
        .flat_map(|flow| [Direction::AToB, Direction::BToA].map(|direction| (flow, direction)))
        // The one that closes its window receives data: a sender's own zero window is of no consequence.
        .filter(|(flow, direction)| flow.side(*direction).zero_windows > 0 && flow.side(direction.reverse()).payload_bytes > 0)
        .collect();
    if hits.is_empty() {
        return Outcome::clear(format!("No receiver of {} ran out of room.", say::count(opened, "conversation")));
    }
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(hits.iter().map(|(flow, _)| flow.id));
    for group in group::by_path(hits, |flow, direction| flow.side(direction).zero_windows.into()) {
        let times: u64 = group.hits.iter().map(|(flow, direction)| u64::from(flow.side(*direction).zero_windows)).sum();
        let (first, direction) = group.hits[0];
        let receiver = first.sender(direction);
        let sides = || group.hits.iter().map(|(flow, direction)| (*flow, flow.side(*direction), flow.side(direction.reverse())));
        // Whoever had not opened its window again by the end of its conversation kept it closed until then.
        let left_closed = |flow: &Flow, side: &Side| side.closed_since.map(|since| flow.last.at - since.at);
        let closed = sides()
            .map(|(flow, side, _)| side.closed_time.get().saturating_add(left_closed(flow, side).unwrap_or_default().get()))
            .fold(0, i64::saturating_add);
        let closed = Nanos::new(closed);
        let longest = sides().filter_map(|(flow, side, _)| side.longest_closed.max(left_closed(flow, side))).max();
        let runs: u64 = sides().map(|(_, side, _)| u64::from(side.closed_runs)).sum();
        let probes: u64 = sides().map(|(_, _, sender)| u64::from(sender.window_probes)).sum();
        let filled: u64 = sides().map(|(_, _, sender)| u64::from(sender.windows_filled)).sum();
        let unopened = sides().filter(|(_, side, _)| side.closed_since.is_some()).count() as u64;
        let anchors = || group.hits.iter().map(|(flow, _)| Place::Flow(flow.id).into());
        let mut reasons = vec![reason(
            format!(
                "{receiver} announced window 0 to {}: no data may be sent until it announces room again.",
                first.sender(direction.reverse())
            ),
            anchors(),
        )];
        if let Some(longest) = longest.filter(|longest| longest.get() > 0) {
            let end = match unopened {
                0 => String::new(),
                _ if runs == unopened => "; it was not seen to open again".to_owned(),
                n => format!("; {n} of those times it was not seen to open again"),
            };
            let text =
                format!("Its window was closed {}, {closed} in all and {longest} at the longest{end}.", say::count(runs, "time"));
            reasons.push(reason(text, []));
        }
        if probes + filled > 0 {
            let text = format!(
                "The sender filled the window with {} and asked for room with {}: those are no losses.",
                say::count(filled, "segment"),
                say::count(probes, "probe")
            );
            reasons.push(reason(text, []));
        }
        outcome.findings.push(
            Draft {
                rule: SLUG,
                identity: Place::Flow(first.id).into(),
                severity: if unopened == 0 && probes == 0 && closed < UNFELT { Severity::Note } else { Severity::Warning },
                confidence: Confidence::Strong,
                sentence: format!(
                    "{} announced a full receive buffer {} in {}: its application reads too slowly, and {} had to wait{}.",
                    say::capital(&group.from),
                    say::count(times, "time"),
                    say::count(group.hits.len() as u64, "conversation"),
                    group.to,
                    if closed.get() > 0 { format!(" {closed}") } else { String::new() }
                ),
                span: group.span(),
                count: times,
                evidence: evidence(anchors()),
                reasons,
                confidence_reason: "The receiver itself says that it has no room.".into(),
                rival: "Loss at the same time: then segments would be sent again that are not probes of one byte.".into(),
                confirm: vec![host::on(
                    view,
                    receiver.address,
                    Command::new("ss")
                        .args(["-tnm"])
                        .arg(Arg::concat(["sport = :".into(), receiver.port.into()]))
                        .effect("A Recv-Q that stays high is data which the application has not read."),
                )],
                fix: None,
                questions: Vec::new(),
                picture: Some(Picture::Ladder { flow: first.id }),
                subject: group.subject(),
            }
            .finding(),
        );
    }
    outcome
}

#[cfg(test)]
mod tests {
    use crate::rules::case::{OPEN, check};

    const DATA: &str = "14:40:01.003 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq 1:513, ack 1, win 512, length 512
";

    #[test]
    fn a_receiver_without_room_is_named() {
        check(
            "zero_window",
            &format!("{OPEN}{DATA}14:40:01.004 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1, ack 513, win 0, length 0\n"),
            "warning strong: 10.0.0.2 announced a full receive buffer 1 time in 1 conversation: its application reads too slowly, and 10.0.0.1 had to \
             wait.",
        );
    }

    #[test]
    fn a_window_that_opens_at_once_is_a_note() {
        check(
            "zero_window",
            &format!(
                "{OPEN}{DATA}14:40:01.004 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1, ack 513, win 0, length 0
14:40:01.012 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1, ack 513, win 512, length 0
"
            ),
            "note strong: 10.0.0.2 announced a full receive buffer 1 time in 1 conversation: its application reads too slowly, and 10.0.0.1 had to \
             wait 8.00 ms.",
        );
    }

    #[test]
    fn how_long_it_had_no_room_is_told() {
        check(
            "zero_window",
            &format!(
                "{OPEN}{DATA}14:40:01.004 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1, ack 513, win 0, length 0
14:40:01.204 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 512, ack 1, win 512, length 0
14:40:01.205 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1, ack 513, win 0, length 0
14:40:03.504 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1, ack 513, win 512, length 0
"
            ),
            "warning strong: 10.0.0.2 announced a full receive buffer 2 times in 1 conversation: its application reads too slowly, and 10.0.0.1 \
             had to wait 2.50 s.",
        );
    }

    #[test]
    fn a_reset_announces_nothing() {
        check(
            "zero_window",
            &format!("{OPEN}{DATA}14:40:01.004 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [R.], seq 1, ack 513, win 0, length 0\n"),
            "clear: No receiver of 1 conversation ran out of room.",
        );
    }
}
