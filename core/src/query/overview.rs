//! What is in the log, and what limits what can be said from it.

use super::engine::Knowledge;
use super::{CaptureInterface, MarkRow, Overview, Quality};
use crate::dissect;
use crate::ids::InterfaceId;
use crate::log::record::FileFormat;
use crate::time::{Nanos, Timestamp};

/// Going back in time by more than this is a clock that was set, not two queues that were merged.
const BACKWARDS: Nanos = Nanos::from_secs(1);

/// Answers `Query::Overview`.
pub(super) fn overview(known: &Knowledge<'_>) -> Overview {
    let recording = known.recording;
    let section = recording.sections.first();
    let mut marks: Vec<MarkRow> = recording
        .marks
        .iter()
        .map(|mark| MarkRow { at: Timestamp::from_nanos(mark.at_ns), kind: mark.kind.clone(), text: mark.text.clone() })
        .chain(recording.probes.iter().map(|probe| MarkRow {
            at: Timestamp::from_nanos(probe.at_ns),
            kind: format!("probe_{}", probe.kind),
            text: probe.summary.clone(),
        }))
        .collect();
    marks.sort_by_key(|mark| mark.at);
    Overview {
        progress: (known.progress)(),
        format: match section.map(|section| section.format) {
            Some(FileFormat::Pcap) => "pcap".into(),
            Some(FileFormat::PcapNg) => "pcapng".into(),
            None => String::new(),
        },
        application: section.and_then(|section| section.application.clone()),
        interfaces: recording
            .interfaces
            .iter()
            .zip(&recording.taps)
            .map(|(interface, tap)| CaptureInterface {
                id: interface.id,
                name: recording.interface_name(interface.id),
                link: link_name(interface.link_type),
                packets: tap.packets,
                snaplen: interface.snaplen,
                filter: interface.filter.clone(),
                lost: tap.lost(),
            })
            .collect(),
        hosts: recording.counters.hosts().cloned().collect(),
        quality: quality(known),
        marks,
        wire_bytes: recording.wire_bytes,
        has_counters: !recording.counters.is_empty(),
        has_drops: !recording.drops.kept().is_empty(),
    }
}

fn link_name(link_type: u32) -> String {
    dissect::link(link_type).map_or_else(|| format!("link type {link_type}"), |link| link.name.to_owned())
}

/// What limits what can be said; empty when all is well.
fn quality(known: &Knowledge<'_>) -> Vec<Quality> {
    let recording = known.recording;
    let mut quality = Vec::new();
    let mut add = |kind: &str, sentence: String| quality.push(Quality { kind: kind.into(), sentence });
    let name = |place: usize| recording.interface_name(InterfaceId(place as u32));
    for (place, tap) in recording.taps.iter().enumerate().filter(|(_, tap)| tap.lost() > 0) {
        let (lost, of) = (tap.lost(), u64::from(tap.packets) + tap.lost());
        let share = lost as f64 * 100.0 / of as f64;
        add(
            "capture_lost",
            format!(
                "The capture itself lost {lost} of {of} packets on {} ({share:.1} %): what is missing here may have arrived.",
                name(place)
            ),
        );
    }
    if let Some(trouble) = (known.progress)().trouble {
        add("cut_short", trouble);
    }
    let cut: u64 = recording.taps.iter().map(|tap| u64::from(tap.cut)).sum();
    if cut > 0 {
        let most = recording.interfaces.iter().map(|interface| interface.snaplen).max().unwrap_or(0);
        add(
            "snaplen",
            format!(
                "Of {cut} packets only the first bytes were kept (snapshot length {most}): checksums and contents of these cannot be checked."
            ),
        );
    }
    let totals = known.flow_totals;
    if totals.one_direction > 0 && totals.one_direction * 2 >= totals.tcp_with_data {
        add(
            "one_direction",
            format!(
                "Of {} of {} TCP conversations only one direction was captured: what the other side received and answered is not known.",
                totals.one_direction, totals.tcp_with_data
            ),
        );
    }
    for (at, step) in &recording.clock_steps {
        add(
            "clock_step",
            format!("The host's clock was set by {step} at {}: times before and after do not compare.", seconds(*at)),
        );
    }
    for (place, tap) in recording.taps.iter().enumerate() {
        if let Some((at, back)) = tap.went_back.filter(|(_, back)| *back > BACKWARDS) {
            add(
                "clock_step",
                format!(
                    "Time goes back by {back} on {} at {}: the clock was set, or files were joined.",
                    name(place),
                    seconds(at)
                ),
            );
        }
    }
    for (interface, tap) in
        recording.interfaces.iter().zip(&recording.taps).filter(|(_, tap)| tap.unknown_link && tap.packets > 0)
    {
        let (link, packets) = (interface.link_type, tap.packets);
        add(
            "unknown_link",
            format!("{packets} packets bear link type {link}, which is not known here: they are listed, but not read."),
        );
    }
    if recording.flows.evicted() > 0 {
        add(
            "evicted",
            format!(
                "State of {} quiet conversations was given up to stay within memory: if they go on, they are judged anew.",
                recording.flows.evicted()
            ),
        );
    }
    let drops = &recording.drops;
    if drops.beyond() + drops.skipped() > 0 {
        add(
            "evicted",
            format!(
                "{} packets dropped by the kernel were counted but not kept one by one.",
                drops.beyond().saturating_add(drops.skipped())
            ),
        );
    }
    if recording.beyond > 0 {
        add("evicted", format!("{} marks and comments beyond the first 10,000 are not listed.", recording.beyond));
    }
    if recording.counters.undescribed() > 0 {
        add("source_missing", format!("{} counter values have no description in this log.", recording.counters.undescribed()));
    }
    for limit in recording.counters.hosts().flat_map(|host| &host.limits) {
        add("source_missing", limit.clone());
    }
    quality
}

/// A time as the log has it, in seconds since the Unix epoch.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:09}", at.nanos().div_euclid(1_000_000_000), at.nanos().rem_euclid(1_000_000_000))
}
