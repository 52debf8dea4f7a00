//! `source_failed`: a capture or a source that ended, or could not be read for a while, during the recording.

use super::super::engine::Knowledge;

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let marks = known.recording.marks.iter();
    marks.filter(|mark| mark.kind == "source_failed").map(|mark| mark.text.clone()).collect()
}
