//! Filters over a kept capture: text in, packets out; and what is said about text that is no filter.

#[cfg(target_arch = "wasm32")]
#[macro_use]
extern crate dropscope_wasm_test;
#[macro_use]
mod kept;

use dropscope_core::dissect::Node;
use dropscope_core::ids::PacketNo;
use dropscope_core::query::{Answer, Engine, Query, Rows, Selection};
use std::collections::BTreeMap;
use std::fmt::Write;

fn engine(name: &str) -> (Engine, Vec<u8>) {
    let log = kept::file(name).to_vec();
    let mut engine = Engine::new();
    engine.push(&log);
    engine.finish();
    (engine, log)
}

/// The numbers of the packets that pass.
fn numbers(engine: &mut Engine, log: &[u8], filter: &str) -> Result<Vec<u32>, String> {
    let selection = Selection { filter: filter.into(), ..Selection::default() };
    let rows = Rows { first: 0, count: 1_000 };
    loop {
        match engine.ask(&Query::Packets { selection: selection.clone(), rows, locate: None }, &mut &*log) {
            Answer::Packets(rows) if rows.filter_error.is_some() => return Err(format!("{:?}", rows.filter_error)),
            Answer::Packets(rows) if rows.complete => return Ok(rows.rows.iter().map(|row| row.no.0).collect()),
            Answer::Packets(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The packets that pass, as `1 2 5-7`.
fn passing(engine: &mut Engine, log: &[u8], filter: &str) -> String {
    let numbers = match numbers(engine, log, filter) {
        Ok(numbers) => numbers,
        Err(error) => return error,
    };
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for no in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == no => *last = no,
            _ => runs.push((no, no)),
        }
    }
    let text = |(first, last): (u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    runs.into_iter().map(text).collect::<Vec<_>>().join(" ")
}

/// What passes was compared with `tshark -r mtu-100-srv.pcap -Y FILTER` (TShark 4.0.17) where TShark has the fields.
#[test]
fn filters_let_through_what_wireshark_lets_through() {
    let (mut engine, log) = engine("mtu-100-srv.pcap");
    let cases = [
        ("", "1-25"),
        ("tcp", "5-16 20-24"),
        ("arp", "17 19"),
        ("!tcp and !arp", "1-4 18 25"),
        ("not (tcp or arp)", "1-4 18 25"),
        ("icmpv6", "1-4 18 25"),
        ("ip", "5-16 20-24"),
        ("ipv6", "1-4 18 25"),
        ("frame.number == 7", "7"),
        ("frame.number in {1, 3..5, 25}", "1 3-5 25"),
        ("frame.len > 80 && ipv6", "1-2 4"),
        ("tcp.stream == 4", "20-24"),
        ("tcp.stream eq 4 and tcp.flags.fin == 1", "23"),
        ("tcp.port == 45768", "20-24"),
        ("tcp.srcport == 80 or tcp.srcport==1658", "5-7 9 12 15 21 24"),
        ("tcp.port in {1658..1659}", "5-10"),
        ("tcp.port != 80", ""),
        ("tcp.port !== 80", "5-16 20-24"),
        ("tcp.port > 45760", "20-24"),
        ("ip.addr == 192.168.0.0/16", "5-16 20-24"),
        ("ip.src == 172.17.0.2", "6 9 12 15 21 24"),
        ("ip.dst == 10.0.0.0/8", ""),
        ("ipv6.dst == ff02::2", "3 18 25"),
        ("ip.src == ip.dst", ""),
        ("tcp.srcport > tcp.dstport", "5 7-8 10-11 13-14 16 20 22-23"),
        ("tcp.analysis.lost_segment", "23"),
        ("tcp.analysis.flags", "23-24"),
        ("tcp.analysis.retransmission", ""),
        ("tcp.flags.syn == 1 && tcp.flags.ack == 0", "5 8 11 14 20"),
        ("tcp.flags == 0x12", "6 9 12 15 21"),
        ("tcp.flags & 0x04", "7 10 13"),
        ("tcp xor tcp.flags.reset == 1", "5-6 8-9 11-12 14-16 20-24"),
        ("tcp ^^ frame.number <= 6", "1-4 7-16 20-24"),
        ("arp or tcp xor tcp and frame.number < 20", "17 19-24"),
        ("tcp.flags.reset == true", "7 10 13"),
        ("tcp.seq == 75", "23"),
        ("tcp.ack == 1 and tcp.len == 0 and tcp.stream == 4", "21-24"),
        ("tcp.options.mss_val == 256", "6 9 12 15 21"),
        ("tcp.options.sack_perm", "14-15 20-21"),
        ("tcp.options.sack", "24"),
        ("tcp.options.sack_le == 75", "24"),
        ("tcp.window_size_value < 100", "7 10 13 16 22-24"),
        ("tcp.window_size == 64512", "16 22-23"),
        ("tcp[13] == 11", "23"),
        ("tcp[12:2] == 50:04", "7 10 13"),
        ("eth.dst[0:2] == 33:33", "1-4 18 25"),
        ("eth.src == 2e:a3:09:87:5b:6e", "1-5 7-8 10-11 13-14 16 18-20 22-23 25"),
        ("eth.type == 0x0806", "17 19"),
        ("arp.opcode == 2", "19"),
        ("arp.dst.proto_ipv4 == 172.17.0.1", "17"),
        ("frame contains 04:02:08:0a", "14-15 20-21"),
        ("len(eth.src) == 6 and arp", "17 19"),
        ("count(ip.addr) == 2", "5-16 20-24"),
        ("ip.ttl >= 64 && tcp.stream == 0", "6"),
        ("frame.time_relative > 1 and tcp.stream == 4", "20-24"),
        ("frame.cap_len == frame.len", "1-25"),
        ("tcp contains 04:02:08:0a", "14-15 20-21"),
        ("eth.src[0:3] matches \"^.\\xa3\"", "1-5 7-8 10-11 13-14 16 18-20 22-23 25"),
        ("frame.interface_name matches \"eth\"", ""),
        ("copy or drop.reason", ""),
        ("ip.hdr_len == 20 and ip.version == 4", "5-16 20-24"),
        ("tcp.hdr_len == 20", "5 7-8 10-11 13"),
        ("tcp.options.timestamp", "14-16 20-24"),
        ("ip.flags == 2 and tcp.flags.syn == 1", "6 9 12 14-15 20-21"),
        ("tcp.checksum == 0x6ce4", "16 22-23"),
        ("ipv6.version == 6", "1-4 18 25"),
        ("finding.rule == \"interface_mtu\"", "20-24"),
    ];
    let mut wrong = Vec::new();
    for (filter, expected) in cases {
        let found = passing(&mut engine, &log, filter);
        if found != expected {
            wrong.push(format!("{filter}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_filter_is_pointed_at_and_the_nearest_field_proposed() {
    let (mut engine, log) = engine("mtu-100-srv.pcap");
    let mut text = String::new();
    for filter in [
        "tcp.prot == 80",
        "tcp.port == eighty",
        "tcp.port ==",
        "tcp.port == 80 and",
        "(tcp",
        "tcp)",
        "ip.addr == 10.0.0.0/33",
        "ip.addr contains 10",
        "tcp == 1",
        "tcp.port in 80",
        "tcp.port in {}",
        "frame contains \"GET",
        "frame.lne - 14 == ip.len",
        "ip.src * 2 == 4",
        "frame.time_delta * 2 > 1",
        "frame.len + == 4",
        "all tcp.port",
        "tcp.port not {80}",
        "tcp.flags & frame.time_delta == 1",
        "lenn(eth.src) == 6",
        "len(tcp.port) == 2",
        "tcp.port[0] == 1",
        "frame.time > yesterday",
        "frame.interface_name matches \"(\"",
        "tcp.flags.syn == yes",
        "ip.addr == ::1",
        "ipv6.addr == 10.0.0.1",
        "eth.addr == ff:ff",
        "eth.addr[1:0] == 00",
        "eth.addr[2-1] == 00",
        "tcp.port == 080",
        "frame contains \"a\\qb\"",
        "frame contains 'ab'",
        "ip.src == eth.src",
        "ip.addr == tcp.port",
        "größe == 1",
        "tcp.port == 80 80",
    ] {
        let selection = Selection { filter: filter.into(), ..Selection::default() };
        let rows = Rows { first: 0, count: 1 };
        let Answer::Packets(answer) = engine.ask(&Query::Packets { selection, rows, locate: None }, &mut &*log) else {
            panic!("no packets")
        };
        let error = answer.filter_error.unwrap_or_else(|| panic!("{filter} was understood"));
        let marker = format!("{}{}", " ".repeat(error.at as usize), "^".repeat(error.len.max(1) as usize));
        let proposal = error.suggestion.map(|name| format!(" Perhaps `{name}`.")).unwrap_or_default();
        text.push_str(&format!("{filter}\n{marker}\n{}{proposal}\n\n", error.message));
    }
    assert_kept!("what_is_no_filter_is_pointed_at_and_the_nearest_field_proposed", text);
}

/// Whatever the decode tree names can be typed: a click on it makes a filter.
#[test]
fn every_field_of_the_decode_tree_is_a_filter_field() {
    fn names(nodes: &[dropscope_core::query::Node], into: &mut std::collections::BTreeSet<String>) {
        for node in nodes {
            into.insert(node.field.clone());
            names(&node.children, into);
        }
    }
    let (mut engine, log) = engine("packets.pcapng");
    let mut fields = std::collections::BTreeSet::new();
    for no in 1..=56 {
        let query = Query::Packet { no: dropscope_core::ids::PacketNo(no) };
        let Answer::Packet(detail) = engine.ask(&query, &mut &*log) else { panic!("no packet {no}") };
        names(&detail.tree, &mut fields);
    }
    fields.remove("");
    assert!(fields.len() > 250, "{}", fields.len());
    let unknown: Vec<String> = fields
        .into_iter()
        .filter(|filter| match engine.ask(&Query::FilterHelp { filter: filter.clone(), cursor: 0 }, &mut &*log) {
            Answer::FilterHelp(help) => help.error.is_some(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(unknown, Vec::<String>::new());
}

/// Our own fields, over a lab in which a queue dropped segments.
#[test]
fn judgements_are_fields() {
    let log = kept::file("labs/tbf-overlimit.pcap").to_vec();
    let mut engine = Engine::new();
    engine.push(&log);
    engine.finish();
    let all = passing(&mut engine, &log, "tcp.analysis.retransmission");
    assert!(!all.is_empty());
    assert_eq!(passing(&mut engine, &log, "judgement == \"lost_after_tap\" and tcp.analysis.retransmission"), all);
    let by_cause: Vec<String> = ["fast", "rack", "timeout"]
        .iter()
        .map(|cause| passing(&mut engine, &log, &format!("judgement.cause == \"{cause}\"")))
        .collect();
    let fast = "31 33 36 41 50 52 55 68 73 75 77 95 97 109 111 123 125 136 138 150 152 164 166";
    assert_eq!(by_cause, [fast, "29 39 46 49 60 63 76 80 82 84 174", ""]);
    assert_eq!(passing(&mut engine, &log, "judgement.tail_loss"), "");
}

/// What the tree of each packet offers to filter by lets that packet through, whatever its fields are.
#[test]
fn every_filter_of_the_tree_finds_its_own_packet() {
    fn visit(nodes: &[Node], found: &mut Vec<String>) {
        for node in nodes {
            found.extend((!node.filter.is_empty()).then(|| node.filter.clone()));
            visit(&node.children, found);
        }
    }
    for (name, _) in kept::captures() {
        let (mut engine, log) = engine(name);
        let mut by_filter: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        // The labs are many packets of the same few kinds.
        let most = if name.starts_with("labs/") { 12 } else { 120 };
        for no in (1..=engine.progress().packets).take(most) {
            let Answer::Packet(packet) = engine.ask(&Query::Packet { no: PacketNo(no) }, &mut &*log) else {
                panic!("packet {no}")
            };
            // A layer filters for its presence.
            for layer in packet.tree.iter().filter(|layer| !layer.field.is_empty() && layer.field != "data") {
                assert_eq!(layer.filter, layer.field, "{name}: packet {no}");
            }
            let mut filters = vec![];
            visit(&packet.tree, &mut filters);
            filters.into_iter().for_each(|filter| by_filter.entry(filter).or_default().push(no));
        }
        for (filter, packets) in by_filter {
            let passing = numbers(&mut engine, &log, &filter).unwrap_or_else(|error| panic!("{name}: {filter}: {error}"));
            for no in packets {
                assert!(passing.contains(&no), "{name}: {filter} does not find packet {no}");
            }
        }
    }
}

/// The filters that stand on the lines of one packet's tree.
#[test]
fn lines_of_the_tree_filter_for_what_they_show() {
    let (mut engine, log) = engine("mtu-100-srv.pcap");
    let Answer::Packet(packet) = engine.ask(&Query::Packet { no: PacketNo(23) }, &mut &*log) else { panic!("no packet") };
    let mut text = String::new();
    for node in packet.tree.iter().filter(|node| node.name != "Analysis") {
        let _ = writeln!(text, "{}: {}", node.name, node.filter);
        for child in &node.children {
            let _ = writeln!(text, "  {} {}: {}", child.name, child.value, child.filter);
        }
    }
    assert_kept!("lines_of_the_tree_filter_for_what_they_show", text);
}
