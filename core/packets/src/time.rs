//! Points and lengths of time, in nanoseconds.
//!
//! A time here is always one that was *recorded*; nothing in this crate can ask what time it is now.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;
use std::fmt;
use std::ops::{Add, Sub};

/// Nanoseconds since the Unix epoch, as recorded. Arithmetic saturates: a damaged capture may claim any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The smallest and the largest time that can be told.
    pub const MIN: Self = Self(i64::MIN);
    /// See [`Timestamp::MIN`].
    pub const MAX: Self = Self(i64::MAX);

    /// A time from nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }
}

impl Sub for Timestamp {
    type Output = Nanos;
    fn sub(self, earlier: Self) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Nanos> for Timestamp {
    type Output = Self;
    fn add(self, length: Nanos) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

impl Sub<Nanos> for Timestamp {
    type Output = Self;
    fn sub(self, length: Nanos) -> Self {
        Self(self.0.saturating_sub(length.0))
    }
}

/// A length of time in nanoseconds; negative when the later event bears the earlier time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(transparent)]
pub struct Nanos(i64);

impl Nanos {
    /// A length from nanoseconds.
    pub const fn new(nanos: i64) -> Self {
        Self(nanos)
    }
    /// A length from microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.saturating_mul(1_000))
    }
    /// A length from milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }
    /// A length from seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }
    /// The length in nanoseconds.
    pub const fn get(self) -> i64 {
        self.0
    }
    /// The length in seconds, for showing and for rates.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// Rounded to what matters to a reader: `412 ns`, `58.3 µs`, `12.4 ms`, `3.00 s`, `2 min 05 s`.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let ns = self.0.unsigned_abs();
        match ns {
            0..1_000 => write!(f, "{sign}{ns} ns"),
            1_000..1_000_000 => write!(f, "{sign}{} µs", three_figures(ns as f64 / 1e3)),
            1_000_000..1_000_000_000 => write!(f, "{sign}{} ms", three_figures(ns as f64 / 1e6)),
            1_000_000_000..120_000_000_000 => write!(f, "{sign}{} s", three_figures(ns as f64 / 1e9)),
            120_000_000_000..MINUTES_UNTIL => write!(f, "{sign}{} min {:02} s", ns / 60_000_000_000, ns / 1_000_000_000 % 60),
            MINUTES_UNTIL..HOURS_UNTIL => write!(f, "{sign}{} h {:02} min", ns / HOUR, ns / 60_000_000_000 % 60),
            _ => write!(f, "{sign}{} d {} h", ns / (24 * HOUR), ns / HOUR % 24),
        }
    }
}

/// An hour in nanoseconds.
const HOUR: u64 = 3_600_000_000_000;
/// From here on minutes and seconds are no longer what a reader would choose.
const MINUTES_UNTIL: u64 = 2 * HOUR;
/// From here on, days.
const HOURS_UNTIL: u64 = 48 * HOUR;

fn three_figures(x: f64) -> String {
    let decimals = if x < 10.0 {
        2
    } else if x < 100.0 {
        1
    } else {
        0
    };
    format!("{x:.decimals$}")
}

/// A stretch of recorded time, both ends belonging to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Span {
    /// The first instant.
    pub start: Timestamp,
    /// The last instant; never before `start`.
    pub end: Timestamp,
}

impl Span {
    /// A span between two times, in whichever order they come.
    pub fn new(a: Timestamp, b: Timestamp) -> Self {
        Self { start: a.min(b), end: a.max(b) }
    }
    /// A single instant.
    pub const fn at(t: Timestamp) -> Self {
        Self { start: t, end: t }
    }
    /// How long it lasts.
    pub fn length(self) -> Nanos {
        self.end - self.start
    }
    /// Whether `t` lies in it.
    pub fn contains(self, t: Timestamp) -> bool {
        self.start <= t && t <= self.end
    }
    /// Whether the two share an instant.
    pub fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
    /// The smallest span that holds both.
    pub fn union(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_the_unit_a_reader_would_choose() {
        let cases = [
            (412, "412 ns"),
            (58_300, "58.3 µs"),
            (12_400_000, "12.4 ms"),
            (3_000_000_000, "3.00 s"),
            (125_000_000_000, "2 min 05 s"),
            (7_199_000_000_000, "119 min 59 s"),
            (10_810_000_000_000, "3 h 00 min"),
            (291_888_574_000_000_000, "3378 d 8 h"),
            (-1_500_000_000, "-1.50 s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(Nanos::new(nanos).to_string(), text);
        }
    }

    #[test]
    fn a_damaged_time_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp::MAX + Nanos::from_secs(1), Timestamp::MAX);
        assert_eq!((Timestamp::MAX - Timestamp::MIN).get(), i64::MAX);
    }
}
