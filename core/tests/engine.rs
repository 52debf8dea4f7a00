//! The engine over kept captures: every question, as text that is read before it is accepted.

#[cfg(target_arch = "wasm32")]
#[macro_use]
extern crate dropscope_wasm_test;
#[macro_use]
mod kept;

use dropscope_core::anchor::{Anchor, Place};
use dropscope_core::query::{Answer, Batch, Engine, FlowSort, PacketRows, Parser, Query, Rows, Rung, Selection, TrackMarks};
use dropscope_core::reference;
#[cfg(not(target_arch = "wasm32"))]
use proptest::prelude::*;
use std::fmt::Write;

fn capture(name: &str) -> Vec<u8> {
    kept::file(name).to_vec()
}

/// An engine that has read a whole log, given to it in pieces of `size`.
fn read(log: &[u8], size: usize) -> Engine {
    let mut engine = Engine::new();
    log.chunks(size.max(1)).for_each(|chunk| engine.push(chunk));
    engine.finish();
    engine
}

/// The same in two halves: see `Parser`.
fn read_in_halves(log: &[u8], size: usize) -> Engine {
    let (mut parser, mut engine, mut batch) = (Parser::new(), Engine::new(), Batch::default());
    for chunk in log.chunks(size.max(1)) {
        parser.push(chunk, &mut batch);
        engine.take(&mut batch);
    }
    parser.finish(&mut batch);
    engine.take(&mut batch);
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
    assert_kept!("the_list_of_a_kept_capture_reads_as_tcpdump_and_wireshark_say", listed(&mut read(&log, usize::MAX), &log));
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
        let Answer::Ladder(ladder) = engine.ask(&Query::Ladder { flow: flow.flow, rows: all(), locate: None }, &mut &*log) else {
            panic!("no ladder")
        };
        assert_eq!(ladder.total as usize, ladder.rungs.len());
        // Asked rung by rung it is the same ladder.
        for (first, rung) in ladder.rungs.iter().enumerate() {
            let rows = Rows { first: first as u32, count: 1 };
            // Each rung is found by what it shows, also from an answer that does not hold it.
            let place = match rung {
                Rung::Packet { no, .. } => Place::Packet(*no),
                Rung::Missing { direction, first_byte, last_byte, .. } => {
                    Place::Bytes { flow: flow.flow, direction: *direction, first: *first_byte, last: *last_byte }
                }
            };
            let locate = Some(Anchor::from(place));
            let Answer::Ladder(one) = engine.ask(&Query::Ladder { flow: flow.flow, rows, locate }, &mut &*log) else {
                panic!("no ladder")
            };
            assert_eq!(one.rungs, std::slice::from_ref(rung));
            assert_eq!(one.located, Some(first as u32), "{rung:?}");
        }
        for rung in ladder.rungs {
            let _ = match rung {
                Rung::Packet { no, direction, title, detail, .. } => writeln!(text, "  {no} {direction:?} {title}: {detail}"),
                Rung::Missing { direction, text: words, .. } => writeln!(text, "  -- {direction:?} {words}"),
            };
        }
    }
    assert_kept!("a_ladder_shows_the_hole_where_the_bytes_are_missing", text);
}

/// Every question that a page asks on its first screen, and the answers as text.
fn everything(engine: &mut Engine, log: &[u8]) -> Vec<String> {
    let filtered = |filter: &str| Selection { filter: filter.into(), ..Selection::default() };
    let queries = [
        Query::Overview,
        Query::Findings,
        Query::Packets { selection: Selection::default(), rows: all(), locate: None },
        Query::Packets { selection: filtered("tcp.len > 0 or arp"), rows: all(), locate: None },
        Query::Flows { rows: all(), sort: FlowSort::Bytes, span: None },
        Query::Timeline { span: None, columns: 100, filter: String::new() },
        Query::Counters { span: None },
        Query::Drops { span: None, rows: all() },
    ];
    queries.iter().map(|query| without_revisions(&engine.ask(query, &mut &*log))).collect()
}

/// Every field of an answer, line by line. How often the rules ran and how often bytes came is no property of the log.
fn without_revisions(answer: &Answer) -> String {
    let text = format!("{answer:#?}");
    text.lines().filter(|line| !line.trim_start().starts_with("revision: ")).fold(String::new(), |kept, line| kept + line + "\n")
}

/// The same in WebAssembly, where the property below does not run.
#[test]
fn small_pieces_and_large_ones_give_the_same_answers() {
    for log in [reference::log(), capture("nft-drop-cli.pcap")] {
        let whole = everything(&mut read(&log, usize::MAX), &log);
        for size in [1, 13, 1_000] {
            assert_eq!(everything(&mut read(&log, size), &log), whole, "in pieces of {size} bytes");
            assert_eq!(everything(&mut read_in_halves(&log, size), &log), whole, "in two halves and pieces of {size} bytes");
        }
    }
}

/// Fragments, quoted packets, tunnels, tags, comments and broken ends go through both halves as they are.
#[test]
fn reading_in_two_halves_says_the_same_of_every_kept_capture() {
    for (name, log) in kept::captures() {
        let (one, two) = (read(log, 10_000), read_in_halves(log, 10_000));
        assert_eq!(two.end(), one.end(), "{name}");
        assert_eq!(two.findings().findings, one.findings().findings, "{name}");
        assert_eq!(two.overview().quality, one.overview().quality, "{name}");
        assert_eq!(two.progress().span, one.progress().span, "{name}");
    }
}

#[cfg(not(target_arch = "wasm32"))]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_known_in_the_end_does_not_depend_on_how_the_bytes_were_cut(
        cuts in prop::collection::vec(1_usize..3_000, 1..40),
        asks in any::<bool>(),
    ) {
        for log in [reference::log(), capture("nft-drop-cli.pcap")] {
            let whole = everything(&mut read(&log, usize::MAX), &log);
            let mut engine = Engine::new();
            let mut rest = log.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                engine.push(piece);
                if asks {
                    engine.ask(&Query::Findings, &mut log.as_slice());
                    packets(&mut engine, &log, "tcp.len > 0 or arp");
                }
                rest = later;
            }
            engine.finish();
            prop_assert_eq!(everything(&mut engine, &log), whole);
        }
    }
}

#[test]
fn the_reference_case_is_answered_from_the_finding_to_its_proof() {
    let log = reference::log();
    let mut engine = read(&log, usize::MAX);
    let mut text = String::new();
    let Answer::Overview(overview) = engine.ask(&Query::Overview, &mut log.as_slice()) else { panic!("no overview") };
    let _ = writeln!(
        text,
        "{} by {:?}, {} packets, quality {:?}",
        overview.format, overview.application, overview.progress.packets, overview.quality
    );
    let Answer::Findings(findings) = engine.ask(&Query::Findings, &mut log.as_slice()) else { panic!("no findings") };
    let mut anchors: Vec<Anchor> = Vec::new();
    for finding in &findings.findings {
        let _ = writeln!(text, "{} {} {}: {}", finding.severity, finding.confidence, finding.rule, finding.sentence);
        anchors.extend(finding.evidence.clone());
    }
    // The list grows with each new rule; the rules' own tests say what stands in it.
    assert!(findings.checked.iter().any(|checked| checked.rule == "conntrack_full"));
    let _ = writeln!(text, "\nevidence");
    for anchor in anchors {
        match engine.ask(&Query::Locate { anchor: anchor.clone() }, &mut log.as_slice()) {
            Answer::Located(located) => {
                let _ = writeln!(text, "  {anchor}: {}, packet {:?}", located.text, located.packet.map(|no| no.0));
            }
            other => panic!("{anchor}: {other:?}"),
        }
    }
    let _ = writeln!(text, "\ntimeline");
    let timeline = engine.ask(&Query::Timeline { span: None, columns: 60, filter: String::new() }, &mut log.as_slice());
    let Answer::Timeline(timeline) = timeline else { panic!("no timeline") };
    for track in timeline.tracks {
        let marks = match track.marks {
            TrackMarks::Spans { spans } => format!("{} spans", spans.len()),
            TrackMarks::Columns { columns, max } => format!("{} columns, max {max}", columns.len()),
            TrackMarks::Ticks { ticks } => {
                ticks.iter().map(|tick| format!("{}×{}", tick.count, tick.kind)).collect::<Vec<_>>().join(" ")
            }
            TrackMarks::Steps { steps, limit } => {
                format!("{:?} limit {limit:?}", steps.iter().map(|(_, value, delta)| (*value, *delta)).collect::<Vec<_>>())
            }
        };
        let _ = writeln!(text, "  {} ({}): {marks}\n    {}", track.title, track.slug, track.about);
    }
    let _ = writeln!(text, "\ncounters");
    let Answer::Counters(tables) = engine.ask(&Query::Counters { span: None }, &mut log.as_slice()) else {
        panic!("no counters")
    };
    for row in tables.interfaces {
        let shown = |counted: [dropscope_core::query::Counted; 4]| {
            counted.map(|c| format!("{}{:+}", c.value, c.delta.unwrap_or(0))).join(" ")
        };
        let _ = writeln!(
            text,
            "  {} {} MTU {} RX {} TX {} {}",
            row.netns_name,
            row.name,
            row.mtu,
            shown(row.rx),
            shown(row.tx),
            row.flags
        );
    }
    for chain in tables.chains {
        let _ = writeln!(text, "  {} {} {} policy {}", chain.backend, chain.table, chain.chain, chain.policy);
        for rule in chain.rules {
            let _ = writeln!(
                text,
                "    {} {:?} {} {}",
                rule.position,
                rule.packets.map(|c| (c.value, c.delta)),
                rule.target,
                rule.text
            );
        }
    }
    for table in tables.conntrack {
        let _ = writeln!(text, "  conntrack {:?} of {:?} {:?}", table.count.map(|c| c.value), table.max, table.statistics.len());
    }
    for row in tables.others {
        let _ = writeln!(text, "  {} {} {} {}", row.group, row.kernel_name, row.object, row.counted.value);
    }
    assert_kept!("the_reference_case_is_answered_from_the_finding_to_its_proof", text);
}

#[test]
fn a_packet_is_shown_with_its_tree_its_line_and_what_names_it() {
    let log = capture("mtu-100-srv.pcap");
    let mut engine = read(&log, usize::MAX);
    let query = Query::Packet { no: dropscope_core::ids::PacketNo(23) };
    let Answer::Packet(detail) = engine.ask(&query, &mut log.as_slice()) else { panic!("no packet") };
    let mut text = format!("{}\n{} bytes, findings {}\n", detail.tcpdump, detail.bytes.len(), detail.findings.len());
    fn write(text: &mut String, nodes: &[dropscope_core::query::Node], depth: usize) {
        for node in nodes {
            let _ = writeln!(text, "{}{}: {} [{}] {:?}", "  ".repeat(depth), node.name, node.value, node.field, node.at);
            write(text, &node.children, depth + 1);
        }
    }
    write(&mut text, &detail.tree, 0);
    assert_kept!("a_packet_is_shown_with_its_tree_its_line_and_what_names_it", text);
}

#[test]
fn a_packet_that_cannot_be_read_again_is_still_listed_and_says_why() {
    struct Gone;
    impl dropscope_core::query::ByteSource for Gone {
        fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), String> {
            Err("the file was changed on disk".into())
        }
    }
    let log = capture("mtu-100-srv.pcap");
    let mut engine = read(&log, usize::MAX);
    let query = Query::Packets { selection: Selection::default(), rows: Rows { first: 22, count: 1 }, locate: None };
    let Answer::Packets(rows) = engine.ask(&query, &mut Gone) else { panic!("no rows") };
    let row = &rows.rows[0];
    assert_eq!((row.no.0, row.source.as_str(), row.info.as_str()), (23, "192.168.0.2:45768", "the file was changed on disk"));
    assert!(row.chips.iter().any(|chip| chip.text == "lost segment"));
    let refused = engine.ask(&Query::Packet { no: row.no }, &mut Gone);
    assert!(matches!(refused, Answer::Refused { why } if why.contains("the file was changed on disk")));
}

/// What the detail of a packet says of our judgement, from the first such line on.
fn judged(engine: &mut Engine, log: &[u8], no: u32) -> String {
    let query = Query::Packet { no: dropscope_core::ids::PacketNo(no) };
    let Answer::Packet(detail) = engine.ask(&query, &mut &*log) else { panic!("no packet {no}") };
    let analysis = detail.tree.into_iter().find(|node| node.name == "Analysis").expect("a TCP segment has an analysis");
    let mut text = String::new();
    for node in analysis.children.iter().filter(|node| matches!(&*node.name, "Our judgement" | "Shows")) {
        let _ = writeln!(text, "{no}: {}: {}", node.name, node.value);
        for reason in &node.children {
            let _ = writeln!(text, "  {}: {}", reason.name, reason.value);
        }
    }
    text
}

#[test]
fn the_detail_tells_our_judgement_and_why() {
    // A queue dropped segments: the first that was sent again.
    let log = capture("labs/tbf-overlimit.pcap");
    let mut engine = read(&log, 4_096);
    let early = "29: Our judgement: sent again: the first came past here and was lost beyond, or its acknowledgement was
  Why: these bytes were captured before, and not acknowledged since
  First captured as: packet 16
  Sent again: early (RACK): a segment that was sent later had arrived, told last in packet 28
  Waited: 40.1 ms since these bytes were last sent
";
    assert_eq!(judged(&mut engine, &log, 29), early);
    // Packets dropped at random: a probe that was not needed, and the D-SACK that says so.
    let log = capture("labs/random-drop.pcap");
    let mut engine = read(&log, 4_096);
    let needless: Vec<u32> =
        packets(&mut engine, &log, "judgement == \"sent_needlessly\"").rows.iter().map(|row| row.no.0).collect();
    let said: String =
        needless.into_iter().flat_map(|no| [judged(&mut engine, &log, no), judged(&mut engine, &log, no + 1)]).collect();
    let probe = "80: Our judgement: sent again needlessly: the receiver had it
  Why: the receiver told later that it got these bytes twice (D-SACK, RFC 2883)
  Shown by: packet 81
  Sent again: as tail loss probe, to make the receiver answer (TLP): it was all that was outstanding, and 208 ms is sooner than the timer
  Waited: 208 ms since these bytes were last sent
  Unlike Wireshark's label: Wireshark calls spurious only what was acknowledged in this capture before it was sent again
81: Shows: that packet 80 was sent needlessly: its first SACK block tells of bytes received twice (D-SACK)
";
    assert_eq!(said, probe);
}

#[test]
fn what_a_capture_counted_about_itself_never_stretches_the_time_axis() {
    let engine = read(&capture("dumpcap-statistics.pcapng"), usize::MAX);
    let span = engine.progress().span.expect("its packets have times");
    assert_eq!((span.start.nanos(), span.length().to_string().as_str()), (1_700_000_000_000_000_000, "3.04 s"));
}
