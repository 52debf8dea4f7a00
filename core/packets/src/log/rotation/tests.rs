//! Which files go on from each other, as a table: files with their packets' times, and the captures they are.

use super::{HEAD, Outline, Part, TAIL, captures};
use crate::log::record::{Interface, Section, Segment};
use crate::log::{Decoder, Encoder, PacketToWrite};
use crate::time::Timestamp;

/// `NAME FORMAT[:INTERFACE] TIMES`, times in milliseconds; `!` behind them cuts the last record.
fn file(line: &str) -> (String, Vec<u8>) {
    let mut words = line.split_whitespace();
    let (name, format) = (words.next().expect("a name"), words.next().expect("a format"));
    let (format, interface) = format.split_once(':').unwrap_or((format, "eth0"));
    let mut bytes = Vec::new();
    let mut cut = false;
    let mut encoder = None;
    let data = [0x45_u8; 60];
    match format {
        "pcap" | "big" => {
            let word = |n: u32| if format == "big" { n.to_be_bytes() } else { n.to_le_bytes() };
            bytes.extend(word(0xa1b2_c3d4));
            bytes.extend(if format == "big" { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
            [0, 0, 262_144, if interface == "raw" { 101 } else { 1 }].into_iter().for_each(|n| bytes.extend(word(n)));
        }
        _ => {
            let recording = format.strip_prefix("segment");
            let segment = |n: &str| Segment { recording: "0123456789abcdef".into(), number: n.parse().expect("a number") };
            let comments = recording.map(|n| segment(n).comment()).into_iter().collect();
            let mut begun = Encoder::begin(&Section { comments, ..Section::default() }, &mut bytes);
            let id =
                begun.interface(&Interface { name: Some(interface.into()), link_type: 1, ..Interface::default() }, &mut bytes);
            encoder = Some((begun, id));
        }
    }
    for time in words {
        cut = time == "!";
        let Ok(ms) = time.parse::<u32>() else { continue };
        match &mut encoder {
            Some((encoder, id)) => {
                let time = Timestamp::from_nanos(1_700_000_000_000_000_000 + i64::from(ms) * 1_000_000);
                encoder.packet(
                    &PacketToWrite { interface: *id, time, wire_len: 60, data: &data, ..PacketToWrite::default() },
                    &mut bytes,
                );
            }
            None => {
                let words = [1_700_000_000 + ms / 1_000, ms % 1_000 * 1_000, 60, 60];
                let order = |n: u32| if format == "big" { n.to_be_bytes() } else { n.to_le_bytes() };
                words.into_iter().for_each(|n| bytes.extend(order(n)));
                bytes.extend(data);
            }
        }
    }
    if cut {
        bytes.truncate(bytes.len() - 8);
    }
    (name.to_owned(), bytes)
}

fn outline(name: &str, bytes: &[u8]) -> Outline {
    Outline::read(name, &bytes[..bytes.len().min(HEAD)], &bytes[bytes.len().saturating_sub(TAIL)..])
}

/// Files, one a line; then the captures they are, by place: `0 1 | 2`.
const CASES: &[(&str, &[&str], &str)] = &[
    ("one file", &["a.pcap pcap 0 10"], "0"),
    ("tcpdump -C, dropped in any order", &["a.pcap2 pcap 9000", "a.pcap pcap 0 10", "a.pcap1 pcap 5000 6000"], "1 2 0"),
    ("tcpdump -W", &["a.pcap00 pcap 0", "a.pcap01 pcap 60000"], "0 1"),
    ("a ring that has come round", &["a.pcap0 pcap 90000", "a.pcap1 pcap 30000", "a.pcap2 pcap 60000"], "0 | 1 2"),
    ("dumpcap", &["r_00001_20261130143000.pcapng ng 0", "r_00002_20261130153000.pcapng ng 3600000"], "0 1"),
    ("dumpcap, time first", &["r_20261130143000_00001.pcapng ng 0", "r_20261130153000_00002.pcapng ng 3600000"], "0 1"),
    ("a missing file", &["r_00001_20261130143000.pcapng ng 0", "r_00003_20261130163000.pcapng ng 7200000"], "0 | 1"),
    ("names that do not count, one just after the other", &["x.pcap pcap 0 1000", "y.pcap pcap 1500"], "0 1"),
    ("and a while later", &["x.pcap pcap 0 1000", "y.pcap pcap 2500"], "0 | 1"),
    ("tcpdump -G", &["c-1400.pcap pcap 0 3599900", "c-1500.pcap pcap 3600100"], "0 1"),
    ("two hosts at the same time", &["a.pcap pcap 0 1000", "b.pcap pcap 5 1005"], "0 | 1"),
    ("two hosts at the same time, with names that count", &["a.pcap1 pcap 0 1000", "a.pcap2 pcap 500 1500"], "0 | 1"),
    ("stamped a little out of order", &["a.pcap1 pcap 0 1000", "a.pcap2 pcap 995 2000"], "0 1"),
    ("another interface", &["a.pcapng1 ng:eth0 0", "a.pcapng2 ng:eth1 10"], "0 | 1"),
    ("another link type", &["a.pcap1 pcap 0", "a.pcap2 pcap:raw 10"], "0 | 1"),
    ("another format", &["a.pcap1 pcap 0", "a.pcap2 ng 10"], "0 | 1"),
    ("another byte order", &["a.pcap1 pcap 0", "a.pcap2 big 10"], "0 | 1"),
    ("big-endian", &["a.pcap1 big 0 5", "a.pcap2 big 10"], "0 1"),
    ("the first was cut short", &["a.pcap1 pcap 0 10 !", "a.pcap2 pcap 20"], "0 | 1"),
    ("so was the first of pcapng", &["a.pcapng1 ng 0 10 !", "a.pcapng2 ng 20"], "0 | 1"),
    ("the last was cut short", &["a.pcap1 pcap 0 10", "a.pcap2 pcap 20 30 !"], "0 1"),
    ("nothing in it", &["a.pcap1 pcap 0", "a.pcap2 pcap", "a.pcap3 pcap 20000"], "0 | 1 | 2"),
    ("segments of ours", &["b.pcapng segment2 10", "a.pcapng segment1 0", "c.pcapng segment4 90000"], "1 0 2"),
    ("two captures side by side", &["a.pcap pcap 0", "b.pcap ng 0", "a.pcap1 pcap 2000", "b.pcap1 ng 2000"], "0 2 | 1 3"),
];

#[test]
fn files_that_go_on_from_each_other_are_one_capture() {
    for (about, lines, expected) in CASES {
        let files: Vec<Outline> = lines.iter().map(|line| file(line)).map(|(name, bytes)| outline(&name, &bytes)).collect();
        let text = |parts: &Vec<Part>| parts.iter().map(|part| part.file.to_string()).collect::<Vec<_>>().join(" ");
        let got = captures(&files).iter().map(text).collect::<Vec<_>>().join(" | ");
        assert_eq!(got, *expected, "{about}");
    }
}

#[test]
fn what_is_put_together_is_one_valid_capture() {
    for format in ["pcap", "big", "ng", "segment"] {
        let packets = (0..20_000_u32).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let kind = |n: u32| if format == "segment" { format!("segment{n}") } else { format.to_owned() };
        // Longer than what is looked at of it: the end is found from behind.
        let files = [file(&format!("a.pcap1 {} {packets}", kind(1))), file(&format!("a.pcap2 {} 20001 20002", kind(2)))];
        assert!(files[0].1.len() > HEAD + TAIL);
        let outlines: Vec<Outline> = files.iter().map(|(name, bytes)| outline(name, bytes)).collect();
        let captures = captures(&outlines);
        assert_eq!(captures.len(), 1, "{format}: {captures:?}");
        let mut decoder = Decoder::new();
        let mut times = Vec::new();
        let (mut interfaces, mut see) = (0, 0);
        for part in &captures[0] {
            decoder.push(&files[part.file].1[part.skip..], |record| match record {
                crate::log::record::Record::Packet(packet) => times.push(packet.time),
                crate::log::record::Record::Interface(_) => interfaces += 1,
                _ => see += 1,
            });
        }
        assert_eq!(decoder.finish(|_| {}), Ok(()), "{format}");
        assert_eq!((times.len(), interfaces, times.is_sorted()), (20_002, 1, true), "{format}, {see} other records");
    }
}

/// Records without data that never reach the end: whoever walked on from each of them would take minutes.
#[test]
fn an_end_that_no_record_reaches_is_looked_for_once() {
    let (_, mut bytes) = file("a.pcap pcap 0 1");
    bytes.resize(HEAD + TAIL, 0);
    bytes.extend([0xff; 7]);
    assert_eq!(outline("a.pcap", &bytes).last, None);
}

/// Lengths that lead back to where one was, in 32 bits, as the page has them.
#[test]
fn a_length_that_leads_back_ends_the_search() {
    let (_, mut bytes) = file("a.pcapng ng 0");
    let at = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes")) as usize;
    bytes[at + 4..at + 8].copy_from_slice(&(at as u32).wrapping_neg().to_le_bytes());
    assert!(outline("a.pcapng", &bytes).header.is_empty());
}

#[test]
fn any_bytes_have_an_outline() {
    for (_, lines, _) in CASES {
        for (name, bytes) in lines.iter().map(|line| file(line)) {
            for length in 0..bytes.len() {
                outline(&name, &bytes[..length]);
                let mut broken = bytes.clone();
                broken[length] ^= 0xff;
                outline(&name, &broken);
            }
        }
    }
}
