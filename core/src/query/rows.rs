//! Rows of the packet list.

use super::chips::chips;
use super::engine::Knowledge;
use super::reader::{ByteSource, Reader, dissected};
use super::scan::Selected;
use super::{Answer, FilterError, PacketRow, PacketRows, Rows};
use crate::dissect::{self, Arp, Packet, Relative};
use crate::flow::Endpoint;
use crate::ids::{Direction, PacketNo};
use crate::store::Row;

/// The most rows in one answer.
pub(super) const MOST_ROWS: u32 = 1_000;

/// Answers `Query::Packets`.
pub(super) fn packets(
    known: &Knowledge<'_>,
    selected: Selected<'_>,
    rows: Rows,
    locate: Option<PacketNo>,
    source: &mut dyn ByteSource,
) -> Answer {
    let mut reader = Reader::new(source, known.bytes_read);
    let wanted = selected.from(rows.first).take(rows.count.min(MOST_ROWS) as usize);
    Answer::Packets(PacketRows {
        revision: known.revision,
        total: selected.total(),
        complete: selected.complete,
        first: rows.first,
        rows: wanted.filter_map(|no| Some(row(known, no, &known.recording.store.get(no)?, &mut reader))).collect(),
        locate,
        located: locate.map(|no| selected.row_of(no)),
        filter_error: None,
    })
}

/// Answers `Query::Packets` with a filter that cannot be understood.
pub(super) fn refused(known: &Knowledge<'_>, error: FilterError) -> Answer {
    Answer::Packets(PacketRows { revision: known.revision, complete: true, filter_error: Some(error), ..PacketRows::default() })
}

/// One row. Where the packet cannot be read again, the columns are shown and the reason stands in its place.
pub(super) fn row(known: &Knowledge<'_>, no: PacketNo, row: &Row, reader: &mut Reader<'_>) -> PacketRow {
    match reader.bytes(row) {
        Ok(bytes) => row_of(known, no, row, bytes),
        Err(why) => {
            let (source, destination) = ends_of_flow(known, row).unwrap_or_default();
            PacketRow { source, destination, info: why, chips: chips(known, no, row, None), ..stored(known, no, row) }
        }
    }
}

/// One row of a packet that was read again.
pub(super) fn row_of(known: &Knowledge<'_>, no: PacketNo, row: &Row, bytes: &[u8]) -> PacketRow {
    let link_type = known.link_type(row);
    let packet = dissected(link_type, row, bytes);
    let info = dissect::info(link_type, bytes, row.wire_len, relative(known, no, row));
    let (source, destination) = ends(&packet, bytes, link_type);
    PacketRow {
        source,
        destination,
        protocol: info.protocol.to_owned(),
        info: info.text,
        chips: chips(known, no, row, Some((&packet, bytes))),
        ..stored(known, no, row)
    }
}

/// What the columns know of a row.
fn stored(known: &Knowledge<'_>, no: PacketNo, row: &Row) -> PacketRow {
    PacketRow {
        no,
        time: known.recording.store.time(no),
        len: row.wire_len,
        flow: row.flow.map(|(flow, _)| flow),
        direction: row.flow.map(|(_, direction)| direction),
        interface: row.interface,
        ..PacketRow::default()
    }
}

/// What tcpdump counts a packet's TCP numbers from; nothing for the first packet of a conversation, as tcpdump has it.
pub(super) fn relative(known: &Knowledge<'_>, no: PacketNo, row: &Row) -> Option<Relative> {
    let (flow, direction) = row.flow?;
    let flow = known.recording.flows.get(flow).filter(|flow| flow.first.no != no)?;
    Some(Relative { seq: flow.side(direction).base?, ack: flow.side(direction.reverse()).base? })
}

/// Source and destination as they are listed.
fn ends(packet: &Packet<'_>, bytes: &[u8], link_type: u32) -> (String, String) {
    if let Some(ip) = &packet.ip {
        let (source, destination) = packet.transport.ports().unwrap_or_default();
        let end = |address, port| Endpoint { address, port }.to_string();
        return (end(ip.src, source), end(ip.dst, destination));
    }
    if let Some(arp) = &packet.arp {
        return ends_of_arp(arp);
    }
    // LINKTYPE_ETHERNET: destination first (IEEE 802.3 clause 3.2).
    match bytes.get(..12) {
        Some(macs) if link_type == 1 => (mac(&macs[6..]), mac(&macs[..6])),
        _ => Default::default(),
    }
}

fn ends_of_arp(arp: &Arp) -> (String, String) {
    let text = |address: Option<std::net::Ipv4Addr>| address.map(|address| address.to_string()).unwrap_or_default();
    (text(arp.sender), text(arp.target))
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn ends_of_flow(known: &Knowledge<'_>, row: &Row) -> Option<(String, String)> {
    let (flow, direction) = row.flow?;
    let flow = known.recording.flows.get(flow)?;
    let (client, server) = (flow.client.to_string(), flow.server.to_string());
    Some(match direction {
        Direction::AToB => (client, server),
        Direction::BToA => (server, client),
    })
}
