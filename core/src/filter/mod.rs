//! Wireshark's display-filter language over our fields.
//!
//! A filter is read ([`parse`]), its words are looked up in the one table of fields ([`field`]) and made into typed tests
//! ([`compile`]), and the tests are put to one packet after another. A test whose field stands in the store's columns is
//! answered from there; only where that does not settle the matter must the packet be read again and dissected, and the
//! filter says so: [`Filter::test`] answers yes, no, or that it needs the packet.
//!
//! As in Wireshark a field may have several values in one packet: `==` holds if some value is equal, `!=` if none is.

mod compile;
mod complete;
mod field;
mod literal;
mod named;
mod of_node;
mod parse;
mod syntax;
mod test;
mod value;

pub use complete::{Completion, complete};
pub use field::{FIELDS, Field, Known, Read, Subject};
pub use named::Named;
pub use of_node::of_node;
pub use value::{Type, Value};

use std::ops::Range;

/// A filter that was understood.
#[derive(Clone, Debug)]
pub struct Filter {
    root: test::Node,
}

/// Why a filter was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The characters at fault, in bytes of the text.
    pub at: Range<usize>,
    /// A full sentence.
    pub message: String,
    /// What it could have been.
    pub suggestion: Option<String>,
    /// The bound it goes beyond, if that is what is wrong with it.
    pub limit: Option<Limit>,
}

/// What bounds a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Its length.
    Length {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        longest: usize,
    },
    /// Parentheses, braces and calls within each other.
    Nesting {
        /// How many may be.
        deepest: usize,
    },
}

impl Error {
    fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), suggestion: None, limit: None }
    }

    fn limit(at: Range<usize>, limit: Limit) -> Self {
        let message = match limit {
            Limit::Length { bytes, longest } => {
                format!("The filter is too long: it has {bytes} bytes, and at most {longest} are read.")
            }
            Limit::Nesting { deepest } => {
                format!(
                    "The filter is nested too deeply: at most {deepest} parentheses, braces and calls may stand within each other."
                )
            }
        };
        Self { limit: Some(limit), ..Self::new(at, message) }
    }
}

impl Filter {
    /// Understands a filter. `None` for a blank one, which lets everything through.
    pub fn parse(text: &str) -> Result<Option<Self>, Error> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let root = compile::compile(&parse::parse(text)?)?;
        Ok(Some(Self { root }))
    }

    /// Whether the packet passes; `None` if that cannot be told without [`Subject::packet`].
    pub fn test(&self, subject: &Subject<'_>) -> Option<bool> {
        self.root.test(subject)
    }

    /// Whether the answer for a packet may change after it was read: with what the rules find, or when a drop is joined.
    pub fn changes(&self) -> bool {
        self.root.any_field(&|field| field.changes)
    }

    /// How much work it is to put it to a packet, in comparisons.
    pub fn cost(&self) -> usize {
        self.root.cost()
    }

    /// Whether it can be put only to packets whose conversations were followed: [`Subject::retraced`].
    pub fn follows(&self) -> bool {
        self.root.any_field(&|field| field.follows)
    }
}

/// The part of a text around a fault, and marks below the fault, as two lines that fit a terminal. `at` and `len` count
/// characters.
pub fn pointed(text: &str, at: usize, len: usize) -> [String; 2] {
    const WIDTH: usize = 76;
    let start = at.saturating_sub(WIDTH / 2);
    let mut characters = text.chars().skip(start);
    let mut line = if start > 0 { "…".to_owned() } else { String::new() };
    let before = at - start + usize::from(start > 0);
    line.extend(characters.by_ref().take(WIDTH));
    if characters.next().is_some() {
        line.push('…');
    }
    let marks = len.min(line.chars().count().saturating_sub(before)).max(1);
    [line, " ".repeat(before) + &"^".repeat(marks)]
}

/// The fields of a list: `ip.src, tcp.stream`.
pub fn fields(list: &str) -> Result<Vec<&'static Field>, Error> {
    let mut fields = Vec::new();
    let mut start = 0;
    for name in list.split(',') {
        let end = start + name.len();
        let word = syntax::Word::plain(name.trim(), end - name.trim_start().len()..start + name.trim_end().len());
        fields.push(compile::field(&word)?);
        start = end + 1;
    }
    Ok(fields)
}
