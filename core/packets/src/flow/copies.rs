//! Copies: one packet captured more than once at one capture point, as on a mirror port. What several points show is told
//! apart in `taps`.
//!
//! A retransmission by any common system carries a new IP identification, and with RFC 7323 a newer TSval; a copy carries the
//! same ones and comes at once. (RFC 6864 allows identification 0 on packets that are never fragmented, so 0 proves nothing.)

use super::conversation::Seen;
use crate::dissect::{Ip, Tcp as Header, TcpFlags};
use crate::ids::PacketNo;
use crate::time::Timestamp;
use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

/// Packets of one direction remembered: what may come between a packet and its copy.
const REMEMBERED: usize = 4;
/// How far apart copies with one IP identification may be: a slow bridge, not a retransmission timer (200 ms on Linux).
const APART_SAME_ID_NS: u64 = 20_000_000;
/// How far apart copies with one TSval, but no identification, may be: less than a tick of its clock.
const APART_SAME_TSVAL_NS: u64 = 1_000_000;
/// How far apart copies that show neither may be.
const APART_ALIKE_NS: u64 = 20_000;

/// What copies of one packet have in common; TTL, link layer and checksums may differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fingerprint {
    pub(super) hash: u32,
    identified: bool,
    stamped: bool,
    /// Whether it carries data or a flag that is sent once: a bare ACK may be repeated word by word.
    once: bool,
}

impl Fingerprint {
    /// Of one segment.
    pub(super) fn new(ip: &Ip, header: &Header<'_>) -> Self {
        let id = ip.id.unwrap_or(0);
        let (tsval, tsecr) = (header.options.tsval.unwrap_or(0), header.options.tsecr.unwrap_or(0));
        let mut hasher = FixedState::default().build_hasher();
        hasher.write_u64(u64::from(header.seq) << 32 | u64::from(header.ack));
        hasher.write_u64(u64::from(id) << 32 | u64::from(header.payload_len) << 12 | u64::from(header.flags.0));
        hasher.write_u64(u64::from(tsval) << 32 | u64::from(tsecr));
        hasher.write_u64(u64::from(header.window) << 16 | header.options.sack.len() as u64);
        let hash = hasher.finish();
        Self {
            hash: (hash ^ hash >> 32) as u32,
            identified: id != 0,
            stamped: header.options.tsval.is_some(),
            once: header.payload_len > 0 || header.flags.any(TcpFlags::SYN.or(TcpFlags::FIN)),
        }
    }

    /// Whether something in it changes when it is sent again.
    pub(super) const fn is_marked(&self) -> bool {
        self.identified || self.stamped
    }

    /// How far apart copies of it may be that one capture point shows, in nanoseconds.
    pub(super) const fn apart_at_one_point(&self) -> u64 {
        match self {
            Self { identified: true, .. } => APART_SAME_ID_NS,
            Self { once: false, .. } => 0,
            Self { stamped: true, .. } => APART_SAME_TSVAL_NS,
            _ => APART_ALIKE_NS,
        }
    }
}

/// The last packets of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies {
    last: [Remembered; REMEMBERED],
    oldest: u8,
}

/// A packet of this direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Remembered {
    pub(super) hash: u32,
    pub(super) no: PacketNo,
    pub(super) at: Timestamp,
}

impl Copies {
    /// The packet that this is a copy of; remembers it if it is none.
    pub(super) fn find(&mut self, fingerprint: &Fingerprint, seen: Seen) -> Option<PacketNo> {
        let apart = fingerprint.apart_at_one_point();
        let is_it = |other: &&Remembered| {
            other.hash == fingerprint.hash && apart > 0 && (seen.at - other.at).get().unsigned_abs() <= apart
        };
        if let Some(original) = self.remembered().find(is_it) {
            return Some(original.no);
        }
        self.last[usize::from(self.oldest)] = Remembered { hash: fingerprint.hash, no: seen.no, at: seen.at };
        self.oldest = (self.oldest + 1) % REMEMBERED as u8;
        None
    }

    /// The last packets, in no particular order.
    pub(super) fn remembered(&self) -> impl Iterator<Item = &Remembered> {
        self.last.iter().filter(|one| one.no != PacketNo(0))
    }
}
