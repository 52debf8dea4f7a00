//! Between recorded time and pixels: the only two words for a place on the timeline.
//!
//! ```text
//!   span.start                       span.end
//!       |───────────── time ────────────|
//!       0 ──────────── px ────────── width
//! ```
//! Nanoseconds since 1970 do not fit a double, so only offsets from the span's start become one.

use dropscope_core::time::{Nanos, Span, Timestamp};

/// A stretch of time laid over a number of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// What is shown.
    pub span: Span,
    /// On how many pixels; more than 0.
    pub width: f64,
}

/// The closest one can look: a viewport is never shorter than this.
const SHORTEST_NS: f64 = 1_000.0;

impl Scale {
    /// Where `t` lies; beyond the edges for times outside the span.
    pub fn px_from_time(&self, t: Timestamp) -> f64 {
        (t - self.span.start).get() as f64 / self.length_ns() * self.width
    }

    /// Which time lies at `px`.
    pub fn time_from_px(&self, px: f64) -> Timestamp {
        self.span.start + Nanos::new((px / self.width * self.length_ns()) as i64)
    }

    /// The span between two places.
    pub fn span_from_px(&self, a: f64, b: f64) -> Span {
        Span::new(self.time_from_px(a), self.time_from_px(b))
    }

    /// How long `px` pixels last, in nanoseconds.
    pub fn ns_from_px(&self, px: f64) -> f64 {
        px / self.width * self.length_ns()
    }

    fn length_ns(&self) -> f64 {
        (self.span.length().get() as f64).max(1.0)
    }

    /// The span after zooming by `factor` (below 1: closer) with the time at `px` staying where it is, within `whole`.
    pub fn zoomed(&self, px: f64, factor: f64, whole: Span) -> Span {
        let whole_ns = (whole.length().get() as f64).max(SHORTEST_NS);
        let length = (self.length_ns() * factor).clamp(SHORTEST_NS, whole_ns);
        let before = px / self.width * length;
        let fixed = self.time_from_px(px);
        within(fixed + Nanos::new(-before as i64), length, whole)
    }

    /// The span after moving by `px` pixels, within `whole`.
    pub fn panned(&self, px: f64, whole: Span) -> Span {
        within(self.time_from_px(px), self.length_ns(), whole)
    }

    /// Round times to write on a ruler, at least `apart` pixels from each other, with the step between them in nanoseconds.
    pub fn ruler(&self, apart: f64) -> (Vec<Timestamp>, i64) {
        let step = round_up(self.ns_from_px(apart).max(1.0));
        let first = self.span.start.nanos().div_euclid(step) + 1;
        let last = self.span.end.nanos().div_euclid(step);
        let most = (self.width / apart) as i64 + 2;
        let times = (first..=last.min(first + most)).map(|n| Timestamp::from_nanos(n * step)).collect();
        (times, step)
    }
}

/// A span of `length` nanoseconds from `start` on, moved so that it lies within `whole`.
fn within(start: Timestamp, length: f64, whole: Span) -> Span {
    let length = Nanos::new(length as i64);
    if length >= whole.length() {
        return whole;
    }
    let start = start.min(whole.end - length).max(whole.start);
    Span::new(start, start + length)
}

/// The next length of 1, 2 or 5 times a power of ten up to a second, then of clock-like seconds, minutes, hours.
fn round_up(ns: f64) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    let mut step = 1_i64;
    while step < SECOND {
        for factor in [1, 2, 5] {
            if (step * factor) as f64 >= ns {
                return step * factor;
            }
        }
        step *= 10;
    }
    let clock = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400];
    clock.into_iter().map(|s| s * SECOND).find(|s| *s as f64 >= ns).unwrap_or_else(|| {
        let days = (ns / 86_400e9).ceil().min(100_000.0) as i64;
        days * 86_400 * SECOND
    })
}

/// How many decimals of the second a ruler with this step needs.
pub fn decimals(step_ns: i64) -> usize {
    let mut digits = 0;
    let mut unit = 1_000_000_000;
    while unit > step_ns && digits < 9 {
        unit /= 10;
        digits += 1;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(a: i64, b: i64) -> Span {
        Span::new(Timestamp::from_nanos(a), Timestamp::from_nanos(b))
    }

    /// As late as captures are: differences of a nanosecond would be lost in a double here.
    const NOW: i64 = 1_795_332_673_000_000_000;

    #[test]
    fn time_and_pixels_are_inverse_to_each_other() {
        let scale = Scale { span: span(NOW, NOW + 10_000_000), width: 1_000.0 };
        for px in [0.0, 1.0, 499.5, 1_000.0, -20.0, 1_300.0] {
            assert!((scale.px_from_time(scale.time_from_px(px)) - px).abs() < 1e-3, "{px}");
        }
        assert_eq!(scale.time_from_px(500.0).nanos(), NOW + 5_000_000);
    }

    #[test]
    fn zooming_keeps_the_time_under_the_pointer() {
        let whole = span(NOW, NOW + 100_000_000_000);
        let scale = Scale { span: whole, width: 1_000.0 };
        let zoomed = Scale { span: scale.zoomed(250.0, 0.5, whole), ..scale };
        assert_eq!(zoomed.span.length().get(), 50_000_000_000);
        assert!((zoomed.px_from_time(scale.time_from_px(250.0)) - 250.0).abs() < 1e-3);
    }

    #[test]
    fn nothing_leads_out_of_the_whole() {
        let whole = span(NOW, NOW + 1_000_000);
        let scale = Scale { span: span(NOW + 100, NOW + 500_000), width: 100.0 };
        assert_eq!(scale.zoomed(50.0, 1e9, whole), whole);
        assert_eq!(scale.panned(1e6, whole).end, whole.end);
        assert_eq!(scale.panned(-1e6, whole).start, whole.start);
        assert_eq!(scale.zoomed(50.0, 1e-12, whole).length().get(), 1_000);
    }

    #[test]
    fn the_ruler_writes_round_times() {
        let scale = Scale { span: span(NOW, NOW + 3_300_000_000), width: 1_000.0 };
        let (times, step) = scale.ruler(100.0);
        assert_eq!(step, 500_000_000);
        assert_eq!(
            times.iter().map(|t| t.nanos() - NOW).collect::<Vec<_>>(),
            [500, 1_000, 1_500, 2_000, 2_500, 3_000].map(|ms| ms * 1_000_000)
        );
        assert_eq!([1, 500_000_000, 1_000_000_000, 60_000_000_000].map(decimals), [9, 1, 0, 0]);
        let (times, step) = Scale { span: span(NOW, NOW + 7_200_000_000_000), width: 1_000.0 }.ruler(100.0);
        assert_eq!((step, times.len()), (900_000_000_000, 8));
    }
}
