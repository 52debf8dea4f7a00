//! Copies: one packet captured more than once at one capture point, as on a mirror port. What several points show is told
//! apart in `taps`.
//!
//! A retransmission by any common system carries a new IP identification, and with RFC 7323 a newer TSval; a copy carries the
//! same ones. It comes at once, or, where a relay shows a packet before and after itself or files were joined, at any distance: of a
//! sender whose identifications change from packet to packet the same one is the same packet. Where they do not change, or are not yet
//! known to, only what comes sooner than any timer is a copy. (RFC 6864 allows identification 0 on packets that are never fragmented, so 0 proves nothing.)

use super::conversation::Seen;
use crate::dissect::{CompactPacket, Ip, Segment, Tcp as Header, TcpFlags};
use crate::ids::PacketNo;
use crate::time::Timestamp;

/// Packets of one direction remembered: what may come between a packet and its copy.
const REMEMBERED: usize = 4;
/// How far apart copies with one IP identification may be: a slow bridge, not a retransmission timer (200 ms on Linux).
const APART_SAME_ID_NS: u64 = 20_000_000;
/// The same of a SYN or SYN-ACK, which nobody repeats as soon (RFC 6298: after 1 s).
const APART_SAME_SYN_NS: u64 = 150_000_000;
/// How far apart copies with one TSval, but no identification, may be: less than a tick of its clock.
const APART_SAME_TSVAL_NS: u64 = 1_000_000;
/// How far apart copies that show neither may be.
const APART_ALIKE_NS: u64 = 20_000;

/// What copies of one packet have in common; TTL, link layer and checksums may differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fingerprint {
    pub(super) hash: u32,
    id: u16,
    is_syn: bool,
    stamped: bool,
    /// Whether it carries data or a flag that is sent once: a bare ACK may be repeated word by word.
    once: bool,
}

impl Fingerprint {
    /// Of one segment.
    pub(super) fn new(ip: &Ip, header: &Header<'_>) -> Self {
        let options = &header.options;
        Fields {
            numbers: (header.seq, header.ack),
            id: ip.id.unwrap_or(0),
            payload_len: header.payload_len,
            flags: header.flags,
            stamps: options.tsval.map(|tsval| (tsval, options.tsecr.unwrap_or(0))),
            window: header.window,
            sacks: options.sack.len() as u8,
        }
        .fingerprint()
    }

    /// The same of one with ordinary options.
    #[inline]
    pub(super) fn of_compact(packet: &CompactPacket, segment: &Segment) -> Self {
        Fields {
            numbers: (segment.seq, segment.ack),
            id: packet.id.into(),
            payload_len: packet.payload_len,
            flags: segment.flags,
            stamps: segment.stamps,
            window: segment.window,
            sacks: 0,
        }
        .fingerprint()
    }

    /// Whether something in it changes when it is sent again.
    pub(super) const fn is_marked(&self) -> bool {
        self.id != 0 || self.stamped
    }

    /// How far apart copies of it may be that one capture point shows, in nanoseconds.
    pub(super) const fn apart_at_one_point(&self) -> u64 {
        match self {
            Self { id: 1.., is_syn: true, .. } => APART_SAME_SYN_NS,
            Self { id: 1.., .. } => APART_SAME_ID_NS,
            Self { once: false, .. } => 0,
            Self { stamped: true, .. } => APART_SAME_TSVAL_NS,
            _ => APART_ALIKE_NS,
        }
    }
}

/// What a fingerprint is made of.
struct Fields {
    /// Sequence and acknowledgment number.
    numbers: (u32, u32),
    id: u32,
    payload_len: u32,
    flags: TcpFlags,
    /// TSval and TSecr.
    stamps: Option<(u32, u32)>,
    window: u16,
    /// How many SACK blocks.
    sacks: u8,
}

impl Fields {
    #[inline(always)]
    fn fingerprint(self) -> Fingerprint {
        const ODD: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93, 0xa076_1d64_78bd_642f];
        let Self { numbers: (seq, ack), id, payload_len, flags, stamps, window, sacks } = self;
        let (tsval, tsecr) = stamps.unwrap_or((0, 0));
        let numbers = (u64::from(seq) << 32 | u64::from(ack)).wrapping_mul(ODD[0]);
        let stamp = (u64::from(tsval) << 32 | u64::from(tsecr)).wrapping_mul(ODD[1]);
        let small = u64::from(window) << 16 ^ u64::from(flags.0) << 4 ^ u64::from(sacks);
        let rest = u64::from(id) << 32 ^ u64::from(payload_len) << 40 ^ small;
        let hash = (numbers ^ numbers >> 32 ^ stamp ^ stamp >> 29 ^ rest).wrapping_mul(ODD[2]);
        Fingerprint {
            hash: (hash ^ hash >> 32) as u32,
            // IPv6's identification, of fragments alone, has 32 bits.
            id: (id ^ id >> 16) as u16,
            is_syn: flags.has(TcpFlags::SYN),
            stamped: stamps.is_some(),
            once: payload_len > 0 || flags.any(TcpFlags::SYN.or(TcpFlags::FIN)),
        }
    }
}

/// The last packets of one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Copies {
    last: [Remembered; REMEMBERED],
    oldest: u8,
    /// The last identification that was not 0, and whether it ever changed from one packet to the next.
    last_id: u16,
    ids_change: bool,
}

/// A packet of this direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Remembered {
    pub(super) hash: u32,
    pub(super) no: PacketNo,
    pub(super) at: Timestamp,
}

impl Copies {
    /// The packet that this is a copy of; remembers it if it is none.
    pub(super) fn find(&mut self, fingerprint: &Fingerprint, seen: Seen) -> Option<PacketNo> {
        let apart = match fingerprint.id != 0 && self.ids_change {
            true => u64::MAX,
            false => fingerprint.apart_at_one_point(),
        };
        let is_it = |other: &&Remembered| {
            other.hash == fingerprint.hash && apart > 0 && (seen.at - other.at).get().unsigned_abs() <= apart
        };
        if let Some(original) = self.remembered().find(is_it) {
            return Some(original.no);
        }
        self.remember(fingerprint, seen);
        None
    }

    /// Whether it is surely no copy, as nothing like it is remembered.
    #[inline]
    pub(super) fn is_new(&self, fingerprint: &Fingerprint) -> bool {
        self.last.iter().all(|other| other.hash != fingerprint.hash)
    }

    #[inline]
    pub(super) fn remember(&mut self, fingerprint: &Fingerprint, seen: Seen) {
        self.last[usize::from(self.oldest) % REMEMBERED] = Remembered { hash: fingerprint.hash, no: seen.no, at: seen.at };
        self.oldest = (self.oldest + 1) % REMEMBERED as u8;
        if fingerprint.id != 0 {
            self.ids_change |= self.last_id != 0 && self.last_id != fingerprint.id;
            self.last_id = fingerprint.id;
        }
    }

    /// The last packets, in no particular order.
    pub(super) fn remembered(&self) -> impl Iterator<Item = &Remembered> {
        self.last.iter().filter(|one| one.no != PacketNo(0))
    }
}
