//! What we hold a segment to be, beside Wireshark's label, and by which evidence.
//!
//! The label goes by times and numbers alone; here speak the bytes that were seen, TSval (RFC 7323, RFC 3522) and the IP
//! identification. There is a judgement only where a label or a copy asks for one. Not judged here: what made the sender
//! send again (timer, tail loss probe, fast), and losses that nothing after them has shown yet.

use super::Labels;
use super::analysis::Analysis;
use super::conversation::Side;
use super::seq::before;
use crate::dissect::{Ip, Tcp as Header};
use crate::ids::{Direction, PacketNo};

/// A judgement on one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What it is.
    pub verdict: Verdict,
    /// What shows that.
    pub evidence: Evidence,
    /// The packet it repeats, where that was captured.
    pub original: Option<PacketNo>,
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
}

/// What shows a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The same numbers, identification and time stamps, a moment later.
    SamePacket,
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
    /// The peer had acknowledged the bytes.
    Acknowledged,
    /// The peer acknowledged bytes that were never seen here.
    PeerHasThem,
    /// All bytes up to there were captured.
    AllSeen,
    /// The peer's last window was 0.
    WindowClosed,
}

/// What tells when a segment was sent in relation to another of the same direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    tsval: Option<u32>,
    id: u32,
}

impl Stamp {
    pub(super) fn new(ip: &Ip, header: &Header<'_>) -> Self {
        Self { tsval: header.options.timestamps.map(|(tsval, _)| tsval), id: ip.id.unwrap_or(0) }
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
    pub copy_of: Option<PacketNo>,
    pub no: PacketNo,
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
}

impl Scene<'_> {
    /// See the module.
    pub(super) fn judge(&self) -> Option<Judgement> {
        let say = |verdict, evidence| Some(Judgement { verdict, evidence, original: None });
        if self.copy_of.is_some() {
            return Some(Judgement { original: self.copy_of, ..say(Verdict::Copy, Evidence::SamePacket)? });
        }
        if self.labels.any(Labels::KEEP_ALIVE) && self.analysis.half(self.direction.reverse()).window_closed() {
            return say(Verdict::ZeroWindowProbe, Evidence::WindowClosed);
        }
        if self.labels.any(Labels::RETRANSMISSION.or(Labels::OUT_OF_ORDER)) && self.end > self.seq {
            return self.judge_repeat();
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
        None
    }

    fn judge_repeat(&self) -> Option<Judgement> {
        let never_seen = |hole: &&super::Hole| hole.filled.is_none() && hole.first < self.end && self.seq <= hole.last;
        if self.side.holes.iter().any(|hole| never_seen(&hole)) {
            let (earlier, evidence) = self.stamp.sent_before(self.top?)?;
            let verdict = if earlier { Verdict::Reordered } else { Verdict::LostBeforeTap };
            return Some(Judgement { verdict, evidence, original: None });
        }
        let end = self.header.seq.wrapping_add((self.end - self.seq) as u32);
        let original = self.analysis.half(self.direction).unacked.holding(self.header.seq, end);
        let original = original.map(|segment| segment.no).filter(|no| *no != self.no);
        let (verdict, evidence) = if self.side.acked_to.is_some_and(|acked| self.end <= acked + 1) {
            (Verdict::SentNeedlessly, Evidence::Acknowledged)
        } else {
            (Verdict::LostAfterTap, Evidence::SeenBefore)
        };
        Some(Judgement { verdict, evidence, original })
    }
}
