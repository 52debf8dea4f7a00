//! Words to fields and values: [`Expr`] to typed tests.

use super::Error;
use super::complete::nearest;
use super::field::{Field, find};
use super::syntax::{Expr, Op, Operand, Word};
use super::test::{Node, Source};
use super::value::{Literal, Type};
use std::cmp::Ordering;

/// Functions, with what they give.
pub(super) const FUNCTIONS: &[(&str, &str)] = &[
    ("len", "how many bytes or characters a value has"),
    ("count", "how many values a field has in a packet"),
    ("upper", "a text in capitals"),
    ("lower", "a text in small letters"),
    ("string", "a value as text, to be searched with contains or matches"),
    ("max", "the greatest value of some fields"),
    ("min", "the least value of some fields"),
];

/// Understands an expression.
pub(super) fn compile(expr: &Expr) -> Result<Node, Error> {
    Ok(match expr {
        Expr::And(left, right) => Node::And(Box::new(compile(left)?), Box::new(compile(right)?)),
        Expr::Or(left, right) => Node::Or(Box::new(compile(left)?), Box::new(compile(right)?)),
        Expr::Not(inner) => Node::Not(Box::new(compile(inner)?)),
        Expr::Present(operand) => Node::Present(source(operand)?.0),
        Expr::Compare { left, op, right } => {
            let (source_left, kind) = source(left)?;
            check_operator(left, kind, *op)?;
            if let Some((other, other_kind)) = other_source(right)? {
                if kind != other_kind || matches!(op, Op::Matches | Op::Contains | Op::Bits) {
                    let message = format!("This is a {}, and cannot be compared with a {}.", other_kind.about(), kind.about());
                    return Err(Error::new(right.at(), message));
                }
                return Ok(Node::Pair(source_left, *op, other));
            }
            let Operand::Word(word) = right else {
                return Err(Error::new(right.at(), "A value or a field is expected here."));
            };
            Node::Compare(source_left, *op, Literal::read(word, kind, *op)?)
        }
        Expr::In { left, set } => {
            let (source, kind) = source(left)?;
            check_operator(left, kind, Op::AnyEqual)?;
            let read = |word: &Word| Literal::read(word, kind, Op::AnyEqual);
            let set = set
                .iter()
                .map(|(low, high)| Ok((read(low)?, high.as_ref().map(read).transpose()?)))
                .collect::<Result<_, Error>>()?;
            Node::Between(source, set)
        }
    })
}

fn check_operator(left: &Operand, kind: Type, op: Op) -> Result<(), Error> {
    let problem = match (kind, op) {
        (Type::Presence, Op::Contains | Op::Matches) => return Ok(()),
        (Type::Presence, _) => {
            "It has no value of its own: it can stand alone, be sliced as in tcp[13:1], or be searched with contains or matches."
        }
        (Type::Number | Type::Flag | Type::Duration | Type::Moment | Type::Address, Op::Contains | Op::Matches) => {
            "Only text and bytes can be searched with contains or matches."
        }
        (Type::Text | Type::Duration | Type::Moment | Type::Address, Op::Bits) => "Only numbers and bytes have bits to test.",
        _ => return Ok(()),
    };
    Err(Error::new(left.at(), problem))
}

/// What an operand stands for on the right of a comparison: a source if it names one, else `None` for a plain value.
fn other_source(operand: &Operand) -> Result<Option<(Source, Type)>, Error> {
    match operand {
        Operand::Word(word) if word.quoted || find(&word.text).is_none() => Ok(None),
        _ => source(operand).map(Some),
    }
}

fn source(operand: &Operand) -> Result<(Source, Type), Error> {
    match operand {
        Operand::Word(word) => field(word).map(|field| (Source::Field(field), field.kind)),
        Operand::Slice { of, pieces } => {
            let (inner, kind) = source(of)?;
            let kind = match kind {
                Type::Presence | Type::Bytes => Type::Bytes,
                Type::Text => Type::Text,
                _ => return Err(Error::new(of.at(), "Only layers, bytes and text can be sliced.")),
            };
            Ok((Source::Slice(Box::new(inner), pieces.clone()), kind))
        }
        Operand::Call { name, arguments } => call(name, arguments),
        Operand::Masked { of, mask } => match source(of)? {
            (inner, kind @ (Type::Number | Type::Flag)) => match Literal::read(mask, kind, Op::Bits)? {
                Literal::Number(mask) => Ok((Source::Masked(Box::new(inner), mask), Type::Number)),
                _ => Err(Error::new(mask.at.clone(), "A number is expected here.")),
            },
            _ => Err(Error::new(of.at(), "Only the bits of numbers can be compared.")),
        },
    }
}

fn call(name: &Word, arguments: &[Operand]) -> Result<(Source, Type), Error> {
    let function = name.text.to_ascii_lowercase();
    if let Some(order) = [("max", Ordering::Greater), ("min", Ordering::Less)].iter().find(|(word, _)| *word == function) {
        return extreme(name, arguments, order.1);
    }
    let [argument] = arguments else {
        return Err(Error::new(name.at.clone(), format!("`{}` takes one field between its parentheses.", name.text)));
    };
    let (inner, kind) = source(argument)?;
    let inner = Box::new(inner);
    match (function.as_str(), kind) {
        ("len", Type::Text | Type::Bytes | Type::Presence) => Ok((Source::Length(inner), Type::Number)),
        ("count", _) => Ok((Source::Count(inner), Type::Number)),
        ("upper", Type::Text) => Ok((Source::Upper(inner), Type::Text)),
        ("lower", Type::Text) => Ok((Source::Lower(inner), Type::Text)),
        ("string", Type::Presence) => Err(Error::new(argument.at(), "It has no value of its own that could be text.")),
        ("string", _) => Ok((Source::Text(inner), Type::Text)),
        ("len", _) => Err(Error::new(argument.at(), "Only text and bytes have a length.")),
        ("upper" | "lower", _) => Err(Error::new(argument.at(), "Only text has capitals and small letters.")),
        _ => {
            let names = FUNCTIONS.iter().map(|(name, _)| *name);
            Err(Error {
                suggestion: nearest(&name.text, names).map(str::to_owned),
                ..Error::new(
                    name.at.clone(),
                    format!("`{}` is not a function; there are len, count, upper, lower, string, max and min.", name.text),
                )
            })
        }
    }
}

/// `max(tcp.srcport, tcp.dstport)`.
fn extreme(name: &Word, arguments: &[Operand], order: Ordering) -> Result<(Source, Type), Error> {
    let mut sources = Vec::new();
    let mut kind = None;
    for argument in arguments {
        let (source, its) = source(argument)?;
        if !matches!(its, Type::Number | Type::Duration) || kind.is_some_and(|kind| kind != its) {
            return Err(Error::new(argument.at(), format!("`{}` takes numbers, or lengths of time.", name.text)));
        }
        kind = Some(its);
        sources.push(source);
    }
    let kind =
        kind.ok_or_else(|| Error::new(name.at.clone(), format!("`{}` takes fields between its parentheses.", name.text)))?;
    Ok((Source::Extreme(sources, order), kind))
}

fn field(word: &Word) -> Result<&'static Field, Error> {
    if word.quoted {
        return Err(Error::new(word.at.clone(), "A field is expected here, not a text in quotation marks."));
    }
    find(&word.text).ok_or_else(|| Error {
        suggestion: nearest(&word.text, super::FIELDS.iter().map(|field| field.name)).map(str::to_owned),
        ..Error::new(word.at.clone(), format!("`{}` is not a field.", word.text))
    })
}
