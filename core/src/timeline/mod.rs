//! Time as the page draws it: packets by column, gaps, tracks.
//!
//! A column's smallest and largest rate come from slices of it, so that a burst cannot vanish in an average; a stretch in
//! which the capture was off or lost packets is a gap and not a zero.

mod histogram;

pub use histogram::{Anomalies, Histogram, SLICES, Scale, Slice};

/// Smallest and largest rate in each column, per second, and the largest of all.
pub fn rates(histogram: &Histogram, scale: &Scale, value: impl Fn(&Slice) -> f64) -> (Vec<(f64, f64)>, f64) {
    let seconds = scale.seconds();
    let columns: Vec<(f64, f64)> = histogram
        .slices
        .chunks(SLICES)
        .map(|slices| slices.iter().map(&value).fold((f64::INFINITY, 0.0_f64), |(least, most), n| (least.min(n), most.max(n))))
        .map(|(least, most)| (least / seconds, most / seconds))
        .collect();
    let max = columns.iter().fold(0.0_f64, |max, (_, most)| max.max(*most));
    (columns, max)
}
