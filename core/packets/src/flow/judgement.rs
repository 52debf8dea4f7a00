//! What we hold a segment to be, beside Wireshark's label, and by which evidence.
//!
//! The label goes by times and numbers alone; here speak the bytes that were seen, TSval (RFC 7323), the IP identification,
//! and what the peer acknowledged selectively. There is a judgement only where a label, a copy or a repeat asks for one. A later packet
//! may prove that a segment was sent again needlessly: then its judgement is amended (`repair`). Not judged here: losses that
//! nothing after them has shown yet.

use super::Labels;
use super::analysis::Analysis;
use super::cause::{Cause, Moment, RoundTrip, Sign};
use super::conversation::{IcmpError, Seen, Side};
use super::repair::Repair;
use super::seq::before;
use super::taps::Copy;
use crate::dissect::{CompactPacket, Ip, Segment, Tcp as Header, TcpFlags};
use crate::ids::{Direction, PacketNo};
use crate::time::{Nanos, Timestamp};

/// A judgement on one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What it is.
    pub verdict: Verdict,
    /// What shows that.
    pub evidence: Evidence,
    /// The packet it repeats, where that was captured and is still known.
    pub original: Option<PacketNo>,
    /// The later packet by which the verdict was corrected.
    pub proof: Option<PacketNo>,
    /// Of a segment sent again: what made the sender do so, where something tells.
    pub cause: Option<Cause>,
    /// What shows the cause.
    pub sign: Option<Sign>,
    /// The peer's packet that told the sender of the loss.
    pub heard: Option<PacketNo>,
    /// Of a segment sent again: since it was last sent, or, if that was not captured, since a later one showed it missing.
    /// Of a late one: since the first that overtook it.
    pub wait: Option<Nanos>,
    /// Duplicate ACKs that made it be sent again, or segments that overtook a late one (at most 300).
    pub count: u16,
    /// Whether it was the end of what had been sent that was lost, so that the peer could not tell of it: tail loss.
    pub tail: bool,
}

impl Judgement {
    /// A verdict with its evidence, and nothing else known.
    pub(super) const fn new(verdict: Verdict, evidence: Evidence) -> Self {
        let (original, proof, cause, sign, heard, wait) = (None, None, None, None, None, None);
        Self { verdict, evidence, original, proof, cause, sign, heard, wait, count: 0, tail: false }
    }
}

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A packet that was captured before, elsewhere on its way.
    Copy,
    /// Late on its way, not sent again: nothing was lost.
    Reordered,
    /// Sent again; the first did not come past here.
    LostBeforeTap,
    /// Sent again; the first came past here, so it was lost beyond, or its ACK was.
    LostAfterTap,
    /// Sent again though the peer had acknowledged it.
    SentNeedlessly,
    /// It acknowledges bytes that were not captured: they arrived, only the capture missed them.
    CaptureMissed,
    /// It acknowledges nothing but what was captured.
    NothingMissing,
    /// It asks a peer whose window is closed, whatever else it looks like.
    ZeroWindowProbe,
    /// It repeats an ACK while nothing that could be missing is on its way.
    NoLossTold,
    /// It answers the SYN of this conversation, though with another number than an answer before.
    SameConversation,
    /// Sent again, as the peer's window was closed when it came first.
    Refused,
}

impl Verdict {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Copy,
        Self::Reordered,
        Self::LostBeforeTap,
        Self::LostAfterTap,
        Self::SentNeedlessly,
        Self::CaptureMissed,
        Self::NothingMissing,
        Self::ZeroWindowProbe,
        Self::NoLossTold,
        Self::SameConversation,
        Self::Refused,
    ];

    /// Its name in filters: `judgement == "reordered"`.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Reordered => "reordered",
            Self::LostBeforeTap => "lost_before_tap",
            Self::LostAfterTap => "lost_after_tap",
            Self::SentNeedlessly => "sent_needlessly",
            Self::CaptureMissed => "capture_missed",
            Self::NothingMissing => "nothing_missing",
            Self::ZeroWindowProbe => "zero_window_probe",
            Self::NoLossTold => "no_loss_told",
            Self::SameConversation => "same_conversation",
            Self::Refused => "refused",
        }
    }

    /// Whether the segment was sent a second time by its sender.
    pub const fn is_sent_again(self) -> bool {
        matches!(self, Self::LostBeforeTap | Self::LostAfterTap | Self::SentNeedlessly | Self::Refused)
    }
}

/// What shows a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The same numbers, identification and time stamps, a moment later.
    SamePacket,
    /// Another capture point showed its bytes, or its acknowledgement, in packets cut otherwise (TSO, GRO).
    SameBytes,
    /// Its TSval is older than that of a later segment: it was sent before that one.
    OlderTsval,
    /// Its TSval is newer than that of a later segment: it was sent after that one.
    NewerTsval,
    /// Likewise by IP identification.
    OlderIdentification,
    /// Likewise by IP identification.
    NewerIdentification,
    /// The bytes were captured before, and are not acknowledged.
    SeenBefore,
    /// Neither tells: it comes later than a round trip, by Wireshark's rule.
    LaterThanRoundTrip,
    /// Neither tells: it comes sooner than a round trip, by Wireshark's rule.
    SoonerThanRoundTrip,
    /// The peer had acknowledged the bytes.
    Acknowledged,
    /// The peer had acknowledged the bytes selectively.
    Sacked,
    /// The peer told later that it got them twice (D-SACK, RFC 2883).
    Dsack,
    /// The peer echoed later the time stamp of the first sending (Eifel detection, RFC 3522).
    Eifel,
    /// The peer acknowledged later in two steps what had been sent but once before the timer ran out (F-RTO, RFC 5682).
    Frto,
    /// The peer acknowledged bytes that were never seen here.
    PeerHasThem,
    /// All bytes up to there were captured.
    AllSeen,
    /// The peer's last window was 0.
    WindowClosed,
    /// All that the other side had sent was acknowledged.
    NothingOutstanding,
    /// It acknowledges the SYN of this conversation.
    AnswersSyn,
}

/// What tells when a segment was sent in relation to another of the same direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stamp {
    pub tsval: Option<u32>,
    id: u32,
}

impl Stamp {
    pub(super) fn new(ip: &Ip, header: &Header<'_>) -> Self {
        Self { tsval: header.options.tsval, id: ip.id.unwrap_or(0) }
    }

    /// The same of a segment with ordinary options.
    #[inline(always)]
    pub(super) fn of_compact(packet: &CompactPacket, segment: &Segment) -> Self {
        Self { tsval: segment.stamps.map(|(tsval, _)| tsval), id: packet.id.into() }
    }

    /// Whether this was sent before `other`, as far as one can tell.
    fn sent_before(self, other: Self) -> Option<(bool, Evidence)> {
        if let (Some(own), Some(others)) = (self.tsval, other.tsval)
            && own != others
        {
            let older = before(own, others);
            return Some((older, if older { Evidence::OlderTsval } else { Evidence::NewerTsval }));
        }
        // An identification of 0 tells nothing, and neither does one as far away as a random one.
        let ahead = (other.id as u16).wrapping_sub(self.id as u16);
        match (self.id, other.id, ahead) {
            (0, _, _) | (_, 0, _) | (_, _, 0) => None,
            (_, _, 1..1_000) => Some((true, Evidence::OlderIdentification)),
            (_, _, 64_537..) => Some((false, Evidence::NewerIdentification)),
            _ => None,
        }
    }
}

/// What a judgement is made from.
pub(super) struct Scene<'a> {
    pub labels: Labels,
    pub copy: Option<Copy>,
    pub seen: Seen,
    pub direction: Direction,
    pub header: &'a Header<'a>,
    pub analysis: &'a Analysis,
    /// Relative numbers: its first, the one after its last, and what it acknowledges.
    pub seq: u64,
    pub end: u64,
    pub ack: Option<u64>,
    /// Its sender and the other side, as they were before it.
    pub side: &'a Side,
    pub peer: &'a Side,
    /// Of this segment, and of the one that brought the highest number in its direction.
    pub stamp: Stamp,
    pub top: Option<Stamp>,
    /// What is known of its direction's losses, and when the peer last acknowledged something new of it.
    pub repair: Option<&'a Repair>,
    pub news_at: Option<Timestamp>,
    pub round_trip: RoundTrip,
    pub handshake: Option<Nanos>,
    /// ICMP errors about the conversation.
    pub icmp_errors: &'a [IcmpError],
    /// Bytes of data that fill a segment of its direction.
    pub full: Option<u32>,
}

/// Segments that are counted as having overtaken one (Linux `tcp_max_reordering`).
const MOST_OVERTAKING: usize = 300;

impl Scene<'_> {
    /// See the module.
    pub(super) fn judge(&self) -> Option<Judgement> {
        let say = |verdict, evidence| Some(Judgement::new(verdict, evidence));
        if let Some(copy) = self.copy {
            return Some(Judgement { original: Some(copy.of), ..Judgement::new(Verdict::Copy, copy.evidence) });
        }
        let window_closed = self.analysis.half(self.direction.reverse()).window_closed();
        let overlooked = self.labels.is_empty() && self.header.payload_len > 0 && self.end <= self.side.sent_to + 1;
        let repeats = overlooked || self.labels.any(Labels::RETRANSMISSION.or(Labels::OUT_OF_ORDER));
        let one_byte = self.labels.any(Labels::RETRANSMISSION) && self.header.payload_len == 1;
        let follows = self.labels.any(Labels::LOST_SEGMENT) && self.seq <= self.side.sent_to + 1;
        let another = follows && self.header.payload_len == 1;
        if window_closed && (one_byte || another || self.labels.any(Labels::KEEP_ALIVE)) {
            return say(Verdict::ZeroWindowProbe, Evidence::WindowClosed);
        }
        if self.labels.any(Labels::REUSED_PORTS) && self.header.flags.has(TcpFlags::SYN.or(TcpFlags::ACK)) && self.ack == Some(1)
        {
            return say(Verdict::SameConversation, Evidence::AnswersSyn);
        }
        // One byte sent again looks like a keep-alive; but a keep-alive repeats what was acknowledged.
        let alive = self.labels.any(Labels::KEEP_ALIVE)
            && self.header.payload_len == 1
            && self.side.acked_to().is_some_and(|acked| acked < self.seq);
        if (repeats || alive) && self.end > self.seq {
            return Some(self.judge_repeat());
        }
        if self.labels.any(Labels::ACK_LOST_SEGMENT)
            && let Some(ack) = self.ack
        {
            let open = self.peer.holes.iter().any(|hole| hole.filled.is_none() && hole.acked.is_none() && hole.first < ack);
            return if open || ack > self.peer.sent_to + 1 {
                say(Verdict::CaptureMissed, Evidence::PeerHasThem)
            } else {
                say(Verdict::NothingMissing, Evidence::AllSeen)
            };
        }
        if follows {
            return say(Verdict::NothingMissing, Evidence::AllSeen);
        }
        if self.labels.any(Labels::DUPLICATE_ACK)
            && self.header.options.sack.is_empty()
            && self.ack.is_some_and(|ack| ack > self.peer.sent_to)
        {
            return say(Verdict::NoLossTold, Evidence::NothingOutstanding);
        }
        None
    }

    fn judge_repeat(&self) -> Judgement {
        let never_seen = |hole: &&super::Hole| hole.filled.is_none() && hole.first < self.end && self.seq <= hole.last;
        let hole = self.side.holes.iter().find(never_seen);
        let acknowledged = self.side.acked_to().is_some_and(|acked| self.end <= acked + 1);
        let mut judgement = match hole {
            Some(_) => {
                let order = self.top.and_then(|top| self.stamp.sent_before(top));
                let (verdict, evidence) = match order {
                    Some((true, evidence)) => (Verdict::Reordered, evidence),
                    Some((false, _)) if acknowledged => (Verdict::SentNeedlessly, Evidence::Acknowledged),
                    Some((false, evidence)) => (Verdict::LostBeforeTap, evidence),
                    None if acknowledged => (Verdict::SentNeedlessly, Evidence::Acknowledged),
                    None if self.labels.any(Labels::OUT_OF_ORDER) => (Verdict::Reordered, Evidence::SoonerThanRoundTrip),
                    None => (Verdict::LostBeforeTap, Evidence::LaterThanRoundTrip),
                };
                Judgement::new(verdict, evidence)
            }
            None => {
                let sacked = self.repair.is_some_and(|repair| repair.is_sacked(self.seq, self.end));
                let (verdict, evidence) = match (acknowledged, sacked) {
                    (true, _) => (Verdict::SentNeedlessly, Evidence::Acknowledged),
                    (_, true) => (Verdict::SentNeedlessly, Evidence::Sacked),
                    _ if self.since(None).is_some_and(|at| self.peer.had_closed(at)) => {
                        (Verdict::Refused, Evidence::WindowClosed)
                    }
                    _ => (Verdict::LostAfterTap, Evidence::SeenBefore),
                };
                let unacked = &self.analysis.half(self.direction).unacked;
                let end = self.header.seq.wrapping_add((self.end - self.seq) as u32);
                let original = unacked.holding(self.header.seq, end, self.seen.no).map(|segment| segment.no);
                Judgement { original, ..Judgement::new(verdict, evidence) }
            }
        };
        judgement.wait = self.since(hole).map(|since| self.seen.at - since);
        if judgement.verdict == Verdict::Refused {
            // It waited for room, not for a timer.
        } else if judgement.verdict.is_sent_again() {
            self.tell_cause(&mut judgement);
            // What came past here later may have arrived, and its ACK would have told of this one.
            judgement.tail &= hole.is_none();
        } else if let Some(hole) = hole {
            let later = self.analysis.half(self.direction).unacked.iter().rev();
            let overtaking =
                later.take(MOST_OVERTAKING + 1).filter(|other| other.no >= hole.noticed.no && other.no < self.seen.no);
            judgement.count = overtaking.count() as u16;
        }
        judgement
    }

    /// Since when it was under way or missing.
    fn since(&self, hole: Option<&super::Hole>) -> Option<Timestamp> {
        if let Some(hole) = hole {
            return Some(hole.noticed.at);
        }
        let last = self.analysis.half(self.direction).unacked.last_sent(self.header.seq, self.seen.no);
        let again = || self.repair.and_then(|repair| repair.last_of(self.seq)).map(|again| again.at);
        last.map(|segment| segment.at).or_else(again).or(self.news_at)
    }

    fn tell_cause(&self, judgement: &mut Judgement) {
        let Some(wait) = judgement.wait else { return };
        let opens = self.header.flags.has(TcpFlags::SYN);
        let oldest = || self.analysis.half(self.direction).unacked.iter().next().is_none_or(|first| first.seq == self.header.seq);
        let mut moment = Moment {
            opens,
            wait,
            since_news: self.news_at.map(|news| self.seen.at - news),
            oldest: self.side.acked_to().map_or_else(oldest, |acked| self.seq <= acked + 1),
            newest: self.end > self.side.sent_to,
            mss: self.full.unwrap_or(536),
            handshake: self.handshake,
            round_trip: self.round_trip,
            ..Moment::default()
        };
        let since = self.seen.at - wait;
        let is_too_big = |error: &&IcmpError| {
            error.about == self.direction && error.seen.at >= since && matches!((error.kind, error.code), (3, 4) | (2, 0))
        };
        let too_big = self.icmp_errors.iter().rfind(is_too_big);
        moment.too_big = too_big.is_some();
        if let Some(repair) = self.repair {
            repair.describe(&mut moment, self.seq, self.end, self.seen.at);
        }
        let Some((cause, sign)) = moment.cause() else { return };
        (judgement.cause, judgement.sign) = (Some(cause), Some(sign));
        let by_timer = matches!(cause, Cause::Timeout | Cause::TailLossProbe);
        if by_timer {
            let first = moment.wait_before.is_none() && moment.since_told.is_none();
            judgement.tail = first && !opens && judgement.verdict != Verdict::SentNeedlessly;
        } else if cause == Cause::PathMtu {
            judgement.heard = too_big.map(|error| error.seen.no);
        } else {
            judgement.heard = self.repair.and_then(Repair::told).map(|told| told.no);
            judgement.count = moment.duplicate_acks.min(u16::MAX.into()) as u16;
        }
    }
}
