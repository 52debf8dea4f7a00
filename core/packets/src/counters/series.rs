//! One counter's values over time.

use crate::log::block::{Counter, CounterKind};
use crate::time::{Span, Timestamp};

/// A value at the moment it was first read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// What.
    pub value: u64,
}

/// A change between two snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The value before and when it was read.
    pub from: Point,
    /// The value after and when it was read.
    pub to: Point,
}

impl Step {
    /// By how much it changed.
    pub fn delta(self) -> i64 {
        self.to.value.wrapping_sub(self.from.value) as i64
    }
    /// From the one reading to the other.
    pub fn span(self) -> Span {
        Span::new(self.from.at, self.to.at)
    }
}

/// A counter's values: its first, and each that differed from the one before.
#[derive(Clone, Debug)]
pub struct Series {
    /// What is counted.
    pub counter: Counter,
    points: Vec<Point>,
}

impl Series {
    /// A series without values.
    pub fn new(counter: Counter) -> Self {
        Self { counter, points: Vec::new() }
    }

    /// Takes a value; an equal one leaves no trace. A snapshot older than the last (clocks step) is put in its place in time.
    pub fn record(&mut self, at: Timestamp, value: u64) {
        let place = self.points.partition_point(|point| point.at <= at);
        if place.checked_sub(1).is_none_or(|before| self.points[before].value != value) {
            self.points.insert(place, Point { at, value });
        }
    }

    /// The first value and each change, in order of time.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The value that held at `t`: the last read at or before it, else the first ever read.
    pub fn at(&self, t: Timestamp) -> Option<u64> {
        let after = self.points.partition_point(|point| point.at <= t);
        self.points.get(after.saturating_sub(1)).map(|point| point.value)
    }

    /// The newest value.
    pub fn last(&self) -> Option<u64> {
        self.points.last().map(|point| point.value)
    }

    /// The changes, in order of time.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        self.points.windows(2).map(|pair| Step { from: pair[0], to: pair[1] })
    }

    /// How much it grew over `span` (both ends as snapshots, see `Counters::bracket`). `None` without values, and for a
    /// monotonic counter that was reset within it.
    pub fn grown(&self, span: Span) -> Option<i64> {
        let reset = self.counter.kind == CounterKind::Monotonic
            && self.steps().any(|step| step.to.value < step.from.value && span.start < step.to.at && step.to.at <= span.end);
        if reset {
            return None;
        }
        Some(self.at(span.end)?.wrapping_sub(self.at(span.start)?) as i64)
    }

    /// The part of `span` in which it changed: from the reading before the first change to the last change.
    pub fn changed_within(&self, span: Span) -> Option<Span> {
        let mut inside = self.steps().filter(|step| span.start < step.to.at && step.to.at <= span.end);
        let first = inside.next()?;
        let last = inside.last().unwrap_or(first);
        Some(Span::new(first.from.at.max(span.start), last.to.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::block::Unit;

    fn series(kind: CounterKind, values: &[(i64, u64)]) -> Series {
        let counter = Counter {
            id: 1,
            key: "link.rx_dropped".into(),
            unit: Unit::Packets,
            kind,
            kernel_name: "rx_dropped".into(),
            source: "test".into(),
            ..Counter::default()
        };
        let mut series = Series::new(counter);
        for &(at, value) in values {
            series.record(Timestamp::from_nanos(at), value);
        }
        series
    }

    fn span(start: i64, end: i64) -> Span {
        Span::new(Timestamp::from_nanos(start), Timestamp::from_nanos(end))
    }

    #[test]
    fn equal_values_leave_no_trace() {
        assert_eq!(series(CounterKind::Monotonic, &[(1, 5), (2, 5), (3, 5), (4, 6)]).points().len(), 2);
    }

    #[test]
    fn growth_is_counted_between_the_ends_of_a_span() {
        let s = series(CounterKind::Monotonic, &[(10, 100), (20, 110), (30, 444)]);
        assert_eq!(s.grown(span(10, 30)), Some(344));
        assert_eq!(s.grown(span(20, 25)), Some(0));
        assert_eq!(s.grown(span(0, 20)), Some(10));
    }

    #[test]
    fn growth_across_a_reset_is_not_told() {
        let s = series(CounterKind::Monotonic, &[(10, 100), (20, 3), (30, 7)]);
        assert_eq!(s.grown(span(10, 30)), None);
        assert_eq!(s.grown(span(20, 30)), Some(4));
    }

    #[test]
    fn a_gauge_may_fall() {
        let s = series(CounterKind::Gauge, &[(10, 182), (20, 180)]);
        assert_eq!(s.grown(span(10, 20)), Some(-2));
    }
}
