//! `option_stripped`: the window stays so small that each round trip carries less than one segment.
//!
//! **What.** A firewall that removes the window scale option from the handshake makes both ends disagree: the receiver announces its window in units of
//! 128 bytes, say, and the sender takes it for bytes. 29,312 bytes become 229, and every round trip carries so much. Nothing is lost; it is slow.
//!
//! **When.** The sender filled the window ten times or more, never sent half a segment though the handshake allows a whole one, and the
//! receiver's SYN as captured permits SACK but has no window scale: systems offer the two together.
//!
//! **Near misses.** A small device that announces a small window for itself offers none of the options. A window that once let a full segment through.
//!
//! **Sources.** RFC 7323 sections 2.2 and 2.3; ndt#27; DIAGNOSIS H12.

use super::draft::{Draft, evidence, packet, reason};
use super::group::{self, PathGroup};
use super::{Explained, Outcome, View, commands, host, say};
use crate::command::Command;
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Severity};
use crate::flow::Flow;
use crate::ids::Direction;

const SLUG: &str = "option_stripped";

/// So often a window that is full is no accident.
const OFTEN: u32 = 10;

/// Judges every TCP conversation whose handshake was captured.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let opened = || view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp && flow.handshake.syn_ack.is_some());
    let known = opened().filter(|flow| flow.handshake.syn.is_some()).count() as u64;
    if known == 0 {
        return Outcome::cannot_tell("No handshake was captured, which has the options.");
    }
    let hits: Vec<(&Flow, Direction)> = opened()
        .filter(|flow| flow.handshake.syn.is_some() && !explained.has(flow.id))
        .flat_map(|flow| [Direction::AToB, Direction::BToA].map(|direction| (flow, direction)))
        .filter(|(flow, direction)| is_squeezed(flow, *direction))
        .collect();
    if hits.is_empty() {
        return Outcome::clear(format!("No window of {} stayed below one segment.", say::count(known, "connection")));
    }
    let groups = group::by_path(hits, |flow, direction| flow.side(direction).windows_filled.into());
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(groups.iter().flat_map(|group| &group.hits).map(|(flow, _)| flow.id));
    outcome.findings = groups.iter().map(|group| finding(view, group)).collect();
    outcome
}

/// Whether what this direction sends is held back by a window that was meant to be scaled.
fn is_squeezed(flow: &Flow, direction: Direction) -> bool {
    let (sender, receiver) = (flow.side(direction), flow.side(direction.reverse()));
    let Some(mss) = receiver.mss.map(u32::from) else { return false };
    let unscaled = receiver.window_scale.is_none() && receiver.sack_permitted;
    unscaled && sender.windows_filled >= OFTEN && sender.largest_ip < mss / 2 && receiver.zero_windows == 0
}

fn finding(view: &View<'_>, group: &PathGroup<'_>) -> Finding {
    let (first, direction) = group.hits[0];
    let count = group.hits.len() as u64;
    let side = first.side(direction);
    let fit = side.largest_ip.saturating_sub(side.header_bytes().unwrap_or(40));
    let filled: u64 = group.hits.iter().map(|(flow, direction)| u64::from(flow.side(*direction).windows_filled)).sum();
    let is_lossless = group.hits.iter().all(|(flow, direction)| flow.side(*direction).retransmissions == 0);
    let opening = [first.handshake.syn, first.handshake.syn_ack, first.handshake.ack];
    let (sender, receiver) = (first.sender(direction).address, first.sender(direction.reverse()).address);
    Draft {
        rule: SLUG,
        identity: packet(first.handshake.syn.unwrap_or(first.first)),
        severity: Severity::Warning,
        confidence: Confidence::Possible,
        sentence: format!(
            "{} to {} went at {fit} bytes a round trip in {}: the window is that small, probably because a device on the path removed window scaling \
             from the handshake.{}",
            say::capital(&group.from),
            group.to,
            say::count(count, "connection"),
            if is_lossless { " Nothing was lost." } else { "" }
        ),
        span: group.span(),
        count,
        evidence: evidence(opening.into_iter().flatten().chain([first.last]).map(packet)),
        reasons: vec![
            reason(
                format!(
                    "The sender filled the window {} and never sent more than {fit} bytes in one packet, though {} fit into a segment.",
                    say::count(filled, "time"),
                    first.side(direction.reverse()).mss.unwrap_or_default()
                ),
                [packet(first.last)],
            ),
            reason(
                "SYN and SYN-ACK permit SACK but have no window scale: a system that has the one offers the other. A receiver that believes its window to be scaled \
                 announces a small number.",
                opening.into_iter().flatten().map(packet),
            ),
        ],
        confidence_reason: "The window and the missing option are in the capture; that a device removed it would be proved by a capture at the other end.".into(),
        rival: "A receiver that really has so little room, as a small device has.".into(),
        confirm: vec![host::on(
            view,
            receiver,
            commands::watch_syns(sender, false).effect("Shows whether the SYN leaves there with `wscale` among its options."),
        )],
        fix: Some(
            host::on(
                view,
                receiver,
                Command::new("sysctl")
                    .args(["-w", "net.ipv4.tcp_window_scaling=0"])
                    .effect("The receiver then means what it announces, up to 65,535 bytes, until the device on the path lets the option through."),
            )
            .into(),
        ),
        questions: Vec::new(),
        picture: Some(Picture::Ladder { flow: first.id }),
        subject: group.subject(),
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    fn script(options: &str, rounds: u32, bytes: u32) -> String {
        let mut text = format!(
            "date 2021-06-01
14:40:01.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 100, win 29200, options [{options}], length 0
14:40:01.001 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 900, ack 101, win 28960, options [{options}], length 0
14:40:01.050 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], ack 1, win {bytes}, length 0
"
        );
        for round in 0..rounds {
            let (first, after) = (1 + round * bytes, 1 + (round + 1) * bytes);
            text += &format!(
                "14:40:{:02}.100 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq {first}:{after}, ack 1, win 227, length {bytes}
14:40:{:02}.200 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1, ack {after}, win {bytes}, length 0
",
                2 + round,
                2 + round
            );
        }
        text
    }

    #[test]
    fn a_window_that_was_meant_to_be_scaled_is_found() {
        check(
            "option_stripped",
            &script("mss 1460,sackOK,nop,nop", 12, 229),
            "warning possible: 10.0.0.1 to 10.0.0.2 went at 229 bytes a round trip in 1 connection: the window is that small, probably because a device on the path \
             removed window scaling from the handshake. Nothing was lost.",
        );
    }

    #[test]
    fn a_small_device_offers_no_options_and_a_window_of_segments_is_none() {
        let clear = "clear: No window of 1 connection stayed below one segment.";
        check("option_stripped", &script("mss 1460", 12, 229), clear);
        check("option_stripped", &script("mss 1460,sackOK,nop,nop", 12, 1460), clear);
        check("option_stripped", &script("mss 1460,sackOK,nop,nop", 3, 229), clear);
    }
}
