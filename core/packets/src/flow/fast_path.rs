//! The fast path: a packet that continues its conversation without anything to remark, entered in a few steps.
//!
//! For TCP this is Van Jacobson's header prediction: the segment begins at the number where its direction ended, acknowledges
//! nothing that was not seen, and nothing is open that it could settle. Then [`FlowTable::observe`] would find no label, no
//! verdict and no fact that happens once, and only counts and moves on; so only that is done here. It is exact because
//! 1. [`Analysis::is_unlabelled`](super::analysis::Analysis::is_unlabelled) excludes each label in turn, and without a label, a copy
//!    or a repeat `observe` asks for no verdict;
//! 2. what several segments in a row have in common ([`Eligibility`]) is worked out anew after each segment of the general path,
//!    from the same facts that this one would read;
//! 3. anything else that `observe` looks at is compared here, and one that differs leaves everything as it was, for `observe`;
//! 4. what is changed is changed by the functions that `observe` calls.
//!
//! `tests` holds a table that has the fast path against one that has not, state for state, after each packet of its scripts
//! and of random conversations; the fuzz target `paths` does the same.

use super::analysis;
use super::conversation::{Flow, Seen, Side};
use super::copies::Fingerprint;
use super::handshake::{note_completeness, note_confirmation};
use super::judgement::Stamp;
use super::repair::Amended;
use super::table::{Key, KeyHash};
use super::tcp::{Placed, Taken, Tcp, advance, note_news};
use super::{Endpoint, FlowTable};
use crate::dissect::{Above, CompactPacket, Protocol, Segment, TcpFlags};
use crate::ids::{Direction, FlowId};

#[cfg(test)]
mod tests;

/// What the fast path has to know about one direction, and what stays the same from segment to segment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Eligibility {
    /// Whether the conversation is past its beginning here, and nothing is open that a segment of this direction could settle.
    is_settled: bool,
    /// Whether a segment of this direction may end the handshake.
    opens: bool,
    /// [`Side::acked_to`] of this direction and one, or 0.
    acked: u64,
    /// [`Side::header_bytes`], or 0.
    header_bytes: u32,
    /// Most bytes of options and data in one segment on the wire, as far as is known.
    full: u32,
}

impl CompactPacket {
    /// What its conversation is looked up by.
    #[inline(always)]
    fn key(&self) -> Key {
        Key {
            transport: if matches!(self.above, Above::Udp) { Protocol::Udp } else { Protocol::Tcp },
            from: Endpoint { address: self.src, port: self.src_port },
            to: Endpoint { address: self.dst, port: self.dst_port },
            echo: None,
        }
    }

    /// See [`Key::hash`].
    #[inline]
    pub(crate) fn key_hash(&self) -> KeyHash {
        self.key().hash()
    }
}

impl FlowTable {
    /// Enters a packet as [`observe`](FlowTable::observe) does, if it is one for the fast path: it has no labels then, is no copy,
    /// and there is no verdict on it. `None` if it is not, and nothing has changed.
    #[inline]
    pub(crate) fn observe_fast(
        &mut self,
        packet: &CompactPacket,
        hash: KeyHash,
        taken: Taken,
        wire_len: u32,
    ) -> Option<(FlowId, Direction)> {
        let (id, direction) = self.conversations.find(&packet.key(), hash)?;
        let flow = self.conversations.get_mut(id)?;
        if flow.interface != taken.interface {
            return None;
        }
        self.amended.clear();
        if let Above::Tcp(segment) = &packet.above {
            let state = self.tcp.get_mut(id.0 as usize)?.as_mut()?;
            if !state.observe_fast(flow, direction, packet, segment, taken.seen, &mut self.amended) {
                return None;
            }
        }
        flow.note_latest(taken.seen);
        flow.sides[direction.index()].count(wire_len, packet.payload_len, packet.total_len, packet.dont_fragment);
        Some((id, direction))
    }
}

impl Tcp {
    /// Enters a segment of the fast path; false if it is none, and nothing has changed.
    #[inline(always)]
    fn observe_fast(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        packet: &CompactPacket,
        segment: &Segment,
        seen: Seen,
        amended: &mut Vec<Amended>,
    ) -> bool {
        const KIND: TcpFlags = TcpFlags::ACK.or(TcpFlags::SYN).or(TcpFlags::RST);
        let Segment { seq, ack, stamps, flags, window, .. } = *segment;
        let [a, b] = &mut self.ends;
        let [client, server] = &mut flow.sides;
        let (fwd, rev, side, peer) = match direction {
            Direction::AToB => (a, b, client, server),
            Direction::BToA => (b, a, server, client),
        };
        if !fwd.eligibility.is_settled || flags.0 & KIND.0 != TcpFlags::ACK.0 || !segment.has_ordinary_options() {
            return false;
        }
        let len = packet.payload_len;
        let Seen { no, at } = seen;
        let labelled = analysis::Packet { no, at, direction, seq, ack, len, flags, window, window_scale: None, mptcp: 0 };
        let (Some(own), Some(peers)) = (fwd.reference, rev.reference) else { return false };
        let (relative, acked) = (own.relative(seq), peers.relative(ack));
        // FIN counts as one.
        let numbers = len + u32::from(flags.has(TcpFlags::FIN));
        let placed = Placed {
            seq: relative,
            end: relative + u64::from(numbers),
            ack: Some(acked),
            stamp: Stamp::of_compact(packet, segment),
        };
        let is_next = fwd.next == Some(relative)
            && (len == 0 || placed.end > side.sent_to + 1)
            && rev.next.is_none_or(|next| acked <= next)
            && acked >= rev.eligibility.acked
            && u32::from(segment.options_len).saturating_add(len) <= fwd.eligibility.full;
        let fingerprint = Fingerprint::of_compact(packet, segment);
        if !is_next || !self.analysis.is_unlabelled(&labelled) || !fwd.copies.is_new(&fingerprint) {
            return false;
        }
        fwd.copies.remember(&fingerprint, seen);
        let round_trip = self.analysis.enter_unlabelled(&labelled);
        note_completeness(&mut flow.completeness, flags, len);
        let header_bytes = packet.total_len - len;
        if header_bytes != fwd.eligibility.header_bytes {
            fwd.eligibility.header_bytes = header_bytes;
            side.onward.get_mut().note_header(header_bytes, packet.ttl);
        }
        if flags.has(TcpFlags::FIN) {
            let fin = &mut side.onward.get_mut().fin;
            *fin = fin.or(Some(seen));
        }
        if numbers > 0 {
            advance(fwd, side, &placed, seq);
        }
        if let Some(round_trip) = round_trip {
            rev.round_trip.add(round_trip);
        }
        if acked > rev.eligibility.acked && peer.packets > 0 {
            rev.eligibility.acked = acked;
            let onward = peer.onward.get_mut();
            onward.acked_to = Some(acked - 1);
            onward.largest_acked = self.analysis.half(direction.reverse()).unacked.largest_acked();
            rev.news_at = Some(seen.at);
            if let Some(repair) = &mut rev.repair {
                note_news(repair, peer, acked, stamps.map(|(_, echo)| echo), seen, amended);
            }
        }
        if fwd.eligibility.opens {
            self.note_opening(flow, direction, seen);
        }
        true
    }

    /// What a segment of the fast path tells about the handshake.
    #[cold]
    fn note_opening(&mut self, flow: &mut Flow, direction: Direction, seen: Seen) {
        note_confirmation(&mut flow.handshake, direction, seen);
        flow.handshake_rtt(self.analysis.initial_rtt);
        for direction in [Direction::AToB, Direction::BToA] {
            self.ends[direction.index()].eligibility.opens = self.opens(flow, direction);
        }
    }

    fn opens(&self, flow: &Flow, direction: Direction) -> bool {
        let confirms = direction == Direction::AToB && flow.handshake.syn_ack.is_some() && flow.handshake.ack.is_none();
        confirms || !self.analysis.has_final_rtt()
    }

    /// Works out which directions' next segments may take the fast path.
    pub(super) fn update_eligibility(&mut self, flow: &Flow) {
        let has_begun =
            self.analysis.has_both_bases() && self.ends.iter().all(|end| end.reference.is_some() && end.capture_points_are_one());
        for direction in [Direction::AToB, Direction::BToA] {
            let (own, peer) = (flow.side(direction), flow.side(direction.reverse()));
            // The most that the general path counts as one segment; its options are part of it.
            let full = peer.mss.map_or(u32::MAX, |peer| u32::from(peer.min(own.mss.unwrap_or(u16::MAX))));
            self.ends[direction.index()].eligibility = Eligibility {
                is_settled: has_begun && !is_anything_open(own, peer) && !may_challenge(flow, direction),
                opens: self.opens(flow, direction),
                acked: own.acked_to().map_or(0, |acked| acked + 1),
                header_bytes: own.header_bytes().unwrap_or(0),
                full,
            };
        }
    }
}

/// Whether an ACK of this direction could be that of an earlier connection: see `Opened::challenged`.
fn may_challenge(flow: &Flow, direction: Direction) -> bool {
    direction == Direction::BToA && flow.handshake.syn.is_some() && flow.handshake.syn_ack.is_none()
}

/// Whether a segment of `own` could settle something: its own closed window, or what the peer's data that it acknowledges lacks.
fn is_anything_open(own: &Side, peer: &Side) -> bool {
    let acked = peer.acked_to().map_or(0, |acked| acked + 1);
    let is_closed = own.rare.0.as_ref().is_some_and(|own| own.closed_since.is_some());
    let lacks = peer.rare.0.as_ref().is_some_and(|peer| {
        peer.stuck.is_some()
            || peer.holes.iter().any(|hole| (hole.filled.is_none() && hole.acked.is_none()) || hole.last >= acked)
    });
    let has_reset = own.rare.0.as_ref().is_some_and(|own| own.reset.is_some());
    is_closed || lacks || has_reset
}
