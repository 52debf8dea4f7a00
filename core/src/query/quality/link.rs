//! `unknown_link`: packets of a link type that nobody here can read.

use super::super::engine::Knowledge;

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let recording = known.recording;
    let unknown = recording.interfaces.iter().zip(&recording.taps).filter(|(_, tap)| tap.unknown_link && tap.packets > 0);
    let told = unknown.map(|(interface, tap)| {
        let (link, packets) = (interface.link_type, tap.packets);
        match crate::dissect::link_type_name(link) {
            Some(name) => format!("{packets} packets bear link type {link} ({name}), which is not read here: they are listed."),
            None => format!("{packets} packets bear link type {link}, which is not known here: they are listed, but not read."),
        }
    });
    told.collect()
}
