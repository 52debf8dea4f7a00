//! Conversations whose data did not get through, and what was lost of them.

use super::MIN_ADVERTISED_MSS;
use crate::anchor::{Anchor, Place};
use crate::finding::Reason;
use crate::flow::{Flow, Hole, Seen, Stuck};
use crate::ids::Direction;
use crate::rules::host::Watched;
use crate::rules::{View, say};
use crate::time::{Nanos, Timestamp};
use std::net::IpAddr;

/// A client that has sent nothing yet is given this long before its silence means anything.
const SILENCE: Nanos = Nanos::from_millis(900);

/// A conversation whose data did not get through.
pub(super) struct Victim<'a> {
    pub(super) flow: &'a Flow,
    /// The direction in which data is lost.
    pub(super) direction: Direction,
    pub(super) loss: Loss,
}

/// What was lost of it.
#[derive(Clone, Copy)]
pub(super) enum Loss {
    /// Bytes that a later packet showed to be missing; the size of the packet that carried them, in bytes of IP.
    Hole(Hole, u32),
    /// A segment sent again and again, seen at the sender's side of the interface.
    Stuck(Stuck),
    /// No data at all after the handshake.
    Silence,
}

/// What a packet may have, in bytes of IP, to pass the interface: a virtual link lets 4 bytes more through.
pub(super) fn limit(interface: Watched<'_>, mtu: u32) -> u32 {
    match interface.facts.kind.as_str() {
        "" => mtu,
        _ => mtu + 4,
    }
}

/// What was lost of one direction on its way into a watched interface.
pub(super) fn lost_at<'a>(view: &View<'_>, flow: &'a Flow, direction: Direction, interface: Watched<'_>) -> Option<Victim<'a>> {
    let limit = limit(interface, interface.mtu_at(view, flow.last.at));
    let side = flow.side(direction);
    let victim = |loss| Some(Victim { flow, direction, loss });

    // Seen where the packets still exist: on the sender, or on the host in front of a container.
    if let Some(stuck) = side.stuck.filter(|stuck| stuck.sent >= 2 && stuck.ip_len > limit) {
        return victim(Loss::Stuck(stuck));
    }
    // Larger packets got through: whatever is missing is missing for another reason.
    if side.largest_ip > limit {
        return None;
    }
    let hole = side.holes.iter().find(|hole| hole.filled.is_none() && hole.acked.is_none());
    if let (Some(hole), Some(headers)) = (hole, side.header_bytes()) {
        let carrier = carrier(hole, headers, flow, direction);
        return if carrier > limit { victim(Loss::Hole(*hole, carrier)) } else { None };
    }
    let mss = flow.side(direction.reverse()).mss?;
    let may_send_too_much = u32::from(mss) + headers_at_least(flow) > limit;
    if may_send_too_much && is_silent(view, flow, direction) { victim(Loss::Silence) } else { None }
}

/// What was lost on the way to a receiver that was not watched. What the kernel dropped on the way counts more than an MSS.
pub(super) fn lost_by_capture<'a>(view: &View<'_>, flow: &'a Flow, direction: Direction, dropped: bool) -> Option<Victim<'a>> {
    let side = flow.side(direction);
    flow.side(direction.reverse()).mss.filter(|mss| dropped || *mss <= MIN_ADVERTISED_MSS)?;
    flow.handshake.ack?;
    let victim = |loss| Some(Victim { flow, direction, loss });
    if let Some(stuck) = side.stuck.filter(|stuck| stuck.sent >= 3) {
        // The handshake's packets passed, and had up to 60 bytes.
        return if stuck.ip_len > 60 { victim(Loss::Stuck(stuck)) } else { None };
    }
    let hole = side.holes.iter().find(|hole| hole.filled.is_none() && hole.acked.is_none() && hole.missed_by_peer.is_some());
    if let (Some(hole), Some(headers)) = (hole, side.header_bytes()) {
        let carrier = carrier(hole, headers, flow, direction);
        return if carrier > side.largest_ip { victim(Loss::Hole(*hole, carrier)) } else { None };
    }
    if is_silent(view, flow, direction) { victim(Loss::Silence) } else { None }
}

/// Whether the client opened the connection, and then neither end sent a byte for so long that one must have been lost.
fn is_silent(view: &View<'_>, flow: &Flow, direction: Direction) -> bool {
    let side = flow.side(direction);
    // What the receiver acknowledges has arrived, whatever this capture missed.
    let unseen = side.acked_to().unwrap_or(0) == 0 && side.holes.is_empty();
    let nothing = flow.sides.iter().all(|side| side.payload_bytes == 0 && side.rst.is_none());
    let waited = flow.handshake.ack.is_some_and(|ack| view.watermark - ack.at >= SILENCE);
    direction == Direction::AToB && unseen && nothing && waited
}

/// IP and TCP headers without options.
fn headers_at_least(flow: &Flow) -> u32 {
    if flow.server.address.is_ipv4() { 40 } else { 60 }
}

/// Bytes of IP of the packet that carried the missing bytes: the sender's usual headers and what is missing, but no more than
/// the receiver's MSS allows in one segment (of a longer gap, each packet had that size).
fn carrier(hole: &Hole, headers: u32, flow: &Flow, direction: Direction) -> u32 {
    let missing = u32::try_from(hole.last - hole.first + 1).unwrap_or(u32::MAX);
    // RFC 9293 section 3.7.1: what may be sent to one who announced no MSS.
    let mss = flow.side(direction.reverse()).mss.unwrap_or(536);
    let largest = u32::from(mss) + headers_at_least(flow);
    headers.saturating_add(missing).min(largest.max(headers))
}

impl Victim<'_> {
    /// Measured losses before mere silence, then by time: the first is what the sentence tells.
    pub(super) fn order(&self) -> (u8, Timestamp) {
        match self.loss {
            Loss::Hole(hole, _) => (0, hole.noticed.at),
            Loss::Stuck(Stuck { first_sent, .. }) => (1, first_sent.at),
            Loss::Silence => (2, self.flow.first.at),
        }
    }

    pub(super) fn receiver(&self) -> IpAddr {
        self.flow.sender(self.direction.reverse()).address
    }

    pub(super) fn evidence(&self) -> Vec<Anchor> {
        let (flow, direction) = (self.flow.id, self.direction);
        let packet = |seen: Seen| Anchor::from(Place::Packet(seen.no));
        match self.loss {
            Loss::Hole(hole, _) => {
                let mut anchors =
                    vec![Place::Bytes { flow, direction, first: hole.first, last: hole.last }.into(), packet(hole.noticed)];
                anchors.extend(hole.missed_by_peer.map(packet));
                anchors.extend(self.flow.handshake.syn_ack.map(packet));
                anchors
            }
            Loss::Stuck(Stuck { first, last, first_sent, last_sent, .. }) => {
                vec![packet(first_sent), packet(last_sent), Place::Bytes { flow, direction, first, last }.into()]
            }
            Loss::Silence => {
                let opening = [self.flow.handshake.ack, self.flow.handshake.syn_ack];
                opening.into_iter().flatten().map(packet).chain([Place::Flow(flow).into()]).collect()
            }
        }
    }

    /// The text that the lost bytes begin with, where they were captured on their way.
    fn begins(&self) -> Option<String> {
        self.flow.side(self.direction).stuck.and_then(|stuck| super::text_of(&stuck.begins))
    }

    /// What was lost, and how one sees it.
    pub(super) fn reason(&self) -> Option<Reason> {
        let sender = self.flow.sender(self.direction);
        let text = match self.loss {
            Loss::Hole(hole, _) => {
                let side = self.flow.side(self.direction);
                let fin = if side.fin().is_some_and(|fin| fin.no == hole.noticed.no) { " (FIN)" } else { "" };
                let peer = match hole.missed_by_peer {
                    Some(ack) => format!(", and with packet {} the receiver says that it misses them", ack.no),
                    None => String::new(),
                };
                format!(
                    "{} of {sender} never arrived: packet {}{fin} begins at byte {}{peer}.",
                    say::capital(&say::bytes(hole.first, hole.last)),
                    hole.noticed.no,
                    say::number(hole.last + 1)
                )
            }
            Loss::Stuck(Stuck { first, last, sent, first_sent, last_sent, .. }) => format!(
                "{} of {sender}{} were sent {} within {} and never acknowledged.",
                say::capital(&say::bytes(first, last)),
                self.begins().map(|text| format!(", which begin with `{text}`,")).unwrap_or_default(),
                say::count(sent.into(), "time"),
                last_sent.at - first_sent.at
            ),
            Loss::Silence => format!(
                "{sender} opened the connection and then sent nothing that arrived here: a client that connects has something to ask."
            ),
        };
        Some(Reason { text, anchors: self.evidence() })
    }
}
