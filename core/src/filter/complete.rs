//! Help while a filter is typed: how the word at the cursor may go on, and what a wrong word could have been.

use super::compile::FUNCTIONS;
use super::parse::{OPERATORS, is_word};
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
    let start = before
        .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_')))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = before[start..].to_ascii_lowercase();
    let mut found: Vec<Completion> = Vec::new();
    let mut add = |name: &str, about: String| found.push(Completion { word: name.to_owned(), about });
    match expected(&before[..start]) {
        Expected::Nothing => return (if before.ends_with('"') { cursor } else { start }, Vec::new()),
        Expected::Operator(kind) => {
            for (name, about) in OPERATORS.iter().filter(|(name, _)| name.starts_with(&word)) {
                let joins = matches!(*name, "and" | "or" | "xor");
                if joins || (kind != Some(Type::Presence) && *name != "not") || matches!(*name, "contains" | "matches") {
                    add(name, (*about).to_owned());
                }
            }
        }
        Expected::Join => {
            for (name, about) in OPERATORS.iter().filter(|(name, _)| name.starts_with(&word)) {
                if matches!(*name, "and" | "or" | "xor") {
                    add(name, (*about).to_owned());
                }
            }
        }
        Expected::Value(Some(Type::Flag)) => {
            for (value, about) in FLAG_VALUES.iter().filter(|(value, _)| value.starts_with(&word)) {
                add(value, (*about).to_owned());
            }
        }
        // A value is the reader's own: no name of a field is ever written in its place.
        Expected::Value(_) => {}
        Expected::Operand => {
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
    }
    found.truncate(MOST);
    (start, found)
}

/// What a flag is compared with.
const FLAG_VALUES: &[(&str, &str)] = &[("1", "set"), ("0", "not set"), ("true", "set"), ("false", "not set")];

/// What the grammar (`parse`) expects at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// A field or a function.
    Operand,
    /// What follows a field, of this type where it is known: a comparison or a joining word.
    Operator(Option<Type>),
    /// A value that a field of this type is compared with.
    Value(Option<Type>),
    /// `and`, `or`, `xor`.
    Join,
    /// What no list can help with: text in quotes, the numbers of a slice.
    Nothing,
}

/// What may follow `before`, which ends before a word.
fn expected(before: &str) -> Expected {
    // Within a word that goes on, an address or a number with a sign.
    if before.ends_with([':', '/', '#', '-']) {
        return Expected::Nothing;
    }
    let mut now = Expected::Operand;
    // What follows each parenthesis that is open.
    let mut after_parenthesis = Vec::new();
    // The type compared with, inside `{…}` of a set.
    let mut set: Option<Option<Type>> = None;
    let mut rest = before.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let taken = if matches!(first, '"' | '\'') {
            match quoted(rest, first) {
                Some(end) => {
                    now = if set.is_some() { now } else { Expected::Join };
                    end
                }
                None => return Expected::Nothing,
            }
        } else if first == '[' {
            let Some(end) = rest.find(']') else { return Expected::Nothing };
            if let Expected::Operator(_) = now {
                // Some bytes of a layer have a value, which the layer itself has not.
                now = Expected::Operator(None);
            }
            end + 1
        } else if word > 0 {
            now = after_word(now, &rest[..word].to_ascii_lowercase(), set.is_some());
            word
        } else {
            let kind = match now {
                Expected::Operator(kind) => kind,
                _ => None,
            };
            let two = rest.get(..2).unwrap_or_default();
            let (next, taken) = match first {
                '{' => {
                    let kind = if let Expected::Value(kind) = now { kind } else { None };
                    set = Some(kind);
                    (Expected::Value(kind), 1)
                }
                '}' => {
                    set = None;
                    (Expected::Join, 1)
                }
                '(' => {
                    let is_call = matches!(now, Expected::Operator(_));
                    after_parenthesis.push(if is_call { Expected::Operator(None) } else { Expected::Join });
                    (Expected::Operand, 1)
                }
                ')' => (after_parenthesis.pop().unwrap_or(Expected::Join), 1),
                // Between the members of a set, or the arguments of a function.
                ',' => (set.map_or(Expected::Operand, Expected::Value), 1),
                '=' | '<' | '>' | '~' => {
                    let length = rest.chars().take_while(|c| matches!(c, '=' | '<' | '>' | '~')).count();
                    (Expected::Value(kind), length)
                }
                '!' if two == "!=" => (Expected::Value(kind), rest.chars().take_while(|c| matches!(c, '!' | '=')).count()),
                '&' | '|' | '^' if two.len() == 2 && two.ends_with(first) => (Expected::Operand, 2),
                // Computing needs a number as often as a field.
                '&' | '+' | '*' | '%' => (Expected::Value(None), 1),
                // `!`, and what the grammar does not know.
                _ => (Expected::Operand, first.len_utf8()),
            };
            now = next;
            taken
        };
        rest = rest[taken..].trim_start();
    }
    now
}

/// What may follow a word where `now` was expected.
fn after_word(now: Expected, word: &str, in_set: bool) -> Expected {
    match (now, word) {
        (_, "and" | "or" | "xor") => Expected::Operand,
        (_, "not") if now == Expected::Operand => Expected::Operand,
        (Expected::Operator(kind), "not") => Expected::Operator(kind),
        (Expected::Operand, "any" | "all") => Expected::Operand,
        (Expected::Operator(kind), "in" | "eq" | "ne" | "gt" | "lt" | "ge" | "le" | "contains" | "matches") => {
            Expected::Value(kind)
        }
        (Expected::Operator(kind), "any_eq" | "all_eq" | "any_ne" | "all_ne") => Expected::Value(kind),
        (Expected::Operator(_), "bitand" | "-" | "/") => Expected::Value(None),
        (Expected::Value(kind), _) if in_set => Expected::Value(kind),
        (Expected::Value(_) | Expected::Join, _) => Expected::Join,
        _ => Expected::Operator(super::field::find(word).map(|field| field.kind)),
    }
}

/// How long the quoted text is that `text` begins with; `None` where it does not end.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
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

    /// The first four words that are proposed at the end of each text.
    #[test]
    fn what_is_proposed_fits_the_place() {
        let cases = [
            // A value is never completed to the name of a field.
            ("tcp.flags.syn == ", "1 0 true false"),
            ("tcp.flags.syn == 1", "1"),
            ("tcp.flags.syn==t", "true"),
            ("tcp.flags.syn eq ", "1 0 true false"),
            ("tcp.port == 8", ""),
            ("ip.addr == 10.0", ""),
            ("eth.addr == 00:1b:a", ""),
            ("tcp.port in {80", ""),
            ("tcp.port in {80, 4", ""),
            ("tcp.port in {80 4", ""),
            ("tcp.port not in {", ""),
            ("http.host contains ex", ""),
            ("frame contains \"a", ""),
            ("tcp.flags & ", ""),
            ("frame[4", ""),
            // A finished comparison can only be joined with another.
            ("tcp.port == 80 ", "and or xor"),
            ("tcp.port == 80 a", "and"),
            ("tcp.port in {80, 443} ", "and or xor"),
            ("http.host == \"a\\\"b\" ", "and or xor"),
            ("(tcp.port == 80) ", "and or xor"),
            // A field is compared, or joined.
            ("tcp.port ", "== != > <"),
            ("tcp ", "contains matches and or"),
            ("frame[4:2] ", "== != > <"),
            ("len(tcp.payload) ", "== != > <"),
            // Where a field belongs, fields are proposed.
            ("tcp.port == 80 and tcp.stre", "tcp.stream"),
            ("tcp.port == 80 && tcp.stre", "tcp.stream"),
            ("!(tcp.stre", "tcp.stream"),
            ("not tcp.stre", "tcp.stream"),
            ("any tcp.srcp", "tcp.srcport"),
            ("len(tcp.paylo", "tcp.payload"),
        ];
        for (text, expected) in cases {
            let found = complete(text, text.len()).1;
            let words: Vec<&str> = found.iter().take(4).map(|completion| completion.word.as_str()).collect();
            assert_eq!(words.join(" "), expected, "{text}");
        }
    }
}
