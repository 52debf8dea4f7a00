//! The rules: what may be wrong, each in a file of its own.
//!
//! A rule is a pure function of what the log says up to a watermark (`View`), not of how it was cut into chunks. It runs at
//! moments the engine chooses while a capture loads, and once at its end. It answers for *every* subject it can judge:
//! findings, or why there are none.

use crate::counters::Counters;
use crate::finding::{Finding, Quiet};
use crate::flow::FlowTable;
use crate::log::block::KernelDrop;
use crate::time::Timestamp;

/// A rule of the catalogue.
pub struct Rule {
    /// Its name in links, in `--fail-on` and in JSON; never changes its meaning.
    pub slug: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Judges.
    pub judge: fn(&View<'_>) -> Outcome,
}

/// What a rule says.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What it found; one a cause.
    pub findings: Vec<Finding>,
    /// When it found nothing: clear or cannot tell, with the figures that show it.
    pub quiet: Option<(Quiet, String)>,
}

/// What a rule may look at: everything the log says up to `watermark`.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Conversations.
    pub flows: &'a FlowTable,
    /// Counters, host facts, firewall rules.
    pub counters: &'a Counters,
    /// Packets the kernel dropped, in order of arrival.
    pub drops: &'a [KernelDrop],
    /// The time up to which everything is known: absence is judged against it.
    pub watermark: Timestamp,
    /// Packets the capture itself lost, as far as it was told.
    pub capture_lost: u64,
}

/// The catalogue, in the order in which findings of equal weight and the list of what was checked are shown.
pub const RULES: &[Rule] = &[];
