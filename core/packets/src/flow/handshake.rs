//! What the headers of a conversation tell of its opening: SYNs and their answers, options, and what every segment has.

use super::conversation::{Flow, Handshake, Onward, Seen, Side};
use crate::dissect::{Ip, Tcp as Header, TcpFlags};
use crate::ids::Direction;
use crate::time::Nanos;

/// An ACK that answers a SYN comes before the SYN would be repeated (RFC 6298: 1 s, 3 s before 2011).
const CHALLENGED_WITHIN: Nanos = Nanos::from_secs(3);

#[inline]
pub(super) fn note_completeness(completeness: &mut u8, flags: TcpFlags, payload_len: u32) {
    if flags.has(TcpFlags::SYN) {
        *completeness |= if flags.has(TcpFlags::ACK) { 2 } else { 1 };
    } else if flags.has(TcpFlags::ACK) && payload_len == 0 {
        *completeness |= 4;
    }
    if payload_len > 0 {
        *completeness |= 8;
    }
    if flags.has(TcpFlags::FIN) {
        *completeness |= 16;
    }
    if flags.has(TcpFlags::RST) {
        *completeness |= 32;
    }
}

pub(super) fn note_handshake(flow: &mut Flow, direction: Direction, ip: &Ip, header: &Header<'_>, seen: Seen) {
    let flags = header.flags;
    let peer = flow.side(direction.reverse());
    // Whoever sent more than SYNs had an answer that the capture missed.
    let (isn, only_syns) = (peer.isn, peer.header_bytes().is_none());
    let handshake = &mut flow.handshake;
    if flags.has(TcpFlags::SYN.or(TcpFlags::ACK)) {
        let opened = handshake.rare.get_mut();
        if opened.refused.is_some() && opened.refusal_belied.is_none() && opened.refused_ttl.abs_diff(ip.ttl) > 1 {
            opened.refusal_belied = Some(seen);
        }
        opened.syn_ack_count += 1;
        opened.syn_ack = opened.syn_ack.or(Some(seen));
        opened.last_syn_ack = Some(seen);
    } else if flags.has(TcpFlags::SYN) {
        handshake.syn_count += 1;
        handshake.syn = handshake.syn.or(Some(seen));
        handshake.last_syn = Some(seen);
        if flags.has(TcpFlags::ECE.or(TcpFlags::CWR)) {
            let opened = handshake.rare.get_mut();
            opened.ecn_syns += 1;
            opened.last_ecn_syn = Some(seen);
        }
    } else if flags.has(TcpFlags::RST) {
        let answers_syn = direction == Direction::BToA && handshake.syn.is_some() && handshake.syn_ack.is_none();
        if answers_syn && flags.has(TcpFlags::ACK) && handshake.refused.is_none() {
            let opened = handshake.rare.get_mut();
            (opened.refused, opened.refused_ttl) = (Some(seen), ip.ttl);
        }
    } else if flags.has(TcpFlags::ACK) {
        let answers_syn = direction == Direction::BToA && handshake.syn.is_some() && handshake.syn_ack.is_none();
        let is_bare = header.payload_len == 0 && !flags.any(TcpFlags::FIN.or(TcpFlags::PSH));
        let is_soon = handshake.last_syn.is_some_and(|syn| seen.at - syn.at <= CHALLENGED_WITHIN);
        let is_first = only_syns || handshake.challenged.is_some();
        if answers_syn && is_bare && is_soon && is_first && isn.is_some_and(|isn| isn.wrapping_add(1) != header.ack) {
            let opened = handshake.rare.get_mut();
            opened.challenged = opened.challenged.or(Some(seen));
            opened.challenges += 1;
        }
        note_confirmation(handshake, direction, seen);
    }
}

/// The client's first ACK of a SYN-ACK.
pub(super) fn note_confirmation(handshake: &mut Handshake, direction: Direction, seen: Seen) {
    if direction == Direction::AToB && handshake.syn_ack.is_some() && handshake.ack.is_none() {
        handshake.rare.get_mut().ack = Some(seen);
    }
}

impl Onward {
    /// Notes what the header of a segment without SYN has; of a RST the TTL is 0 here, for it may be another's.
    pub(super) fn note_header(&mut self, bytes: u32, ttl: u8) {
        self.header_bytes = Some(bytes);
        self.ttl = if self.ttl == 0 { ttl } else { self.ttl };
    }
}

pub(super) fn note_header(side: &mut Side, ip: &Ip, header: &Header<'_>) {
    if header.flags.has(TcpFlags::SYN) {
        if header.flags.has(TcpFlags::ACK) {
            let onward = side.onward.get_mut();
            onward.ttl = if onward.ttl == 0 { ip.ttl } else { onward.ttl };
        }
        side.isn = side.isn.or(Some(header.seq));
        side.mss = side.mss.or(header.options.mss);
        side.window_scale = side.window_scale.or(header.options.window_scale);
        side.sack_permitted |= header.options.sack_permitted;
    } else {
        let bytes = ip.total_len.saturating_sub(header.payload_len);
        if side.header_bytes() != Some(bytes) {
            side.onward.get_mut().note_header(bytes, if header.flags.has(TcpFlags::RST) { 0 } else { ip.ttl });
        }
    }
}
