//! Memory, counted.
//!
//! An allocator in front of the system's counts what each thread holds and the most it held. It never refuses: a bound that was
//! passed is told after the work is done, with both figures, which libFuzzer then keeps as a crash.
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait; it hands everything on as it is")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The most memory that some work may hold at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// Bytes that are held whatever the input: blocks of columns and tables.
    pub(crate) base: usize,
    /// Bytes for each byte of the input.
    pub(crate) per_byte: usize,
}

/// Does `work` over an input of `len` bytes.
///
/// # Panics
/// If it held more than its bound at some moment.
pub(crate) fn bounded<T>(bound: Bound, len: usize, work: impl FnOnce() -> T) -> T {
    let before = HELD.get();
    MOST.set(before);
    let result = work();
    let most = MOST.get().saturating_sub(before);
    let allowed = (bound.base + bound.per_byte * len) as isize;
    assert!(most <= allowed, "{most} bytes were held for an input of {len} bytes; {allowed} are allowed");
    result
}

thread_local! {
    /// Bytes this thread holds; what it freed for another counts against it.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(change: isize) {
    let held = HELD.get().wrapping_add(change);
    HELD.set(held);
    if held > MOST.get() {
        MOST.set(held);
    }
}

// SAFETY: every call goes to the system's allocator as it is; counting touches only plain cells of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may both be there for a moment.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound { base: 1_000, per_byte: 2 };

    #[test]
    fn what_is_within_the_bound_passes_and_what_was_freed_does_not_count() {
        let total: usize = bounded(BOUND, 500, || (0..100).map(|_| vec![1_u8; 1_900].len()).sum());
        assert_eq!(total, 190_000);
    }

    #[test]
    #[should_panic(expected = "2100 bytes were held for an input of 500 bytes; 2000 are allowed")]
    fn what_is_beyond_the_bound_is_told() {
        bounded(BOUND, 500, || std::hint::black_box(vec![1_u8; 2_100]).len());
    }
}
