//! Help while a filter is typed: how the word at the cursor may go on, and what a wrong word could have been.

use super::compile::FUNCTIONS;
use super::parse::OPERATORS;
use super::{FIELDS, Type};
use crate::sort;

/// How a word may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The whole word.
    pub word: String,
    /// What it means.
    pub about: String,
}

/// The most that are proposed.
const MOST: usize = 20;

/// The words that may stand where the cursor (in bytes) is, best first, and where the word they replace begins.
pub fn complete(text: &str, cursor: usize) -> (usize, Vec<Completion>) {
    let cursor = (0..=cursor.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let before = &text[..cursor];
    if before.matches('"').count() % 2 == 1 {
        return (cursor, Vec::new());
    }
    let start = before
        .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_')))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = before[start..].to_ascii_lowercase();
    let earlier = before[..start].trim_end();
    let last = earlier.rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '!' | '&' | '|')).next().unwrap_or("");
    let after_operand = !earlier.is_empty()
        && !earlier.ends_with(['(', '!', '&', '|', ',', '{', '=', '<', '>', '~'])
        && !["and", "or", "xor", "not", "any", "all"].contains(&last.to_ascii_lowercase().as_str());
    let mut found: Vec<Completion> = Vec::new();
    let mut add = |name: &str, about: String| found.push(Completion { word: name.to_owned(), about });
    if after_operand {
        let kind = super::field::find(last).map(|field| field.kind);
        for (name, about) in OPERATORS.iter().filter(|(name, _)| name.starts_with(&word)) {
            let joins = matches!(*name, "and" | "or" | "xor");
            if joins || (kind != Some(Type::Presence) && *name != "not") || matches!(*name, "contains" | "matches") {
                add(name, (*about).to_owned());
            }
        }
    } else {
        // A name that goes on with the word; shorter ones, which stand for more, first; then names that hold it.
        let mut names: Vec<&super::Field> = FIELDS.iter().copied().filter(|field| field.name.starts_with(&word)).collect();
        sort::by_key(&mut names, |field| (field.name.matches('.').count(), field.name.len(), field.name));
        let mut others: Vec<&super::Field> = FIELDS
            .iter()
            .copied()
            .filter(|field| !word.is_empty() && !field.name.starts_with(&word) && field.name.contains(&word))
            .collect();
        sort::by_key(&mut others, |field| (field.name.len(), field.name));
        for field in names.into_iter().chain(others) {
            add(field.name, format!("{} ({})", field.about, field.kind.about()));
        }
        for (name, about) in FUNCTIONS.iter().filter(|(name, _)| !word.is_empty() && name.starts_with(&word)) {
            add(&format!("{name}("), (*about).to_owned());
        }
    }
    found.truncate(MOST);
    (start, found)
}

/// The name nearest to a wrong word, if one is near: at most a third of its letters wrong.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if word.chars().count() > LONGEST {
        return None;
    }
    let word = word.to_ascii_lowercase();
    names
        .map(|name| (distance(&word, name), name))
        .filter(|(distance, name)| distance * 3 <= word.len().max(name.len()))
        .min_by_key(|(distance, name)| (*distance, name.len(), *name))
        .map(|(_, name)| name)
}

/// Letters to insert, delete, change or swap with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let changed = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_recognised() {
        let names = || super::super::FIELDS.iter().map(|field| field.name);
        for (typed, meant) in
            [("tcp.prot", "tcp.port"), ("ip.adr", "ip.addr"), ("tcp.analysis.retransmision", "tcp.analysis.retransmission")]
        {
            assert_eq!(nearest(typed, names()), Some(meant), "{typed}");
        }
        assert_eq!(nearest("xyzzy", names()), None);
    }

    #[test]
    fn a_word_is_completed_where_it_stands() {
        let words = |text: &str| -> (usize, Vec<String>) {
            let (start, found) = complete(text, text.len());
            (start, found.into_iter().map(|completion| completion.word).collect())
        };
        let (start, found) = words("udp and tcp.stre");
        assert_eq!((start, found.first().map(String::as_str)), (8, Some("tcp.stream")));
        let (start, found) = words("tcp.port ");
        assert_eq!((start, found.first().map(String::as_str)), (9, Some("==")));
        assert_eq!(words("frame contains \"tc").1, Vec::<String>::new());
        assert!(words("tcp or ").1.len() > 5);
    }
}
