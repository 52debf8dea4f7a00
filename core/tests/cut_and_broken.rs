//! Packets cut by the snapshot length, ended early or changed in one byte: each shows what TShark 4.0.17 shows of it.
//!
//! `data/cut-and-broken.tsv` holds one a line: what it is, link type, length on the wire, the bytes that were kept, and what
//! TShark said, in the words of `dropscope packets --json`. Each was a difference once. Made with scapy by cutting a packet of
//! each kind after every byte and by changing every byte of its headers. What differs on purpose stands in
//! `docs/wireshark-differences.md`.

#[cfg(target_arch = "wasm32")]
#[macro_use]
extern crate dropscope_wasm_test;

use dropscope_core::query::{Chosen, Engine, FieldLines, PacketLines, Survey};
use serde_json::{Map, Value};

const CASES: &str = include_str!("data/cut-and-broken.tsv");

/// What is told about a packet whatever else a file holds.
const KEYS: &[&str] = &[
    "link",
    "vlan",
    "net",
    "src",
    "dst",
    "ip_id",
    "ttl",
    "ip_proto",
    "df",
    "frag",
    "ip_depth",
    "outer",
    "arp_op",
    "transport",
    "sport",
    "dport",
    "payload_len",
    "tcp_stream",
    "flags",
    "seq",
    "ack",
    "win",
    "mss",
    "wscale",
    "sack_ok",
    "tsval",
    "tsecr",
    "icmp_type",
    "icmp_code",
    "icmp_mtu",
    "quote",
    "ck_ip",
    "ck_l4",
];

#[test]
fn each_shows_what_tshark_shows() {
    let mut wrong = Vec::new();
    for case in CASES.lines() {
        let [name, link, wire_len, bytes, expected] = *case.split('\t').collect::<Vec<_>>() else { panic!("{case}") };
        let number = |text: &str| text.parse::<u32>().expect("a number");
        let shown = told(shown(number(link), &[(&hex(bytes), number(wire_len))]).remove(0));
        let expected = told(serde_json::from_str(expected).expect("an object"));
        if shown != expected {
            wrong.push(format!("{name}\n  TShark: {expected:?}\n  here:   {shown:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// A TCP header that is cut before the end of its window begins no stream, so the next stream takes the number.
#[test]
fn a_header_cut_before_its_window_begins_no_stream() {
    let syn = hex("0242ac1100020242ac110001080045000028000100004006f976c0a80001c0a800074e210050000003e80000000050022000\
                   00000000");
    let mut other = syn.clone();
    other[35] += 1;
    let streams = |kept: usize| {
        let packets = [(&syn[..kept], 54), (&other[..], 54), (&syn[..], 54)];
        shown(1, &packets).iter().map(|line| line.get("tcp_stream").and_then(Value::as_u64)).collect::<Vec<_>>()
    };
    // The window lies in bytes 48 and 49. What TShark 4.0.17 numbers them:
    assert_eq!(streams(49), [None, Some(0), Some(1)]);
    assert_eq!(streams(50), [Some(0), Some(1), Some(0)]);
}

/// Snapshot lengths of 68 or 96 bytes leave no datagram whole; its first fragment is what is left of it, and no damage.
#[test]
fn the_first_fragment_of_a_datagram_that_was_cut_stands_for_it() {
    let fragment = |flags: &str| hex(&format!("450005dc0001{flags}40110000c0a80001c0a80002"));
    let first = [fragment("2000"), hex("138813890b900000"), vec![0; 1472]].concat();
    let second = [fragment("00b9"), vec![0; 1480]].concat();
    let streams = |kept: usize| {
        let file = file(101, &[(&first[..kept], 1500), (&second[..kept], 1500)]);
        let chosen = Chosen::fields("udp.stream,udp.srcport,_ws.malformed,_ws.short").expect("they are fields");
        let mut engine = Engine::new();
        engine.push(&file);
        engine.finish();
        let mut lines = FieldLines::new(chosen, engine);
        let mut text = String::new();
        lines.push(&file, &mut text);
        lines.finish(&mut text).expect("the file is whole");
        text
    };
    assert_eq!(streams(96), "0\t5000\t\t\n\t\t\t\n");
    // Cut within its header it says so.
    assert_eq!(streams(26), "0\t5000\t\t1\n\t\t\t\n");
    // Whole, they are one datagram: it has the stream of the fragment that completes it.
    assert_eq!(streams(1500), "\t5000\t\t\n0\t\t\t\n");
}

/// The lines of packets that are all there is in a capture.
fn shown(link: u32, packets: &[(&[u8], u32)]) -> Vec<Map<String, Value>> {
    let file = file(link, packets);
    let mut survey = Survey::new();
    survey.push(&file);
    let mut lines = PacketLines::new(survey.finish());
    let mut text = String::new();
    lines.push(&file, &mut text);
    lines.finish(&mut text).expect("the file is whole");
    // The last line is the trailer.
    text.lines().take(packets.len()).map(|line| serde_json::from_str(line).expect("an object")).collect()
}

/// A pcap of these packets, each with its length on the wire.
fn file(link: u32, packets: &[(&[u8], u32)]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, link] {
        file.extend(word.to_le_bytes());
    }
    for (data, wire_len) in packets {
        for word in [0, 0, data.len() as u32, *wire_len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(*data);
    }
    file
}

/// The keys that are compared; a quoted sequence number is not, and null is nothing.
fn told(mut line: Map<String, Value>) -> Map<String, Value> {
    line.retain(|key, value| KEYS.contains(&key.as_str()) && !value.is_null());
    if let Some(Value::Object(quote)) = line.get_mut("quote") {
        quote.remove("seq");
    }
    line
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}
