//! Which packets with data one direction lost: when, where in its data, and how large, for whoever asks how the loss lies.
//!
//! A loss is known by its repeat. What shows no loss of its own is left out: repeats that were needless, those that a router
//! asked for in smaller pieces, and those in the wake of a timeout, whose first sending may have arrived (RFC 5681 section 3.1
//! has the sender go back).

use super::cause::Cause;
use super::conversation::{Course, Seen, Side};
use super::judgement::{Judgement, Verdict};
use super::repair::Amended;
use crate::ids::PacketNo;
use crate::time::Timestamp;

/// Losses remembered of one direction.
const MOST_LOSSES: usize = 64;

/// A packet with data that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The packet that brought the same data again.
    pub repeat: PacketNo,
    /// When it was sent, or, if that was not captured, when a later one showed it missing.
    pub sent_at: Timestamp,
    /// Relative number of its first byte.
    pub first: u64,
    /// Relative number of its last byte.
    pub last: u64,
    /// Bytes of IP, those of its repeat.
    pub ip_len: u32,
    /// Whether it came past here before it was lost.
    pub captured: bool,
}

impl Loss {
    /// What a repeat shows to be lost; `None` if it shows no loss of its own.
    pub(super) fn shown_by(judgement: Judgement, repeat: Seen, (first, last): (u64, u64), ip_len: u32) -> Option<Self> {
        let captured = match judgement.verdict {
            Verdict::LostAfterTap => true,
            Verdict::LostBeforeTap => false,
            _ => return None,
        };
        if matches!(judgement.cause, Some(Cause::AfterTimeout | Cause::PathMtu)) {
            return None;
        }
        let wait = judgement.wait.unwrap_or_default().get();
        let sent_at = Timestamp::from_nanos(repeat.at.nanos().saturating_sub(wait));
        Some(Self { repeat: repeat.no, sent_at, first, last, ip_len, captured })
    }
}

impl Course {
    /// Keeps a loss, of the first `MOST_LOSSES`.
    pub(super) fn note_loss(&mut self, loss: Loss) {
        self.loss_count = self.loss_count.saturating_add(1);
        if self.losses.len() < MOST_LOSSES {
            self.losses.push(loss);
        }
    }

    /// Takes back a loss that was none.
    pub(super) fn forget_loss(&mut self, amended: &Amended) {
        let is_none = matches!(amended.judgement.verdict, Verdict::SentNeedlessly | Verdict::Reordered)
            || matches!(amended.judgement.cause, Some(Cause::AfterTimeout | Cause::PathMtu));
        if let Some(at) = self.losses.iter().rposition(|loss| loss.repeat == amended.no).filter(|_| is_none) {
            self.losses.remove(at);
            self.loss_count = self.loss_count.saturating_sub(1);
        }
    }
}

impl Side {
    /// How many packets it sent that are larger than `smallest` bytes of IP, and not larger than `middle`, or larger; of what
    /// offload joined, each segment.
    pub fn sent_by_size(&self, smallest: u32, middle: u32) -> [u64; 2] {
        let mut sent = [0, u64::from(self.joined)];
        for (size, count) in self.sizes().into_iter().filter(|(size, _)| *size > smallest) {
            sent[usize::from(size > middle)] += u64::from(count);
        }
        sent
    }
}
