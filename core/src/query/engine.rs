//! The engine: bytes of a log in, answers out.

use super::course::{self, Courses};
use super::offload::Offload;
use super::scan::Scans;
use super::{
    Answer, Batch, ByteSource, Findings, Overview, Progress, Query, Selection, counters, drops, flows, help, ladder, locate,
    overview, packet, quality, rows, tracks,
};
use crate::filter::Named;
use crate::finding::{Finding, Severity};
use crate::log::Decoder;
use crate::log::record::End;
use crate::recording::Recording;
use crate::rules::{self, Judgement, View};
use crate::store::Row;

/// Reads one log and answers questions about it, also while it grows.
///
/// Bytes go in by [`push`](Engine::push) in the order of the file, cut anywhere; what is known in the end does not depend on
/// how they were cut. The packets themselves are not kept: a question that needs one reads it again.
#[derive(Debug, Default)]
pub struct Engine {
    decoder: Decoder,
    recording: Recording,
    /// What is remarkable about single packets.
    passing: quality::Passing,
    scans: Scans,
    courses: Courses,
    judgement: Judgement,
    named: Named,
    sums: quality::Sums,
    offload: Offload,
    /// How often the rules ran.
    judged: u64,
    revision: u64,
    bytes_read: u64,
    ended: bool,
    end: Option<End>,
}

/// Everything that is known at one moment.
#[derive(Clone, Copy)]
pub(super) struct Knowledge<'a> {
    pub recording: &'a Recording,
    pub passing: &'a quality::Passing,
    pub findings: &'a [Finding],
    pub named: &'a Named,
    pub sums: &'a quality::Sums,
    pub offload: &'a Offload,
    /// How often the rules ran.
    pub judged: u64,
    /// Bytes of the log there are.
    pub bytes_read: u64,
    pub revision: u64,
    /// Whether the log is whole: no more will come.
    pub ended: bool,
    pub progress: &'a dyn Fn() -> Progress,
}

impl Knowledge<'_> {
    /// The LINKTYPE_ value of a packet.
    pub(super) fn link_type(&self, row: &Row) -> u32 {
        self.recording.interfaces.get(row.interface.0 as usize).map_or(0, |interface| interface.link_type)
    }
}

impl Engine {
    /// An engine that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the log, uncompressed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.recording.read(&mut self.decoder, bytes, &mut self.passing);
        self.bytes_read = self.decoder.bytes_read();
        self.end = self.decoder.end().cloned();
        self.revision += 1;
    }

    /// Takes what a [`Parser`](super::Parser) made of the next bytes, in place of [`push`](Engine::push) and
    /// [`finish`](Engine::finish); the batch is empty then.
    pub fn take(&mut self, batch: &mut Batch) {
        batch.enter(&mut self.recording, &mut self.passing);
        self.bytes_read = batch.bytes_read;
        self.end = batch.end.take();
        if std::mem::take(&mut batch.last) {
            self.ended = true;
            self.judge();
        } else {
            self.revision += 1;
        }
    }

    /// Says that no more bytes will come: the rules run over all there is, and a broken end is told.
    pub fn finish(&mut self) {
        self.end = self.recording.finish(&mut self.decoder, &mut self.passing);
        self.ended = true;
        self.judge();
    }

    /// How far reading has come.
    pub fn progress(&self) -> Progress {
        let mut findings = [0; 3];
        for finding in &self.judgement.findings {
            findings[finding.severity as usize] += 1;
        }
        Progress {
            revision: self.revision,
            bytes_read: self.bytes_read,
            bytes_total: None,
            packets: self.recording.store.len(),
            flows: self.recording.flows.len(),
            findings,
            span: self.recording.span,
            ended: self.ended,
            trouble: self.end.as_ref().map(sentence),
        }
    }

    /// What the rules found, most severe first, as of the last time they ran.
    pub fn findings(&self) -> &Judgement {
        &self.judgement
    }

    /// How reading ended, if not well.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// What is in the log.
    pub fn overview(&self) -> Overview {
        overview::overview(&self.knowledge(&|| self.progress()))
    }

    /// Answers a question. `source` reads packets again.
    pub fn ask(&mut self, query: &Query, source: &mut dyn ByteSource) -> Answer {
        let mut scans = std::mem::take(&mut self.scans);
        let mut courses = std::mem::take(&mut self.courses);
        let progress = || self.progress();
        let known = &self.knowledge(&progress);
        let answer = match query {
            Query::Overview => Answer::Overview(overview::overview(known)),
            Query::Findings => Answer::Findings(Findings {
                revision: self.revision,
                findings: self.judgement.findings.clone(),
                checked: self.judgement.checked.clone(),
            }),
            Query::Packets { selection: Selection { filter, span, flow }, rows, locate } => {
                match scans.select(known, filter, *flow, *span, source) {
                    Ok(selected) => rows::packets(known, selected, *rows, *locate, source),
                    Err(error) => rows::refused(known, help::shown(filter, &error)),
                }
            }
            Query::Packet { no } => packet::packet(known, *no, source),
            Query::Flows { rows, sort, span } => Answer::Flows(flows::flows(known, *rows, *sort, *span)),
            Query::Ladder { flow, rows, locate } => ladder::ladder(known, &mut scans, *flow, *rows, locate.as_ref(), source),
            Query::Course { flow, span, columns } => course::course(known, &mut courses, *flow, *span, *columns, source),
            Query::Timeline { span, columns, filter } => {
                let selected = (!filter.trim().is_empty()).then(|| {
                    let selected = scans.select(known, filter, None, span.or(self.recording.span), source);
                    selected.map_err(|error| help::shown(filter, &error))
                });
                tracks::timeline(known, *span, *columns, selected)
            }
            Query::Counters { span } => Answer::Counters(counters::tables(known, *span)),
            Query::Drops { span, rows } => Answer::Drops(drops::rows(known, *span, *rows, source)),
            Query::FilterHelp { filter, cursor } => Answer::FilterHelp(help::help(filter, *cursor)),
            Query::Locate { anchor } => locate::locate(known, anchor),
        };
        self.scans = scans;
        self.courses = courses;
        answer
    }

    /// Hands over what is known.
    pub(super) fn with_knowledge<T>(&self, take: impl FnOnce(&Knowledge<'_>) -> T) -> T {
        take(&self.knowledge(&|| self.progress()))
    }

    fn knowledge<'a>(&'a self, progress: &'a dyn Fn() -> Progress) -> Knowledge<'a> {
        Knowledge {
            recording: &self.recording,
            passing: &self.passing,
            findings: &self.judgement.findings,
            named: &self.named,
            sums: &self.sums,
            offload: &self.offload,
            judged: self.judged,
            bytes_read: self.bytes_read,
            revision: self.revision,
            ended: self.ended,
            progress,
        }
    }

    /// Runs the rules over all there is so far.
    pub fn judge(&mut self) {
        self.judgement = rules::judge(&View::of(&mut self.recording));
        let recording = &self.recording;
        self.named = Named::new(&self.judgement.findings);
        self.sums = quality::Sums::of(&recording.flows);
        self.offload.look_on(recording);
        self.judged += 1;
        self.revision += 1;
    }
}

/// An error as a sentence.
fn sentence(end: &End) -> String {
    let text = end.to_string();
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_ascii_uppercase(), characters.as_str()))
}

/// How many findings are at least this severe.
impl Judgement {
    /// See the name.
    pub fn at_least(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity >= severity).count()
    }
}
