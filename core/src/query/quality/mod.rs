//! What limits, or colours, what can be said from a log: one file an idea, and [`KINDS`].
//!
//! A remark is about the capture, never about the network: copies, offload, a direction that was not seen. It is told once, with
//! its numbers, however many packets it is about. What it is made from is gathered where it is cheapest: as packets pass
//! ([`Passing`]) or in one walk over the conversations when the rules run ([`Sums`]).

use super::engine::Knowledge;
use super::{Quality, Scope};
use crate::dissect::Packet;
use crate::finding::Severity;
use crate::flow::{FlowTable, Observed};
use crate::recording::Witness;
use crate::store::{Row, Store};

mod capture_lost;
mod clamped;
mod clock;
mod copies;
mod cut_short;
mod discarded;
mod failed;
mod handshake;
mod kept;
mod link;
mod one_direction;
mod oversized;
mod reordered;
mod scope;
mod snaplen;
mod source;
mod tunnel;

/// A kind of remark.
struct Kind {
    /// Its name in JSON; never changes its meaning.
    name: &'static str,
    /// A warning limits what can be said; a note only says how to read it.
    severity: Severity,
    /// Its sentences; none where there is nothing to remark.
    tell: fn(&Knowledge<'_>) -> Vec<String>,
}

/// All kinds, in the order in which they are told.
const KINDS: &[Kind] = &[
    Kind { name: "capture_lost", severity: Severity::Warning, tell: capture_lost::tell },
    Kind { name: "data_discarded", severity: Severity::Warning, tell: discarded::tell },
    Kind { name: "source_failed", severity: Severity::Warning, tell: failed::tell },
    Kind { name: "cut_short", severity: Severity::Warning, tell: cut_short::tell },
    Kind { name: "snaplen", severity: Severity::Warning, tell: snaplen::tell },
    Kind { name: "one_direction", severity: Severity::Warning, tell: one_direction::tell },
    Kind { name: "asymmetric", severity: Severity::Warning, tell: handshake::syn_ack_missing },
    Kind { name: "handshake_partial", severity: Severity::Note, tell: handshake::syn_missing },
    Kind { name: "midway", severity: Severity::Note, tell: handshake::midway },
    Kind { name: "copies", severity: Severity::Note, tell: copies::tell },
    Kind { name: "offload", severity: Severity::Note, tell: oversized::tell },
    Kind { name: "mss_clamped", severity: Severity::Note, tell: clamped::tell },
    Kind { name: "tunnel", severity: Severity::Note, tell: tunnel::tell },
    Kind { name: "reordered", severity: Severity::Note, tell: reordered::tell },
    Kind { name: "clock_step", severity: Severity::Warning, tell: clock::tell },
    Kind { name: "time_disorder", severity: Severity::Note, tell: clock::disorder },
    Kind { name: "unknown_link", severity: Severity::Warning, tell: link::tell },
    Kind { name: "evicted", severity: Severity::Warning, tell: kept::tell },
    Kind { name: "source_missing", severity: Severity::Warning, tell: source::tell },
];

/// Sentences of one kind that are told; what comes after is counted.
const MOST_OF_A_KIND: usize = 16;

/// Every kind of mark (FORMAT.md), with the remark that reports it. Those without one limit nothing of what was seen: they say
/// what happened on the host, or that the recorder did what it was told.
const MARKS: &[(&str, Option<&str>)] = &[
    ("capture_lost", Some("capture_lost")),
    ("data_discarded", Some("data_discarded")),
    ("source_failed", Some("source_failed")),
    ("namespace_left", Some("source_missing")),
    ("recording_started", None),
    ("recording_stopped", None),
    ("trigger", None),
    ("rules_changed", None),
    ("mtu_changed", None),
    ("interface_appeared", None),
    ("interface_vanished", None),
    ("interface_up", None),
    ("interface_down", None),
    ("note", None),
];

/// Whether marks of this kind are reported by a remark, or deliberately by none.
pub fn is_known_mark(kind: &str) -> bool {
    MARKS.iter().any(|(known, _)| *known == kind)
}

/// All remarks; empty when there is nothing to remark.
pub(super) fn quality(known: &Knowledge<'_>) -> Vec<Quality> {
    let told = |kind: &'static Kind| {
        let remark = |sentence| Quality { kind: kind.name.into(), severity: kind.severity, sentence };
        bounded((kind.tell)(known)).into_iter().map(remark)
    };
    KINDS.iter().flat_map(told).collect()
}

/// The first sentences, and how many others there are.
fn bounded(mut sentences: Vec<String>) -> Vec<String> {
    if sentences.len() > MOST_OF_A_KIND {
        let more = sentences.len() - MOST_OF_A_KIND;
        sentences.truncate(MOST_OF_A_KIND);
        sentences.push(format!("{} of this kind are not listed.", crate::rules::say::count(more as u64, "further remark")));
    }
    sentences
}

/// What of the traffic was judged.
pub(super) fn scope(known: &Knowledge<'_>) -> Scope {
    scope::scope(&known.sums.scope, &known.passing.scope)
}

/// What is noted of packets as they pass, for the few that are remarkable.
#[derive(Debug, Default)]
pub(super) struct Passing {
    copies: copies::Passing,
    oversized: oversized::Passing,
    clamped: clamped::Passing,
    tunnels: tunnel::Passing,
    scope: scope::Passing,
}

impl Witness for Passing {
    fn note(&mut self, packet: &Packet<'_>, seen: &Observed, row: &Row, flows: &FlowTable, store: &Store) {
        if let Some(original) = seen.copy_of.and_then(|original| store.get(original)) {
            self.copies.note(&original, row);
        }
        self.scope.note(packet, seen);
        self.oversized.note(packet, row, flows);
        self.clamped.note(packet, seen, row, flows);
        if packet.tunnel.is_some() {
            self.tunnels.note(packet);
        }
    }
}

/// Sums over all conversations, made when the rules run.
#[derive(Debug, Default)]
pub(super) struct Sums {
    directions: one_direction::Sums,
    handshakes: handshake::Sums,
    copies: copies::Sums,
    reordered: reordered::Sums,
    scope: scope::Sums,
}

impl Sums {
    /// One walk over the conversations.
    pub(super) fn of(flows: &FlowTable) -> Self {
        let mut sums = Self::default();
        for flow in flows.iter() {
            sums.scope.add(flow);
            if flow.transport != crate::dissect::Protocol::Tcp {
                continue;
            }
            sums.directions.add(flow);
            sums.handshakes.add(flow);
            sums.copies.add(flow);
            sums.reordered.add(flow);
        }
        sums
    }
}

#[cfg(test)]
mod case {
    //! Cases of remarks: a script in, sentences of one kind out.

    use crate::query::Engine;
    use crate::script::Script;

    /// What is remarked about a script, of one kind, a line each.
    pub(super) fn remarked(kind: &str, script: &str) -> String {
        let script = Script::parse(script).unwrap_or_else(|error| panic!("{error}"));
        of_log(kind, &crate::reference::encode(&script))
    }

    /// The same about a log.
    pub(super) fn of_log(kind: &str, log: &[u8]) -> String {
        let mut engine = Engine::new();
        engine.push(log);
        engine.finish();
        let quality = engine.overview().quality;
        quality.iter().filter(|one| one.kind == kind).map(|one| one.sentence.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// A log with these marks and nothing else.
    fn log_with(marks: impl Iterator<Item = (String, String)>) -> Vec<u8> {
        let mut log = Vec::new();
        let encoder = crate::log::Encoder::begin(&crate::log::record::Section::default(), &mut log);
        for (kind, text) in marks {
            let mark = crate::log::block::Mark { at_ns: 1, kind, text, netns: None, ifindex: None };
            encoder.record(&mark, &mut log).unwrap();
        }
        log
    }

    #[test]
    fn every_mark_is_reported_or_deliberately_silent() {
        for (mark, remark) in super::MARKS {
            let log = log_with(std::iter::once(((*mark).to_owned(), "Something happened.".to_owned())));
            for kind in super::KINDS {
                let expected = if *remark == Some(kind.name) { "Something happened." } else { "" };
                // A log without packets of a host is remarked upon for other reasons.
                assert_eq!(of_log(kind.name, &log), expected, "{mark} by {}", kind.name);
            }
        }
    }

    #[test]
    fn thousands_of_remarks_are_a_few_lines() {
        let log = log_with((0..9000).map(|n| ("source_failed".to_owned(), format!("Reading {n} failed."))));
        let told = of_log("source_failed", &log);
        assert_eq!(told.lines().count(), super::MOST_OF_A_KIND + 1);
        assert!(told.ends_with("Reading 15 failed.\n8,984 further remarks of this kind are not listed."), "{told}");
    }

    /// Nothing is remarked about an ordinary connection.
    #[test]
    fn an_ordinary_connection_gives_no_remark() {
        let script = format!(
            "{}14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:101, ack 1, win 512, length 100
14:40:01.004 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq 1:1461, ack 101, win 512, length 1460
14:40:01.005 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 101, ack 1461, win 512, length 0
",
            crate::rules::OPEN
        );
        for kind in super::KINDS {
            assert_eq!(remarked(kind.name, &script), "", "{}", kind.name);
        }
    }
}
