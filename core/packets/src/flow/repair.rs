//! How one direction repairs its losses: what the peer told of them, what was sent again, and what shows later that it was
//! not needed.
//!
//! Kept only of directions that had a loss told or a segment sent again. By relative sequence numbers throughout.
//! Everything is bounded: what was sent again longer ago than the last `MOST_AGAIN` is not amended any more.
//!
//! **Sources.** RFC 2018 and RFC 2883 (SACK, D-SACK), RFC 3522 (Eifel detection), RFC 5682 (F-RTO), RFC 7323 section 4.3 (which
//! TSval is echoed).

use super::cause::{Cause, Moment, Sign};
use super::conversation::Seen;
use super::judgement::{Evidence, Judgement, Verdict};
use super::seq::before;
use crate::ids::PacketNo;
use crate::time::{Nanos, Timestamp};
use std::collections::VecDeque;

/// Segments sent again that are remembered of one direction.
const MOST_AGAIN: usize = 32;
/// Stretches acknowledged selectively that are remembered of one direction.
const MOST_SACKED: usize = 64;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Repair {
    /// Since the peer last acknowledged something new: ACKs that repeat it, and the last that told of a loss.
    duplicate_acks: u32,
    told: Option<Seen>,
    /// Stretches above what is acknowledged that the peer has, ascending: first and one after the last.
    sacked: Vec<(u64, u64)>,
    /// What had been sent when the timer last ran out, and when the loss that is being repaired was first told.
    timeout_to: u64,
    recovery_to: u64,
    /// Sent again, the latest last.
    again: VecDeque<Again>,
    /// Those among them that the peer has not acknowledged since.
    open: u32,
    /// When the latest of those that it has was sent.
    delivered_at: Option<Timestamp>,
    /// What the ACKs after a timeout may show of it.
    after_timeout: Option<AfterTimeout>,
}

/// What F-RTO waits for (RFC 5682 section 2.1): after a timeout one segment was sent again, and nothing else since.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AfterTimeout {
    /// The segment sent again.
    no: PacketNo,
    /// What had been sent when the timer ran out: an ACK of all of it tells nothing.
    recover: u64,
    /// What the first ACK after the timeout acknowledged, once it came.
    acked: Option<u64>,
}

/// A segment that was sent again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Again {
    pub no: PacketNo,
    pub at: Timestamp,
    /// Its first number and the one after its last.
    pub seq: u64,
    pub end: u64,
    /// Its TSval, if it was the oldest not acknowledged: only then does an older echo prove anything.
    pub stamp: Option<u32>,
    /// Segments it is on the wire.
    pub segments: u32,
    /// Whether the peer has acknowledged it since.
    pub acked: bool,
    pub judgement: Judgement,
}

/// A judgement that a later packet corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amended {
    /// The packet that is judged anew.
    pub no: PacketNo,
    /// What it is held to be now.
    pub judgement: Judgement,
    /// What it was held to be before.
    pub before: Judgement,
    /// Segments it is on the wire.
    pub(super) segments: u32,
    /// What it was told to have cost, as the repair of a tail loss, which it was not.
    pub(super) tail: Option<Nanos>,
}

impl Repair {
    /// Takes an ACK that acknowledges something new, up to before `ack`; what it proves of segments sent again, and which
    /// tail losses it ends.
    pub(super) fn news(&mut self, ack: u64, echo: Option<u32>, seen: Seen, mut tell: impl FnMut(Told)) {
        self.duplicate_acks = 0;
        self.told = None;
        self.sacked.retain_mut(|(first, end)| {
            *first = (*first).max(ack);
            first < end
        });
        if let Some(told) = self.advance_after_timeout(ack, seen) {
            tell(Told::Amended(told));
        }
        if self.open == 0 {
            return;
        }
        for index in 0..self.again.len() {
            let again = &self.again[index];
            if again.acked || again.end > ack {
                continue;
            }
            // The peer echoes what it got first; where that is older than the repeat, it got the original.
            let original = again.stamp.zip(echo).is_some_and(|(sent, echoed)| before(echoed, sent));
            let (tail, cost) = (again.judgement.tail, self.cost(again));
            let again = &mut self.again[index];
            again.acked = true;
            self.open -= 1;
            self.delivered_at = self.delivered_at.max(Some(again.at));
            if original && again.judgement.verdict != Verdict::SentNeedlessly {
                tell(Told::Amended(again.amend(Evidence::Eifel, seen, None)));
            } else if tail {
                tell(Told::TailRepaired(cost));
            }
        }
    }

    /// The second ACK after a timeout that moves on, while nothing but the one segment was sent again, acknowledges what was
    /// sent but once: that had arrived, or was on its way, and the timer ran out too soon.
    fn advance_after_timeout(&mut self, ack: u64, seen: Seen) -> Option<Amended> {
        let waiting = self.after_timeout.as_mut()?;
        if waiting.acked.is_none() && ack < waiting.recover {
            waiting.acked = Some(ack);
            return None;
        }
        let waiting = self.after_timeout.take().filter(|waiting| waiting.acked.is_some())?;
        let index = self.again.iter().rposition(|again| again.no == waiting.no)?;
        let again = &self.again[index];
        if again.judgement.verdict == Verdict::SentNeedlessly {
            return None;
        }
        let tail = again.judgement.tail.then(|| self.cost(again));
        Some(self.again[index].amend(Evidence::Frto, seen, tail))
    }

    /// From when a segment was first sent until its last repeat.
    fn cost(&self, again: &Again) -> Nanos {
        let last = self.last_of(again.seq).map_or(again.at, |last| last.at);
        Nanos::new((last - again.at).get().saturating_add(again.judgement.wait.unwrap_or_default().get()))
    }

    /// Takes an ACK that repeats what was acknowledged.
    pub(super) fn repeats(&mut self, seen: Seen) {
        self.duplicate_acks = self.duplicate_acks.saturating_add(1);
        self.told = Some(seen);
        // RFC 5682 section 2.1, steps 2a and 3a: a duplicate ACK says that something is missing.
        self.after_timeout = None;
    }

    /// Takes the SACK blocks of an ACK up to before `ack`; what a D-SACK among them proves.
    pub(super) fn sacks(&mut self, ack: u64, blocks: &[(u64, u64)], seen: Seen) -> Option<Amended> {
        let is_duplicate = |index: usize, (first, end): (u64, u64)| {
            // RFC 2883 section 4: below the acknowledgement, or within the block after it.
            index == 0 && (end <= ack || blocks.get(1).is_some_and(|(outer, outer_end)| *outer <= first && end <= *outer_end))
        };
        let mut amended = None;
        for (index, block) in blocks.iter().copied().enumerate().filter(|(_, (first, end))| first < end) {
            if is_duplicate(index, block) {
                amended = self.prove_duplicate(block, seen);
            } else if block.1 > ack {
                self.add_sacked(block.0.max(ack), block.1);
                self.told = Some(seen);
            }
        }
        amended
    }

    /// The peer got these bytes twice: the latest repeat of them was not needed.
    fn prove_duplicate(&mut self, (first, end): (u64, u64), seen: Seen) -> Option<Amended> {
        let is_it = |again: &Again| again.seq < end && first < again.end && again.judgement.evidence != Evidence::Dsack;
        let index = self.again.iter().rposition(is_it)?;
        let again = &self.again[index];
        let tail = (again.acked && again.judgement.tail).then(|| self.cost(again));
        Some(self.again[index].amend(Evidence::Dsack, seen, tail))
    }

    fn add_sacked(&mut self, mut first: u64, mut end: u64) {
        self.sacked.retain(|(from, to)| {
            let apart = *to < first || end < *from;
            if !apart {
                (first, end) = (first.min(*from), end.max(*to));
            }
            apart
        });
        if self.sacked.len() < MOST_SACKED {
            let at = self.sacked.partition_point(|(from, _)| *from < first);
            self.sacked.insert(at, (first, end));
        }
    }

    /// Whether the peer has all of these bytes, by SACK.
    pub(super) fn is_sacked(&self, seq: u64, end: u64) -> bool {
        self.sacked.iter().any(|(first, last)| *first <= seq && end <= *last)
    }

    /// Adds to a moment what is known here of the segment that is sent again.
    pub(super) fn describe(&self, moment: &mut Moment, seq: u64, end: u64, at: Timestamp) {
        moment.duplicate_acks = self.duplicate_acks;
        moment.since_told = self.told.map(|told| at - told.at);
        moment.sacked_above = self.sacked.iter().filter(|(_, to)| *to > end).map(|(from, to)| to - (*from).max(end)).sum();
        moment.before_timeout = seq < self.timeout_to;
        moment.in_recovery = seq < self.recovery_to;
        moment.later_delivered =
            self.delivered_at.is_some_and(|later| later - at > Nanos::new(moment.wait.get().saturating_neg()));
        moment.wait_before = self.last_of(seq).map(|again| again.judgement.wait.unwrap_or_default());
    }

    /// The last packet that told of a loss.
    pub(super) fn told(&self) -> Option<Seen> {
        self.told
    }

    /// The last time that this was sent again.
    pub(super) fn last_of(&self, seq: u64) -> Option<&Again> {
        self.again.iter().rev().find(|again| again.seq <= seq && seq < again.end)
    }

    /// Remembers a segment sent again; `sent_to` is the number after the highest that was sent. Tells if its wait shows that
    /// the sending before it was a probe, not the timer.
    pub(super) fn sent_again(&mut self, again: Again, sent_to: u64) -> Option<Amended> {
        let amended = self.was_probe(&again, sent_to);
        let is_timeout = again.judgement.cause == Some(Cause::Timeout) && again.judgement.verdict == Verdict::LostAfterTap;
        let is_first = self.last_of(again.seq).is_none() && self.sacked.is_empty();
        // A handshake is no data, and a segment that was all there was is answered by one ACK.
        let waits = is_timeout && is_first && again.seq > 0 && again.end < sent_to;
        self.after_timeout = waits.then_some(AfterTimeout { no: again.no, recover: sent_to, acked: None });
        match again.judgement.cause {
            Some(Cause::Timeout) => {
                self.timeout_to = sent_to;
                self.recovery_to = 0;
            }
            Some(Cause::Fast | Cause::Rack) if again.seq >= self.recovery_to => self.recovery_to = sent_to,
            _ => {}
        }
        if self.again.len() >= MOST_AGAIN {
            let oldest = self.again.pop_front();
            self.open -= u32::from(oldest.is_some_and(|oldest| !oldest.acked));
        }
        self.open += u32::from(!again.acked);
        self.again.push_back(again);
        amended
    }

    /// A probe of the only segment outstanding waits as long as the timer on many paths (RFC 8985 section 7.2: with one in
    /// flight the PTO allows for a delayed ACK), but does not double it.
    fn was_probe(&mut self, again: &Again, sent_to: u64) -> Option<Amended> {
        let wait = again.judgement.wait?;
        let last = self.again.iter_mut().rev().find(|last| last.seq == again.seq)?;
        let (first, before) = (last.judgement.sign == Some(Sign::Waited), last.judgement.wait?);
        let alone = last.end == sent_to && last.judgement.cause == Some(Cause::Timeout) && last.judgement.tail;
        let longer = wait.get() > before.get().saturating_mul(3) / 2;
        if !first || !alone || longer || again.judgement.cause != Some(Cause::Timeout) {
            return None;
        }
        let earlier = last.judgement;
        last.judgement.cause = Some(Cause::TailLossProbe);
        last.judgement.sign = Some(Sign::WaitNotDoubled);
        Some(Amended { no: last.no, judgement: last.judgement, before: earlier, segments: last.segments, tail: None })
    }
}

/// What an ACK of something new tells of what was sent again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told {
    /// A judgement was wrong.
    Amended(Amended),
    /// The end of a burst arrived, after this wait.
    TailRepaired(Nanos),
}

impl Again {
    fn amend(&mut self, evidence: Evidence, seen: Seen, tail: Option<Nanos>) -> Amended {
        let earlier = self.judgement;
        self.judgement.verdict = Verdict::SentNeedlessly;
        self.judgement.evidence = evidence;
        self.judgement.proof = Some(seen.no);
        self.judgement.tail = false;
        Amended { no: self.no, judgement: self.judgement, before: earlier, segments: self.segments, tail }
    }
}
