//! `evicted`: what was given up, or only counted, to stay within memory.

use super::super::engine::Knowledge;
use crate::rules::say;

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let recording = known.recording;
    let mut told = Vec::new();
    if recording.flows.evicted() > 0 {
        told.push(format!(
            "State of {} was given up to stay within memory: if they go on, they are judged anew.",
            say::count(recording.flows.evicted(), "quiet conversation")
        ));
    }
    if recording.flows.beyond() > 0 {
        told.push(format!(
            "{} belong to none of the first {}, and no more conversations are told apart: the packets are listed, but not followed.",
            say::count(recording.flows.beyond(), "packet"),
            say::count(recording.flows.len().into(), "conversation")
        ));
    }
    let drops = recording.drops.beyond().saturating_add(recording.drops.skipped());
    if drops > 0 {
        told.push(format!("{} packets dropped by the kernel were counted but not kept one by one.", say::number(drops)));
    }
    if recording.beyond > 0 {
        told.push(format!("{} marks and comments beyond the first 10,000 are not listed.", say::number(recording.beyond)));
    }
    told
}
