//! How many may read captures at one time, and how many bytes all of them may have in memory.
//!
//! A viewer that follows and a download take a seat each. One token has a share of the seats, and some are left for the owner.
//! Bytes that were read and are not yet with the kernel come out of one budget for all. Where that is used up a viewer still gets
//! one small piece at a time, so that those who take nothing cannot keep the others from going on.

use crate::token::TokenHash;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// What a viewer may always have in memory. Pieces of a large block are multiples of it.
pub(crate) const PIECE: usize = 64 << 10;
/// What it gets at one time while the budget lasts.
pub(crate) const CHUNK: usize = 4 * PIECE;

/// All seats.
#[derive(Debug)]
pub(crate) struct Seats {
    most: usize,
    most_per_token: usize,
    taken: Mutex<BTreeMap<TokenHash, usize>>,
    /// Those among them that follow a capture.
    followers: watch::Sender<usize>,
    budget: Arc<Semaphore>,
}

/// A seat, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    bearer: TokenHash,
    follows: bool,
}

/// Bytes that may be read now; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    /// How many: a multiple of [`PIECE`].
    pub(crate) bytes: usize,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Seats {
    /// `most` seats, so many of them for one token, and a budget of bytes.
    pub(crate) fn new(most: usize, most_per_token: usize, budget: usize) -> Arc<Self> {
        let budget = Arc::new(Semaphore::new((budget / PIECE).min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { most, most_per_token, taken: Mutex::default(), followers: watch::channel(0).0, budget })
    }

    /// A seat for whoever bears this token; `None` where there is none left for it. The owner may take the last sixteenth, too.
    pub(crate) fn take(self: &Arc<Self>, bearer: TokenHash, is_owner: bool, follows: bool) -> Option<Seat> {
        let mut taken = self.lock();
        let (all, own) = (taken.values().sum::<usize>(), taken.get(&bearer).copied().unwrap_or_default());
        let is_free = if is_owner { all < self.most } else { all < self.most - self.most / 16 && own < self.most_per_token };
        if !is_free {
            return None;
        }
        taken.insert(bearer, own + 1);
        if follows {
            self.followers.send_modify(|followers| *followers += 1);
        }
        Some(Seat { seats: Arc::clone(self), bearer, follows })
    }

    /// How many follow a capture.
    pub(crate) fn followers(&self) -> usize {
        *self.followers.borrow()
    }

    /// Waits until nobody does.
    pub(crate) async fn nobody_follows(&self) {
        // An error would mean that the sender is gone, which is a part of this.
        let _ = self.followers.subscribe().wait_for(|followers| *followers == 0).await;
    }

    // A panic while the lock was held leaves the map as it was before or after one change: both are good.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TokenHash, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Bytes that may be read and sent next.
    pub(crate) fn grant(&self) -> Grant {
        let units = u32::try_from(CHUNK / PIECE).unwrap_or(u32::MAX);
        match Arc::clone(&self.seats.budget).try_acquire_many_owned(units) {
            Ok(permit) => Grant { bytes: CHUNK, _permit: Some(permit) },
            Err(_) => Grant { bytes: PIECE, _permit: None },
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        match taken.get_mut(&self.bearer) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.bearer)),
        }
        if self.follows {
            self.seats.followers.send_modify(|followers| *followers -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_takes_its_share_all_readers_leave_some_and_the_owner_may_take_the_rest() {
        let seats = Seats::new(32, 20, 0);
        let [owner, a, b] = ["owner", "a", "b"].map(TokenHash::of);
        let of_a: Vec<Seat> = std::iter::from_fn(|| seats.take(a, false, true)).collect();
        let of_b: Vec<Seat> = std::iter::from_fn(|| seats.take(b, false, false)).collect();
        let own: Vec<Seat> = std::iter::from_fn(|| seats.take(owner, true, true)).collect();
        assert_eq!((of_a.len(), of_b.len(), own.len(), seats.followers()), (20, 10, 2, 22));
        drop(of_b);
        assert!(seats.take(a, false, true).is_none());
        assert!(seats.take(b, false, true).is_some());
        drop((of_a, own));
        assert_eq!(seats.followers(), 0);
        assert!(seats.lock().is_empty());
    }

    #[test]
    fn the_budget_bounds_all_of_them_and_leaves_each_a_piece() {
        let seats = Seats::new(32, 32, 2 * CHUNK + PIECE);
        let seat = seats.take(TokenHash::of("a"), false, true).unwrap();
        let grants: Vec<Grant> = (0..4).map(|_| seat.grant()).collect();
        assert_eq!(grants.iter().map(|grant| grant.bytes).collect::<Vec<_>>(), [CHUNK, CHUNK, PIECE, PIECE]);
        drop(grants);
        assert_eq!(seat.grant().bytes, CHUNK);
    }
}
