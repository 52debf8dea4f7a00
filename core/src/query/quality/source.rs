//! `source_missing`: what the recording host could not tell.

use super::super::engine::Knowledge;

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let counters = &known.recording.counters;
    let undescribed = match counters.undescribed() {
        0 => None,
        n => Some(format!("{n} counter values have no description in this log.")),
    };
    let mut told: Vec<String> =
        undescribed.into_iter().chain(counters.hosts().flat_map(|host| host.limits.iter().cloned())).collect();
    // The recorder puts it among what the host could not tell, too, once there is room for that.
    for mark in known.recording.marks.iter().filter(|mark| mark.kind == "namespace_left") {
        if !told.contains(&mark.text) {
            told.push(mark.text.clone());
        }
    }
    told
}
