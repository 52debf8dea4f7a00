//! How findings read: those of every kept log, lab and recording.

#[cfg(target_arch = "wasm32")]
#[macro_use]
extern crate dropscope_wasm_test;
#[macro_use]
mod kept;
mod wording;

use dropscope_core::finding::Finding;
use dropscope_core::log::Unpacker;
use dropscope_core::query::Engine;
use dropscope_core::{reference, script};
use wording::Wording;

fn faults(finding: &Finding) -> Vec<String> {
    let questions = finding.questions.iter().flat_map(|one| [one.question.as_str(), one.answer.as_str()]);
    let rest =
        finding.reasons.iter().map(|reason| reason.text.as_str()).chain([finding.confidence_reason.as_str(), &finding.rival]);
    Wording { sentence: &finding.sentence, rest: rest.chain(questions).collect(), count: finding.count }.faults()
}

/// Every log there is, with its name.
fn logs() -> Vec<(String, Vec<u8>)> {
    let mut logs = vec![("reference".to_owned(), reference::log())];
    for (name, bytes) in kept::all() {
        if name.ends_with(".gz") {
            let mut log = Vec::new();
            let mut unpacker = Unpacker::new(1 << 24);
            unpacker.push(bytes, |bytes| log.extend_from_slice(bytes)).expect("it is gzip");
            logs.push((name.to_owned(), log));
        } else if name.ends_with(".txt") {
            let facts = std::str::from_utf8(bytes).expect("facts are text");
            let capture = kept::file(&name.replace(".txt", ".pcap"));
            let script = script::Script::parse(facts).unwrap_or_else(|error| panic!("{name}: {error}"));
            logs.push((name.to_owned(), reference::encode(&script.with_packets(kept::packets(capture)))));
        } else {
            logs.push((name.to_owned(), bytes.to_vec()));
        }
    }
    logs
}

#[test]
fn no_finding_of_any_kept_log_reads_badly() {
    let (mut all, mut findings) = (Vec::new(), 0);
    for (name, log) in logs() {
        let mut engine = Engine::new();
        engine.push(&log);
        engine.finish();
        findings += engine.findings().findings.len();
        for finding in &engine.findings().findings {
            all.extend(faults(finding).into_iter().map(|fault| format!("{name}: {}: {fault}", finding.rule)));
        }
    }
    assert!(findings > 30, "only {findings} findings");
    assert!(all.is_empty(), "{}", all.join("\n"));
}
