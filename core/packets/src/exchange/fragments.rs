//! Datagrams in fragments, by what their headers say: which of them never became whole.
//!
//! Unlike [`Reassembly`](crate::flow::Reassembly) it needs no bytes, so that captures cut by the snapshot length count, too.

use crate::dissect::Packet;
use crate::flow::Seen;
use crate::time::{Nanos, Timestamp};
use std::net::IpAddr;

/// Datagrams followed at a time.
const MOST_OPEN: usize = 1_024;
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
    /// Bytes that were there, from and to.
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
        if !open.pieces.contains(&(from, from + len)) {
            open.pieces.push((from, from + len));
            open.incomplete.bytes += len;
        }
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
    fn is_whole(&mut self) -> bool {
        let Some(len) = self.len else { return false };
        self.pieces.sort_unstable();
        let covered = self.pieces.iter().fold(0, |covered, (from, to)| if *from <= covered { covered.max(*to) } else { covered });
        covered >= len
    }
}
