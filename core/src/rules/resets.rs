//! RSTs that ended a conversation in its middle: what the rules about them have in common.

use super::draft::{packet, reason};
use super::{Explained, View};
use crate::dissect::Protocol;
use crate::finding::Reason;
use crate::flow::{Flow, Reset};
use crate::ids::Direction;

/// A conversation and the first RST that ended it, with the direction that it came in.
#[derive(Clone, Copy)]
pub(super) struct Ended<'a> {
    pub(super) flow: &'a Flow,
    pub(super) direction: Direction,
    pub(super) reset: Reset,
}

impl Ended<'_> {
    /// The TTL of its sender's other packets, where the RST has another: a device on the way sent it. (One hop less may be a path that
    /// changed.)
    pub(super) fn usual_ttl(&self) -> Option<u8> {
        self.flow.side(self.direction).ttl().filter(|ttl| ttl.abs_diff(self.reset.ttl) > 1)
    }

    /// Where the RST came from, if not from the host it names.
    pub(super) fn author(&self) -> Option<Reason> {
        let usual = self.usual_ttl()?;
        let text = format!(
            "The RST has TTL {}, other packets of {} have {usual}: a device on the path sent it in that host's name.",
            self.reset.ttl,
            self.flow.sender(self.direction).address
        );
        Some(reason(text, [packet(self.reset.seen)]))
    }
}

/// Conversations that had opened and were ended by a RST before any FIN.
pub(super) fn ended<'a>(view: &View<'a>, explained: &Explained) -> Vec<Ended<'a>> {
    let tcp = view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp && !explained.has(flow.id));
    let first = |flow: &'a Flow| {
        let of = |direction| Some(Ended { flow, direction, reset: flow.side(direction).reset? });
        let both = [of(Direction::AToB), of(Direction::BToA)];
        both.into_iter().flatten().min_by_key(|ended| ended.reset.seen.no)
    };
    let spoke = |flow: &Flow| flow.handshake.ack.is_some() || flow.sides.iter().all(|side| side.payload_bytes > 0);
    tcp.filter(|flow| spoke(flow)).filter_map(first).filter(|ended| !ended.reset.after_fin).collect()
}

/// By who reset whom: the server's resets by service, then the clients'.
pub(super) fn by_resetter<'a>(ended: &[Ended<'a>]) -> Vec<(Direction, super::group::Group<'a>)> {
    let of = |direction| {
        let flows = ended.iter().filter(move |one| one.direction == direction).map(|one| one.flow);
        super::group::by_service(flows).into_iter().map(move |group| (direction, group))
    };
    of(Direction::BToA).chain(of(Direction::AToB)).collect()
}
