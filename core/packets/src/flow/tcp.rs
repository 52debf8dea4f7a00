//! One TCP conversation as it goes on: labels, relative numbers, and the facts of its `Flow`.
//!
//! `Tcp` is what must be remembered between packets and no reader needs; the table may evict it from conversations that have
//! been quiet, whose facts stay.

use super::analysis::{self, Analysis, Labelled};
use super::cause::RoundTrip;
use super::conversation::{Flow, Hole, Reset, Seen, Side, Stuck};
use super::copies::{Copies, Fingerprint};
use super::fast_path::Eligibility;
use super::handshake::{note_completeness, note_handshake, note_header};
use super::judgement::{Evidence, Judgement, Scene, Stamp};
use super::losses::Loss;
use super::repair::{Again, Amended, Repair, Told};
use super::seq::Reference;
use super::tally::{full_segment, is_sent_again, note_labels, note_window, sum};
use super::taps::{Copy, Numbers, Taps};
use super::{Labels, Observed};
use crate::dissect::{Ip, Tcp as Header, TcpFlags};
use crate::ids::{Direction, InterfaceId};
use crate::sort;
use crate::time::{Nanos, Timestamp};

/// Holes kept of one direction.
const MOST_HOLES: usize = 64;
/// A sender that has more to send does not wait longer, unless for its peer.
const UNDER_WAY: Nanos = Nanos::from_secs(10);
/// What options may take of the MSS (RFC 9293, section 3.1).
const OPTIONS: u32 = 40;
/// Bytes that may have been sent and not captured: more than ten times the largest window that Linux grants by itself (tcp_rmem: 6 MiB).
const UNSEEN: u64 = 64 << 20;
/// A jump in sequence numbers beyond any window (RFC 7323 section 2.3: 1 GiB) is no hole but a segment that does not belong.
const FARTHEST: u64 = 1 << 30;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tcp {
    pub analysis: Analysis,
    pub(super) ends: [End; 2],
}

/// One direction's relative numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct End {
    pub(super) reference: Option<Reference>,
    /// The relative number after the highest that was seen; `None` before its first packet.
    pub(super) next: Option<u64>,
    pub(super) copies: Copies,
    /// Once it was seen at a second capture point.
    taps: Option<Box<Taps>>,
    /// Of the segment that brought the highest number.
    top: Option<Stamp>,
    /// Round trips of its data, and when the peer last acknowledged something new.
    pub(super) round_trip: RoundTrip,
    pub(super) news_at: Option<Timestamp>,
    /// Its losses, once one was told or repaired.
    pub(super) repair: Option<Box<Repair>>,
    /// Which of its next segments may take the fast path.
    pub(super) eligibility: Eligibility,
}

impl End {
    /// Whether it was seen at one capture point alone.
    pub(super) fn capture_points_are_one(&self) -> bool {
        self.taps.is_none()
    }
}

/// Where and when a packet was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub seen: Seen,
    pub interface: InterfaceId,
}

/// A segment in relative numbers.
pub(super) struct Placed {
    pub seq: u64,
    /// After its last number: SYN and FIN count as one.
    pub end: u64,
    pub ack: Option<u64>,
    pub stamp: Stamp,
}

impl Tcp {
    /// What one segment means, and its facts entered into `flow`.
    pub(super) fn observe(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        ip: &Ip,
        header: &Header<'_>,
        taken: Taken,
        amended: &mut Vec<Amended>,
    ) -> Observed {
        let labelled = self.analysis.label(&analysis::Packet {
            no: taken.seen.no,
            at: taken.seen.at,
            direction,
            seq: header.seq,
            ack: header.ack,
            len: header.payload_len,
            flags: header.flags,
            window: header.window,
            window_scale: header.options.window_scale,
            mptcp: header.options.mptcp,
        });
        let placed = self.place(direction, ip, header);
        let copy = self.copy(flow, direction, &Fingerprint::new(ip, header), &placed, header, taken);
        note_completeness(&mut flow.completeness, header.flags, header.payload_len);
        if copy.is_none() {
            note_handshake(flow, direction, ip, header, taken.seen);
            self.note_ends(flow, direction, ip, header, &placed, taken.seen);
        }
        flow.handshake_rtt(self.analysis.initial_rtt);
        for end in [direction, direction.reverse()] {
            flow.sides[end.index()].base = self.analysis.half(end).base;
        }
        let full = full_segment(flow, direction, ip, header);
        // A repeat that the label overlooks, as where numbers wrap to 0.
        let repeats = header.payload_len > 0 && placed.end <= flow.side(direction).sent_to + 1;
        let is_late_record = self.is_late_record(flow, direction, &placed, header, taken.seen);
        let judgement = if is_late_record {
            None
        } else if copy.is_some() || repeats || !labelled.labels.is_empty() {
            let end = &self.ends[direction.index()];
            let scene = Scene {
                labels: labelled.labels,
                copy,
                seen: taken.seen,
                direction,
                header,
                analysis: &self.analysis,
                seq: placed.seq,
                end: placed.end,
                ack: placed.ack,
                side: flow.side(direction),
                peer: flow.side(direction.reverse()),
                stamp: placed.stamp,
                top: end.top,
                repair: end.repair.as_deref(),
                news_at: end.news_at,
                round_trip: end.round_trip,
                handshake: flow.handshake.rtt,
                icmp_errors: &flow.icmp_errors,
                full,
            };
            scene.judge()
        } else {
            None
        };
        let side = &mut flow.sides[direction.index()];
        note_header(side, ip, header);
        if copy.is_some() {
            side.course_mut().copies += 1;
            if copy.is_some_and(|copy| copy.brings_more) {
                self.note_bytes(flow, direction, &placed, header, labelled, taken.seen, amended);
            }
        } else {
            let segments = full.map_or(1, |full| header.payload_len.div_ceil(full).max(1));
            if segments > 1 {
                let course = side.course_mut();
                course.joined = course.joined.saturating_add(segments - 1);
            }
            let again = !is_late_record && is_sent_again(labelled.labels, judgement);
            if !labelled.labels.is_empty() {
                note_labels(side, labelled, judgement, again.then_some(segments), taken.seen);
            }
            if labelled.labels.has(Labels::ZERO_WINDOW) || side.closed_since.is_some() {
                note_window(side, header, labelled.labels, taken.seen);
            }
            if again {
                if header.payload_len > 0 {
                    let bytes = (placed.seq, placed.seq + u64::from(header.payload_len) - 1);
                    // What offload joined was lost in pieces of a segment each, or one of them was.
                    let ip_len = full.map_or(ip.total_len, |full| {
                        ip.total_len.saturating_sub(header.payload_len) + header.payload_len.min(full)
                    });
                    let loss = judgement.and_then(|judgement| Loss::shown_by(judgement, taken.seen, bytes, ip_len));
                    loss.into_iter().for_each(|loss| side.course_mut().note_loss(loss));
                    self.note_stuck(side, direction, &placed, ip, header, taken.seen);
                }
                if let Some(judgement) = judgement
                    && let Some(told) = self.note_again(side, direction, &placed, segments, judgement, taken.seen)
                {
                    side.course_mut().amend(&told);
                    amended.push(told);
                }
            }
            self.note_bytes(flow, direction, &placed, header, labelled, taken.seen, amended);
        }
        self.update_eligibility(flow);
        let mut labels = labelled.labels;
        let reopens = flow.reopened && flow.first.no == taken.seen.no;
        if reopens {
            labels.add(Labels::REUSED_PORTS);
        }
        Observed {
            flow: Some(flow.id),
            direction: Some(direction),
            labels,
            seq: Some(placed.seq),
            ack: placed.ack,
            window: Some(self.analysis.window(direction, header.flags, header.window)),
            duplicate_ack: (labelled.duplicate_ack > 0).then_some(labelled.duplicate_ack),
            rto: labelled.rto,
            shows_analysis: labelled.shown || reopens,
            peer_base: self.analysis.half(direction.reverse()).base,
            copy_of: copy.map(|copy| copy.of),
            judgement,
        }
    }

    /// Whether the file has this segment behind the acknowledgement of it though it was captured before: records in wrong order, as
    /// where two directions are written by turns. Nothing was sent again then.
    fn is_late_record(&self, flow: &Flow, direction: Direction, placed: &Placed, header: &Header<'_>, seen: Seen) -> bool {
        let acked = flow.side(direction).acked_to().is_some_and(|acked| placed.end <= acked + 1);
        let before = self.ends[direction.index()].news_at.is_some_and(|acked_at| seen.at < acked_at);
        acked && before && header.payload_len > 0 && !header.flags.has(TcpFlags::SYN)
    }

    /// What this packet is a copy of, at its own capture point or at another.
    fn copy(
        &mut self,
        flow: &Flow,
        direction: Direction,
        fingerprint: &Fingerprint,
        placed: &Placed,
        header: &Header<'_>,
        taken: Taken,
    ) -> Option<Copy> {
        let acked_to = flow.side(direction.reverse()).acked_to().map_or(0, |acked| acked + 1);
        let end = &mut self.ends[direction.index()];
        if end.taps.is_none() && taken.interface != flow.interface {
            let shown_to = end.next.filter(|_| end.copies.remembered().next().is_some());
            end.taps = Some(Box::new(Taps::begin(flow.interface, &end.copies, shown_to, acked_to)));
        }
        let Some(taps) = &mut end.taps else {
            let of = end.copies.find(fingerprint, taken.seen)?;
            return Some(Copy { of, evidence: Evidence::SamePacket, brings_more: false });
        };
        let numbers = Numbers {
            seq: placed.seq,
            end: placed.end,
            ack: placed.ack.unwrap_or(0),
            shown_to: end.next.unwrap_or(0),
            acked_to,
            reset: header.flags.has(TcpFlags::RST),
        };
        taps.find(fingerprint, taken, &numbers)
    }

    fn place(&mut self, direction: Direction, ip: &Ip, header: &Header<'_>) -> Placed {
        let base = |direction| self.analysis.half(direction).base;
        let (own, peer) = (base(direction), base(direction.reverse()));
        let [a, b] = &mut self.ends;
        let (fwd, rev) = match direction {
            Direction::AToB => (a, b),
            Direction::BToA => (b, a),
        };
        let opens_anew = header.flags.has(TcpFlags::SYN.or(TcpFlags::ACK)) && own == Some(header.seq);
        if opens_anew && fwd.reference.is_some_and(|reference| reference.relative(header.seq) != 0) {
            // A SYN-ACK with another number: those before it count no more, and what lies between is no gap.
            (fwd.reference, fwd.next) = (None, None);
        }
        let reference = fwd.reference.get_or_insert_with(|| Reference::new(own.unwrap_or(header.seq)));
        let seq = reference.relative(header.seq);
        let length = header.payload_len + u32::from(header.flags.any(TcpFlags::SYN.or(TcpFlags::FIN)));
        let ack = header.flags.has(TcpFlags::ACK).then(|| {
            let reference = rev.reference.get_or_insert_with(|| Reference::new(peer.unwrap_or(header.ack)));
            reference.relative(header.ack)
        });
        Placed { seq, end: seq + u64::from(length), ack, stamp: Stamp::new(ip, header) }
    }

    #[allow(clippy::too_many_arguments)]
    fn note_bytes(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        placed: &Placed,
        header: &Header<'_>,
        labelled: Labelled,
        seen: Seen,
        amended: &mut Vec<Amended>,
    ) {
        let [a, b] = &mut flow.sides;
        let (side, peer) = match direction {
            Direction::AToB => (a, b),
            Direction::BToA => (b, a),
        };
        let end = &mut self.ends[direction.index()];
        let next = *end.next.get_or_insert(placed.seq);
        let rst = header.flags.has(TcpFlags::RST);
        if placed.seq > next && !rst && placed.seq - next <= FARTHEST {
            open_hole(side, Hole::new(next, placed.seq - 1, seen));
        } else if placed.seq < next && placed.end > placed.seq && !side.holes.is_empty() {
            fill_holes(side, placed.seq, placed.end, seen);
        }
        if placed.end > next && !rst && placed.end - next <= FARTHEST + u64::from(header.payload_len) {
            advance(end, side, placed, header.seq);
        }
        if let Some(ack) = placed.ack.filter(|_| !rst) {
            self.note_ack(peer, direction.reverse(), ack, header, labelled, seen, amended);
        }
    }

    /// The first FIN and the first RST of each side, and what belies it. A refusal is told by the handshake alone: a scan makes
    /// millions of them.
    fn note_ends(&self, flow: &mut Flow, direction: Direction, ip: &Ip, header: &Header<'_>, placed: &Placed, seen: Seen) {
        let after_fin = flow.sides.iter().any(|side| side.fin().is_some());
        let refusal = flow.handshake.refused.is_some_and(|refused| refused.no == seen.no);
        let [a, b] = &mut flow.sides;
        let (side, peer) = match direction {
            Direction::AToB => (a, b),
            Direction::BToA => (b, a),
        };
        let is_reset = header.flags.has(TcpFlags::RST);
        if header.flags.has(TcpFlags::FIN) && side.fin().is_none() {
            side.onward.get_mut().fin = Some(seen);
        }
        if !is_reset {
            if let Some(reset) = side.reset.filter(|reset| reset.belied.is_none())
                && side.ttl() == Some(ip.ttl)
                && reset.ttl.abs_diff(ip.ttl) > 1
            {
                side.course_mut().reset = Some(Reset { belied: Some(seen), ..reset });
            }
            return;
        }
        if side.rst.is_some() || refusal {
            return;
        }
        let [own, other] = [direction, direction.reverse()].map(|direction| self.analysis.half(direction));
        let mss = peer.mss.map_or(u32::MAX, |mss| mss.min(side.mss.unwrap_or(u16::MAX)).into());
        // A RST of a host that knows the connection acknowledges what it takes no more (RFC 9293, section 3.10.7.4).
        let acked = placed.ack.map_or(0, |ack| ack.saturating_sub(1)).min(peer.sent_to);
        let reset = Reset {
            seen,
            ttl: ip.ttl,
            after_fin,
            cuts_data: seen.at - own.last_data_at() <= UNDER_WAY
                && own.unacked.last_len().is_some_and(|len| len > OPTIONS && len.saturating_add(OPTIONS) >= mss),
            unacked: peer.sent_to.saturating_sub(peer.acked_to().unwrap_or(0).max(acked)),
            peer_spoke_last: other.last_data_at() > own.last_data_at(),
            belied: None,
        };
        let course = side.course_mut();
        (course.rst, course.reset) = (Some(seen), Some(reset));
    }

    /// Data sent again that begins where the peer's acknowledgements stopped.
    fn note_stuck(&self, side: &mut Side, direction: Direction, placed: &Placed, ip: &Ip, header: &Header<'_>, seen: Seen) {
        let last = placed.seq + u64::from(header.payload_len) - 1;
        if side.acked_to().is_some_and(|acked| placed.seq <= acked) {
            return;
        }
        let course = side.course_mut();
        match &mut course.stuck {
            Some(stuck) if stuck.first == placed.seq => {
                stuck.sent += 1;
                stuck.last_sent = seen;
                stuck.last = last;
                stuck.ip_len = ip.total_len;
            }
            Some(stuck) if stuck.first < placed.seq => {}
            stuck => {
                let end = header.seq.wrapping_add(header.payload_len);
                let before = self.analysis.half(direction).unacked.holding(header.seq, end, seen.no);
                let first_sent = before.map_or(seen, |original| Seen { no: original.no, at: original.at });
                *stuck = Some(Stuck {
                    first: placed.seq,
                    last,
                    sent: 1 + u32::from(before.is_some()),
                    ip_len: ip.total_len,
                    first_sent,
                    last_sent: seen,
                    begins: std::array::from_fn(|at| header.payload.get(at).copied().unwrap_or(0)),
                });
            }
        }
    }

    /// Remembers a segment sent again, for what may be proved of it later.
    fn note_again(
        &mut self,
        side: &Side,
        direction: Direction,
        placed: &Placed,
        segments: u32,
        judgement: Judgement,
        seen: Seen,
    ) -> Option<Amended> {
        let oldest = side.acked_to().is_some_and(|acked| placed.seq == acked + 1);
        let acked = side.acked_to().is_some_and(|acked| placed.end <= acked + 1);
        let end = &mut self.ends[direction.index()];
        let stamp = placed.stamp.tsval.filter(|_| oldest);
        let again = Again { no: seen.no, at: seen.at, seq: placed.seq, end: placed.end, stamp, segments, acked, judgement };
        let sent_to = end.next.unwrap_or(0).max(placed.end);
        end.repair.get_or_insert_default().sent_again(again, sent_to)
    }

    /// What an acknowledgement tells of the losses of the direction it acknowledges.
    fn note_repair(
        end: &mut End,
        sender: &mut Side,
        ack: u64,
        news: bool,
        (header, labels, seen): (&Header<'_>, Labels, Seen),
        amended: &mut Vec<Amended>,
    ) {
        let repeats = labels.has(Labels::DUPLICATE_ACK) && ack <= sender.sent_to;
        let sack = &header.options.sack;
        if sack.is_empty() && !repeats && (!news || end.repair.is_none()) {
            return;
        }
        let repair = end.repair.get_or_insert_default();
        if news {
            note_news(repair, sender, ack, header.options.tsecr, seen, amended);
        }
        if repeats {
            repair.repeats(seen);
        }
        if let (false, Some(reference)) = (sack.is_empty(), end.reference) {
            let mut blocks = [(0, 0); 4];
            let count = sack.len().min(blocks.len());
            for (block, (left, right)) in blocks.iter_mut().zip(sack.iter()) {
                *block = (reference.relative(*left), reference.relative(*right));
            }
            let beyond = |(left, right): &(u64, u64)| *left > sender.sent_to + UNSEEN || *right == 0;
            if blocks[..count].iter().any(beyond) && sender.sent_to > 0 {
                let course = sender.course_mut();
                course.impossible_sack = course.impossible_sack.or(Some(seen));
                course.impossible_sacks += 1;
            }
            if let Some(told) = repair.sacks(ack, &blocks[..count], seen) {
                sender.course_mut().amend(&told);
                amended.push(told);
            }
        }
    }

    /// What an acknowledgement tells of the direction it acknowledges.
    #[allow(clippy::too_many_arguments)]
    fn note_ack(
        &mut self,
        sender: &mut Side,
        direction: Direction,
        ack: u64,
        header: &Header<'_>,
        labelled: Labelled,
        seen: Seen,
        amended: &mut Vec<Amended>,
    ) {
        let end = &mut self.ends[direction.index()];
        if let Some(round_trip) = labelled.round_trip {
            end.round_trip.add(round_trip);
        }
        if let Some(next) = end.next
            && ack > next
            && ack - next <= FARTHEST
        {
            open_hole(sender, Hole { acked: Some(seen), ..Hole::new(next, ack - 1, seen) });
            end.next = Some(ack);
            sender.sent_to = ack - 1;
            if let Some(reference) = &mut end.reference {
                reference.advance(header.ack);
            }
        }
        let news = ack > 0 && sender.packets > 0 && sender.acked_to().is_none_or(|acked| acked < ack - 1);
        if news {
            let onward = sender.onward.get_mut();
            onward.acked_to = Some(ack - 1);
            onward.largest_acked = self.analysis.half(direction).unacked.largest_acked();
            if sender.stuck.is_some_and(|stuck| stuck.first < ack) {
                sender.course_mut().stuck = None;
            }
            end.news_at = Some(seen.at);
        }
        Self::note_repair(end, sender, ack, news, (header, labelled.labels, seen), amended);
        if sender.holes.is_empty() {
            return;
        }
        let Some(reference) = end.reference else { return };
        let farthest_sack = header.options.sack.iter().map(|(left, _)| reference.relative(*left)).max();
        let repeats = labelled.labels.any(Labels::DUPLICATE_ACK);
        for hole in &mut sender.course_mut().holes {
            if ack > hole.last {
                hole.acked = hole.acked.or(hole.filled.is_none().then_some(seen));
            } else if ack <= hole.first
                && hole.noticed.no < seen.no
                && (farthest_sack.is_some_and(|left| left > hole.last) || (repeats && ack == hole.first))
            {
                hole.missed_by_peer = hole.missed_by_peer.or(Some(seen));
            }
        }
    }
}

/// A segment with the raw number `seq` brought the highest number of its direction so far.
#[inline(always)]
pub(super) fn advance(end: &mut End, side: &mut Side, placed: &Placed, seq: u32) {
    end.next = Some(placed.end);
    end.top = Some(placed.stamp);
    side.sent_to = placed.end - 1;
    if let Some(reference) = &mut end.reference {
        reference.advance(seq.wrapping_add((placed.end - placed.seq) as u32));
    }
}

/// What an acknowledgement of something new tells about the losses of the direction it acknowledges.
pub(super) fn note_news(
    repair: &mut Repair,
    sender: &mut Side,
    ack: u64,
    echo: Option<u32>,
    seen: Seen,
    amended: &mut Vec<Amended>,
) {
    repair.news(ack, echo, seen, |told| match told {
        Told::Amended(told) => {
            sender.course_mut().amend(&told);
            amended.push(told);
        }
        Told::TailRepaired(cost) => {
            let course = sender.course_mut();
            course.tail_losses += 1;
            course.tail_loss_time = sum(course.tail_loss_time, cost);
        }
    });
}

impl Hole {
    fn new(first: u64, last: u64, noticed: Seen) -> Self {
        Self { first, last, noticed, missed_by_peer: None, acked: None, filled: None }
    }
    /// How many bytes are missing.
    pub fn bytes(&self) -> u64 {
        self.last - self.first + 1
    }
}

fn open_hole(side: &mut Side, hole: Hole) {
    let course = side.course_mut();
    course.hole_count += 1;
    course.missing_bytes += hole.bytes();
    if course.holes.len() >= MOST_HOLES {
        // One that was filled says least.
        match course.holes.iter().position(|hole| hole.filled.is_some()) {
            Some(filled) => drop(course.holes.remove(filled)),
            None => return,
        }
    }
    course.holes.push(hole);
}

/// The bytes from `seq` up to before `end` came after all.
fn fill_holes(side: &mut Side, seq: u64, end: u64, seen: Seen) {
    let course = side.course_mut();
    let mut pieces = Vec::new();
    course.holes.retain_mut(|hole| {
        if hole.filled.is_some() || end <= hole.first || seq > hole.last {
            return true;
        }
        let (first, last) = (seq.max(hole.first), (end - 1).min(hole.last));
        course.missing_bytes = course.missing_bytes.saturating_sub(last - first + 1);
        let rest = [(hole.first, first.wrapping_sub(1)), (last + 1, hole.last)];
        for (from, to) in rest.into_iter().filter(|(from, to)| *to != u64::MAX && from <= to) {
            pieces.push(Hole { first: from, last: to, ..*hole });
        }
        if pieces.is_empty() {
            course.hole_count = course.hole_count.saturating_sub(1);
        }
        (hole.first, hole.last, hole.filled) = (first, last, Some(seen));
        hole.missed_by_peer.is_some()
    });
    if !pieces.is_empty() {
        course.holes.append(&mut pieces);
        sort::by_key(&mut course.holes, |hole| (hole.first, hole.filled.map(|seen| seen.no)));
        course.holes.truncate(MOST_HOLES);
    }
}
