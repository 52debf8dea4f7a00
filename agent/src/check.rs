//! `dropscope check`: what is wrong in a capture, on the terminal and for continuous integration.

use crate::cli::UNREADABLE;
use crate::input::{Input, Piece, by_recording};
use crate::stdout;
use anyhow::Result;
use clap::Args;
use dropscope_core::finding::{Finding, Severity};
use dropscope_core::log::record::End;
use dropscope_core::query::medium;
use dropscope_core::query::report::{self, Report};
use dropscope_core::query::{Engine, Overview, Quality};
use dropscope_core::rules::{self, Judgement};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `check`.
#[derive(Args)]
pub(crate) struct CheckArgs {
    /// Captures; - for standard input. Files that go on from each other, as tcpdump -C, dumpcap and dropscope record rotate
    /// them, and a folder of segments are one capture.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one JSON object, whose shape is stable.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown, for a ticket.
    #[arg(long)]
    markdown: bool,
    /// Exit with 1 when something of this severity or worse is found (note, warning, critical), or when one of these rules finds
    /// something.
    #[arg(long, value_name = "SEVERITY|RULE", value_delimiter = ',', value_parser = alarm)]
    fail_on: Vec<Alarm>,
}

/// What makes the command fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// Anything of this severity or worse.
    From(Severity),
    /// Anything this rule finds.
    Rule(&'static str),
}

impl Alarm {
    /// Whether this finding is meant.
    pub(crate) fn is_raised_by(&self, finding: &Finding) -> bool {
        match self {
            Self::From(severity) => finding.severity >= *severity,
            Self::Rule(slug) => finding.rule == *slug,
        }
    }
}

/// One capture that was read.
struct Read {
    file: String,
    overview: Overview,
    judgement: Judgement,
    is_readable: bool,
}

/// Reads every capture and says what is wrong.
pub(crate) fn check(args: &CheckArgs) -> Result<ExitCode> {
    let groups = by_recording(&args.files);
    let mut engine = Engine::new();
    let read: Vec<Read> = groups
        .iter()
        .map(|files| {
            engine = Engine::new();
            read(files, &mut engine)
        })
        .collect();
    // The process ends with the report: taking the last engine apart before, box by box, was a fifteenth of the work.
    std::mem::forget(engine);
    let reports: Vec<Report<'_>> = read.iter().map(Read::report).collect();
    let joined = |one: fn(&Report<'_>) -> String| reports.iter().map(one).collect::<Vec<_>>().join("\n");
    let text = if args.json {
        format!("{}\n", medium::json(&report::json(&reports).to_string()))
    } else if args.markdown {
        joined(report::markdown)
    } else {
        joined(report::text)
    };
    stdout::put(text.as_bytes())?;
    let mut findings = read.iter().flat_map(|one| &one.judgement.findings);
    Ok(if read.iter().any(|one| !one.is_readable) {
        UNREADABLE.into()
    } else if findings.any(|finding| args.fail_on.iter().any(|alarm| alarm.is_raised_by(finding))) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Reads one capture: a file, or the files it was recorded in.
fn read(files: &[Piece], engine: &mut Engine) -> Read {
    let mut troubles = Vec::new();
    let fed = match Input::open_all(files) {
        Ok(input) => input.feed(engine),
        Err(error) => {
            engine.finish();
            Err(error)
        }
    };
    // A broken end of the file is in the overview; this is what kept its bytes from being read at all.
    match fed {
        Ok(None) => {}
        Ok(Some(broken)) => troubles.push(format!("{broken}.")),
        Err(error) => troubles.push(format!("{error:#}.")),
    }
    let is_readable = troubles.is_empty() && matches!(engine.end(), None | Some(End::CutShort { .. }));
    let mut overview = engine.overview();
    let nothing_read = engine.progress().packets == 0 && !is_readable;
    if nothing_read && !troubles.is_empty() {
        // That nothing could be read says it all; "it is empty" would be wrong beside it.
        overview.quality.clear();
    }
    overview.quality.extend(troubles.into_iter().map(|sentence| Quality {
        kind: "unreadable".into(),
        severity: Severity::Critical,
        sentence,
    }));
    let judgement = match engine.findings() {
        // What was not read is neither fine nor clear of anything.
        _ if nothing_read => Judgement::default(),
        Judgement { findings, checked } => Judgement { findings: findings.clone(), checked: checked.clone() },
    };
    let file = match files {
        [one] if one.path.as_os_str() == "-" => "standard input".into(),
        [one] => one.path.display().to_string(),
        [first, .., last] => format!("{} to {}", first.path.display(), last.path.display()),
        [] => String::new(),
    };
    Read { file, overview, judgement, is_readable }
}

impl Read {
    fn report(&self) -> Report<'_> {
        Report { file: &self.file, overview: &self.overview, judgement: &self.judgement }
    }
}

/// The alarm that `--fail-on` or `finding:` names.
///
/// # Errors
/// When there is no such severity or rule: which there are.
pub(crate) fn alarm(word: &str) -> Result<Alarm, String> {
    let severity = [Severity::Note, Severity::Warning, Severity::Critical].into_iter().find(|one| one.to_string() == word);
    let rule = rules::RULES.iter().map(|rule| rule.slug).find(|slug| *slug == word);
    severity.map(Alarm::From).or(rule.map(Alarm::Rule)).ok_or_else(|| {
        let slugs: Vec<&str> = rules::RULES.iter().map(|rule| rule.slug).collect();
        format!("there is no such severity or rule; there are note, warning, critical, {}", slugs.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_a_severity_or_the_name_of_a_rule() {
        assert_eq!(alarm("warning"), Ok(Alarm::From(Severity::Warning)));
        assert_eq!(alarm("interface_mtu"), Ok(Alarm::Rule("interface_mtu")));
        assert!(alarm("interface_mtv").is_err_and(|why| why.contains("interface_mtu")));
    }

    #[test]
    fn a_file_that_is_not_there_or_no_capture_is_told_once() {
        let missing = read(&["/no/such/file.pcap".into()], &mut Engine::new());
        assert!(!missing.is_readable);
        let sentences: Vec<&str> = missing.overview.quality.iter().map(|one| one.sentence.as_str()).collect();
        assert_eq!(sentences.len(), 1, "{sentences:?}");
        assert!(sentences[0].starts_with("/no/such/file.pcap cannot be read"), "{sentences:?}");
        let wrong = read(&[concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into()], &mut Engine::new());
        assert_eq!((wrong.is_readable, wrong.overview.quality.len()), (false, 1), "{:?}", wrong.overview.quality);
        for one in [missing, wrong] {
            let text = report::text(&one.report());
            assert_eq!(text.lines().count(), 1, "nothing is checked and fine in what was not read: {text}");
        }
    }
}
