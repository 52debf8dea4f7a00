//! What the timeline draws, as plain operations: pure, so that tests read a drawing as text.
//!
//! Never more operations than a few per pixel column; both the smallest and the largest value of a column are drawn, so that
//! a burst of one packet cannot vanish; stretches without capture are hatched, not drawn as zero.

use super::scale::{Scale, decimals};
use crate::format;
use dropscope_core::finding::Severity;
use dropscope_core::query::{FindingSpan, Tick, Timeline, Track, TrackMarks};
use dropscope_core::time::{Span, Timestamp};

/// A colour by its meaning; the theme knows how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ink {
    /// Words.
    Text,
    /// Words of less weight.
    Muted,
    /// Hairlines.
    Line,
    /// What is selected.
    Accent,
    /// Severe findings.
    Critical,
    /// Findings to mind.
    Warning,
    /// Findings to know.
    Note,
    /// Tracks, from a set that colour-blind readers tell apart.
    Track(u8),
    /// The ground.
    Ground,
}

/// The custom property of each ink.
pub const INKS: [(Ink, &str); 15] = [
    (Ink::Text, "--text"),
    (Ink::Muted, "--muted"),
    (Ink::Line, "--line"),
    (Ink::Accent, "--accent"),
    (Ink::Critical, "--critical"),
    (Ink::Warning, "--warning"),
    (Ink::Note, "--note"),
    (Ink::Track(0), "--track-0"),
    (Ink::Track(1), "--track-1"),
    (Ink::Track(2), "--track-2"),
    (Ink::Track(3), "--track-3"),
    (Ink::Track(4), "--track-4"),
    (Ink::Track(5), "--track-5"),
    (Ink::Track(6), "--track-6"),
    (Ink::Ground, "--ground"),
];

impl Ink {
    /// Its custom property.
    pub fn property(self) -> &'static str {
        INKS.iter().find(|(ink, _)| *ink == self).map_or("--text", |(_, property)| property)
    }
}

/// One stroke of the pen. Pixels from the top left corner; `alpha` from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub enum DrawOp {
    /// A filled rectangle.
    Fill {
        /// Left, top, width, height.
        at: [f64; 4],
        /// Its colour.
        ink: Ink,
        /// How opaque.
        alpha: f64,
    },
    /// Lines from point to point.
    Lines {
        /// The points.
        points: Vec<(f64, f64)>,
        /// Its colour.
        ink: Ink,
    },
    /// Words; `right` means they end at `x`.
    Words {
        /// Left or right edge.
        x: f64,
        /// The baseline.
        y: f64,
        /// The words.
        text: String,
        /// Their colour.
        ink: Ink,
        /// Whether they end at `x`.
        right: bool,
    },
    /// A slanted hatching over a rectangle.
    Hatch {
        /// Left, top, width, height.
        at: [f64; 4],
    },
}

/// Where a track lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lane {
    /// From the top of the tracks.
    pub top: f64,
    /// Its height.
    pub height: f64,
}

/// Height of the overview strip, and of the ruler below it.
pub const OVERVIEW_PX: f64 = 28.0;
/// See [`OVERVIEW_PX`].
pub const RULER_PX: f64 = 20.0;

/// What there is to draw.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The engine's answer.
    pub timeline: &'a Timeline,
    /// What is shown.
    pub scale: Scale,
    /// The selected span.
    pub selected: Option<Span>,
    /// The open finding.
    pub finding: Option<&'a str>,
}

/// The lanes of tracks, from the top.
pub fn lanes(tracks: &[Track]) -> Vec<Lane> {
    let mut top = 0.0;
    let height = |track: &Track| match &track.marks {
        TrackMarks::Spans { spans } => 8.0 + 16.0 * f64::from(rows_of(spans).iter().max().map_or(1, |n| n + 1)),
        TrackMarks::Columns { .. } => 40.0,
        TrackMarks::Ticks { .. } => 24.0,
        TrackMarks::Steps { .. } => 32.0,
    };
    tracks
        .iter()
        .map(|track| {
            let lane = Lane { top, height: height(track) };
            top += lane.height;
            lane
        })
        .collect()
}

/// The row of each finding's bar, so that those which overlap lie below each other; at most four rows.
fn rows_of(spans: &[FindingSpan]) -> Vec<u32> {
    let mut ends: Vec<Timestamp> = vec![];
    spans
        .iter()
        .map(|s| {
            let row = ends.iter().position(|end| *end < s.span.start).unwrap_or_else(|| {
                if ends.len() < 4 {
                    ends.push(Timestamp::MIN);
                }
                ends.len() - 1
            });
            ends[row] = ends[row].max(s.span.end);
            row as u32
        })
        .collect()
}

/// Overview strip and ruler.
pub fn paint_head(scene: &Scene<'_>) -> Vec<DrawOp> {
    let mut ops = vec![];
    let width = scene.scale.width;
    if let Some(whole) = scene.timeline.whole {
        let overview = Scale { span: whole, width };
        let columns = &scene.timeline.overview;
        let max = columns.iter().copied().max().unwrap_or(0).max(1);
        let step = width / columns.len().max(1) as f64;
        for (i, n) in columns.iter().enumerate().filter(|(_, n)| **n > 0) {
            // The square root keeps single packets visible beside bursts.
            let h = (f64::from(*n) / f64::from(max)).sqrt() * (OVERVIEW_PX - 6.0);
            ops.push(fill(i as f64 * step, OVERVIEW_PX - 2.0 - h.max(1.5), step.max(1.0), h.max(1.5), Ink::Track(0), 0.75));
        }
        if let Some(selected) = scene.selected {
            let (a, b) = edges(&overview, selected);
            ops.push(fill(a, 0.0, (b - a).max(1.0), OVERVIEW_PX, Ink::Accent, 0.25));
        }
        let (a, b) = edges(&overview, scene.scale.span);
        ops.push(fill(0.0, 0.0, a.max(0.0), OVERVIEW_PX, Ink::Ground, 0.65));
        ops.push(fill(b, 0.0, (width - b).max(0.0), OVERVIEW_PX, Ink::Ground, 0.65));
        if a > 0.5 || b < width - 0.5 {
            let (a, b) = (a.max(0.5), b.min(width - 0.5).max(a + 2.0));
            ops.push(DrawOp::Lines {
                points: vec![(a, 0.5), (b, 0.5), (b, OVERVIEW_PX - 0.5), (a, OVERVIEW_PX - 0.5), (a, 0.5)],
                ink: Ink::Accent,
            });
        }
    }
    let bottom = OVERVIEW_PX + RULER_PX;
    ops.push(fill(0.0, OVERVIEW_PX, width, 1.0, Ink::Line, 1.0));
    let (times, step) = scene.scale.ruler(110.0);
    let mut taken = f64::MIN;
    for t in times {
        let x = scene.scale.px_from_time(t).round();
        ops.push(fill(x, bottom - 6.0, 1.0, 6.0, Ink::Line, 1.0));
        let text = format::time_of_day(t, decimals(step));
        // What would be cut at the edge stands before its tick, where it does not touch the one before.
        let room = 7.0 * text.len() as f64;
        let right = x + 4.0 + room > width;
        let from = if right { x - 4.0 - room } else { x + 4.0 };
        if from > taken + 8.0 {
            taken = from + room;
            ops.push(DrawOp::Words { x: if right { x - 4.0 } else { from }, y: bottom - 6.0, text, ink: Ink::Muted, right });
        }
    }
    if let Some(selected) = scene.selected {
        let (a, b) = edges(&scene.scale, selected);
        ops.push(fill(a, OVERVIEW_PX + 1.0, (b - a).max(1.0), RULER_PX - 1.0, Ink::Accent, 0.18));
    }
    ops
}

/// The tracks.
pub fn paint_tracks(scene: &Scene<'_>, lanes: &[Lane]) -> Vec<DrawOp> {
    let mut ops = vec![];
    let scale = &scene.scale;
    let height = lanes.last().map_or(0.0, |l| l.top + l.height);
    for t in scale.ruler(110.0).0 {
        ops.push(fill(scale.px_from_time(t).round(), 0.0, 1.0, height, Ink::Line, 0.5));
    }
    for gap in &scene.timeline.gaps {
        let (a, b) = edges(scale, *gap);
        if b > 0.0 && a < scale.width {
            ops.push(DrawOp::Hatch { at: [a.max(0.0), 0.0, (b.min(scale.width) - a.max(0.0)).max(1.0), height] });
        }
    }
    // Below what is drawn of it, with its edges outside: neither covers the packets it begins and ends with.
    if let Some(selected) = scene.selected {
        let (a, b) = edges(scale, selected);
        ops.push(fill(a, 0.0, (b - a).max(1.0), height, Ink::Accent, 0.1));
        ops.push(fill(a.floor() - EDGE_PX, 0.0, 1.0, height, Ink::Accent, 0.9));
        ops.push(fill(b.ceil() + EDGE_PX, 0.0, 1.0, height, Ink::Accent, 0.9));
    }
    let mut tint = 0;
    for (track, lane) in scene.timeline.tracks.iter().zip(lanes) {
        match &track.marks {
            TrackMarks::Spans { spans } => findings(&mut ops, scene, spans, *lane),
            TrackMarks::Columns { columns, max } => {
                bars(&mut ops, scene, columns, *max, *lane, Ink::Track(tint % 7));
                tint += 1;
            }
            TrackMarks::Ticks { ticks } => ticks_of(&mut ops, scale, ticks, *lane),
            TrackMarks::Steps { steps, limit } => {
                staircase(&mut ops, scale, steps, *limit, *lane, Ink::Track(tint % 7));
                tint += 1;
            }
        }
        ops.push(fill(0.0, lane.top + lane.height - 1.0, scale.width, 1.0, Ink::Line, 0.8));
    }
    ops
}

/// How far the edges of the selected span lie outside it: the column of its first packet may begin a pixel before it.
const EDGE_PX: f64 = 2.0;

fn fill(x: f64, y: f64, w: f64, h: f64, ink: Ink, alpha: f64) -> DrawOp {
    DrawOp::Fill { at: [x, y, w, h], ink, alpha }
}

fn edges(scale: &Scale, span: Span) -> (f64, f64) {
    // Kept near the canvas: a span may reach far beyond it.
    let clamp = |px: f64| px.clamp(-10.0, scale.width + 10.0);
    (clamp(scale.px_from_time(span.start)), clamp(scale.px_from_time(span.end)))
}

/// The ink of a severity.
pub fn ink_of(severity: Severity) -> Ink {
    match severity {
        Severity::Critical => Ink::Critical,
        Severity::Warning => Ink::Warning,
        Severity::Note => Ink::Note,
    }
}

fn findings(ops: &mut Vec<DrawOp>, scene: &Scene<'_>, spans: &[FindingSpan], lane: Lane) {
    let rows = rows_of(spans);
    // In the last row bars may overlap: a name stands where no other bar begins and no other name stands.
    let mut named: Vec<(u32, f64, f64)> = vec![];
    for (s, row) in spans.iter().zip(&rows) {
        let (a, b) = edges(&scene.scale, s.span);
        if b < 0.0 || a > scene.scale.width {
            continue;
        }
        let (w, top) = ((b - a).max(6.0), lane.top + 4.0 + 16.0 * f64::from(*row));
        let open = scene.finding == Some(s.id.as_str());
        ops.push(fill(a, top, w, 14.0, ink_of(s.severity), if open { 0.42 } else { 0.2 }));
        ops.push(fill(a, top, 3.0, 14.0, ink_of(s.severity), 1.0));
        let sign = match s.severity {
            Severity::Critical => "■",
            Severity::Warning => "▲",
            Severity::Note => "●",
        };
        let text = format!("{sign} {}", s.rule);
        let room = 8.0 * text.len() as f64;
        let x = if w > room { a.max(0.0) + 7.0 } else { a + w + 4.0 };
        let others = spans.iter().zip(&rows).filter(|(_, other)| *other == row);
        let mut begin = others.map(|(other, _)| edges(&scene.scale, other.span).0);
        let is_free = !begin.any(|at| at > a && at < x + room)
            && !named.iter().any(|(other, from, to)| other == row && *from < x + room && x < *to);
        if is_free && x + room <= scene.scale.width + 4.0 {
            named.push((*row, x, x + room));
            ops.push(DrawOp::Words { x, y: top + 11.0, text, ink: Ink::Text, right: false });
        }
    }
}

fn bars(ops: &mut Vec<DrawOp>, scene: &Scene<'_>, columns: &[(f64, f64)], max: f64, lane: Lane, ink: Ink) {
    let Some(span) = scene.timeline.span else { return };
    // While zooming the answer is still that of the span before: its columns are drawn where they belong now.
    let (left, right) = (scene.scale.px_from_time(span.start), scene.scale.px_from_time(span.end));
    let step = (right - left) / columns.len().max(1) as f64;
    let room = lane.height - 8.0;
    let bottom = lane.top + lane.height - 2.0;
    let px = |value: f64| if max > 0.0 { value / max * room } else { 0.0 };
    for (i, (low, high)) in columns.iter().enumerate() {
        let x = left + i as f64 * step;
        if *high <= 0.0 || x + step < 0.0 || x > scene.scale.width {
            continue;
        }
        let (low, high) = (px(*low), px(*high).max(1.5));
        if low > 0.5 {
            ops.push(fill(x, bottom - low, step.max(1.0), low, ink, 0.9));
        }
        if high > low {
            ops.push(fill(x, bottom - high, step.max(1.0), high - low, ink, if low > 0.5 { 0.45 } else { 0.75 }));
        }
    }
    if max > 0.0 {
        let text = format::short(max);
        ops.push(DrawOp::Words { x: scene.scale.width - 4.0, y: lane.top + 11.0, text, ink: Ink::Muted, right: true });
    }
}

/// The colour of a kind of tick. One shape each as well: see [`ticks_of`].
fn ink_of_tick(kind: &str) -> Ink {
    match kind {
        "retransmission" | "syn_retry" => Ink::Track(1),
        "missing" | "drop" => Ink::Critical,
        "zero_window" => Ink::Track(4),
        "reset" => Ink::Track(3),
        _ => Ink::Track(2),
    }
}

fn ticks_of(ops: &mut Vec<DrawOp>, scale: &Scale, ticks: &[Tick], lane: Lane) {
    let (top, bottom) = (lane.top + 5.0, lane.top + lane.height - 6.0);
    let middle = (top + bottom) / 2.0;
    for tick in ticks {
        let x = scale.px_from_time(tick.at).round() + 0.5;
        if !(-6.0..=scale.width + 6.0).contains(&x) {
            continue;
        }
        let ink = ink_of_tick(&tick.kind);
        let points = match tick.kind.as_str() {
            "retransmission" => vec![(x, top), (x, bottom)],
            "syn_retry" => vec![(x - 3.0, middle + 4.0), (x, top), (x + 3.0, middle + 4.0)],
            "missing" => vec![
                (x - 3.0, middle - 3.0),
                (x + 3.0, middle - 3.0),
                (x + 3.0, middle + 3.0),
                (x - 3.0, middle + 3.0),
                (x - 3.0, middle - 3.0),
            ],
            "zero_window" => vec![(x - 4.0, bottom), (x + 4.0, bottom)],
            "reset" => vec![
                (x - 3.0, middle - 3.0),
                (x + 3.0, middle + 3.0),
                (x, middle),
                (x - 3.0, middle + 3.0),
                (x + 3.0, middle - 3.0),
            ],
            "drop" => vec![(x - 3.0, top + 2.0), (x + 3.0, top + 2.0), (x, bottom), (x - 3.0, top + 2.0)],
            _ => vec![(x, middle - 4.0), (x + 4.0, middle), (x, middle + 4.0), (x - 4.0, middle), (x, middle - 4.0)],
        };
        ops.push(DrawOp::Lines { points, ink });
    }
}

fn staircase(ops: &mut Vec<DrawOp>, scale: &Scale, steps: &[(Timestamp, u64, i64)], limit: Option<u64>, lane: Lane, ink: Ink) {
    let Some((_, first, _)) = steps.first() else { return };
    let largest = steps.iter().map(|s| s.1).max().unwrap_or(0);
    let smallest = steps.iter().map(|s| s.1).min().unwrap_or(0);
    let (low, high) = match limit {
        Some(limit) => (0, limit.max(largest)),
        None => (smallest, largest),
    };
    let range = (high - low) as f64;
    let (bottom, room) = (lane.top + lane.height - 4.0, lane.height - 16.0);
    let y = |value: u64| bottom - if range > 0.0 { (value - low) as f64 / range * room } else { 0.0 };
    let mut points = vec![];
    let mut at = y(*first);
    let total = match limit {
        Some(limit) => format!("{} / {}", format::count(largest), format::count(limit)),
        None => format::count(largest),
    };
    let edge = scale.width - 7.0 * total.chars().count() as f64 - 8.0;
    let mut labelled_to = f64::MIN;
    for (time, value, change) in steps {
        let x = scale.px_from_time(*time).clamp(-10.0, scale.width + 10.0);
        if points.is_empty() {
            points.push((x, at));
        }
        points.push((x, at));
        at = y(*value);
        points.push((x, at));
        if *change <= 0 || limit.is_some() || x <= 0.0 || x >= scale.width {
            continue;
        }
        // After the step, or before it where the total stands; left out where it would touch the one before.
        let text = format::change(*change);
        let room = 7.0 * text.len() as f64 + 8.0;
        let right = x + room > edge;
        let (from, to) = if right { (x.min(edge) - room, x.min(edge)) } else { (x, x + room) };
        if from >= labelled_to {
            let x = if right { to - 4.0 } else { from + 4.0 };
            ops.push(DrawOp::Words { x, y: (at - 3.0).max(lane.top + 10.0), text, ink: Ink::Text, right });
            labelled_to = to;
        }
    }
    points.push((scale.width, at));
    ops.push(DrawOp::Lines { points, ink });
    ops.push(DrawOp::Words { x: scale.width - 4.0, y: lane.top + 11.0, text: total, ink: Ink::Muted, right: true });
}

#[cfg(test)]
mod tests {
    use super::*;
    use dropscope_core::finding::{FindingId, Subject};

    const SECOND: i64 = 1_000_000_000;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_nanos((seconds * SECOND as f64) as i64)
    }

    fn track(marks: TrackMarks) -> Track {
        Track { slug: "t".into(), title: "t".into(), about: String::new(), unit: "packets".into(), marks }
    }

    /// A drawing as text: one line an operation, whole pixels, grid and hairlines left out.
    fn drawn(marks: TrackMarks) -> Vec<String> {
        drawn_with(marks, None)
    }

    fn drawn_with(marks: TrackMarks, selected: Option<Span>) -> Vec<String> {
        let span = Span::new(at(0.0), at(10.0));
        let timeline = Timeline { span: Some(span), whole: Some(span), tracks: vec![track(marks)], ..Timeline::default() };
        let scene = Scene { timeline: &timeline, scale: Scale { span, width: 100.0 }, selected, finding: None };
        let lanes = lanes(&timeline.tracks);
        let text = |op: &DrawOp| match op {
            DrawOp::Fill { ink: Ink::Line, .. } => None,
            DrawOp::Fill { at: [x, y, w, h], ink, alpha } => Some(format!("fill {x:.0},{y:.0} {w:.0}x{h:.0} {ink:?} {alpha}")),
            DrawOp::Lines { points, ink } => {
                let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.0},{y:.0}")).collect();
                Some(format!("lines {} {ink:?}", points.join(" ")))
            }
            DrawOp::Words { x, text, .. } => Some(format!("words {x:.0} {text}")),
            DrawOp::Hatch { .. } => Some("hatch".into()),
        };
        paint_tracks(&scene, &lanes).iter().filter_map(text).collect()
    }

    #[test]
    fn a_burst_of_one_packet_among_many_stays_visible() {
        let columns = vec![(0.0, 1.0), (0.0, 0.0), (1_000.0, 1_000.0), (200.0, 800.0)];
        assert_eq!(
            drawn(TrackMarks::Columns { columns, max: 1_000.0 }),
            [
                "fill 0,36 25x2 Track(0) 0.75",
                "fill 50,6 25x32 Track(0) 0.9",
                "fill 75,32 25x6 Track(0) 0.9",
                "fill 75,12 25x19 Track(0) 0.45",
                "words 96 1000",
            ]
        );
    }

    #[test]
    fn a_selected_span_covers_none_of_its_packets() {
        let columns = (0..100).map(|i| if i == 20 || i == 60 { (0.0, 1.0) } else { (0.0, 0.0) }).collect();
        assert_eq!(
            drawn_with(TrackMarks::Columns { columns, max: 1.0 }, Some(Span::new(at(2.05), at(6.05)))),
            [
                "fill 20,0 40x40 Accent 0.1",
                "fill 18,0 1x40 Accent 0.9",
                "fill 63,0 1x40 Accent 0.9",
                "fill 20,6 1x32 Track(0) 0.75",
                "fill 60,6 1x32 Track(0) 0.75",
                "words 96 1",
            ]
        );
    }

    #[test]
    fn a_counter_step_is_drawn_with_its_change() {
        let steps = vec![(at(0.0), 100, 0), (at(5.0), 444, 344)];
        assert_eq!(
            drawn(TrackMarks::Steps { steps, limit: None }),
            ["words 46 +344", "lines 0,28 0,28 0,28 50,28 50,12 100,12 Track(0)", "words 96 444"]
        );
    }

    #[test]
    fn a_gauge_is_drawn_against_its_limit() {
        let steps = vec![(at(0.0), 182, 0)];
        assert_eq!(
            drawn(TrackMarks::Steps { steps, limit: Some(262_144) }).last().map(String::as_str),
            Some("words 96 182 / 262,144")
        );
    }

    fn finding(rule: &str, a: f64, b: f64) -> FindingSpan {
        FindingSpan {
            id: FindingId::new(rule, &Subject::Host { address: "10.0.0.1".into() }, &Span::at(at(a)).into_anchor()),
            rule: rule.into(),
            severity: Severity::Critical,
            span: Span::new(at(a), at(b)),
        }
    }

    #[test]
    fn names_of_findings_never_lie_upon_each_other() {
        // More at a time than there are rows: the last three share one.
        let spans =
            ["a", "b", "c", "d", "e", "f"].iter().enumerate().map(|(no, rule)| finding(rule, no as f64 / 2.0, 10.0)).collect();
        let words: Vec<String> = drawn(TrackMarks::Spans { spans }).into_iter().filter(|op| op.starts_with("words")).collect();
        assert_eq!(words, ["words 7 ■ a", "words 12 ■ b", "words 17 ■ c", "words 32 ■ f"]);
    }

    #[test]
    fn findings_that_overlap_lie_below_each_other() {
        let spans = vec![finding("a", 0.0, 5.0), finding("b", 4.0, 6.0), finding("c", 5.5, 9.0)];
        assert_eq!(rows_of(&spans), [0, 1, 0]);
        assert_eq!(lanes(&[track(TrackMarks::Spans { spans })])[0].height, 40.0);
    }

    #[test]
    fn every_kind_of_tick_has_a_shape_of_its_own() {
        let kinds = ["retransmission", "missing", "zero_window", "reset", "icmp_error", "syn_retry", "drop"];
        let shapes: std::collections::BTreeSet<String> = kinds
            .into_iter()
            .map(|kind| {
                drawn(TrackMarks::Ticks { ticks: vec![Tick { at: at(5.0), kind: kind.into(), count: 1, no: None }] }).join("")
            })
            .map(|line| line.split_whitespace().filter(|w| w.contains(',')).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(shapes.len(), kinds.len(), "{shapes:?}");
    }

    trait IntoAnchor {
        fn into_anchor(self) -> dropscope_core::anchor::Anchor;
    }
    impl IntoAnchor for Span {
        fn into_anchor(self) -> dropscope_core::anchor::Anchor {
            dropscope_core::anchor::Place::Span(self).into()
        }
    }
}
