//! How right the rules are about captures that experts labelled: recall and precision of findings of at least `warning`.
//!
//! `judge/labels.tsv` has what was read in the packets before any rule ran: file, packets, cause, severity, why. A cause names the
//! rule that is to say so, or several of which one is enough (`a|b`); a rule may not exist yet. The captures of the
//! repository are measured always. `cargo xtask judge FOLDER` measures those below a folder, too, by halves: one to build on, with misses
//! and false alarms by name, and with `--held-out` the other, as figures and kinds. `judge/bar.tsv` has what must be reached.

#![cfg(not(target_arch = "wasm32"))]

use dropscope_core::anchor::{Anchor, Place};
use dropscope_core::finding::{Finding, Severity};
use dropscope_core::log::Unpacker;
use dropscope_core::query::Engine;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

const LABELS: &str = include_str!("judge/labels.tsv");
const BARS: &str = include_str!("judge/bar.tsv");

/// What is right about a capture.
struct Label {
    file: &'static str,
    /// Packets of which a finding names one; none means any.
    packets: Vec<RangeInclusive<u32>>,
    /// Rules of which one says so.
    causes: Vec<&'static str>,
    /// Whether it is worth a warning; otherwise nothing above a note is.
    is_fault: bool,
    why: &'static str,
}

impl Label {
    fn parse(line: &'static str) -> Self {
        let [file, packets, causes, severity, why] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("a label has five columns: {line}")
        };
        let number = |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("{text} is no packet number: {line}"));
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            number(first)..=number(last)
        };
        assert!(["silent", "note", "warning", "critical"].contains(&severity), "{severity} is no severity: {line}");
        Self {
            file,
            packets: packets.split_whitespace().map(range).collect(),
            causes: causes.split('|').collect(),
            is_fault: ["warning", "critical"].contains(&severity),
            why,
        }
    }

    /// Whether this finding says it, and names one of its packets.
    fn is_told_by(&self, finding: &Finding) -> bool {
        let anchors = || finding.evidence.iter().chain(finding.reasons.iter().flat_map(|reason| &reason.anchors));
        let meant =
            |anchor: &Anchor| matches!(anchor.place, Place::Packet(no) if self.packets.iter().any(|range| range.contains(&no.0)));
        let names_one = self.packets.is_empty() || anchors().any(meant);
        self.is_fault && self.causes.contains(&finding.rule.as_str()) && names_one
    }
}

/// Counts of one cause.
#[derive(Clone, Copy, Default)]
struct Tally {
    labelled: u64,
    found: u64,
    said: u64,
    right: u64,
}

impl Tally {
    fn recall(self) -> u64 {
        (self.found * 100).checked_div(self.labelled).unwrap_or(100)
    }
    fn precision(self) -> u64 {
        (self.right * 100).checked_div(self.said).unwrap_or(100)
    }
}

/// What came out for some captures.
#[derive(Default)]
struct Score {
    captures: u64,
    kinds: BTreeMap<String, Tally>,
    /// Misses and false alarms, by file.
    faults: String,
}

impl Score {
    fn add(&mut self, file: &str, labels: &[&Label], findings: &[Finding]) {
        self.captures += 1;
        for label in labels.iter().filter(|label| label.is_fault) {
            let tally = self.kinds.entry(label.causes[0].to_owned()).or_default();
            tally.labelled += 1;
            if findings.iter().any(|finding| label.is_told_by(finding)) {
                tally.found += 1;
            } else {
                let _ = writeln!(self.faults, "  miss         {file}: {}: {}", label.causes.join(" or "), label.why);
            }
        }
        for finding in findings {
            // A finding counts under the kind that it hits, whatever rule says so.
            let hit = labels.iter().find(|label| label.is_told_by(finding));
            let kind = hit.map_or(finding.rule.as_str(), |label| label.causes[0]);
            let tally = self.kinds.entry(kind.to_owned()).or_default();
            tally.said += 1;
            tally.right += u64::from(hit.is_some());
            if hit.is_none() {
                let _ =
                    writeln!(self.faults, "  false alarm  {file}: {} {}: {}", finding.severity, finding.rule, finding.sentence);
            }
        }
    }

    fn all(&self) -> Tally {
        self.kinds.values().fold(Tally::default(), |all, one| Tally {
            labelled: all.labelled + one.labelled,
            found: all.found + one.found,
            said: all.said + one.said,
            right: all.right + one.right,
        })
    }

    /// As text; misses and false alarms by name only where one may build on them.
    fn text(&self, name: &str, with_files: bool) -> String {
        let line = |name: &str, tally: Tally| {
            let Tally { labelled, found, said, right } = tally;
            format!("  {name:<32} found {found:>3} of {labelled:<3}   right {right:>3} of {said:<3}\n")
        };
        let all = self.all();
        let mut out = format!("{name}: {} captures, recall {} %, precision {} %\n", self.captures, all.recall(), all.precision());
        out.push_str(&line("all", all));
        self.kinds.iter().for_each(|(kind, tally)| out.push_str(&line(kind, *tally)));
        if with_files {
            out.push_str(&self.faults);
        }
        out
    }

    /// What it does not reach.
    fn below_bar(&self, set: &str) -> Option<String> {
        let bar = BARS.lines().find_map(|line| line.strip_prefix(set)).unwrap_or_else(|| panic!("bar.tsv has no {set}"));
        let [recall, precision] =
            bar.split_whitespace().map(|bar| bar.parse::<u64>().expect("a bar is per cent")).collect::<Vec<_>>()[..]
        else {
            panic!("a bar has two figures: {set}{bar}")
        };
        let all = self.all();
        let reached = all.recall() >= recall && all.precision() >= precision;
        (!reached).then(|| {
            format!("{set}: recall {} %, precision {} %; the bar is {recall} and {precision}", all.recall(), all.precision())
        })
    }
}

fn labels() -> Vec<Label> {
    LABELS.lines().skip(1).map(Label::parse).collect()
}

/// Every file below a folder, by name.
fn files_below(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            files.append(&mut files_below(&path));
        } else if let Some(name) = path.file_name() {
            files.insert(name.to_string_lossy().into_owned(), path);
        }
    }
    files
}

/// What the rules say of a capture, as `dropscope check` does: findings worth at least a warning.
fn findings(file: &Path) -> Vec<Finding> {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut engine = Engine::new();
    let mut unpacker = Unpacker::default();
    // What is broken in the compression ends the capture there.
    let _ = unpacker.push(&bytes, |bytes| engine.push(bytes)).and_then(|()| unpacker.finish(|bytes| engine.push(bytes)));
    engine.finish();
    let all = engine.findings().findings.iter();
    all.filter(|finding| finding.severity >= Severity::Warning).cloned().collect()
}

/// Scores of the labelled captures among these files, `half` of them.
fn score(labels: &[Label], files: &BTreeMap<String, PathBuf>, half: impl Fn(&str) -> bool) -> Score {
    let mut score = Score::default();
    let labelled: BTreeSet<&str> = labels.iter().map(|label| label.file).filter(|file| half(file)).collect();
    for file in labelled {
        if let Some(path) = files.get(file) {
            let of_it: Vec<&Label> = labels.iter().filter(|label| label.file == file).collect();
            score.add(file, &of_it, &findings(path));
        }
    }
    score
}

/// Which half a file is in, once and for all: FNV-1a of its name.
fn is_held_out(file: &str) -> bool {
    let hash = file.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash >> 32 & 1 == 1
}

#[test]
fn the_rules_are_as_right_as_they_were() {
    let labels = labels();
    let ours = files_below(Path::new("tests"));
    let shipped = score(&labels, &ours, |_| true);
    assert!(shipped.captures >= 24, "only {} captures of the repository are labelled", shipped.captures);
    print!("{}", shipped.text("captures of the repository", true));
    let mut below: Vec<String> = shipped.below_bar("shipped").into_iter().collect();
    if let Some(folder) = std::env::var_os("JUDGE_FOLDER") {
        let held_out = std::env::var_os("JUDGE_HELD_OUT").is_some();
        let files = files_below(Path::new(&folder));
        let half = score(&labels, &files, |file| !ours.contains_key(file) && is_held_out(file) == held_out);
        assert!(half.captures > 0, "no labelled capture of this half is below {}", folder.display());
        let (name, set) = if held_out { ("the half held out", "held-out") } else { ("the half to build on", "build") };
        print!("{}", half.text(name, !held_out));
        below.extend(half.below_bar(set));
    }
    assert!(below.is_empty(), "below the bar: {}", below.join("; "));
}

#[test]
fn a_finding_counts_only_with_the_right_cause_and_one_of_its_packets() {
    let findings = findings(Path::new("tests/judge/v6-syn-unanswered.pcap"));
    let found = |line: &'static str| {
        let mut score = Score::default();
        score.add("a", &[&Label::parse(line)], &findings);
        let Tally { labelled, found, said, right } = score.all();
        [labelled, found, said, right]
    };
    assert_eq!(found("a\t1-4\tsyn_unanswered\tcritical\twhy"), [1, 1, 1, 1]);
    assert_eq!(found("a\t\trefused|syn_unanswered\twarning\twhy"), [1, 1, 1, 1]);
    assert_eq!(found("a\t5 7-9\tsyn_unanswered\tcritical\twhy"), [1, 0, 1, 0]);
    assert_eq!(found("a\t1-4\trefused\tcritical\twhy"), [1, 0, 1, 0]);
    assert_eq!(found("a\t\tsilent\tsilent\twhy"), [0, 0, 1, 0]);
}
