//! Our judgements on packets: a byte for each packet, and the reasons of the first so many.
//!
//! The byte says verdict, cause and whether it was tail loss, so that filters see all of them. What else is known of a
//! judgement stands in a list of its own, which ends at a fixed length: a capture of nothing but copies must not cost more a
//! packet than any other.

use super::column::Column;
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
    fn bits(self) -> u8 {
        let cause = self.cause.map_or(0, |cause| cause as u8 + 1);
        (self.verdict as u8 + 1) | cause << 4 | u8::from(self.tail) << 7
    }

    fn from_bits(bits: u8) -> Option<Self> {
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

/// The judgements on all packets.
#[derive(Debug, Default)]
pub(super) struct Judgements {
    short: Column<u8>,
    /// In order of packets.
    reasons: Vec<(PacketNo, Judgement)>,
    copies: usize,
}

impl Judgements {
    /// Takes that on the next packet.
    #[inline]
    pub(super) fn push(&mut self, judged: Option<Judged>) {
        self.short.push(judged.map_or(0, Judged::bits));
    }

    /// Keeps the reasons of the latest, if there is room.
    pub(super) fn give_reasons(&mut self, judgement: Judgement) {
        let copy = judgement.verdict == Verdict::Copy;
        if self.reasons.len() < MOST_REASONS && (!copy || self.copies < MOST_COPIES) {
            self.copies += usize::from(copy);
            self.reasons.push((PacketNo(self.short.len() as u32), judgement));
        }
    }

    /// That on the packet at an index from 0.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Judged> {
        self.short.get(index).filter(|bits| *bits != 0).and_then(Judged::from_bits)
    }

    /// That on a packet, with its reasons if they are kept.
    pub(super) fn reasons(&self, no: PacketNo) -> Option<Judgement> {
        self.place(no).map(|place| self.reasons[place].1)
    }

    /// The packets whose judgement this packet corrected.
    pub(super) fn corrected_by(&self, proof: PacketNo) -> impl Iterator<Item = (PacketNo, Judgement)> {
        let before = self.reasons.partition_point(|(no, _)| *no < proof);
        self.reasons[..before].iter().filter(move |(_, judgement)| judgement.proof == Some(proof)).copied()
    }

    /// Corrects that on an earlier packet.
    pub(super) fn amend(&mut self, no: PacketNo, judgement: Judgement) {
        if let Some(index) = super::index(no) {
            self.short.update(index, |bits| *bits = Judged::from(judgement).bits());
        }
        if let Some(place) = self.place(no) {
            self.reasons[place].1 = judgement;
        }
    }

    fn place(&self, no: PacketNo) -> Option<usize> {
        self.reasons.binary_search_by_key(&no, |(no, _)| *no).ok()
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
