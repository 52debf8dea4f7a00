//! `capture_lost`: packets that the capture counted as lost by itself.

use super::super::engine::Knowledge;
use crate::ids::InterfaceId;

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let recording = known.recording;
    let told = recording.taps.iter().enumerate().filter(|(_, tap)| tap.lost() > 0).map(|(place, tap)| {
        let (lost, of) = (tap.lost(), tap.offered());
        let share = lost as f64 * 100.0 / of as f64;
        let name = recording.interface_name(InterfaceId(place as u32));
        format!("The capture itself lost {lost} of {of} packets on {name} ({share:.1} %): what is missing here may have arrived.")
    });
    let told: Vec<String> = told.collect();
    // A log whose captures count nothing, or not yet, may still hold what its recorder noticed.
    let marks = recording.marks.iter().filter(|mark| told.is_empty() && mark.kind == "capture_lost");
    let noticed: Vec<String> = marks.map(|mark| mark.text.clone()).collect();
    if told.is_empty() { noticed } else { told }
}
