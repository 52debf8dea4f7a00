//! `cut_short`: the file ends before its last record does, or is damaged.

use super::super::engine::Knowledge;

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    (known.progress)().trouble.into_iter().collect()
}
