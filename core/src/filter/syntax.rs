//! What a filter is made of, before any of its words has been understood.

use std::ops::Range;

/// A word with its place: characters of the filter's text, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    pub at: Range<usize>,
    /// Written in quotes, so never a field.
    pub quoted: bool,
    /// Written in single quotes: one character, and what number it has.
    pub character: bool,
    /// What it stands for: its characters, with what is escaped put in. `text` keeps escapes, as patterns need them.
    pub bytes: Vec<u8>,
    /// An escape that stands for nothing.
    pub unknown_escape: Option<Range<usize>>,
}

/// A condition. What the grammar repeats is a list, so that the depth of the tree is that of its parentheses, which the parser
/// bounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    /// Two or more conditions.
    Chain(Join, Vec<Expr>),
    Not(Box<Expr>),
    /// A value alone: whether it is there.
    Present(Operand),
    Compare {
        quantity: Option<Quantity>,
        left: Operand,
        op: Op,
        right: Operand,
    },
    In {
        quantity: Option<Quantity>,
        left: Operand,
        set: Vec<(Word, Option<Word>)>,
    },
}

/// How conditions are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    And,
    Or,
    Xor,
}

/// Something that has values.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Word(Word),
    /// `tcp[0:20][12]`: each pair of brackets cuts what the one before it left.
    Slice {
        of: Box<Operand>,
        cuts: Vec<Vec<Piece>>,
    },
    Call {
        name: Word,
        arguments: Vec<Operand>,
    },
    /// `frame.len - 14 + 4`, `tcp.flags & 0x12`: computed from left to right.
    Arithmetic {
        first: Box<Operand>,
        rest: Vec<(Arithmetic, Operand)>,
    },
}

impl Word {
    /// A word without quotes.
    pub(super) fn plain(text: &str, at: Range<usize>) -> Self {
        Self { text: text.to_owned(), at, quoted: false, character: false, bytes: text.as_bytes().to_vec(), unknown_escape: None }
    }
}

impl Operand {
    /// Where it stands.
    pub(super) fn at(&self) -> Range<usize> {
        match self {
            Self::Word(word) => word.at.clone(),
            Self::Slice { of, .. } => of.at(),
            Self::Arithmetic { first, rest } => {
                let first = first.at();
                first.start..rest.last().map_or(first.end, |(_, last)| last.at().end)
            }
            Self::Call { name, arguments } => {
                name.at.start..arguments.last().map_or(name.at.end, |argument| argument.at().end + 1)
            }
        }
    }
}

/// Bytes of a slice: `[4]`, `[0:2]` (offset and length), `[0-2]` (first and last), `[4:]`, `[:4]`. An offset below 0 counts
/// from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    From { offset: i64, length: Option<u64> },
    Between { first: i64, last: i64 },
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// `==`: some value equals.
    AnyEqual,
    /// `===`: every value equals.
    AllEqual,
    /// `!=`: no value equals.
    NoneEqual,
    /// `!==`: some value does not equal.
    AnyUnequal,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Contains,
    Matches,
}

/// How many of a field's values a comparison must hold for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// `any`: for one of them at least.
    Any,
    /// `all`: for each of them, and there must be one.
    All,
}

/// What is done with two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    /// `&`: the bits that both have.
    BitAnd,
}

impl Op {
    /// What holds where neither `any` nor `all` is said.
    pub(super) const fn quantity(self) -> Quantity {
        if matches!(self, Self::AllEqual | Self::NoneEqual) { Quantity::All } else { Quantity::Any }
    }
}
