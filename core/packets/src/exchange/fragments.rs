//! Datagrams in fragments, by what their headers say: which of them never became whole.
//!
//! Unlike [`Reassembly`](crate::flow::Reassembly) it needs no bytes, so that captures cut by the snapshot length count, too.

use crate::dissect::Packet;
use crate::flow::Seen;
use crate::time::{Nanos, Timestamp};
use std::net::IpAddr;

/// Datagrams followed at a time.
const MOST_OPEN: usize = 1_024;
/// Stretches followed in one datagram; in order of arrival it has one.
const MOST_PIECES: usize = 64;
/// Datagrams kept that never became whole.
const MOST_LOST: usize = 1_024;
/// Fragments of one datagram follow each other within milliseconds. Linux waits 30 s for them.
const PATIENCE: Nanos = Nanos::from_secs(30);
/// Until then they may still be on their way when a capture ends.
const SOON: Nanos = Nanos::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub struct Fragments {
    open: Vec<Open>,
    lost: Vec<Incomplete>,
    /// Datagrams that became whole.
    pub whole: u64,
}

#[derive(Debug)]
struct Open {
    key: (IpAddr, IpAddr, u32, u8),
    incomplete: Incomplete,
    /// Bytes that were there, from and to, in order and apart.
    pieces: Vec<(u32, u32)>,
    len: Option<u32>,
}

/// A datagram of which fragments are missing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incomplete {
    /// Who sent it.
    pub src: IpAddr,
    /// To whom.
    pub dst: IpAddr,
    /// Its first fragment that was seen.
    pub seen: Seen,
    /// Whether that is the one at its beginning.
    pub has_beginning: bool,
    /// Bytes of its fragments that were seen.
    pub bytes: u32,
}

impl Fragments {
    /// Observes a packet that is a fragment.
    pub(crate) fn observe(&mut self, packet: &Packet<'_>, seen: Seen) {
        let Some((ip, fragment)) = packet.ip.as_ref().and_then(|ip| Some((ip, ip.fragment?))) else { return };
        let Some(id) = ip.id else { return };
        let len = ip.total_len.saturating_sub(ip.payload_offset.saturating_sub(ip.offset));
        let from = u32::from(fragment.offset) * 8;
        let key = (ip.src, ip.dst, id, if ip.src.is_ipv4() { ip.protocol } else { 0 });
        self.give_up(seen.at);
        let index = match self.open.iter().rposition(|open| open.key == key) {
            Some(index) => index,
            None => {
                let incomplete = Incomplete { src: ip.src, dst: ip.dst, seen, has_beginning: false, bytes: 0 };
                self.open.push(Open { key, incomplete, pieces: Vec::new(), len: None });
                self.open.len() - 1
            }
        };
        let open = &mut self.open[index];
        open.incomplete.has_beginning |= from == 0;
        if !fragment.more {
            open.len = Some(from + len);
        }
        open.add(from, from + len);
        if open.is_whole() {
            self.open.remove(index);
            self.whole += 1;
        }
    }

    fn give_up(&mut self, now: Timestamp) {
        while self.open.first().is_some_and(|oldest| now - oldest.incomplete.seen.at > PATIENCE || self.open.len() >= MOST_OPEN) {
            let oldest = self.open.remove(0);
            if self.lost.len() < MOST_LOST {
                self.lost.push(oldest.incomplete);
            }
        }
    }

    /// Datagrams that never became whole by now.
    pub fn incomplete(&self, now: Timestamp) -> impl Iterator<Item = &Incomplete> {
        let open = self.open.iter().map(|open| &open.incomplete).filter(move |one| now - one.seen.at >= SOON);
        self.lost.iter().chain(open)
    }
}

impl Open {
    /// Adds what a fragment brings, and joins it with its neighbours.
    fn add(&mut self, from: u32, to: u32) {
        if self.pieces.len() >= MOST_PIECES {
            return;
        }
        self.pieces.push((from, to));
        self.pieces.sort_unstable();
        self.pieces.dedup_by(|next, before| {
            let joins = next.0 <= before.1;
            before.1 = if joins { before.1.max(next.1) } else { before.1 };
            joins
        });
        self.incomplete.bytes = self.pieces.iter().map(|(from, to)| to - from).sum();
    }

    fn is_whole(&self) -> bool {
        self.len.is_some_and(|len| self.pieces.first().is_some_and(|(from, to)| *from == 0 && *to >= len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::{Fragment, Ip};
    use crate::ids::PacketNo;

    fn fragment(id: u32, offset: u16, len: u32, more: bool) -> Packet<'static> {
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let ip = Ip {
            src: address(1),
            dst: address(2),
            id: Some(id),
            ttl: 64,
            protocol: 17,
            traffic_class: 0,
            dont_fragment: Some(false),
            fragment: Some(Fragment { offset, more }),
            total_len: 20 + len,
            offset: 0,
            payload_offset: 20,
        };
        Packet { ip: Some(ip), ..Packet::default() }
    }

    #[test]
    fn a_datagram_is_whole_in_any_order_and_otherwise_lost() {
        let mut fragments = Fragments::default();
        let mut no = 0;
        let mut see = |fragments: &mut Fragments, packet: Packet<'_>| {
            no += 1;
            fragments.observe(&packet, Seen { no: PacketNo(no), at: Timestamp::from_nanos(i64::from(no)) });
        };
        // The last first, one twice, and two that overlap.
        for (offset, len, more) in [(4, 8, false), (0, 16, true), (0, 16, true), (1, 24, true)] {
            see(&mut fragments, fragment(1, offset, len, more));
        }
        see(&mut fragments, fragment(2, 0, 16, true));
        see(&mut fragments, fragment(3, 2, 16, false));
        let later = Timestamp::from_nanos(2_000_000_000);
        let lost: Vec<(bool, u32)> = fragments.incomplete(later).map(|one| (one.has_beginning, one.bytes)).collect();
        assert_eq!((fragments.whole, lost), (1, vec![(true, 16), (false, 16)]));
        assert_eq!(fragments.incomplete(Timestamp::from_nanos(10)).count(), 0, "they may still be on their way");
    }

    #[test]
    fn of_a_datagram_in_dust_the_first_pieces_are_followed() {
        let mut fragments = Fragments::default();
        for n in 0..4_000 {
            fragments.observe(&fragment(1, n * 2, 8, true), Seen { no: PacketNo(1), at: Timestamp::from_nanos(0) });
        }
        assert_eq!(fragments.open[0].pieces.len(), MOST_PIECES);
    }
}
