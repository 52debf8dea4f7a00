//! `snaplen`: packets of which only the first bytes were kept.

use super::super::engine::Knowledge;
use crate::rules::say;

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let cut: u64 = known.recording.taps.iter().map(|tap| u64::from(tap.cut)).sum();
    if cut == 0 {
        return Vec::new();
    }
    let most = known.recording.interfaces.iter().map(|interface| interface.snaplen).max().unwrap_or(0);
    vec![format!(
        "Of {} only the first bytes were kept (snapshot length {}): checksums and contents cannot be checked there.",
        say::count(cut, "packet"),
        say::number(most.into())
    )]
}
