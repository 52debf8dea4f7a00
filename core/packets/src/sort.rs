//! Sorting short lists of many types with one copy of the algorithm.
//!
//! The standard library's stable sort is made anew for every type and comparison, 4 to 7 KB of WebAssembly each time: an
//! eighth of the page's code was that. Here one copy orders row numbers, and only the comparison and the exchange of two rows are
//! made anew. A comparison costs an indirect call more, so what has many thousands of rows sorts itself.

use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Sorts as `[T]::sort_by_key` does: equal rows keep their order.
pub fn by_key<T, K: Ord>(rows: &mut [T], key: impl Fn(&T) -> K) {
    by(rows, |a, b| key(a).cmp(&key(b)));
}

/// Sorts as `[T]::sort_by` does: equal rows keep their order.
pub fn by<T>(rows: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let mut from: Vec<usize> = (0..rows.len()).collect();
    order(&mut from, &|a, b| compare(&rows[a], &rows[b]));
    // Each cycle of the permutation is walked once; a row that stands right names itself.
    for start in 0..rows.len() {
        let mut at = start;
        while from[at] != start {
            let next = from[at];
            rows.swap(at, next);
            from[at] = at;
            at = next;
        }
        from[at] = at;
    }
}

/// A set of these, as `collect` makes it; but that sorts first, with a copy of the algorithm for each type.
pub fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    set.extend(items);
    set
}

/// The one copy.
#[inline(never)]
fn order(numbers: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    numbers.sort_by(|a, b| compare(*a, *b));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every arrangement of a few rows, equal keys among them, against the standard library.
    #[test]
    fn it_sorts_as_the_standard_library_does() {
        for length in 0..=6_u32 {
            for arrangement in 0..4_u32.pow(length) {
                let rows: Vec<(u32, u32)> = (0..length).map(|at| (arrangement / 4_u32.pow(at) % 4, at)).collect();
                let (mut ours, mut theirs) = (rows.clone(), rows);
                by_key(&mut ours, |row| row.0);
                theirs.sort_by_key(|row| row.0);
                assert_eq!(ours, theirs);
            }
        }
    }
}
