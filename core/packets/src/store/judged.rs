//! Our judgements on packets: a byte for each packet, and the reasons of the first so many.
//!
//! The byte says verdict, cause and whether it was tail loss, so that filters see all of them. What else is known of a
//! judgement stands in a list of its own, which ends at a fixed length: a capture of nothing but copies must not cost more a
//! packet than any other.

use crate::flow::{Cause, Judgement, Verdict};
use crate::ids::PacketNo;

/// Judgements whose reasons are kept: 7 MB.
const MOST_REASONS: usize = 1 << 17;
/// Copies among them, which say little.
const MOST_COPIES: usize = 1 << 14;

/// What a packet is held to be, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What it is.
    pub verdict: Verdict,
    /// What made its sender send it again.
    pub cause: Option<Cause>,
    /// Whether the end of what had been sent was lost.
    pub tail: bool,
}

impl Judged {
    /// As a byte, never 0.
    pub(super) fn bits(self) -> u8 {
        let cause = self.cause.map_or(0, |cause| cause as u8 + 1);
        (self.verdict as u8 + 1) | cause << 4 | u8::from(self.tail) << 7
    }

    /// What a byte says; 0 for none.
    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        let verdict = *Verdict::ALL.get(usize::from(bits & 15).checked_sub(1)?)?;
        let cause = usize::from(bits >> 4 & 7).checked_sub(1).and_then(|cause| Cause::ALL.get(cause)).copied();
        Some(Self { verdict, cause, tail: bits >> 7 == 1 })
    }
}

impl From<Judgement> for Judged {
    fn from(judgement: Judgement) -> Self {
        Self { verdict: judgement.verdict, cause: judgement.cause, tail: judgement.tail }
    }
}

/// The reasons of the first judgements.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    /// In order of packets.
    kept: Vec<(PacketNo, Judgement)>,
    copies: usize,
}

impl Reasons {
    /// Keeps those of the latest packet, if there is room.
    pub(super) fn give(&mut self, no: PacketNo, judgement: Judgement) {
        let copy = judgement.verdict == Verdict::Copy;
        if self.kept.len() < MOST_REASONS && (!copy || self.copies < MOST_COPIES) {
            self.copies += usize::from(copy);
            self.kept.push((no, judgement));
        }
    }

    /// The judgement on a packet with its reasons, if they are kept.
    pub(super) fn get(&self, no: PacketNo) -> Option<Judgement> {
        self.place(no).map(|place| self.kept[place].1)
    }

    /// The packets whose judgement this packet corrected.
    pub(super) fn corrected_by(&self, proof: PacketNo) -> impl Iterator<Item = (PacketNo, Judgement)> {
        let before = self.kept.partition_point(|(no, _)| *no < proof);
        self.kept[..before].iter().filter(move |(_, judgement)| judgement.proof == Some(proof)).copied()
    }

    /// Corrects that on an earlier packet.
    pub(super) fn amend(&mut self, no: PacketNo, judgement: Judgement) {
        if let Some(place) = self.place(no) {
            self.kept[place].1 = judgement;
        }
    }

    fn place(&self, no: PacketNo) -> Option<usize> {
        self.kept.binary_search_by_key(&no, |(no, _)| *no).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_and_cause_comes_back_from_its_byte() {
        for verdict in Verdict::ALL {
            for cause in Cause::ALL.into_iter().map(Some).chain([None]) {
                for tail in [false, true] {
                    let judged = Judged { verdict, cause, tail };
                    assert_eq!(Judged::from_bits(judged.bits()), Some(judged));
                }
            }
        }
        assert_eq!(Judged::from_bits(0), None);
    }
}
