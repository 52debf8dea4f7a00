//! The timeline's twin: the same tracks as a table of times and values, for screen readers and for whoever prefers words.

use super::name;
use crate::format;
use crate::text::t;
use crate::widget::severity;
use dropscope_core::query::{Timeline, Track, TrackMarks};
use yew::prelude::*;

/// At most this many lines a track: the table is for reading, and zooming in shows the rest.
const MOST: usize = 200;

/// The tracks as a table.
pub fn table(timeline: &Timeline) -> Html {
    html! {
        <table class="table">
            <thead><tr><th>{ t("track") }</th><th class="num">{ t("time") }</th><th>{ t("value") }</th></tr></thead>
            <tbody>{ for timeline.tracks.iter().map(|track| rows(timeline, track)) }</tbody>
        </table>
    }
}

fn rows(timeline: &Timeline, track: &Track) -> Html {
    let row =
        |time: String, value: Html| html! { <tr><td>{ name(track) }</td><td class="num">{ time }</td><td>{ value }</td></tr> };
    match &track.marks {
        TrackMarks::Spans { spans } => spans
            .iter()
            .take(MOST)
            .map(|s| {
                let value =
                    html! { <>{ severity::sign(s.severity) }{ " " }{ &s.rule }{ " · " }{ s.span.length().to_string() }</> };
                row(format::time_of_day(s.span.start, 6), value)
            })
            .collect(),
        TrackMarks::Columns { columns, .. } => {
            buckets(timeline, columns).into_iter().map(|(time, low, high)| row(time, html! { range(low, high) })).collect()
        }
        TrackMarks::Ticks { ticks } => ticks
            .iter()
            .take(MOST)
            .map(|tick| {
                row(format::time_of_day(tick.at, 6), html! { format!("{} × {}", tick.count, tick.kind.replace('_', " ")) })
            })
            .collect(),
        TrackMarks::Steps { steps, .. } => steps
            .iter()
            .filter(|s| s.2 != 0)
            .take(MOST)
            .map(|(time, value, change)| {
                row(format::time_of_day(*time, 3), html! { format!("{} ({})", format::count(*value), format::change(*change)) })
            })
            .collect(),
    }
}

/// What a stretch lies between; one number where it does not change.
fn range(low: f64, high: f64) -> String {
    let (low, high) = (format::short(low), format::short(high));
    if low == high { low } else { format!("{low} – {high}") }
}

/// Columns put together to at most twenty stretches, with their smallest and largest value.
fn buckets(timeline: &Timeline, columns: &[(f64, f64)]) -> Vec<(String, f64, f64)> {
    let Some(span) = timeline.span.filter(|_| !columns.is_empty()) else { return vec![] };
    let each = columns.len().div_ceil(20);
    let scale = super::scale::Scale { span, width: columns.len() as f64 };
    columns
        .chunks(each)
        .enumerate()
        .map(|(i, part)| {
            let low = part.iter().map(|c| c.0).fold(f64::INFINITY, f64::min);
            let high = part.iter().map(|c| c.1).fold(0.0, f64::max);
            (format::time_of_day(scale.time_from_px((i * each) as f64), 3), low, high)
        })
        .collect()
}
