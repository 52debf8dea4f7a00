//! Which connections are kept when there are more than the server takes.
//!
//! A client that takes seats and never reads needs no token, so seats alone would let it lock everybody out. Nobody waits here:
//! whoever comes gets a seat, and where there is none left the least deserving connection loses its own. That is one without a
//! valid token before one with a reader's, one of the address that holds the most seats before others, and among those the one
//! on which nothing has moved for the longest. Connections of the owner and of agents are never cut.

use dropscope_review::{Connection, Standing};
use futures_util::task::AtomicWaker;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Instant;

/// All seats of a server.
#[derive(Debug)]
pub(super) struct Seats {
    began: Instant,
    most: usize,
    most_per_peer: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by_number: BTreeMap<u64, Arc<Seat>>,
}

/// What is known of one connection while it lasts.
#[derive(Debug)]
pub(super) struct Seat {
    peer: Option<IpAddr>,
    pub(super) connection: Arc<Connection>,
    /// Milliseconds since the server began.
    last_moved: AtomicU64,
    evicted: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// A seat that is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    number: u64,
    pub(super) seat: Arc<Seat>,
    seats: Arc<Seats>,
}

impl Seats {
    pub(super) fn new(most: usize, most_per_peer: usize) -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), most, most_per_peer, taken: Mutex::default() })
    }

    /// A seat for a client at `peer`, taken from another connection where all are taken. `None` when every connection that
    /// could give way is trusted.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr, connection: Arc<Connection>) -> Option<Held> {
        let peer = neighbourhood(peer);
        let mut taken = self.lock();
        let of_peer = taken.by_number.values().filter(|seat| seat.peer == peer && peer.is_some()).count();
        let victim = if of_peer >= self.most_per_peer {
            Some(taken.least_deserving(Some(peer))?)
        } else if taken.by_number.len() >= self.most {
            Some(taken.least_deserving(None)?)
        } else {
            None
        };
        if let Some(victim) = victim.and_then(|number| taken.by_number.remove(&number)) {
            victim.evict();
        }
        let seat = Arc::new(Seat {
            peer,
            connection,
            last_moved: AtomicU64::new(self.now()),
            evicted: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        });
        let number = taken.next;
        taken.next += 1;
        taken.by_number.insert(number, Arc::clone(&seat));
        Some(Held { number, seat, seats: Arc::clone(self) })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    // A panic while the lock was held leaves the map as it was before or after one change: both are good.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// The connection that gives way, among those of one peer or of all.
    fn least_deserving(&self, of: Option<Option<IpAddr>>) -> Option<u64> {
        let mut count = BTreeMap::new();
        for seat in self.by_number.values() {
            *count.entry(seat.peer).or_insert(0_usize) += 1;
        }
        let candidates = self
            .by_number
            .iter()
            .filter(|(_, seat)| of.is_none_or(|peer| seat.peer == peer) && seat.connection.standing() < Standing::Trusted);
        let rank = |seat: &Seat| {
            let held = count.get(&seat.peer).copied().unwrap_or_default();
            (seat.connection.standing(), std::cmp::Reverse(held), seat.last_moved.load(Ordering::Relaxed))
        };
        candidates.min_by_key(|(number, seat)| (rank(seat), **number)).map(|(number, _)| *number)
    }
}

impl Seat {
    fn evict(&self) {
        self.evicted.store(true, Ordering::Release);
        self.reader.wake();
        self.writer.wake();
    }

    /// Whether the connection has lost its seat; has the reading side woken when that happens.
    pub(super) fn is_lost_to_reader(&self, cx: &Context<'_>) -> bool {
        self.reader.register(cx.waker());
        self.evicted.load(Ordering::Acquire)
    }

    /// The same for the writing side.
    pub(super) fn is_lost_to_writer(&self, cx: &Context<'_>) -> bool {
        self.writer.register(cx.waker());
        self.evicted.load(Ordering::Acquire)
    }
}

impl Held {
    /// Records that bytes have moved on the connection.
    pub(super) fn moved(&self) {
        self.seat.last_moved.store(self.seats.now(), Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.seats.lock().by_number.remove(&self.number);
    }
}

/// What counts as one peer: an IPv4 address, or the network of an IPv6 address that one customer or host gets (/64). `None` on
/// loopback, where a proxy may stand for many.
fn neighbourhood(peer: IpAddr) -> Option<IpAddr> {
    match peer.to_canonical() {
        one if one.is_loopback() => None,
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() & !(u128::from(u64::MAX))).into()),
        v4 => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Arc<Connection> {
        Arc::new(Connection::new(IpAddr::from([192, 0, 2, 1])))
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_evicted(held: &Held) -> bool {
        held.seat.evicted.load(Ordering::Acquire)
    }

    #[test]
    fn one_address_never_takes_more_than_its_share() {
        let seats = Seats::new(10, 3);
        let other = seats.take(peer("198.51.100.1"), connection()).unwrap();
        let many: Vec<Held> = (0..20).map(|_| seats.take(peer("203.0.113.9"), connection()).unwrap()).collect();
        assert_eq!(many.iter().filter(|held| !is_evicted(held)).count(), 3);
        assert!(many[17..].iter().all(|held| !is_evicted(held)), "the oldest go first");
        assert!(!is_evicted(&other));
        // Addresses of one /64 are one peer.
        let v6: Vec<Held> = (0..8).map(|n| seats.take(peer(&format!("2001:db8::{n:x}")), connection()).unwrap()).collect();
        assert_eq!(v6.iter().filter(|held| !is_evicted(held)).count(), 3);
    }

    #[test]
    fn whoever_comes_gets_in_and_the_one_that_stood_still_longest_goes() {
        let seats = Seats::new(4, 100);
        let held: Vec<Held> = (0..4).map(|_| seats.take(peer("127.0.0.1"), connection()).unwrap()).collect();
        for (n, one) in held.iter().enumerate() {
            one.seat.last_moved.store([5, 1, 9, 7][n], Ordering::Relaxed);
        }
        let new = seats.take(peer("127.0.0.1"), connection()).unwrap();
        assert_eq!(held.iter().map(is_evicted).collect::<Vec<_>>(), [false, true, false, false]);
        assert!(!is_evicted(&new));
    }

    #[test]
    fn the_owner_is_never_cut_and_a_reader_after_everybody_without_a_token() {
        let seats = Seats::new(3, 100);
        let [owner, reader, nobody] = [Standing::Trusted, Standing::Reader, Standing::Anonymous].map(|standing| {
            let held = seats.take(peer("127.0.0.1"), connection()).unwrap();
            held.seat.connection.raise(standing);
            held
        });
        let second = seats.take(peer("127.0.0.1"), connection()).unwrap();
        assert!(is_evicted(&nobody) && !is_evicted(&reader));
        second.seat.connection.raise(Standing::Trusted);
        let third = seats.take(peer("127.0.0.1"), connection()).unwrap();
        assert!(is_evicted(&reader) && !is_evicted(&owner));
        third.seat.connection.raise(Standing::Trusted);
        assert!(seats.take(peer("127.0.0.1"), connection()).is_none(), "three seats, three that are trusted");
        drop(third);
        assert!(seats.take(peer("127.0.0.1"), connection()).is_some());
    }
}
