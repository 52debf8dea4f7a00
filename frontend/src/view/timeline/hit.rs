//! What lies under the pointer: the words to show, and what a click there means. Pure.

use super::paint::{Lane, Scene};
use crate::format;
use dropscope_core::anchor::Anchor;
use dropscope_core::anchor::Place;
use dropscope_core::query::{Track, TrackMarks};
use dropscope_core::time::Span;

/// What a click means.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A finding, by id.
    Finding(String),
    /// A place.
    Anchor(Anchor),
    /// A stretch of time, with the counters over it.
    Counters(Span),
}

/// What lies under the pointer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hit {
    /// To show beside the pointer.
    pub words: String,
    /// What a click means; `None` where there is nothing to choose.
    pub target: Option<Target>,
}

/// How near the pointer has to come, in pixels.
const REACH: f64 = 6.0;

/// What lies at `x`, `y` of the tracks.
pub fn hit(scene: &Scene<'_>, lanes: &[Lane], x: f64, y: f64) -> Hit {
    let at = scene.scale.time_from_px(x);
    let place = lanes.iter().position(|l| y >= l.top && y < l.top + l.height);
    let here = place.and_then(|i| scene.timeline.tracks.get(i).map(|track| in_track(scene, track, x)));
    let (words, target) = here.unwrap_or_default();
    let digits = if scene.scale.ns_from_px(1.0) < 1e6 { 6 } else { 3 };
    let time = format::time_of_day(at, digits);
    Hit { words: if words.is_empty() { time } else { format!("{time}  {words}") }, target }
}

fn in_track(scene: &Scene<'_>, track: &Track, x: f64) -> (String, Option<Target>) {
    let scale = &scene.scale;
    match &track.marks {
        TrackMarks::Spans { spans } => spans
            .iter()
            .filter(|s| {
                x >= scale.px_from_time(s.span.start) - 1.0
                    && x <= scale.px_from_time(s.span.end).max(scale.px_from_time(s.span.start) + 6.0)
            })
            .max_by_key(|s| s.severity)
            .map(|s| (format!("{} · {}", s.rule, s.span.length()), Some(Target::Finding(s.id.as_str().to_owned()))))
            .unwrap_or_default(),
        TrackMarks::Columns { columns, .. } => {
            let Some(span) = scene.timeline.span else { return Default::default() };
            let (left, right) = (scale.px_from_time(span.start), scale.px_from_time(span.end));
            let i = ((x - left) / (right - left) * columns.len() as f64).floor();
            let column = (i >= 0.0).then(|| columns.get(i as usize)).flatten();
            let words = column.filter(|c| c.1 > 0.0).map(|(low, high)| {
                let range = if low == high {
                    format::short(*high)
                } else {
                    format!("{} – {}", format::short(*low), format::short(*high))
                };
                format!("{range} {}", track.title)
            });
            (words.unwrap_or_default(), None)
        }
        TrackMarks::Ticks { ticks } => {
            let near = ticks.iter().map(|t| (t, (scale.px_from_time(t.at) - x).abs())).filter(|(_, d)| *d <= REACH);
            let Some((tick, _)) = near.min_by(|a, b| a.1.total_cmp(&b.1)) else { return Default::default() };
            let kind = tick.kind.replace('_', " ");
            let words = match (tick.count, tick.no) {
                (1, Some(no)) => format!("{kind} · packet {no}"),
                (n, _) => format!("{n} × {kind}"),
            };
            (words, tick.no.map(|no| Target::Anchor(Place::Packet(no).into())))
        }
        TrackMarks::Steps { steps, .. } => {
            let at = scale.time_from_px(x);
            let after = steps.partition_point(|s| s.0 <= at);
            let Some((time, value, change)) = after.checked_sub(1).and_then(|i| steps.get(i)) else { return Default::default() };
            let words = format!("{} = {} ({})", track.title, format::count(*value), format::change(*change));
            let before = after.checked_sub(2).and_then(|i| steps.get(i)).map(|s| s.0);
            (words, before.map(|before| Target::Counters(Span::new(before, *time))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::paint::lanes;
    use super::super::scale::Scale;
    use super::*;
    use dropscope_core::ids::PacketNo;
    use dropscope_core::query::{Tick, Timeline};
    use dropscope_core::time::Timestamp;

    #[test]
    fn the_pointer_finds_a_tick_near_it_and_a_step_before_it() {
        let t = |s: i64| Timestamp::from_nanos(s * 1_000_000_000);
        let track =
            |marks| Track { slug: String::new(), title: "eth0 RX-DRP".into(), about: String::new(), unit: String::new(), marks };
        let ticks = vec![Tick { at: t(5), kind: "syn_retry".into(), count: 1, no: Some(PacketNo(7)) }];
        let steps = vec![(t(0), 0, 0), (t(4), 344, 344)];
        let tracks = vec![track(TrackMarks::Ticks { ticks }), track(TrackMarks::Steps { steps, limit: None })];
        let span = Span::new(t(0), t(10));
        let timeline = Timeline { span: Some(span), tracks, ..Timeline::default() };
        let scene = Scene { timeline: &timeline, scale: Scale { span, width: 100.0 }, selected: None, finding: None };
        let lanes = lanes(&timeline.tracks);
        let near = hit(&scene, &lanes, 53.0, 10.0);
        assert_eq!(near.words, "00:00:05.300  syn retry · packet 7");
        assert_eq!(near.target, Some(Target::Anchor(Place::Packet(PacketNo(7)).into())));
        assert_eq!(hit(&scene, &lanes, 70.0, 10.0).target, None);
        let step = hit(&scene, &lanes, 60.0, 30.0);
        assert_eq!(step.words, "00:00:06.000  eth0 RX-DRP = 344 (+344)");
        assert_eq!(step.target, Some(Target::Counters(Span::new(t(0), t(4)))));
    }
}
