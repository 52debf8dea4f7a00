//! Help while a filter is typed.

use super::{FilterError, FilterHelp, FilterLimit};
use crate::filter::{Error, Filter, Limit, complete};

/// Answers `Query::FilterHelp`.
pub(super) fn help(filter: &str, cursor: u32) -> FilterHelp {
    let at = filter.char_indices().nth(cursor as usize).map_or(filter.len(), |(at, _)| at);
    let (start, completions) = complete(filter, at);
    FilterHelp {
        error: Filter::parse(filter).err().map(|error| shown(filter, &error)),
        completions: completions.into_iter().map(|completion| (completion.word, completion.about)).collect(),
        replace_from: characters(filter, start),
    }
}

/// An error as it is shown: places in characters.
pub(super) fn shown(filter: &str, error: &Error) -> FilterError {
    let at = characters(filter, error.at.start);
    FilterError {
        at,
        len: characters(filter, error.at.end) - at,
        message: error.message.clone(),
        suggestion: error.suggestion.clone(),
        limit: error.limit.map(|limit| match limit {
            Limit::Length { bytes, longest } => FilterLimit::Length { bytes: bytes as u64, longest: longest as u64 },
            Limit::Nesting { deepest } => FilterLimit::Nesting { deepest: deepest as u64 },
        }),
    }
}

/// How many characters stand before a byte.
fn characters(text: &str, byte: usize) -> u32 {
    text.char_indices().take_while(|(at, _)| *at < byte).count() as u32
}
