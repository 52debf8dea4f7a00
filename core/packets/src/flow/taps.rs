//! One direction of a conversation as several capture points show it: both hosts, or two interfaces of one.
//!
//! Each point shows the same packets, some of them cut or joined otherwise by offload (TSO, GRO), and their logs are written
//! in turns, so that either may be ahead. What another point has shown already is a copy; what comes a second time past the
//! *same* point was sent again. So it is remembered how far each point has come, and which points showed a packet.
//!
//! Kept only of conversations that were seen at a second point; bounded.

use super::copies::{Copies, Fingerprint, Remembered};
use super::judgement::Evidence;
use super::tcp::Taken;
use crate::ids::{InterfaceId, PacketNo};
use crate::time::Timestamp;
use std::collections::VecDeque;

/// Packets of one direction remembered: what one point may be ahead of another.
const REMEMBERED: usize = 128;
/// Capture points told apart.
const MOST_POINTS: usize = 8;
/// How far apart two points may show one packet that bears an identification or a time stamp of its own: a full queue.
const APART: i64 = 2_000_000_000;
/// How far apart where it bears neither: less than any retransmission timer (200 ms on Linux).
const APART_ALIKE: i64 = 150_000_000;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Taps {
    points: Vec<Point>,
    shown: VecDeque<Shown>,
}

/// How far one capture point has come.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    interface: InterfaceId,
    /// The relative number after the highest it showed; `None` before the first byte.
    next: Option<u64>,
    /// The highest acknowledgement it showed.
    acked: u64,
}

/// A packet that was shown.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shown {
    hash: u32,
    no: PacketNo,
    at: Timestamp,
    seq: u64,
    end: u64,
    ack: u64,
    /// Whether the point that showed it first had shown its bytes before.
    again: bool,
    /// The points that showed it, by bit.
    by: u8,
}

/// A segment in relative numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub seq: u64,
    pub end: u64,
    pub ack: u64,
    /// What all points together have shown of its direction, and how far it has acknowledged.
    pub shown_to: u64,
    pub acked_to: u64,
    /// Whether it resets the conversation.
    pub reset: bool,
}

/// What a packet is to those shown before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub of: PacketNo,
    pub evidence: Evidence,
    /// Whether it also brings bytes that no point has shown yet.
    pub brings_more: bool,
}

impl Taps {
    /// Begins when a second point shows this direction: with what is remembered of the first.
    pub(super) fn begin(first: InterfaceId, copies: &Copies, shown_to: Option<u64>, acked: u64) -> Self {
        let known =
            |one: &Remembered| Shown { hash: one.hash, no: one.no, at: one.at, seq: 0, end: 0, ack: 0, again: false, by: 1 };
        Self { points: vec![Point { interface: first, next: shown_to, acked }], shown: copies.remembered().map(known).collect() }
    }

    /// What this packet is to those shown before; it is remembered.
    pub(super) fn find(&mut self, fingerprint: &Fingerprint, taken: Taken, numbers: &Numbers) -> Option<Copy> {
        let index = self.point(taken.interface)?;
        let point = self.points[index];
        let bit = 1u8 << index;
        let same = self.same(fingerprint, taken, bit);
        let fresh = point.next.is_none_or(|next| numbers.seq >= next);
        let copy = match same {
            Some(at) => {
                self.shown[at].by |= bit;
                Some(Copy { of: self.shown[at].no, evidence: Evidence::SamePacket, brings_more: false })
            }
            None => self.otherwise_cut(numbers, point, bit, taken),
        };
        let point = &mut self.points[index];
        if numbers.end > numbers.seq {
            point.next = Some(point.next.map_or(numbers.end, |next| next.max(numbers.end)));
        }
        point.acked = point.acked.max(numbers.ack);
        if same.is_none() {
            if self.shown.len() >= REMEMBERED {
                self.shown.pop_front();
            }
            let Numbers { seq, end, ack, .. } = *numbers;
            let (hash, Taken { seen, .. }) = (fingerprint.hash, taken);
            self.shown.push_back(Shown { hash, no: seen.no, at: seen.at, seq, end, ack, again: !fresh && end > seq, by: bit });
        }
        copy
    }

    fn point(&mut self, interface: InterfaceId) -> Option<usize> {
        if let Some(index) = self.points.iter().position(|point| point.interface == interface) {
            return Some(index);
        }
        if self.points.len() >= MOST_POINTS {
            return None;
        }
        self.points.push(Point { interface, next: None, acked: 0 });
        Some(self.points.len() - 1)
    }

    /// The same packet, which another point showed, or this one a moment ago (a mirror port within it).
    fn same(&self, fingerprint: &Fingerprint, taken: Taken, bit: u8) -> Option<usize> {
        let distance = |shown: &Shown| (taken.seen.at - shown.at).get().unsigned_abs();
        let is_it = |shown: &Shown| {
            let apart = match shown.by & bit {
                0 if fingerprint.is_marked() => APART as u64,
                0 => APART_ALIKE as u64,
                _ => fingerprint.apart_at_one_point(),
            };
            shown.hash == fingerprint.hash && distance(shown) <= apart
        };
        let fits = self.shown.iter().enumerate().filter(|(_, shown)| is_it(shown));
        // Rather one that this point has not shown, and of those the nearest.
        fits.min_by_key(|(_, shown)| (shown.by & bit, distance(shown))).map(|(at, _)| at)
    }

    /// Bytes, or an acknowledgement, that another point has shown in other packets, and this one not yet.
    fn otherwise_cut(&self, numbers: &Numbers, point: Point, bit: u8, taken: Taken) -> Option<Copy> {
        let Numbers { seq, end, ack, shown_to, acked_to, reset } = *numbers;
        let elsewhere = |wanted: &dyn Fn(&&Shown) -> bool| {
            let others = || self.shown.iter().filter(|shown| shown.by & bit == 0);
            others().find(wanted).or_else(|| others().next_back()).map(|shown| shown.no)
        };
        let copy = |of: PacketNo, brings_more| Some(Copy { of, evidence: Evidence::SameBytes, brings_more });
        if reset {
            return None;
        }
        if end > seq {
            let overlaps = |shown: &&Shown| shown.seq < end && seq < shown.end;
            if point.next.is_none_or(|next| seq >= next) {
                if seq >= shown_to {
                    return None;
                }
                return copy(elsewhere(&overlaps)?, end > shown_to);
            }
            // Sent again: a copy if another point has shown just that.
            let again = |shown: &&Shown| {
                shown.again && overlaps(shown) && (taken.seen.at - shown.at).get().abs() <= APART_ALIKE && shown.by & bit == 0
            };
            return self.shown.iter().find(again).and_then(|shown| copy(shown.no, false));
        }
        if ack > point.acked && ack <= acked_to && point.acked > 0 {
            return copy(elsewhere(&|shown| shown.ack >= ack)?, false);
        }
        None
    }
}
