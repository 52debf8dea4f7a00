//! What went unanswered in the conversations that a rule matches.

use super::dropper::{Dropper, Way};
use super::weighed::Dropped;
use crate::dissect::Protocol;
use crate::flow::{Flow, Seen};
use crate::ids::{Direction, FlowId};
use crate::rules::{Explained, View};
use crate::time::Nanos;
use std::collections::BTreeSet;

/// What went unanswered in the conversations that a rule matches.
#[derive(Default)]
pub(super) struct Missing {
    pub(super) packets: u64,
    pub(super) flows: Vec<FlowId>,
    pub(super) seen: Vec<Seen>,
    /// Conversations that never opened.
    pub(super) failed: u64,
    /// Conversations of which the kernel says that it dropped packets this rule matches, whatever the capture shows of them: a
    /// lost ACK shows nowhere but in what the other side sends again.
    pub(super) dropped: Vec<FlowId>,
}

impl Missing {
    /// Packets that this rule may have dropped: they reached the capture point and had no effect, or never came out. `drops`
    /// are those of the kernel's that it matches.
    pub(super) fn of(dropper: &Dropper<'_>, drops: &[Dropped<'_>], view: &View<'_>, explained: &Explained) -> Self {
        let mut missing = Self::default();
        let dropped: BTreeSet<FlowId> = drops.iter().filter_map(|(no, _)| view.joined.flow(*no)).collect();
        missing.dropped = dropped.into_iter().filter(|flow| !explained.has(*flow)).collect();
        for flow in view.flows.iter() {
            if !dropper.window.contains(flow.first.at) || explained.has(flow.id) || !dropper.family(flow) {
                continue;
            }
            let on = dropper.captured_on(view, flow);
            for direction in dropper.directions(view, flow) {
                if !dropper.predicate.matches(flow, direction, on) {
                    continue;
                }
                let (lost, failed, seen) = match dropper.way() {
                    Way::Out => lost_on_the_way_out(flow, direction),
                    _ => lost_on_the_way_in(view, flow, direction),
                };
                if lost > 0 {
                    missing.packets += lost;
                    missing.failed += u64::from(failed);
                    missing.flows.push(flow.id);
                    missing.seen.extend(seen);
                }
            }
        }
        missing
    }

    /// The conversations whose trouble this rule accounts for.
    pub(super) fn explained(&self) -> Vec<FlowId> {
        self.flows.iter().chain(&self.dropped).copied().collect()
    }
}

/// Packets that came in and had no effect: SYNs without an answer, RSTs after which SYN-ACKs went on, data that its sender sent
/// again though it had arrived.
fn lost_on_the_way_in(view: &View<'_>, flow: &Flow, inbound: Direction) -> (u64, bool, Vec<Seen>) {
    let handshake = &flow.handshake;
    if flow.transport != Protocol::Tcp {
        return (0, false, Vec::new());
    }
    let side = flow.side(inbound);
    let mut lost = 0;
    let mut seen = Vec::new();
    let mut failed = false;
    if inbound == Direction::AToB {
        let unanswered = handshake.syn_ack.is_none() && handshake.refused.is_none() && flow.icmp_error_count == 0;
        if let Some(syn) = handshake.syn {
            if unanswered && view.watermark - syn.at > Nanos::from_millis(900) {
                lost += u64::from(handshake.syn_count);
                failed = true;
                seen.push(syn);
            } else if handshake.syn_count > 1 && handshake.syn_ack.is_some() {
                lost += u64::from(handshake.syn_count) - 1;
                seen.push(syn);
            }
        }
        if let Some(rst) = side.rst {
            // The first SYN-ACK was answered with RST; each further one says that the RST before it did not arrive.
            let again = u64::from(handshake.syn_ack_count.saturating_sub(1));
            if again > 0 {
                lost += again;
                seen.push(rst);
            }
        }
    } else if handshake.syn_ack_count > 1 && handshake.ack.is_none() && side.rst.is_none() {
        lost += u64::from(handshake.syn_ack_count);
        failed = true;
        seen.extend(handshake.syn_ack);
    }
    // Repeated SYNs are labelled retransmissions, too, and are counted above.
    let syns = if inbound == Direction::AToB {
        handshake.syn_count.saturating_sub(1)
    } else {
        handshake.syn_ack_count.saturating_sub(1)
    };
    let data = side.retransmissions.saturating_sub(syns);
    if data > 0 {
        lost += u64::from(data);
        seen.extend(side.last_retransmission);
    }
    (lost, failed, seen)
}

/// SYN-ACKs that did not come out: Linux sends one again after 1, 2, 4, 8, 16 s (tcp_synack_retries), so the first one that is
/// seen tells by its delay how many went before it.
fn lost_on_the_way_out(flow: &Flow, outbound: Direction) -> (u64, bool, Vec<Seen>) {
    let handshake = &flow.handshake;
    let (Some(syn), Some(syn_ack), Direction::BToA) = (handshake.last_syn, handshake.syn_ack, outbound) else {
        return (0, false, Vec::new());
    };
    let waited = syn_ack.at - syn.at;
    let before = [900, 2_700, 6_500, 14_000, 30_000];
    let lost = before.iter().filter(|ms| waited >= Nanos::from_millis(**ms)).count() as u64;
    (lost, false, if lost > 0 { vec![syn_ack] } else { Vec::new() })
}
