//! What the course draws, as plain operations: four charts below each other on one axis of time.
//!
//! Of each column the smallest and the largest value are drawn, so that a single late acknowledgement cannot vanish.

use crate::format;
use crate::text::t;
use crate::view::timeline::paint::{DrawOp, Ink};
use crate::view::timeline::scale::{Scale, decimals};
use dropscope_core::query::{Course, CourseSide, Reach};
use dropscope_core::time::{Nanos, Span};

/// Height of the ruler above the charts.
pub const RULER_PX: f64 = 20.0;
/// Height of one chart.
pub const CHART_PX: f64 = 84.0;
/// Room above the largest value of a chart.
const HEAD_PX: f64 = 14.0;
/// What is more than so many times what matters more is drawn at the upper edge: else it would flatten everything below it.
const FAR_ABOVE: u64 = 4;

/// What a line or bar of a chart is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The message that names it.
    pub text: &'static str,
    /// Its colour.
    pub ink: Ink,
}

/// One chart.
#[derive(Clone, Copy, Debug)]
pub struct Chart {
    /// The message that is its title.
    pub title: &'static str,
    /// The message that says what it shows, on hovering.
    pub about: &'static str,
    /// What is in it.
    pub keys: &'static [Key],
    draw: fn(&mut Sheet<'_>),
}

/// The charts from above.
pub const CHARTS: [Chart; 4] = [
    Chart {
        title: "course-rtt",
        about: "course-rtt-about",
        keys: &[Key { text: "course-by-ack", ink: Ink::Track(0) }, Key { text: "course-by-echo", ink: Ink::Track(1) }],
        draw: round_trips,
    },
    Chart {
        title: "course-in-flight",
        about: "course-in-flight-about",
        keys: &[Key { text: "course-bytes", ink: Ink::Track(2) }, Key { text: "course-window", ink: Ink::Track(3) }],
        draw: in_flight,
    },
    Chart {
        title: "course-rate",
        about: "course-rate-about",
        keys: &[Key { text: "course-throughput", ink: Ink::Track(0) }, Key { text: "course-goodput", ink: Ink::Track(1) }],
        draw: rates,
    },
    Chart {
        title: "course-sum",
        about: "course-sum-about",
        keys: &[Key { text: "course-on-the-wire", ink: Ink::Track(0) }, Key { text: "course-delivered", ink: Ink::Track(1) }],
        draw: sums,
    },
];

/// The height of everything.
pub const HEIGHT_PX: f64 = RULER_PX + CHART_PX * CHARTS.len() as f64;

/// Time of day at a column's beginning, and how long a column lasts.
pub fn column_ns(course: &Course) -> f64 {
    (course.span.length().get().max(1)) as f64 / f64::from(course.columns.max(1))
}

/// Bytes in one column as a rate: `12.3 Mbit/s`.
pub fn rate(bytes: u64, ns: f64) -> String {
    let bits = bytes as f64 * 8.0 / (ns / 1e9);
    let (value, unit) = match bits {
        b if b >= 1e9 => (b / 1e9, "Gbit/s"),
        b if b >= 1e6 => (b / 1e6, "Mbit/s"),
        b if b >= 1e3 => (b / 1e3, "kbit/s"),
        b => (b, "bit/s"),
    };
    let digits = if value >= 99.95 || value == 0.0 { 0 } else { 1 };
    format!("{value:.digits$} {unit}")
}

/// A chart under way.
struct Sheet<'a> {
    ops: &'a mut Vec<DrawOp>,
    course: &'a Course,
    side: &'a CourseSide,
    width: f64,
    bottom: f64,
    room: f64,
}

/// All charts of one direction over `width` pixels.
pub fn paint(course: &Course, side: &CourseSide, width: f64) -> Vec<DrawOp> {
    let mut ops = vec![];
    let span = Span::new(course.span.start, course.span.end.max(course.span.start + Nanos::new(1)));
    let scale = Scale { span, width };
    let (times, step) = scale.ruler(110.0);
    ops.push(fill(0.0, RULER_PX - 1.0, width, 1.0, Ink::Line, 1.0));
    for time in times {
        let x = scale.px_from_time(time).round();
        ops.push(fill(x, RULER_PX - 6.0, 1.0, HEIGHT_PX - RULER_PX + 6.0, Ink::Line, 0.6));
        let text = format::time_of_day(time, decimals(step));
        // A time that would be cut says nothing.
        if x + 4.0 + 7.0 * text.len() as f64 <= width {
            ops.push(DrawOp::Words { x: x + 4.0, y: RULER_PX - 6.0, text, ink: Ink::Muted, right: false });
        }
    }
    for (place, chart) in CHARTS.iter().enumerate() {
        let bottom = RULER_PX + CHART_PX * (place + 1) as f64 - 1.0;
        (chart.draw)(&mut Sheet { ops: &mut ops, course, side, width, bottom, room: CHART_PX - HEAD_PX });
        ops.push(fill(0.0, bottom, width, 1.0, Ink::Line, 0.8));
    }
    ops
}

fn fill(x: f64, y: f64, w: f64, h: f64, ink: Ink, alpha: f64) -> DrawOp {
    DrawOp::Fill { at: [x, y, w, h], ink, alpha }
}

impl Sheet<'_> {
    /// Where a column begins, and where it ends.
    fn x(&self, column: u32) -> f64 {
        f64::from(column) / f64::from(self.course.columns.max(1)) * self.width
    }

    fn y(&self, value: f64, most: f64) -> f64 {
        self.bottom - if most > 0.0 { (value / most).min(1.0) * self.room } else { 0.0 }
    }

    /// What the upper edge stands for.
    fn edge(&mut self, text: String) {
        let y = self.bottom - self.room - 3.0;
        self.ops.push(DrawOp::Words { x: self.width - 4.0, y, text, ink: Ink::Muted, right: true });
    }

    fn nothing(&mut self) {
        let y = self.bottom - self.room / 2.0;
        self.ops.push(DrawOp::Words { x: 8.0, y, text: t("course-nothing"), ink: Ink::Muted, right: false });
    }

    /// From the smallest to the largest value of each column.
    fn strokes(&mut self, points: &[Reach], most: f64, ink: Ink) {
        for point in points {
            let (x, next) = (self.x(point.column), self.x(point.column + 1));
            let (top, bottom) = (self.y(point.high as f64, most), self.y(point.low as f64, most));
            self.ops.push(fill(x, top - 1.0, (next - x).max(2.0), (bottom - top).max(0.0) + 2.0, ink, 0.9));
        }
    }

    /// A line from value to value, each holding until the next.
    fn stairs(&mut self, values: impl Iterator<Item = (u32, f64)>, most: f64, ink: Ink) {
        let mut points: Vec<(f64, f64)> = vec![];
        for (column, value) in values {
            let (x, y) = (self.x(column), self.y(value, most));
            if let Some((_, before)) = points.last().copied() {
                points.push((x, before));
            }
            points.push((x, y));
        }
        if let Some((_, y)) = points.last().copied() {
            points.push((self.width, y));
            self.ops.push(DrawOp::Lines { points, ink });
        }
    }
}

fn highest(points: &[Reach]) -> u64 {
    points.iter().map(|point| point.high).max().unwrap_or(0)
}

fn round_trips(sheet: &mut Sheet<'_>) {
    let (acked, echoed) = (highest(&sheet.side.rtt), highest(&sheet.side.rtt_echoed));
    if acked.max(echoed) == 0 {
        return sheet.nothing();
    }
    // Time stamps count milliseconds at best: they stand behind, and do not flatten what is told more finely.
    let most = if acked == 0 { echoed } else { acked.max(echoed.min(acked.saturating_mul(FAR_ABOVE))) };
    sheet.strokes(&sheet.side.rtt_echoed, most as f64, Ink::Track(1));
    sheet.strokes(&sheet.side.rtt, most as f64, Ink::Track(0));
    sheet.edge(Nanos::new(most as i64).to_string());
}

/// What the upper edge of the second chart stands for: the window, unless that is far above.
fn top_of_flight(side: &CourseSide) -> u64 {
    let (flight, window) = (highest(&side.in_flight), highest(&side.window));
    if flight == 0 { window } else { window.min(flight.saturating_mul(FAR_ABOVE)).max(flight) }
}

fn in_flight(sheet: &mut Sheet<'_>) {
    let side = sheet.side;
    let most = top_of_flight(side);
    if most == 0 {
        return sheet.nothing();
    }
    // What is in flight holds until the next point: an area.
    for (place, point) in side.in_flight.iter().enumerate() {
        let x = sheet.x(point.column);
        let next = sheet.x(point.column + 1);
        let until = side.in_flight.get(place + 1).map_or(sheet.width, |other| sheet.x(other.column));
        let (high, last) = (sheet.y(point.high as f64, most as f64), sheet.y(point.last as f64, most as f64));
        sheet.ops.push(fill(x, high, (next - x).max(1.0), sheet.bottom - high, Ink::Track(2), 0.8));
        if until > next {
            sheet.ops.push(fill(next, last, until - next, sheet.bottom - last, Ink::Track(2), 0.5));
        }
    }
    // The lowest of each column, where it holds the sender back.
    let windows = side.window.iter().map(|point| (point.column, point.low as f64));
    sheet.stairs(windows, most as f64, Ink::Track(3));
    let above = if highest(&side.window) > most { " ↑" } else { "" };
    sheet.edge(format!("{}{above}", format::bytes(most)));
}

fn rates(sheet: &mut Sheet<'_>) {
    let side = sheet.side;
    let most = side.wire.iter().chain(&side.delivered).map(|(_, bytes)| *bytes).max().unwrap_or(0);
    if most == 0 {
        return sheet.nothing();
    }
    for (values, ink, alpha) in [(&side.wire, Ink::Track(0), 0.75), (&side.delivered, Ink::Track(1), 0.9)] {
        // Goodput stands in front: what looks out above it is headers and repeats.
        for (column, bytes) in values {
            let (x, next) = (sheet.x(*column), sheet.x(column + 1));
            let y = sheet.y(*bytes as f64, most as f64);
            sheet.ops.push(fill(x, y, (next - x).max(1.0), sheet.bottom - y, ink, alpha));
        }
    }
    let ns = column_ns(sheet.course);
    sheet.edge(rate(most, ns));
}

fn sums(sheet: &mut Sheet<'_>) {
    let side = sheet.side;
    let most = side.wire_bytes.max(side.delivered_bytes);
    if most == 0 {
        return sheet.nothing();
    }
    for (values, ink) in [(&side.wire, Ink::Track(0)), (&side.delivered, Ink::Track(1))] {
        let mut sum = 0;
        let grown: Vec<(u32, f64)> = std::iter::once((0, 0.0))
            .chain(values.iter().map(|(column, bytes)| {
                sum += bytes;
                (*column, sum as f64)
            }))
            .collect();
        sheet.stairs(grown.into_iter(), most as f64, ink);
    }
    sheet.edge(format::bytes(most));
}

#[cfg(test)]
mod tests {
    use super::*;
    use dropscope_core::query::FlowRow;
    use dropscope_core::time::Timestamp;

    fn course(side: CourseSide) -> Course {
        let at = |ms: i64| Timestamp::from_nanos(ms * 1_000_000);
        Course {
            revision: 1,
            flow: FlowRow::default(),
            span: Span::new(at(0), at(1_000)),
            columns: 10,
            complete: true,
            packets: 3,
            scaled: true,
            sides: [side, CourseSide::default()],
        }
    }

    fn reach(column: u32, low: u64, high: u64) -> Reach {
        Reach { column, low, high, last: high }
    }

    #[test]
    fn a_window_far_above_what_is_in_flight_does_not_flatten_it() {
        let side = |window| CourseSide {
            in_flight: vec![reach(0, 0, 1_000)],
            window: vec![reach(0, window, window)],
            ..CourseSide::default()
        };
        assert_eq!(top_of_flight(&side(2_000)), 2_000);
        assert_eq!(top_of_flight(&side(500)), 1_000);
        assert_eq!(top_of_flight(&side(3_000_000)), 4_000);
        let words: Vec<String> = paint(&course(side(3_000_000)), &side(3_000_000), 100.0)
            .into_iter()
            .filter_map(|op| if let DrawOp::Words { text, right: true, .. } = op { Some(text) } else { None })
            .collect();
        assert_eq!(words, ["4.00 kB ↑"]);
    }

    #[test]
    fn the_largest_round_trip_reaches_the_upper_edge_and_is_named() {
        let side = CourseSide { rtt: vec![reach(2, 1_000_000, 4_000_000)], ..CourseSide::default() };
        let ops = paint(&course(side.clone()), &side, 100.0);
        let bottom = RULER_PX + CHART_PX - 1.0;
        let room = CHART_PX - HEAD_PX;
        let bar = fill(20.0, bottom - room - 1.0, 10.0, room * 0.75 + 2.0, Ink::Track(0), 0.9);
        assert!(ops.contains(&bar), "{ops:?}");
        assert!(ops.iter().any(|op| matches!(op, DrawOp::Words { text, .. } if text == "4.00 ms")));
    }

    #[test]
    fn rates_are_told_in_bits_a_second() {
        assert_eq!(
            [rate(125, 1e6), rate(1_250_000, 1e9), rate(0, 1e9), rate(1, 1e9)],
            ["1.0 Mbit/s", "10.0 Mbit/s", "0 bit/s", "8.0 bit/s"]
        );
    }
}
