//! What the rules say about real captures: each lab's own, with what its host counted, and alone.
//!
//! `data/labs/README.md` says where they come from. Each snapshot is read before it is accepted: one finding a cause, no ordinary
//! traffic accused.

#[cfg(target_arch = "wasm32")]
#[macro_use]
extern crate dropscope_wasm_test;
#[macro_use]
mod kept;

use dropscope_core::finding::{Quiet, Severity};
use dropscope_core::query::Engine;
use dropscope_core::reference;
use dropscope_core::rules::Judgement;
use dropscope_core::script::Script;
use std::fmt::Write as _;

fn read(name: &str) -> Vec<u8> {
    kept::file(&format!("labs/{name}")).to_vec()
}

/// The capture's packets among what the host's tools told.
fn log_of(lab: &str) -> Vec<u8> {
    let facts = String::from_utf8(read(&format!("{lab}.txt"))).expect("facts are text");
    let packets = kept::packets(&read(&format!("{lab}.pcap")));
    let script = Script::parse(&facts).unwrap_or_else(|error| panic!("{lab}: {error}"));
    reference::encode(&script.with_packets(packets))
}

fn judged(log: &[u8]) -> Engine {
    let mut engine = Engine::new();
    engine.push(log);
    engine.finish();
    engine
}

fn told(judgement: &Judgement) -> String {
    let mut out = String::new();
    for finding in &judgement.findings {
        assert!(!finding.evidence.is_empty() && !finding.reasons.is_empty(), "{}", finding.sentence);
        let _ = writeln!(out, "{} {} {}\n  {}", finding.severity, finding.confidence, finding.rule, finding.sentence);
        for reason in &finding.reasons {
            let _ = writeln!(out, "  - {}", reason.text);
        }
    }
    for checked in &judgement.checked {
        let sign = if checked.verdict == Quiet::Clear { "fine" } else { "cannot tell" };
        let _ = writeln!(out, "{sign} {}: {}", checked.rule, checked.why);
    }
    out
}

macro_rules! labs {
    ($($test:ident => $lab:literal;)*) => {$(
        #[test]
        fn $test() {
            let watched = judged(&log_of($lab));
            let alone = judged(&read(concat!($lab, ".pcap")));
            let both = format!("# with counters\n{}\n# the capture alone\n{}", told(watched.findings()), told(alone.findings()));
            assert_kept!($lab, both);
        }
    )*};
}

labs! {
    conntrack_full => "conntrack-full";
    healthy => "healthy";
    listen_overflow => "listen-overflow";
    mtu_100 => "mtu-100";
    nft_drop => "nft-drop";
    pmtud_black_hole => "pmtud-blackhole";
    pmtud_ok => "pmtud-ok";
    random_drop => "random-drop";
    random_drop_legacy => "random-drop-legacy";
    reject_icmp => "reject-icmp";
    rst_closed => "rst-closed";
    syn_black_hole => "syn-blackhole";
    tbf_overlimit => "tbf-overlimit";
    udp_rcvbuf => "udp-rcvbuf";
    zero_window => "zero-window";
}

#[test]
fn nothing_alarms_where_nothing_is_wrong() {
    for lab in ["healthy", "pmtud-ok"] {
        for log in [log_of(lab), read(&format!("{lab}.pcap"))] {
            let engine = judged(&log);
            let loud: Vec<_> = engine.findings().findings.iter().filter(|f| f.severity > Severity::Note).collect();
            assert!(loud.is_empty(), "{lab}: {loud:#?}");
        }
    }
}
