//! Copies: one packet captured more than once, at several interfaces or on a mirror port.
//!
//! A retransmission by any common system carries a new IP identification, and with RFC 7323 a newer TSval; a copy carries the
//! same ones and comes at once. (RFC 6864 allows identification 0 on packets that are never fragmented, so 0 proves nothing.)

use super::tcp::Taken;
use crate::dissect::{Ip, Tcp as Header, TcpFlags};
use crate::ids::{InterfaceId, PacketNo};
use crate::time::Timestamp;
use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

/// Packets of one direction remembered: as many interfaces as copies of it may be interleaved on.
const REMEMBERED: usize = 4;
/// How far apart copies with one IP identification may be: a slow bridge, not a retransmission timer (200 ms on Linux).
const APART_SAME_ID_US: u32 = 20_000;
/// How far apart copies with one TSval, but no identification, may be: less than a tick of its clock.
const APART_SAME_TSVAL_US: u32 = 1_000;
/// How far apart copies that show neither may be.
const APART_ALIKE_US: u32 = 20;

/// What copies of one packet have in common; TTL, link layer and checksums may differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fingerprint {
    hash: u32,
    identified: bool,
    stamped: bool,
    /// Whether it carries data or a flag that is sent once: a bare ACK may be repeated word by word.
    once: bool,
}

impl Fingerprint {
    /// Of one segment.
    pub(super) fn new(ip: &Ip, header: &Header<'_>) -> Self {
        let id = ip.id.unwrap_or(0);
        let (tsval, tsecr) = header.options.timestamps.unwrap_or_default();
        let mut hasher = FixedState::default().build_hasher();
        hasher.write_u64(u64::from(header.seq) << 32 | u64::from(header.ack));
        hasher.write_u64(u64::from(id) << 32 | u64::from(header.payload_len) << 12 | u64::from(header.flags.0));
        hasher.write_u64(u64::from(tsval) << 32 | u64::from(tsecr));
        hasher.write_u64(u64::from(header.window) << 16 | header.options.sack.len() as u64);
        let hash = hasher.finish();
        Self {
            hash: (hash ^ hash >> 32) as u32,
            identified: id != 0,
            stamped: header.options.timestamps.is_some(),
            once: header.payload_len > 0 || header.flags.any(TcpFlags::SYN.or(TcpFlags::FIN)),
        }
    }
}

/// The last packets of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies {
    last: [Remembered; REMEMBERED],
    oldest: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Remembered {
    hash: u32,
    /// Microseconds, modulo 2^32.
    at_us: u32,
    no: PacketNo,
    interface: InterfaceId,
}

impl Copies {
    /// The packet that this is a copy of; remembers it if it is none.
    pub(super) fn find(&mut self, fingerprint: &Fingerprint, taken: Taken) -> Option<PacketNo> {
        let at_us = microseconds(taken.seen.at);
        let found = self.last.iter().find(|other| {
            let elsewhere = other.interface != taken.interface;
            let apart = match fingerprint {
                Fingerprint { identified: true, .. } => APART_SAME_ID_US,
                Fingerprint { once: false, .. } if !elsewhere => return false,
                Fingerprint { stamped: true, .. } => APART_SAME_TSVAL_US,
                _ => APART_ALIKE_US,
            };
            let distance = at_us.wrapping_sub(other.at_us).min(other.at_us.wrapping_sub(at_us));
            other.no != PacketNo(0) && other.hash == fingerprint.hash && distance <= apart
        });
        if let Some(original) = found {
            return Some(original.no);
        }
        self.last[usize::from(self.oldest)] =
            Remembered { hash: fingerprint.hash, at_us, no: taken.seen.no, interface: taken.interface };
        self.oldest = (self.oldest + 1) % REMEMBERED as u8;
        None
    }
}

fn microseconds(at: Timestamp) -> u32 {
    (at.nanos() / 1_000) as u32
}
