//! `source_missing`: what the recording host could not tell.

use super::super::engine::Knowledge;

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let counters = &known.recording.counters;
    let undescribed = match counters.undescribed() {
        0 => None,
        n => Some(format!("{n} counter values have no description in this log.")),
    };
    undescribed.into_iter().chain(counters.hosts().flat_map(|host| host.limits.iter().cloned())).collect()
}
