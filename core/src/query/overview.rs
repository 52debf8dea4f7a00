//! What is in the log, and what limits what can be said from it.

use super::engine::Knowledge;
use super::quality::{quality, scope};
use super::{CaptureInterface, MarkRow, Overview};
use crate::dissect;
use crate::log::record::FileFormat;
use crate::sort;
use crate::time::Timestamp;

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
    sort::by_key(&mut marks, |mark| mark.at);
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
        scope: scope(known),
        marks,
        wire_bytes: recording.wire_bytes,
        has_counters: !recording.counters.is_empty(),
        has_drops: !recording.drops.kept().is_empty(),
    }
}

fn link_name(link_type: u32) -> String {
    dissect::link_type_name(link_type).map_or_else(|| format!("link type {link_type}"), str::to_owned)
}
