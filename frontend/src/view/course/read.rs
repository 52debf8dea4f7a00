//! The values of a course in words: at one column for the crosshair, and in stretches for the table, its twin.

use super::paint::{column_ns, rate};
use crate::format;
use crate::text::{Value, t, tn};
use dropscope_core::query::{Course, CourseSide, Reach};
use dropscope_core::time::{Nanos, Timestamp};
use std::ops::Range;

/// Lines of the table.
const LINES: u32 = 20;

/// When a column begins.
pub fn time_of(course: &Course, column: u32) -> Timestamp {
    course.span.start + Nanos::new((column_ns(course) * f64::from(column)) as i64)
}

/// What a stretch of columns holds, in words; what is not there is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// When it begins.
    pub time: String,
    /// Round trips, smallest to largest.
    pub rtt: String,
    /// Most bytes in flight.
    pub in_flight: String,
    /// Smallest window.
    pub window: String,
    /// Throughput and goodput.
    pub throughput: String,
    /// See `throughput`.
    pub goodput: String,
}

/// The values of some columns.
pub fn words(course: &Course, side: &CourseSide, columns: Range<u32>) -> Words {
    let within = |points: &[Reach]| -> Option<(u64, u64)> {
        let inside = points.iter().filter(|point| columns.contains(&point.column));
        inside.map(|point| (point.low, point.high)).reduce(|(low, high), (l, h)| (low.min(l), high.max(h)))
    };
    // What holds from before: the last value up to there.
    let held = |points: &[Reach]| points.iter().rev().find(|point| point.column < columns.start).map(|point| point.last);
    let stands = |points: &[Reach]| match (within(points), held(points)) {
        (Some((low, high)), Some(before)) => Some((low.min(before), high.max(before))),
        (within, held) => within.or(held.map(|value| (value, value))),
    };
    let sum =
        |values: &[(u32, u64)]| values.iter().filter(|(column, _)| columns.contains(column)).map(|(_, bytes)| bytes).sum::<u64>();
    let rtt = within(&side.rtt).or(within(&side.rtt_echoed));
    let ns = column_ns(course) * f64::from(columns.end - columns.start);
    let time = |ns: u64| Nanos::new(ns as i64).to_string();
    Words {
        time: format::time_of_day(time_of(course, columns.start), 6),
        rtt: match rtt {
            None => String::new(),
            Some((low, high)) if low == high => time(low),
            Some((low, high)) => format!("{} – {}", time(low), time(high)),
        },
        in_flight: stands(&side.in_flight).map(|(_, high)| format::bytes(high)).unwrap_or_default(),
        window: stands(&side.window).map(|(low, _)| format::bytes(low)).unwrap_or_default(),
        throughput: rate(sum(&side.wire), ns),
        goodput: rate(sum(&side.delivered), ns),
    }
}

impl Words {
    /// As one line for the crosshair and for screen readers.
    pub fn line(&self) -> String {
        let named = [
            ("course-rtt", &self.rtt),
            ("course-in-flight", &self.in_flight),
            ("course-window", &self.window),
            ("course-throughput", &self.throughput),
            ("course-goodput", &self.goodput),
        ];
        let parts = named.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{} {value}", t(name)));
        std::iter::once(self.time.clone()).chain(parts).collect::<Vec<_>>().join(" · ")
    }
}

/// The stretches of the table.
pub fn stretches(course: &Course) -> Vec<Range<u32>> {
    let each = course.columns.div_ceil(LINES).max(1);
    (0..course.columns).step_by(each as usize).map(|first| first..(first + each).min(course.columns)).collect()
}

/// What the whole of a direction amounts to.
pub fn summary(course: &Course, side: &CourseSide) -> String {
    let whole = words(course, side, 0..course.columns);
    let shown = tn(
        "course-summary",
        &[
            ("wire", Value::Text(&format::bytes(side.wire_bytes))),
            ("delivered", Value::Text(&format::bytes(side.delivered_bytes))),
        ],
    );
    if whole.rtt.is_empty() { shown } else { format!("{shown} · {} {}", t("course-rtt"), whole.rtt) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dropscope_core::query::FlowRow;
    use dropscope_core::time::Span;

    fn course() -> Course {
        let at = |ms: i64| Timestamp::from_nanos(ms * 1_000_000);
        let reach = |column, low, high, last| Reach { column, low, high, last };
        let side = CourseSide {
            rtt: vec![reach(3, 1_000_000, 2_000_000, 2_000_000)],
            in_flight: vec![reach(0, 0, 300, 100), reach(5, 0, 50, 0)],
            window: vec![reach(0, 4_000, 4_000, 4_000)],
            wire: vec![(3, 1_250)],
            delivered: vec![(3, 1_000)],
            ..CourseSide::default()
        };
        Course {
            revision: 1,
            flow: FlowRow::default(),
            span: Span::new(at(0), at(10_000)),
            columns: 10,
            complete: true,
            packets: 3,
            scaled: true,
            sides: [side, CourseSide::default()],
        }
    }

    #[test]
    fn what_holds_from_before_is_told_and_what_is_not_there_is_left_out() {
        let course = course();
        let at = |columns| words(&course, &course.sides[0], columns);
        assert_eq!(
            at(3..4),
            Words {
                time: "00:00:03.000000".into(),
                rtt: "1.00 ms – 2.00 ms".into(),
                in_flight: "100 B".into(),
                window: "4.00 kB".into(),
                throughput: "10.0 kbit/s".into(),
                goodput: "8.0 kbit/s".into(),
            }
        );
        assert_eq!((at(7..8).in_flight, at(7..8).rtt), ("0 B".into(), String::new()));
        // A round trip once, bytes in flight at most what stood at the beginning.
        assert_eq!(at(0..10).in_flight, "300 B");
        assert_eq!(words(&course, &course.sides[1], 0..10).window, "");
    }

    #[test]
    fn the_table_has_a_line_for_each_stretch_and_no_more_than_twenty() {
        let mut course = course();
        assert_eq!(stretches(&course).len(), 10);
        course.columns = 333;
        let lines = stretches(&course);
        assert_eq!((lines.len(), lines[0].clone(), lines[19].clone()), (20, 0..17, 323..333));
    }
}
