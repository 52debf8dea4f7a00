//! Conversations followed a second time, packet by packet, for what Wireshark says of a packet and no column keeps: times within
//! the conversation, which segment an acknowledgement answers, bytes in flight, what a retransmission repeats.
//!
//! Which conversation a packet belongs to is known from the first reading. What is kept is state of conversations that still go on
//! (their segments in flight among it), as the first reading keeps it, and no packet. The values are those of `packet-tcp.c` in
//! Wireshark 4.0, in its order; [`Pace`](super::Pace) tells what is really in flight.

use super::analysis::{self, Analysis};
use super::conversation::{Flow, Seen};
use super::labels::Labels;
use super::reassembly::Reassembly;
use super::seq::{after, before};
use crate::dissect::{self, Packet, Tcp, TcpFlags, Transport};
use crate::ids::{Direction, PacketNo};
use crate::time::{Nanos, Timestamp};

/// Segments in flight kept of one direction, as Wireshark does (`TCP_MAX_UNACKED_SEGMENTS`).
const MOST_IN_FLIGHT: usize = 10_000;
/// SACK blocks of a segment that count, as Wireshark does.
const MOST_SACKED: usize = 3;
/// TCP conversations that are followed at a time; of further ones only the times are told.
const MOST_FOLLOWED: usize = 1 << 19;
/// What a reassembled datagram begins with: its IP header.
const LINKTYPE_RAW: u32 = 101;

/// What is known of one packet from those before it in its conversation. All of it is `None` for packets of other kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retraced {
    /// Since the packet before it in the same conversation, 0 for the first: `tcp.time_delta`, `udp.time_delta`.
    pub time_delta: Option<Nanos>,
    /// Whether Wireshark shows an analysis of sequence numbers, with `tcp.analysis.initial_rtt` among it.
    pub shows_analysis: bool,
    /// The segment that it acknowledges: `tcp.analysis.acks_frame`, and by its time `tcp.analysis.ack_rtt`.
    pub acks: Option<Seen>,
    /// `tcp.analysis.bytes_in_flight`, of segments with data.
    pub bytes_in_flight: Option<u32>,
    /// Bytes since the last PSH: `tcp.analysis.push_bytes_sent`.
    pub push_bytes_sent: Option<u32>,
    /// The segment from which `tcp.analysis.rto` counts: `tcp.analysis.rto_frame`.
    pub rto: Option<Seen>,
    /// The how manieth duplicate ACK in a row, and the packet that acknowledged this first: `tcp.analysis.duplicate_ack_num`
    /// and `tcp.analysis.duplicate_ack_frame`.
    pub duplicate_ack: Option<(u32, Seen)>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Retrace {
    /// By `FlowId`: when its latest packet was captured.
    latest: Vec<Option<Timestamp>>,
    /// By `FlowId`; only of TCP.
    followed: Vec<Option<Box<Followed>>>,
    count: usize,
    reassembly: Reassembly,
}

/// A TCP conversation.
#[derive(Debug, Default)]
struct Followed {
    analysis: Analysis,
    /// By `Direction::index`.
    ends: [End; 2],
}

/// One direction.
#[derive(Debug)]
struct End {
    in_flight: Vec<Segment>,
    /// Lowest and highest relative number in flight; `None` where they must be looked for.
    reach: Option<(u32, u32)>,
    /// Whether `tcp.analysis.bytes_in_flight` can be told: not from a lost segment to the peer's next ACK.
    is_known: bool,
    push_bytes: u32,
    pushed: bool,
    /// The acknowledgment number it sent last, and the packet that first did; packet 0 for number 0, as in Wireshark.
    acks: (u32, Seen),
    /// Bytes that the SACK blocks of its last segment tell of: of the first three.
    sacked: u32,
    /// The packet that brought the highest number.
    top: Option<(u32, Seen)>,
}

/// By raw sequence numbers: the first, and the one after the last.
#[derive(Clone, Copy, Debug)]
struct Segment {
    seq: u32,
    end: u32,
    seen: Seen,
}

impl Retrace {
    /// Takes the next packet of the log, with its bytes. Packets come in order; those of conversations that are not asked for may be left
    /// out. `flow` is what the first reading said; `over` promises that no packet of it comes later.
    pub fn observe(
        &mut self,
        flow: Option<(&Flow, Direction)>,
        seen: Seen,
        over: bool,
        packet: &Packet<'_>,
        data: &[u8],
    ) -> Retraced {
        let whole = if Reassembly::wants(packet) { self.reassembly.complete(packet, data, seen.at) } else { None };
        let Some((flow, direction)) = flow else { return Retraced::default() };
        let reassembled = whole.as_ref().map(|whole| dissect::dissect(LINKTYPE_RAW, whole, whole.len() as u32));
        let place = flow.id.0 as usize;
        if self.latest.len() <= place {
            self.latest.resize(place + 1, None);
            self.followed.resize_with(place + 1, || None);
        }
        let before = self.latest[place].replace(seen.at).unwrap_or(seen.at);
        let mut told = Retraced { time_delta: Some(seen.at - before), ..Retraced::default() };
        if let Transport::Tcp(segment) = &reassembled.as_ref().unwrap_or(packet).transport {
            if self.followed[place].is_none() && self.count < MOST_FOLLOWED {
                self.followed[place] = Some(Box::default());
                self.count += 1;
            }
            if let Some(followed) = &mut self.followed[place] {
                followed.observe(direction, segment, seen, &mut told);
            }
            told.shows_analysis |= flow.reopened && flow.first.no == seen.no;
        }
        if over && self.followed[place].take().is_some() {
            self.count -= 1;
        }
        told
    }
}

impl Followed {
    fn observe(&mut self, direction: Direction, segment: &Tcp<'_>, seen: Seen, told: &mut Retraced) {
        let labelled = self.analysis.label(&analysis::Packet {
            no: seen.no,
            at: seen.at,
            direction,
            seq: segment.seq,
            ack: segment.ack,
            len: segment.payload_len,
            flags: segment.flags,
            window: segment.window,
            window_scale: segment.options.window_scale,
            mptcp: segment.options.mptcp,
        });
        let base = self.analysis.half(direction).base.unwrap_or(0);
        let [a, b] = &mut self.ends;
        let (fwd, rev) = match direction {
            Direction::AToB => (a, b),
            Direction::BToA => (b, a),
        };
        let oldest = fwd.in_flight.first().map(|oldest| oldest.seen);
        told.rto = labelled.rto.and(oldest.or(fwd.top.map(|(_, seen)| seen)));
        if labelled.labels.has(Labels::LOST_SEGMENT) {
            fwd.is_known = false;
        }
        if segment.flags.has(TcpFlags::ACK) {
            rev.is_known = true;
        }
        if segment.ack != fwd.acks.0 {
            fwd.acks = (segment.ack, seen);
        }
        told.duplicate_ack = (labelled.duplicate_ack > 0).then_some((labelled.duplicate_ack, fwd.acks.1));
        let one = u32::from(segment.flags.any(TcpFlags::SYN.or(TcpFlags::FIN)));
        let sent = Segment { seq: segment.seq, end: segment.seq.wrapping_add(segment.payload_len).wrapping_add(one), seen };
        if segment.payload_len + one > 0 {
            fwd.send(sent, base);
        }
        if !labelled.labels.has(Labels::ZERO_WINDOW_PROBE) && fwd.top.is_none_or(|(top, _)| after(sent.end, top)) {
            fwd.top = Some((sent.end, seen));
        }
        told.acks = rev.acknowledge(segment.ack);
        if segment.payload_len > 0 && fwd.is_known && !fwd.in_flight.is_empty() {
            let (lowest, highest) = fwd.reach(base);
            let bytes = highest.wrapping_sub(lowest).wrapping_sub(rev.sacked);
            let pushed = fwd.push(segment);
            if (1..2_000_000_000).contains(&bytes) {
                // SYN and FIN have a number and are no bytes.
                told.bytes_in_flight = Some(bytes - one).filter(|bytes| *bytes > 0);
                told.push_bytes_sent = Some(pushed);
            }
        }
        let blocks = segment.options.sack.iter().take(MOST_SACKED);
        fwd.sacked = blocks.map(|(left, right)| right.wrapping_sub(*left)).fold(0, u32::wrapping_add);
        told.shows_analysis = labelled.shown || told.acks.is_some() || told.push_bytes_sent.is_some();
    }
}

impl Default for End {
    fn default() -> Self {
        let nothing = Seen { no: PacketNo(0), at: Timestamp::default() };
        Self {
            in_flight: Vec::new(),
            reach: None,
            is_known: true,
            push_bytes: 0,
            pushed: false,
            acks: (0, nothing),
            sacked: 0,
            top: None,
        }
    }
}

impl End {
    fn send(&mut self, sent: Segment, base: u32) {
        if self.in_flight.len() >= MOST_IN_FLIGHT {
            return;
        }
        self.in_flight.push(sent);
        if let Some((lowest, highest)) = &mut self.reach {
            *lowest = (*lowest).min(sent.seq.wrapping_sub(base));
            *highest = (*highest).max(sent.end.wrapping_sub(base));
        }
    }

    /// Takes what is acknowledged out of flight; the oldest segment that ends there is the one that is answered.
    fn acknowledge(&mut self, ack: u32) -> Option<Seen> {
        let mut answered = None;
        let mut changed = false;
        self.in_flight.retain_mut(|segment| {
            if segment.end == ack {
                answered = answered.or(Some(segment.seen));
            } else if after(segment.end, ack) {
                if before(segment.seq, ack) {
                    // A part of it was taken.
                    segment.seq = ack;
                    changed = true;
                }
                return true;
            }
            changed = true;
            false
        });
        if changed {
            self.reach = None;
        }
        answered
    }

    /// Lowest and highest number in flight, relative to `base`.
    fn reach(&mut self, base: u32) -> (u32, u32) {
        let segments = &self.in_flight;
        *self.reach.get_or_insert_with(|| {
            let lowest = segments.iter().map(|segment| segment.seq.wrapping_sub(base)).min();
            let highest = segments.iter().map(|segment| segment.end.wrapping_sub(base)).max();
            (lowest.unwrap_or(0), highest.unwrap_or(0))
        })
    }

    fn push(&mut self, segment: &Tcp<'_>) -> u32 {
        let sum = if self.pushed { 0 } else { self.push_bytes };
        self.push_bytes = sum.wrapping_add(segment.payload_len);
        self.pushed = segment.flags.has(TcpFlags::PSH);
        self.push_bytes
    }
}
