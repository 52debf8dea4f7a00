//! Findings for people at a terminal, for a ticket, and for programs: text, Markdown and the stable JSON of `check`.
//!
//! The JSON only ever gains keys. Nothing here judges; it arranges what the rules said.

use super::Overview;
use crate::anchor::Anchor;
use crate::finding::{Checked, Command, Finding, Quiet, Severity};
use crate::ids::CaptureNo;
use crate::rules::{Judgement, say};
use serde_json::{Value, json};
use std::fmt::Write;

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

fn symbol(severity: Severity) -> char {
    match severity {
        Severity::Critical => '■',
        Severity::Warning => '▲',
        Severity::Note => '●',
    }
}

/// For the terminal.
pub fn text(report: &Report<'_>) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write_text(report, &mut out);
    out
}

fn write_text(report: &Report<'_>, out: &mut String) -> std::fmt::Result {
    let progress = &report.overview.progress;
    let length = progress.span.map_or_else(String::new, |span| format!(", {}", span.length()));
    if report.was_read() {
        writeln!(out, "{}: {}{length}", report.file, say::count(progress.packets.into(), "packet"))?;
    }
    for quality in &report.overview.quality {
        let sign = if quality.severity == Severity::Note { symbol(Severity::Note) } else { '!' };
        writeln!(out, "{sign} {}", quality.sentence)?;
    }
    if !report.was_read() {
        return Ok(());
    }
    if report.judgement.findings.is_empty() {
        writeln!(out, "\nNothing was found that explains lost packets.")?;
    }
    for finding in &report.judgement.findings {
        writeln!(out, "\n{} {} ({}): {}", symbol(finding.severity), finding.severity, finding.confidence, finding.sentence)?;
        for (number, reason) in finding.reasons.iter().enumerate() {
            writeln!(out, "  {}. {}", number + 1, reason.text)?;
        }
        writeln!(out, "  How sure: {}", finding.confidence_reason)?;
        writeln!(out, "  What else it could be: {}", finding.rival)?;
        for (title, commands) in [("Confirm", &finding.confirm), ("Fix", &finding.fix)] {
            for command in commands {
                writeln!(out, "  {title}: {}\n           {}", command.line(), command.effect)?;
            }
        }
        if let Some(advice) = &finding.advice {
            writeln!(out, "  Fix: {advice}")?;
        }
        writeln!(out, "  {}", finding.id)?;
    }
    for (verdict, title) in [(Quiet::Clear, "✓ checked and fine"), (Quiet::CannotTell, "? cannot tell")] {
        let said: Vec<&Checked> = report.judgement.checked.iter().filter(|checked| checked.verdict == verdict).collect();
        if !said.is_empty() {
            writeln!(out, "\n{title}:")?;
        }
        for checked in said {
            writeln!(out, "  {}: {}", checked.title, checked.why)?;
        }
    }
    Ok(())
}

/// For a ticket or a pull request.
pub fn markdown(report: &Report<'_>) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write_markdown(report, &mut out);
    out
}

fn write_markdown(report: &Report<'_>, out: &mut String) -> std::fmt::Result {
    writeln!(out, "# `{}`\n\n{}", report.file, say::count(report.overview.progress.packets.into(), "packet"))?;
    for quality in &report.overview.quality {
        writeln!(out, "\n> {}", quality.sentence)?;
    }
    if !report.was_read() {
        return Ok(());
    }
    for finding in &report.judgement.findings {
        writeln!(out, "\n## {} {}: {}\n\n{}\n", symbol(finding.severity), finding.severity, finding.rule, finding.sentence)?;
        for (number, reason) in finding.reasons.iter().enumerate() {
            writeln!(out, "{}. {}", number + 1, reason.text)?;
        }
        writeln!(
            out,
            "\n**{}**: {}\n\n**What else it could be:** {}",
            finding.confidence, finding.confidence_reason, finding.rival
        )?;
        for (title, commands) in [("Confirm", &finding.confirm), ("Fix", &finding.fix)] {
            for command in commands {
                writeln!(out, "\n{title} ({}):\n```\n{}\n```", command.effect.trim_end_matches('.'), command.line())?;
            }
        }
        if let Some(advice) = &finding.advice {
            writeln!(out, "\nFix: {advice}")?;
        }
    }
    writeln!(out, "\n## Checked\n\n| | | |\n|---|---|---|")?;
    for checked in &report.judgement.checked {
        let symbol = if checked.verdict == Quiet::Clear { "✓" } else { "?" };
        writeln!(out, "| {symbol} | {} | {} |", checked.title, checked.why)?;
    }
    Ok(())
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
        for key in ["file", "packets", "start_ns", "end_ns", "interfaces", "quality"] {
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
