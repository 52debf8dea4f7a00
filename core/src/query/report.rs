//! Findings for people at a terminal, for a ticket, and for programs: text, Markdown and the stable JSON of `check`.
//!
//! The JSON only ever gains keys. What becomes of a string at a terminal or in Markdown is [`super::medium`]'s. Nothing here judges; it arranges what the rules said.

use super::Overview;
use super::medium::{Markdown, Page, Terminal};
use crate::anchor::Anchor;
use crate::finding::{Checked, Command, Finding, Quiet, Severity};
use crate::ids::CaptureNo;
use crate::rules::{Judgement, say};
use serde_json::{Value, json};

/// What is said of one capture.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// Its file's name.
    pub file: &'a str,
    /// What is in it.
    pub overview: &'a Overview,
    /// What the rules say; empty where nothing could be read.
    pub judgement: &'a Judgement,
}

impl Report<'_> {
    /// Whether anything of it could be read: of what could not, nothing is fine and nothing is wrong.
    fn was_read(&self) -> bool {
        !self.judgement.checked.is_empty() || !self.judgement.findings.is_empty()
    }
}

/// The stable JSON, for all captures of one call. Where there are several, anchors name their capture: `1:p42` is in the second.
pub fn json(reports: &[Report<'_>]) -> Value {
    let numbered = || reports.iter().enumerate();
    json!({
        "version": 1,
        "captures": reports.iter().map(capture).collect::<Vec<_>>(),
        "findings": numbered().flat_map(|(no, report)| report.judgement.findings.iter().map(move |f| finding(f, no as u32))).collect::<Vec<_>>(),
        "checked": numbered().flat_map(|(no, report)| report.judgement.checked.iter().map(move |c| checked(c, no as u32))).collect::<Vec<_>>(),
    })
}

fn capture(report: &Report<'_>) -> Value {
    let overview = report.overview;
    let span = overview.progress.span;
    json!({
        "file": report.file,
        "packets": overview.progress.packets,
        "start_ns": span.map(|span| span.start),
        "end_ns": span.map(|span| span.end),
        "interfaces": overview.interfaces.iter().map(|interface| &interface.name).collect::<Vec<_>>(),
        "quality": overview.quality,
        "judged": overview.scope.judged,
        "not_judged": overview.scope.not_judged,
    })
}

fn finding(finding: &Finding, capture: u32) -> Value {
    let lines = |commands: &[Command]| commands.iter().map(Command::line).collect::<Vec<_>>();
    let words = |commands: &[Command]| commands.iter().map(|command| command.argv().to_vec()).collect::<Vec<_>>();
    json!({
        "id": finding.id,
        "rule": finding.rule,
        "capture": capture,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "sentence": finding.sentence,
        "subject": finding.subject,
        "start_ns": finding.span.start,
        "end_ns": finding.span.end,
        "count": finding.count,
        "evidence": finding.evidence.iter().map(|anchor| anchor_text(anchor, capture)).collect::<Vec<_>>(),
        "why": why(finding),
        "rival": finding.rival,
        "confirm": lines(&finding.confirm),
        "fix": lines(&finding.fix),
        "confirm_argv": words(&finding.confirm),
        "fix_argv": words(&finding.fix),
        "advice": finding.advice,
    })
}

fn checked(checked: &Checked, capture: u32) -> Value {
    json!({"rule": checked.rule, "capture": capture, "verdict": checked.verdict, "why": checked.why})
}

fn anchor_text(anchor: &Anchor, capture: u32) -> String {
    Anchor { capture: CaptureNo(capture), ..anchor.clone() }.to_string()
}

/// The whole argument as one paragraph.
fn why(finding: &Finding) -> String {
    let steps = finding.reasons.iter().map(|reason| reason.text.as_str());
    steps.chain(std::iter::once(finding.confidence_reason.as_str())).collect::<Vec<_>>().join(" ")
}

fn symbol(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "■",
        Severity::Warning => "▲",
        Severity::Note => "●",
    }
}

/// Whether anything was found, and in what: of traffic that no rule looks at nothing is said.
fn verdict(report: &Report<'_>) -> String {
    let overview = report.overview;
    let found = report.judgement.findings.len() as u64;
    let is_judged = !overview.scope.judged.is_empty() || overview.has_counters || overview.has_drops;
    let first = match (found, is_judged) {
        (0, false) => "Nothing was judged.".to_owned(),
        (0, true) => "Nothing was found that explains lost packets of what was judged.".to_owned(),
        (found, _) => format!("{}.", say::count(found, "finding")),
    };
    let of_hosts = if overview.has_counters { " The watched hosts' counters were judged, too." } else { "" };
    format!("{first} {}{of_hosts}", overview.scope).trim_end().to_owned()
}

/// For the terminal.
pub fn text(report: &Report<'_>) -> String {
    let mut page = Page::<Terminal>::new();
    let progress = &report.overview.progress;
    if report.was_read() {
        page.show(report.file).put(": ").show(say::count(progress.packets.into(), "packet"));
        if let Some(span) = progress.span {
            page.put(", ").show(span.length());
        }
        page.put("\n");
    }
    for quality in &report.overview.quality {
        let sign = if quality.severity == Severity::Note { symbol(Severity::Note) } else { "!" };
        page.put(sign).put(" ").show(&quality.sentence).put("\n");
    }
    if !report.was_read() {
        return page.finish();
    }
    page.put("\n").show(verdict(report)).put("\n");
    for finding in &report.judgement.findings {
        let (severity, confidence) = (finding.severity, finding.confidence);
        page.put("\n").put(symbol(severity)).put(" ").show(severity).put(" (").show(confidence).put("): ");
        page.show(&finding.sentence).put("\n");
        for (number, reason) in finding.reasons.iter().enumerate() {
            page.put("  ").show(number + 1).put(". ").show(&reason.text).put("\n");
        }
        page.put("  How sure: ").show(&finding.confidence_reason).put("\n");
        page.put("  What else it could be: ").show(&finding.rival).put("\n");
        for (title, commands) in [("  Confirm: ", &finding.confirm), ("  Fix: ", &finding.fix)] {
            for command in commands {
                page.put(title).show(command.line()).put("\n           ").show(&command.effect).put("\n");
            }
        }
        if let Some(advice) = &finding.advice {
            page.put("  Fix: ").show(advice).put("\n");
        }
        page.put("  ").show(&finding.id).put("\n");
    }
    for (verdict, title) in [(Quiet::Clear, "\n✓ checked and fine:\n"), (Quiet::CannotTell, "\n? cannot tell:\n")] {
        let said: Vec<&Checked> = report.judgement.checked.iter().filter(|checked| checked.verdict == verdict).collect();
        if !said.is_empty() {
            page.put(title);
        }
        for checked in said {
            page.put("  ").show(&checked.title).put(": ").show(&checked.why).put("\n");
        }
    }
    page.finish()
}

/// For a ticket or a pull request.
pub fn markdown(report: &Report<'_>) -> String {
    let mut page = Page::<Markdown>::new();
    page.put("# ").code(report.file).put("\n\n").show(say::count(report.overview.progress.packets.into(), "packet")).put("\n");
    for quality in &report.overview.quality {
        page.put("\n> ").prose(&quality.sentence).put("\n");
    }
    if !report.was_read() {
        return page.finish();
    }
    page.put("\n").prose(&verdict(report)).put("\n");
    for finding in &report.judgement.findings {
        page.put("\n## ").put(symbol(finding.severity)).put(" ").show(finding.severity).put(": ").code(&finding.rule);
        page.put("\n\n").prose(&finding.sentence).put("\n\n");
        for (number, reason) in finding.reasons.iter().enumerate() {
            page.show(number + 1).put(". ").prose(&reason.text).put("\n");
        }
        page.put("\n**").show(finding.confidence).put("**: ").prose(&finding.confidence_reason);
        page.put("\n\n**What else it could be:** ").prose(&finding.rival).put("\n");
        for (title, commands) in [("\nConfirm: ", &finding.confirm), ("\nFix: ", &finding.fix)] {
            for command in commands {
                page.put(title).prose(&command.effect).block(&command.line());
            }
        }
        if let Some(advice) = &finding.advice {
            page.put("\nFix: ").prose(advice).put("\n");
        }
    }
    page.put("\n## Checked\n\n| | | |\n|---|---|---|\n");
    for checked in &report.judgement.checked {
        let symbol = if checked.verdict == Quiet::Clear { "| ✓ | " } else { "| ? | " };
        page.put(symbol).show(&checked.title).put(" | ").prose(&checked.why).put(" |\n");
    }
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Engine;

    /// The reference case, read and judged.
    fn reference() -> (Overview, Judgement) {
        let mut engine = Engine::new();
        engine.push(&crate::reference::log());
        engine.finish();
        let judgement = engine.findings();
        (engine.overview(), Judgement { findings: judgement.findings.clone(), checked: judgement.checked.clone() })
    }

    #[test]
    fn the_json_has_the_keys_that_programs_rely_on() {
        let (overview, judgement) = reference();
        let value = json(&[Report { file: "reference.pcapng", overview: &overview, judgement: &judgement }]);
        assert_eq!(value["version"], 1);
        for key in ["file", "packets", "start_ns", "end_ns", "interfaces", "quality", "judged", "not_judged"] {
            assert!(!value["captures"][0][key].is_null(), "{key}");
        }
        let keys = [
            "id",
            "rule",
            "severity",
            "confidence",
            "sentence",
            "subject",
            "start_ns",
            "end_ns",
            "count",
            "evidence",
            "why",
            "rival",
            "confirm",
            "fix",
        ];
        for key in keys {
            assert!(!value["findings"][0][key].is_null(), "{key}");
        }
        for key in ["rule", "verdict", "why"] {
            assert!(!value["checked"][0][key].is_null(), "{key}");
        }
    }

    /// A headline never claims more than was looked at.
    #[test]
    fn nothing_is_said_of_traffic_that_no_rule_judges() {
        let query = "date 2021-06-01\n14:40:01.1 IP 10.0.0.2.7 > 10.0.0.1.67: UDP, length 30\n";
        let script = crate::script::Script::parse(query).expect("a script");
        let mut engine = Engine::new();
        engine.push(&crate::reference::encode(&script));
        engine.finish();
        let (overview, judgement) = (engine.overview(), engine.findings());
        let report = Report { file: "dhcp.pcap", overview: &overview, judgement };
        for told in [text(&report), markdown(&report)] {
            assert!(told.contains("\nNothing was judged. Not judged: DHCP (1 packet).\n"), "{told}");
        }
        let value = json(&[report]);
        assert_eq!(value["captures"][0]["judged"], serde_json::json!([]));
        assert_eq!(value["captures"][0]["not_judged"], serde_json::json!([{"name": "DHCP", "packets": 1}]));
    }

    #[test]
    fn of_several_captures_each_anchor_names_its_own() {
        let (overview, judgement) = reference();
        let report = Report { file: "reference.pcapng", overview: &overview, judgement: &judgement };
        let value = json(&[report, report]);
        let second = judgement.findings.len();
        let anchor = value["findings"][second]["evidence"][0].as_str().unwrap_or_default();
        assert!(anchor.starts_with("1:"), "{anchor}");
    }

    #[test]
    fn each_finding_and_each_check_is_told_at_the_terminal() {
        let (overview, judgement) = reference();
        let told = text(&Report { file: "reference.pcapng", overview: &overview, judgement: &judgement });
        for finding in &judgement.findings {
            assert!(told.contains(&finding.sentence) && told.contains(finding.id.as_str()), "{told}");
        }
        for checked in &judgement.checked {
            assert!(told.contains(&checked.why), "{told}");
        }
    }
}
