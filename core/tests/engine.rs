//! The engine over kept captures: every question, as text that is read before it is accepted.

use dropscope_core::query::{Answer, Engine, FlowSort, PacketRows, Query, Rows, Rung, Selection};
use std::fmt::Write;
use std::path::Path;

fn capture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An engine that has read a whole log, given to it in pieces of `size`.
fn read(log: &[u8], size: usize) -> Engine {
    let mut engine = Engine::new();
    log.chunks(size.max(1)).for_each(|chunk| engine.push(chunk));
    engine.finish();
    engine
}

fn all() -> Rows {
    Rows { first: 0, count: 1_000 }
}

/// Asks until the filter has seen every packet.
fn packets(engine: &mut Engine, log: &[u8], filter: &str) -> PacketRows {
    let selection = Selection { filter: filter.into(), ..Selection::default() };
    loop {
        match engine.ask(&Query::Packets { selection: selection.clone(), rows: all(), locate: None }, &mut &*log) {
            Answer::Packets(rows) if rows.complete => return rows,
            Answer::Packets(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The packet list as text, chips in brackets.
fn listed(engine: &mut Engine, log: &[u8]) -> String {
    let mut text = String::new();
    for row in packets(engine, log, "").rows {
        let chips: Vec<String> = row.chips.iter().map(|chip| format!("[{}]", chip.text)).collect();
        let _ = writeln!(
            text,
            "{} {} {} > {} {} {} {}",
            row.no,
            row.protocol,
            row.source,
            row.destination,
            row.len,
            row.info,
            chips.join("")
        );
    }
    text
}

#[test]
fn the_list_of_a_kept_capture_reads_as_tcpdump_and_wireshark_say() {
    let log = capture("mtu-100-srv.pcap");
    insta::assert_snapshot!(listed(&mut read(&log, usize::MAX), &log));
}

#[test]
fn a_ladder_shows_the_hole_where_the_bytes_are_missing() {
    let log = capture("mtu-100-srv.pcap");
    let mut engine = read(&log, usize::MAX);
    let mut text = String::new();
    let Answer::Flows(flows) = engine.ask(&Query::Flows { rows: all(), sort: FlowSort::First, span: None }, &mut &*log) else {
        panic!("no conversations")
    };
    for flow in flows.rows {
        let _ = writeln!(
            text,
            "{} {} {} → {} packets {:?} missing {:?} {}",
            flow.flow, flow.transport, flow.client, flow.server, flow.packets, flow.missing_bytes, flow.state
        );
        let Answer::Ladder(ladder) = engine.ask(&Query::Ladder { flow: flow.flow, rows: all() }, &mut &*log) else {
            panic!("no ladder")
        };
        for rung in ladder.rungs {
            let _ = match rung {
                Rung::Packet { no, direction, title, detail, .. } => writeln!(text, "  {no} {direction:?} {title}: {detail}"),
                Rung::Missing { direction, text: words, .. } => writeln!(text, "  -- {direction:?} {words}"),
            };
        }
    }
    insta::assert_snapshot!(text);
}
