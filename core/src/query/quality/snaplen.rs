//! `snaplen`: packets of which only the first bytes were kept.

use super::super::engine::Knowledge;

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let cut: u64 = known.recording.taps.iter().map(|tap| u64::from(tap.cut)).sum();
    if cut == 0 {
        return Vec::new();
    }
    let most = known.recording.interfaces.iter().map(|interface| interface.snaplen).max().unwrap_or(0);
    vec![format!(
        "Of {cut} packets only the first bytes were kept (snapshot length {most}): checksums and contents of these cannot be checked."
    )]
}
