//! ARP (RFC 826): who claims an address, and who is asked for.

use crate::dissect::Arp;
use crate::flow::Seen;
use crate::time::Nanos;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Addresses and questions followed.
const MOST: usize = 4_096;
/// Machines told apart that claim one address.
const MOST_MACS: usize = 4;
/// Whoever had an answer does not ask again as soon; a question much later is another.
const AGAIN: std::ops::RangeInclusive<Nanos> = Nanos::from_millis(300)..=Nanos::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub struct Claims {
    claims: BTreeMap<Ipv4Addr, Claim>,
    wanted: BTreeMap<(Ipv4Addr, Ipv4Addr), Wanted>,
}

/// Machines that claim one address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Each MAC with its first claim and how many it made; the first four.
    pub macs: Vec<([u8; 6], Seen, u32)>,
    /// How often it was claimed.
    pub claimed: u32,
    /// How often another MAC claimed it than the time before.
    pub changes: u32,
    /// When that was; the first few.
    pub changed: Vec<Seen>,
    last: Option<[u8; 6]>,
}

/// An address that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// The first question.
    pub first: Seen,
    /// The last.
    pub last: Seen,
    /// How many there were.
    pub asked: u32,
    /// How many came soon after the one before, as no answer had come.
    pub again: u32,
}

impl Claims {
    pub(super) fn observe(&mut self, arp: &Arp, seen: Seen) {
        let sender = arp.sender.filter(|sender| !sender.is_unspecified());
        if let (Some(sender), Some(mac)) = (sender, arp.sender_mac)
            && mac != [0; 6]
            && mac[0] & 1 == 0
        {
            self.claim(sender, mac, seen);
        }
        if let (1, Some(sender), Some(target)) = (arp.operation, sender, arp.target)
            && sender != target
        {
            self.want(sender, target, seen);
        }
    }

    fn claim(&mut self, address: Ipv4Addr, mac: [u8; 6], seen: Seen) {
        if self.claims.len() >= MOST && !self.claims.contains_key(&address) {
            return;
        }
        let claim = self.claims.entry(address).or_default();
        if claim.last.is_some_and(|last| last != mac) {
            claim.changes += 1;
            if claim.changed.len() < 8 {
                claim.changed.push(seen);
            }
        }
        claim.last = Some(mac);
        claim.claimed += 1;
        if let Some((.., count)) = claim.macs.iter_mut().find(|(known, ..)| *known == mac) {
            *count += 1;
        } else if claim.macs.len() < MOST_MACS {
            claim.macs.push((mac, seen, 1));
        }
    }

    fn want(&mut self, by: Ipv4Addr, target: Ipv4Addr, seen: Seen) {
        if self.wanted.len() >= MOST && !self.wanted.contains_key(&(by, target)) {
            return;
        }
        let wanted = self.wanted.entry((by, target)).or_insert(Wanted { first: seen, last: seen, asked: 0, again: 0 });
        wanted.again += u32::from(AGAIN.contains(&(seen.at - wanted.last.at)));
        wanted.asked += 1;
        wanted.last = seen;
    }

    /// Addresses that are claimed, with who claims them.
    pub fn claims(&self) -> impl Iterator<Item = (Ipv4Addr, &Claim)> {
        self.claims.iter().map(|(address, claim)| (*address, claim))
    }

    /// Questions for addresses that nobody claimed while the capture lasted: who asked, for whom.
    pub fn unclaimed(&self) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr, &Wanted)> {
        let open = self.wanted.iter().filter(|((_, target), _)| !self.claims.contains_key(target));
        open.map(|((by, target), wanted)| (*by, *target, wanted))
    }

    /// How many questions were followed.
    pub fn asked(&self) -> u64 {
        self.wanted.len() as u64
    }
}
