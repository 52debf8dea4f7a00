//! Packets the kernel dropped, as a list.

use super::engine::Knowledge;
use super::reader::{ByteSource, Reader, dissected};
use super::rows::MOST_ROWS;
use super::{DropRow, DropRows, Rows};
use crate::dissect;
use crate::drops::{Fingerprint, benign};
use crate::ids::{DropNo, NetnsId, PacketNo};
use crate::log::block::KernelDrop;
use crate::sort;
use crate::time::{Nanos, Span, Timestamp};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// LINKTYPE_RAW: a packet that begins with its IP header.
const LINKTYPE_RAW: u32 = 101;
/// Reasons and places that are listed.
const MOST_REASONS: usize = 100;
/// A captured packet farther from the drop than this is another one that looks alike.
const NEAR: Nanos = Nanos::from_secs(1);
/// Packets of a conversation that are compared with one drop.
const MOST_COMPARED: usize = 64;
/// Bytes of the log that are read for one answer.
const BYTES_AT_ONCE: u64 = 16 << 20;

/// Answers `Query::Drops`.
pub(super) fn rows(known: &Knowledge<'_>, span: Option<Span>, rows: Rows, source: &mut dyn ByteSource) -> DropRows {
    let drops = &known.recording.drops;
    let inside: Vec<DropNo> = (1_u32..)
        .map(DropNo)
        .zip(drops.kept())
        .filter(|(_, drop)| span.is_none_or(|span| span.contains(Timestamp::from_nanos(drop.at_ns))))
        .map(|(no, _)| no)
        .collect();
    let mut reasons: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for drop in inside.iter().filter_map(|no| drops.get(*no)) {
        *reasons.entry((&drop.reason, &drop.place)).or_default() += 1;
    }
    let mut by_reason: Vec<(String, String, u32)> =
        reasons.into_iter().map(|((reason, place), count)| (reason.to_owned(), place.to_owned(), count)).collect();
    sort::by_key(&mut by_reason, |(_, _, count)| Reverse(*count));
    by_reason.truncate(MOST_REASONS);
    let mut reader = Reader::new(source, known.bytes_read);
    let wanted = inside.iter().skip(rows.first as usize).take(rows.count.min(MOST_ROWS) as usize);
    DropRows {
        revision: known.revision,
        total: inside.len() as u32,
        skipped: drops.skipped().saturating_add(drops.beyond()),
        first: rows.first,
        by_reason,
        rows: wanted.filter_map(|no| Some(row(known, *no, drops.get(*no)?, &mut reader))).collect(),
    }
}

fn row(known: &Knowledge<'_>, no: DropNo, drop: &KernelDrop, reader: &mut Reader<'_>) -> DropRow {
    DropRow {
        no,
        time: Timestamp::from_nanos(drop.at_ns),
        reason: drop.reason.clone(),
        place: drop.place.clone(),
        device: device(known, drop),
        packet: words(drop),
        flow: known.recording.drops.flow(no),
        packet_no: captured(known, no, drop, reader),
        benign: benign(&drop.reason).is_some(),
    }
}

/// `web-1 eth0`; only what is known.
fn device(known: &Knowledge<'_>, drop: &KernelDrop) -> String {
    let netns = if drop.netns == 0 { String::new() } else { known.netns_name(NetnsId(drop.netns)) };
    [netns, drop.ifname.clone()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The packet in tcpdump's words, with its addresses.
fn words(drop: &KernelDrop) -> String {
    match drop.ether_type {
        0x0800 | 0x86dd => dissect::tcpdump_line(None, LINKTYPE_RAW, &drop.bytes, drop.len, None),
        other => format!("EtherType 0x{other:04x}, {} bytes", drop.len),
    }
}

/// The captured packet a drop was: of those of its conversation near in time, the nearest that is the same packet.
pub(super) fn captured(known: &Knowledge<'_>, no: DropNo, drop: &KernelDrop, reader: &mut Reader<'_>) -> Option<PacketNo> {
    let recording = known.recording;
    let fingerprint = recording.drops.fingerprint(no)?;
    let flow = recording.flows.get(recording.drops.flow(no)?)?;
    let at = Timestamp::from_nanos(drop.at_ns);
    let distance = |no: &PacketNo| recording.store.time(*no).map(|time| (time - at).get().unsigned_abs());
    let mut near: Vec<(u64, PacketNo)> = recording
        .store
        .of_flow(flow.id, flow.first.no, flow.last.no)
        .filter_map(|no| Some((distance(&no)?, no)))
        .filter(|(distance, _)| *distance <= NEAR.get().unsigned_abs())
        .collect();
    sort::by_key(&mut near, |row| *row);
    near.truncate(MOST_COMPARED);
    near.into_iter().map(|(_, no)| no).find(|no| {
        let Some(row) = recording.store.get(*no).filter(|_| reader.spent < BYTES_AT_ONCE) else { return false };
        let Ok(bytes) = reader.bytes(&row) else { return false };
        Fingerprint::of(&dissected(known.link_type(&row), &row, bytes)).as_ref() == Some(fingerprint)
    })
}

/// A reason as it is shown; the kernel gives none before Linux 5.17.
pub(super) fn reason_name(reason: &str) -> &str {
    if reason.is_empty() { "without a reason" } else { reason }
}
