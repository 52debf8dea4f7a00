//! Cases of the rules: a script in, findings as text out. The script goes the whole way: encoded as a log, decoded, dissected,
//! put together and joined by a [`Recording`].

use super::{Judgement, View, judge};
use crate::dissect::Packet;
use crate::finding::Quiet;
use crate::flow::{FlowTable, Observed};
use crate::log::Decoder;
use crate::recording::{Recording, Witness};
use crate::script::Script;
use crate::store::{Row, Store};
use std::fmt::Write as _;
use wording::Wording;

#[path = "../../tests/wording/mod.rs"]
mod wording;

/// Host 2 connects to port 80 of host 1: the three packets with which most cases begin.
pub(crate) const OPEN: &str = "date 2021-06-01
14:40:01.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 100, win 512, options [mss 1460], length 0
14:40:01.001 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 900, ack 101, win 512, options [mss 1460], length 0
14:40:01.002 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], ack 1, win 512, length 0
";

/// Packets need no second look here.
struct Unwatched;

impl Witness for Unwatched {
    fn note(&mut self, _: &Packet<'_>, _: &Observed, _: &Row, _: &FlowTable, _: &Store) {}
}

/// What the rules say about a log, read as the engine reads it.
pub(super) fn judged(log: &[u8]) -> Judgement {
    let mut recording = Recording::default();
    let mut decoder = Decoder::new();
    recording.read(&mut decoder, log, &mut Unwatched);
    recording.finish(&mut decoder, &mut Unwatched);
    judge(&View::of(&mut recording))
}

/// What some rules say about a script, as text: findings, and what was checked.
pub(crate) fn said(script: &str, rules: &[&str]) -> String {
    let script = Script::parse(script).unwrap_or_else(|error| panic!("{error}"));
    said_of(&crate::reference::encode(&script), rules)
}

/// What some rules say about a log, as [`said`] has it.
pub(super) fn said_of(log: &[u8], rules: &[&str]) -> String {
    let judgement = judged(log);
    let mut out = String::new();
    for finding in judgement.findings.iter().filter(|finding| rules.contains(&finding.rule.as_str())) {
        assert!(!finding.evidence.is_empty(), "a finding without evidence: {}", finding.sentence);
        let rest = finding.reasons.iter().map(|reason| reason.text.as_str());
        let rest = rest.chain([finding.confidence_reason.as_str(), &finding.rival]).collect();
        let faults = Wording { sentence: &finding.sentence, rest, count: finding.count }.faults();
        assert!(faults.is_empty(), "{faults:#?}");
        let _ = writeln!(out, "{} {} {}: {}", finding.severity, finding.confidence, finding.rule, finding.sentence);
    }
    for checked in judgement.checked.iter().filter(|checked| rules.contains(&checked.rule.as_str())) {
        let verdict = match checked.verdict {
            Quiet::Clear => "clear",
            Quiet::CannotTell => "cannot tell",
        };
        let _ = writeln!(out, "{verdict} {}: {}", checked.rule, checked.why);
    }
    out
}

/// Checks what one rule says about a script, a line each: `severity confidence: sentence`, or `clear: why`.
#[track_caller]
pub(super) fn check(rule: &str, script: &str, expected: &str) {
    let said = said(script, &[rule]).replace(&format!(" {rule}: "), ": ");
    assert_eq!(said.trim_end(), expected, "\n\nsaid:\n{said}");
}

#[test]
fn the_reference_case_is_found_by_name_in_both_acts() {
    const RULE: &str = "-m statistic --mode random --probability 0.29999999981 -j DROP`";
    let expected = format!(
        "critical strong interface_mtu: eth0 of web-1 has an MTU of 100 and dropped bytes 1 to 75 that 10.255.255.5:39058 sent: the packet \
         that carried them had 127 bytes.
warning strong firewall_drop: Rule 1 of INPUT (table filter, iptables-legacy) in web-1 dropped 19 packets of 57 (33.3 %): `-A INPUT {RULE}; \
         11 connection attempts got no answer.
warning strong firewall_drop: Rule 1 of OUTPUT (table filter, iptables-legacy) in web-1 dropped 8 packets of 35 (22.9 %): `-A OUTPUT {RULE}.
clear conntrack_full: 182 of 262144 entries in use, 0.07 %, and no packet was refused an entry.
"
    );
    assert_eq!(said(crate::reference::SCRIPT, &["interface_mtu", "firewall_drop", "conntrack_full"]), expected);
}
