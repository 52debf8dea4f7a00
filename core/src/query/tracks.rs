//! The timeline: tracks over one axis of time.

use super::engine::Knowledge;
use super::scan::Selected;
use super::{Answer, FilterError, FindingSpan, Tick, Timeline, Track, TrackMarks, drops};
use crate::counters::Series;
use crate::ids::{CounterId, PacketNo};
use crate::log::block::{CounterKind, KernelDrop};
use crate::sort;
use crate::store::Kind;
use crate::time::{Span, Timestamp};
use crate::timeline::{Histogram, SLICES, Scale, rates};
use std::collections::BTreeMap;

/// The most columns of a timeline, and of its overview.
const MOST_COLUMNS: u32 = 4_096;
const OVERVIEW_COLUMNS: usize = 512;
/// Counters that are drawn: those that changed first, then what is evidence though it stood still.
const MOST_COUNTERS: usize = 24;
/// Drop reasons that have a track of their own.
const MOST_REASONS: usize = 8;
/// Staircase points a column.
const STEPS_A_COLUMN: usize = 4;

/// Answers `Query::Timeline`; `selected` are the packets that pass a filter, or why it cannot be read; `None` without a filter.
pub(super) fn timeline(
    known: &Knowledge<'_>,
    span: Option<Span>,
    columns: u32,
    selected: Option<Result<Selected<'_>, FilterError>>,
) -> Answer {
    let recording = known.recording;
    let whole = recording.span;
    let Some(span) = span.or(whole) else {
        return Answer::Timeline(Timeline { revision: known.revision, complete: true, ..Timeline::default() });
    };
    let columns = columns.clamp(1, MOST_COLUMNS) as usize;
    let mut complete = true;
    let mut filter_error = None;
    let histogram = match selected {
        None => Histogram::of_all(&recording.store, span, columns),
        Some(Ok(selected)) => {
            complete = selected.complete;
            Histogram::of_some(&recording.store, span, columns, selected.from(0).map(|no| no.0 as usize - 1))
        }
        Some(Err(error)) => {
            filter_error = Some(error);
            Histogram::of_some(&recording.store, span, columns, std::iter::empty())
        }
    };
    let scale = Scale::new(span, columns * SLICES);
    let mut tracks = vec![findings(known, span)];
    tracks.push(columns_track(
        "packets",
        "packets/s",
        "Packets a second: the smallest and the largest rate within each column.",
        "packets",
        rates(&histogram, &scale, |slice| f64::from(slice.packets)),
    ));
    tracks.push(columns_track(
        "bytes",
        "bytes/s",
        "Bytes on the wire a second: the smallest and the largest rate within each column.",
        "bytes",
        rates(&histogram, &scale, |slice| slice.bytes as f64),
    ));
    tracks.push(anomalies(&histogram));
    tracks.extend(drop_tracks(recording.drops.kept(), span, columns));
    tracks.extend(counter_tracks(known, span, columns));
    Answer::Timeline(Timeline {
        revision: known.revision,
        span: Some(span),
        whole,
        overview: whole.map(|whole| overview(known, whole)).unwrap_or_default(),
        gaps: gaps(known, span),
        tracks,
        complete,
        filter_error,
    })
}

fn overview(known: &Knowledge<'_>, whole: Span) -> Vec<u32> {
    let histogram = Histogram::of_all(&known.recording.store, whole, OVERVIEW_COLUMNS);
    histogram.slices.chunks(SLICES).map(|slices| slices.iter().map(|slice| slice.packets).sum()).collect()
}

/// Stretches in which the capture lost packets.
fn gaps(known: &Knowledge<'_>, span: Span) -> Vec<Span> {
    let mut gaps: Vec<Span> =
        known.recording.taps.iter().flat_map(|tap| &tap.losses).copied().filter(|gap| gap.overlaps(span)).collect();
    sort::by_key(&mut gaps, |row| *row);
    let mut merged: Vec<Span> = Vec::new();
    for gap in gaps {
        match merged.last_mut() {
            Some(last) if last.overlaps(gap) => *last = last.union(gap),
            _ => merged.push(gap),
        }
    }
    merged
}

fn columns_track(slug: &str, title: &str, about: &str, unit: &str, (columns, max): (Vec<(f64, f64)>, f64)) -> Track {
    Track {
        slug: slug.into(),
        title: title.into(),
        about: about.into(),
        unit: unit.into(),
        marks: TrackMarks::Columns { columns, max },
    }
}

fn findings(known: &Knowledge<'_>, span: Span) -> Track {
    let mut spans: Vec<FindingSpan> = known
        .findings
        .iter()
        .filter(|finding| finding.span.overlaps(span))
        .map(|finding| FindingSpan {
            id: finding.id.clone(),
            rule: finding.rule.clone(),
            severity: finding.severity,
            span: finding.span,
        })
        .collect();
    sort::by_key(&mut spans, |finding| finding.span);
    Track {
        slug: "findings".into(),
        title: "findings".into(),
        about: "From the first to the last evidence of each finding.".into(),
        unit: "findings".into(),
        marks: TrackMarks::Spans { spans },
    }
}

fn anomalies(histogram: &Histogram) -> Track {
    let mut ticks: Vec<Tick> = histogram
        .anomalies
        .iter()
        .map(|((_, kind), anomalies)| Tick {
            at: anomalies.at,
            kind: kind.slug().into(),
            count: anomalies.count,
            no: Some(anomalies.first),
        })
        .collect();
    sort::by_key(&mut ticks, |tick| (tick.at, tick.no));
    let kinds: Vec<&str> = Kind::ALL.into_iter().map(Kind::slug).collect();
    Track {
        slug: "anomalies".into(),
        title: "anomalies".into(),
        about: format!("Packets with a label worth a look: {}.", kinds.join(", ").replace('_', " ")),
        unit: "packets".into(),
        marks: TrackMarks::Ticks { ticks },
    }
}

/// A track for each of the most frequent reasons for which the kernel dropped packets; everyday housekeeping is left out.
fn drop_tracks(kept: &[KernelDrop], span: Span, columns: usize) -> Vec<Track> {
    let scale = Scale::new(span, columns);
    let mut reasons: BTreeMap<&str, BTreeMap<usize, (Timestamp, u32)>> = BTreeMap::new();
    for drop in kept.iter().filter(|drop| crate::drops::benign(&drop.reason).is_none()) {
        let Some(column) = scale.part(drop.at_ns) else { continue };
        let at = Timestamp::from_nanos(drop.at_ns);
        let tick = reasons.entry(&drop.reason).or_default().entry(column).or_insert((at, 0));
        *tick = (tick.0.min(at), tick.1 + 1);
    }
    let total = |ticks: &BTreeMap<usize, (Timestamp, u32)>| ticks.values().map(|(_, count)| u64::from(*count)).sum::<u64>();
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    sort::by_key(&mut reasons, |(reason, ticks)| (std::cmp::Reverse(total(ticks)), *reason));
    reasons
        .into_iter()
        .take(MOST_REASONS)
        .map(|(reason, ticks)| {
            let name = drops::reason_name(reason);
            Track {
                slug: format!("drops/{reason}"),
                title: format!("drops {name}"),
                about: format!("{} packets that the kernel dropped: {name}.", total(&ticks)),
                unit: "packets".into(),
                marks: TrackMarks::Ticks {
                    ticks: ticks
                        .into_values()
                        .map(|(at, count)| Tick { at, kind: "drop".into(), count, no: None::<PacketNo> })
                        .collect(),
                },
            }
        })
        .collect()
}

/// Counters that tell of loss, by key: what they are called on the track, and how much they tell (less is more).
const TOLD: &[(&str, u32)] = &[
    ("link.rx_dropped", 0),
    ("link.tx_dropped", 0),
    ("link.rx_missed_errors", 1),
    ("link.rx_errors", 1),
    ("link.tx_errors", 1),
    ("link.rx_over_errors", 1),
    ("link.rx_nohandler", 6),
    ("firewall.rule.packets", 0),
    ("firewall.policy.packets", 0),
    ("conntrack.count", 2),
    ("conntrack.drop", 1),
    ("conntrack.early_drop", 1),
    ("conntrack.insert_failed", 1),
    ("conntrack.invalid", 3),
    ("softnet.dropped", 1),
    ("softnet.flow_limit", 1),
    ("softnet.time_squeeze", 5),
    ("qdisc.drops", 0),
    ("qdisc.backlog", 4),
    ("capture.dropped", 2),
    ("capture.if_dropped", 2),
    ("link.mtu", 2),
];

/// Parts of `nstat` names that tell of loss, and how much they tell.
const NSTAT_TOLD: &[(&str, u32)] = &[
    ("RetransSegs", 2),
    ("ListenDrops", 1),
    ("ListenOverflows", 1),
    ("RcvbufErrors", 1),
    ("SndbufErrors", 1),
    ("InErrors", 2),
    ("InDiscards", 2),
    ("OutDiscards", 2),
    ("NoRoutes", 2),
    ("BacklogDrop", 1),
    ("RcvQDrop", 1),
    ("PruneCalled", 2),
    ("RcvPruned", 2),
    ("ZeroWindowDrop", 1),
    ("ToZeroWindowAdv", 3),
    ("Timeouts", 3),
    ("SynRetrans", 2),
    ("ReasmFails", 2),
    ("FragFails", 2),
    ("CsumErrors", 2),
    ("ReqQFull", 1),
    ("LostRetransmit", 3),
    ("AttemptFails", 3),
    ("OutRsts", 4),
    ("IPReversePathFilter", 1),
];

/// How much a counter tells about loss; `None` for one that does not.
fn tells(series: &Series) -> Option<u32> {
    let key = series.counter.key.as_str();
    if let Some(name) = key.strip_prefix("nstat.") {
        return NSTAT_TOLD.iter().find(|(part, _)| name.contains(part)).map(|(_, weight)| *weight);
    }
    TOLD.iter().find(|(told, _)| *told == key).map(|(_, weight)| *weight)
}

/// Where a counter's track stands: how much it tells, whether it stood still, how much it grew (most first), its number.
type Rank = (u32, bool, i64, CounterId);

fn counter_tracks(known: &Knowledge<'_>, span: Span, columns: usize) -> Vec<Track> {
    let counters = &known.recording.counters;
    let Some(bracket) = counters.bracket(span) else { return Vec::new() };
    let evidence = known.evidence_counters();
    let mut told: Vec<(Rank, &Series)> = counters
        .iter()
        .filter_map(|(id, series)| {
            let grown = series.grown(bracket).unwrap_or(0);
            let changed = series.changed_within(bracket).is_some();
            let is_evidence = evidence.contains(&id);
            let weight = tells(series);
            let gauge_of_interest = series.counter.key == "conntrack.count";
            let wanted = is_evidence || (weight.is_some() && (changed || gauge_of_interest));
            // A rule that lets packets through tells nothing about loss.
            let idle_rule = series.counter.key.starts_with("firewall.") && !is_evidence && !known.is_dropping(series);
            (wanted && !idle_rule)
                .then(|| ((if is_evidence { 0 } else { weight.unwrap_or(9) + 1 }, !changed, grown.saturating_neg(), id), series))
        })
        .collect();
    sort::by_key(&mut told, |(rank, _)| *rank);
    told.truncate(MOST_COUNTERS);
    told.into_iter().map(|((.., id), series)| counter_track(known, id, series, bracket, columns)).collect()
}

fn counter_track(known: &Knowledge<'_>, id: CounterId, series: &Series, span: Span, columns: usize) -> Track {
    let counter = &series.counter;
    let limit = (counter.key == "conntrack.count")
        .then(|| {
            let netns = counter.netns.map(crate::ids::NetnsId)?;
            known.recording.counters.of_namespace("conntrack.max", netns)?.1.last()
        })
        .flatten();
    Track {
        slug: slug(series),
        title: known.counter_title(series),
        about: known.counter_about(id, series, span),
        unit: format!("{:?}", counter.unit).to_ascii_lowercase(),
        marks: TrackMarks::Steps { steps: steps(series, span, columns), limit },
    }
}

/// A stable name: key, namespace, and what tells it from its like.
fn slug(series: &Series) -> String {
    let counter = &series.counter;
    let mut slug = format!("counter/{}", counter.key);
    let mut add = |part: Option<String>| part.into_iter().for_each(|part| slug.push_str(&format!("/{part}")));
    add(counter.netns.map(|netns| netns.to_string()));
    add(counter.ifindex.map(|index| index.to_string()));
    add(counter.rule.clone());
    add(counter.cpu.map(|cpu| cpu.to_string()));
    add(counter.object.clone());
    slug
}

/// The points of a staircase within a span, the values at its ends among them; of more than fit, the largest steps of each
/// column and its last point.
fn steps(series: &Series, span: Span, columns: usize) -> Vec<(Timestamp, u64, i64)> {
    let scale = Scale::new(span, columns);
    let mut kept: Vec<(Timestamp, u64)> = Vec::new();
    let mut column: Vec<(u64, Timestamp, u64)> = Vec::new();
    let mut current = None;
    let flush = |column: &mut Vec<(u64, Timestamp, u64)>, kept: &mut Vec<(Timestamp, u64)>| {
        let last = column.last().copied();
        sort::by_key(column, |(size, at, _)| (std::cmp::Reverse(*size), *at));
        column.truncate(STEPS_A_COLUMN - 1);
        column.extend(last);
        sort::by_key(column, |(_, at, _)| *at);
        column.dedup_by_key(|(_, at, _)| *at);
        kept.extend(column.drain(..).map(|(_, at, value)| (at, value)));
    };
    if let Some(value) = series.at(span.start) {
        kept.push((span.start, value));
    }
    for step in series.steps().filter(|step| span.start < step.to.at && step.to.at <= span.end) {
        let part = scale.part(step.to.at.nanos());
        if part != current {
            flush(&mut column, &mut kept);
            current = part;
        }
        column.push((step.from.value.abs_diff(step.to.value), step.to.at, step.to.value));
    }
    flush(&mut column, &mut kept);
    if let Some(value) = series.at(span.end)
        && kept.last().is_none_or(|(at, _)| *at < span.end)
    {
        kept.push((span.end, value));
    }
    let monotonic = series.counter.kind == CounterKind::Monotonic;
    let mut before = None;
    kept.into_iter()
        .map(|(at, value)| {
            let delta = before.map_or(0, |before: u64| value.wrapping_sub(before) as i64);
            before = Some(value);
            // After a reset the change is not a number that was counted.
            (at, value, if monotonic && delta < 0 { 0 } else { delta })
        })
        .collect()
}
