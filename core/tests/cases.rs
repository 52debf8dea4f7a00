//! What is said of each capture in `judge/`, as it reads, and of what is left of some when packets are taken out: near misses.
//!
//! `judge.rs` holds the findings against the labels; here stand their words, and what is remarked of the captures themselves. The
//! snapshot is read before it is accepted.

#![cfg(not(target_arch = "wasm32"))]

use dropscope_core::finding::Severity;
use dropscope_core::query::Engine;
use std::fmt::Write as _;
use std::path::Path;

fn read(name: &str) -> Vec<u8> {
    std::fs::read(Path::new("tests/judge").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn judged(log: &[u8]) -> Engine {
    let mut engine = Engine::new();
    engine.push(log);
    engine.finish();
    engine
}

/// Findings of at least a warning, a line each.
fn said(log: &[u8]) -> String {
    let engine = judged(log);
    let loud = engine.findings().findings.iter().filter(|finding| finding.severity >= Severity::Warning);
    loud.map(|finding| format!("{} {} {}: {}\n", finding.severity, finding.confidence, finding.rule, finding.sentence)).collect()
}

/// A capture in pcap format of which only these packets are left.
fn only(name: &str, keep: &[usize]) -> Vec<u8> {
    let bytes = read(name);
    let (header, mut rest) = bytes.split_at(24);
    let (mut out, mut no) = (header.to_vec(), 0);
    while let Some(length) = rest.get(8..12).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes) {
        let (record, after) = rest.split_at(16 + length as usize);
        no += 1;
        if keep.contains(&no) {
            out.extend_from_slice(record);
        }
        rest = after;
    }
    out
}

#[test]
fn every_case_is_told_as_it_should_be() {
    let mut names: Vec<String> = std::fs::read_dir("tests/judge")
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(".pcap"))
        .collect();
    names.sort();
    let mut out = String::new();
    for name in names {
        let engine = judged(&read(&name));
        let _ = writeln!(out, "# {name}");
        for remark in engine.overview().quality {
            let _ = writeln!(out, "remark {} {}: {}", remark.severity, remark.kind, remark.sentence);
        }
        for finding in &engine.findings().findings {
            let _ = writeln!(out, "{} {} {}: {}", finding.severity, finding.confidence, finding.rule, finding.sentence);
            for reason in &finding.reasons {
                let _ = writeln!(out, "  - {}", reason.text);
            }
        }
    }
    insta::assert_snapshot!("cases", out);
}

#[test]
fn nanoseconds_under_the_magic_number_of_microseconds_are_nanoseconds() {
    let log = read("nanoseconds-under-us-magic-3s.pcap");
    let milliseconds = |engine: &Engine| engine.overview().progress.span.expect("it has packets").length().get() / 1_000_000;
    let whole = milliseconds(&judged(&log));
    assert!((2_500..3_500).contains(&whole), "{whole} ms");
    // However it is cut: the first packet tells.
    let mut engine = Engine::new();
    log.chunks(7).for_each(|chunk| engine.push(chunk));
    engine.finish();
    assert_eq!(milliseconds(&engine), whole);
}

#[test]
fn first_fragments_alone_are_what_a_filter_on_a_port_keeps() {
    let name = "17-edns-fragments-lost-resolver.pcap";
    let all: Vec<usize> = (1..=36).collect();
    assert!(said(&only(name, &all)).contains("fragments_lost"));
    assert_eq!(said(&only(name, &[2, 4, 8, 10, 14, 16])), "", "nobody asks again");
    let once = said(&only(name, &[1, 2, 3]));
    assert!(once.starts_with("warning strong dns_unanswered") && once.lines().count() == 1, "one datagram may be lost: {once}");
}

#[test]
fn a_wrong_checksum_that_is_answered_is_computed_after_the_capture_point() {
    let name = "15-vxlan-bad-udp-checksum-receiver.pcap";
    let all: Vec<usize> = (1..=24).collect();
    assert!(said(&only(name, &all)).contains("checksum_error"));
    assert_eq!(said(&only(name, &[1, 8, 9, 10, 11, 12])), "", "the first SYN, whose checksum is wrong, was answered");
    let repeated = said(&only(name, &[7, 8, 9, 10, 11, 12]));
    assert_eq!(repeated, "", "only right ones");
    // The second connection has no answer.
    let unanswered = [13, 14, 15, 16, 17, 18];
    let offloaded = said(&only(name, &[&[1, 8, 9, 10, 11, 12], &unanswered[..]].concat()));
    assert!(
        offloaded.contains("syn_unanswered") && !offloaded.contains("checksum_error"),
        "the tunnel was answered with the same checksums: {offloaded}"
    );
    let alone = said(&only(name, &unanswered));
    assert!(alone.starts_with("warning possible checksum_error") && alone.contains("probably drops them"), "{alone}");
}
