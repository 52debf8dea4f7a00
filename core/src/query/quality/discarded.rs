//! `data_discarded`: parts of the recording that its recorder had to remove for want of room.

use super::super::engine::Knowledge;

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let marks = known.recording.marks.iter();
    marks.filter(|mark| mark.kind == "data_discarded").map(|mark| mark.text.clone()).collect()
}
