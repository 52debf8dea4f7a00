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
}

impl Error {
    fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), suggestion: None }
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

    /// Whether it can be put only to packets whose conversations were followed: [`Subject::retraced`].
    pub fn follows(&self) -> bool {
        self.root.any_field(&|field| field.follows)
    }
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
