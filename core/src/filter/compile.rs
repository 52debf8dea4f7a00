//! Words to fields and values: [`Expr`] to typed tests.

use super::Error;
use super::complete::nearest;
use super::field::{Field, find};
use super::literal::Literal;
use super::syntax::{Arithmetic, Expr, Op, Operand, Quantity, Word};
use super::test::{Node, Source};
use super::value::Type;
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
    ("abs", "a number or a length of time without its sign"),
];

/// Understands an expression.
pub(super) fn compile(expr: &Expr) -> Result<Node, Error> {
    Ok(match expr {
        Expr::And(left, right) => Node::And(Box::new(compile(left)?), Box::new(compile(right)?)),
        Expr::Or(left, right) => Node::Or(Box::new(compile(left)?), Box::new(compile(right)?)),
        Expr::Xor(left, right) => Node::Xor(Box::new(compile(left)?), Box::new(compile(right)?)),
        Expr::Not(inner) => Node::Not(Box::new(compile(inner)?)),
        Expr::Present(operand) => Node::Present(source(operand)?.0),
        Expr::Compare { quantity, left, op, right } => {
            let (source_left, kind) = source(left)?;
            let quantity = quantity.unwrap_or(op.quantity());
            check_operator(left, kind, *op)?;
            if let Operand::Word(word) = right
                && field_of(word).is_none()
            {
                return Ok(Node::Compare(source_left, quantity, *op, Literal::read(word, kind, *op)?));
            }
            let (other, other_kind) = source_as(right, Some(kind))?;
            if kind != other_kind || matches!(op, Op::Matches | Op::Contains) {
                let message = format!("This is {}, and cannot be compared with {}.", other_kind.noun(), kind.noun());
                return Err(Error::new(right.at(), message));
            }
            Node::Pair(source_left, quantity, *op, other)
        }
        Expr::In { quantity, left, set } => member_of(quantity.unwrap_or(Quantity::Any), left, set)?,
    })
}

/// Whether a value is one of a set of values, of stretches between two, and of other fields' values.
fn member_of(quantity: Quantity, left: &Operand, set: &[(Word, Option<Word>)]) -> Result<Node, Error> {
    let (its, kind) = source(left)?;
    check_operator(left, kind, Op::AnyEqual)?;
    let read = |word: &Word| Literal::read(word, kind, Op::AnyEqual);
    let (mut values, mut fields) = (Vec::new(), Vec::new());
    for (low, high) in set {
        match (field_of(low), high) {
            (Some(field), None) if field.kind == kind => fields.push(Source::Field(field)),
            _ => values.push((read(low)?, high.as_ref().map(read).transpose()?)),
        }
    }
    // With `all`, one member of the set must hold all values, as in Wireshark.
    let stretches = match quantity {
        Quantity::Any => vec![values],
        Quantity::All => values.into_iter().map(|value| vec![value]).collect(),
    };
    let between = stretches.into_iter().map(|values| Node::Between(its.clone(), quantity, values));
    let equal = fields.into_iter().map(|field| Node::Pair(its.clone(), quantity, Op::AnyEqual, field));
    let either = |one, other| Node::Or(Box::new(one), Box::new(other));
    between.chain(equal).reduce(either).ok_or_else(|| Error::new(left.at(), "The set has no member."))
}

fn check_operator(left: &Operand, kind: Type, op: Op) -> Result<(), Error> {
    let problem = match (kind, op) {
        (Type::Presence, Op::Contains | Op::Matches) => return Ok(()),
        (Type::Presence, _) => {
            "It has no value of its own: it can stand alone, be sliced as in tcp[13:1], or be searched with contains or matches."
        }
        (Type::Number | Type::Flag | Type::Duration | Type::Moment | Type::Ipv4 | Type::Ipv6, Op::Contains | Op::Matches) => {
            "Only text and bytes can be searched with contains or matches."
        }
        _ => return Ok(()),
    };
    Err(Error::new(left.at(), problem))
}

/// The field that a word names, if it names one.
fn field_of(word: &Word) -> Option<&'static Field> {
    if word.quoted { None } else { find(&word.text) }
}

fn source(operand: &Operand) -> Result<(Source, Type), Error> {
    match operand {
        Operand::Word(word) => match negated(word) {
            Some(field) => {
                let zero = Literal::read(&Word::plain("0", word.at.clone()), field.kind, Op::AnyEqual)?;
                let minus =
                    Source::Arithmetic(Box::new(Source::Constant(zero)), Arithmetic::Subtract, Box::new(Source::Field(field)));
                Ok((minus, field.kind))
            }
            None => field(word).map(|field| (Source::Field(field), field.kind)),
        },
        Operand::Slice { of, pieces } => {
            let (inner, kind) = source(of)?;
            if !has_bytes(kind) {
                return Err(Error::new(of.at(), "Only layers, bytes, addresses and text can be sliced."));
            }
            Ok((Source::Slice(Box::new(inner), pieces.clone()), Type::Bytes))
        }
        Operand::Call { name, arguments } => call(name, arguments),
        Operand::Arithmetic { left, op, right } => arithmetic(operand, left, *op, right, None),
    }
}

/// As [`source`], where a plain value may stand, too: one of `kind`, if that is known.
fn source_as(operand: &Operand, kind: Option<Type>) -> Result<(Source, Type), Error> {
    match operand {
        Operand::Word(word) if field_of(word).is_none() && negated(word).is_none() => {
            let kind = kind.unwrap_or(Type::Number);
            // What is near a field's name was meant as one.
            let literal = Literal::read(word, kind, Op::AnyEqual).map_err(|error| match field(word) {
                Err(named) if named.suggestion.is_some() => named,
                _ => error,
            })?;
            Ok((Source::Constant(literal), kind))
        }
        Operand::Arithmetic { left, op, right } => arithmetic(operand, left, *op, right, kind),
        _ => source(operand),
    }
}

/// `-tcp.len`: the field whose values are meant with the other sign.
fn negated(word: &Word) -> Option<&'static Field> {
    let name = word.text.strip_prefix('-').filter(|_| !word.quoted)?;
    find(name).filter(|field| matches!(field.kind, Type::Number | Type::Duration))
}

/// Two values of one type, one of which may be plain and is then read as the other's type.
fn arithmetic(
    whole: &Operand,
    left: &Operand,
    op: Arithmetic,
    right: &Operand,
    wanted: Option<Type>,
) -> Result<(Source, Type), Error> {
    let is_plain =
        |operand: &Operand| matches!(operand, Operand::Word(word) if field_of(word).is_none() && negated(word).is_none());
    let (left, right, kind) = if is_plain(left) && !is_plain(right) {
        let (right, kind) = source_as(right, wanted)?;
        (source_as(left, Some(kind))?.0, right, kind)
    } else {
        let (left, kind) = source_as(left, wanted)?;
        let (right, other) = source_as(right, Some(kind))?;
        if kind != other {
            return Err(Error::new(whole.at(), "Only values of one type can be computed with each other."));
        }
        (left, right, kind)
    };
    let fits = match op {
        Arithmetic::BitAnd => {
            matches!(kind, Type::Number | Type::Flag | Type::Ipv4 | Type::Ipv6 | Type::Mac | Type::Bytes)
        }
        Arithmetic::Add | Arithmetic::Subtract => matches!(kind, Type::Number | Type::Duration),
        Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Remainder => kind == Type::Number,
    };
    if !fits {
        let problem = match op {
            Arithmetic::BitAnd => "Only numbers, addresses and bytes have bits.",
            Arithmetic::Add | Arithmetic::Subtract => "Only numbers and lengths of time can be added and subtracted.",
            _ => "Only numbers can be multiplied and divided.",
        };
        return Err(Error::new(whole.at(), problem));
    }
    let kind = if kind == Type::Flag { Type::Number } else { kind };
    Ok((Source::Arithmetic(Box::new(left), op, Box::new(right)), kind))
}

/// Whether values of this type are bytes that can be counted and cut.
const fn has_bytes(kind: Type) -> bool {
    matches!(kind, Type::Presence | Type::Text | Type::Ipv4 | Type::Ipv6 | Type::Mac | Type::Bytes)
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
        ("len", _) if has_bytes(kind) => Ok((Source::Length(inner), Type::Number)),
        ("count", _) => Ok((Source::Count(inner), Type::Number)),
        ("upper", Type::Text) => Ok((Source::Upper(inner), Type::Text)),
        ("lower", Type::Text) => Ok((Source::Lower(inner), Type::Text)),
        ("abs", Type::Number | Type::Duration) => Ok((Source::Absolute(inner), kind)),
        ("abs", _) => Err(Error::new(argument.at(), "Only numbers and lengths of time have a sign.")),
        ("string", Type::Presence) => Err(Error::new(argument.at(), "It has no value of its own that could be text.")),
        ("string", _) => Ok((Source::Text(inner), Type::Text)),
        ("len", _) => Err(Error::new(argument.at(), "Only layers, bytes, addresses and text have a length.")),
        ("upper" | "lower", _) => Err(Error::new(argument.at(), "Only text has capitals and small letters.")),
        _ => {
            let names = FUNCTIONS.iter().map(|(name, _)| *name);
            Err(Error {
                suggestion: nearest(&name.text, names).map(str::to_owned),
                ..Error::new(
                    name.at.clone(),
                    format!("`{}` is not a function; there are len, count, upper, lower, string, max, min and abs.", name.text),
                )
            })
        }
    }
}

/// `max(tcp.srcport, tcp.dstport)`.
fn extreme(name: &Word, arguments: &[Operand], order: Ordering) -> Result<(Source, Type), Error> {
    let mut sources = Vec::new();
    let mut kind = None;
    // A plain value among them is of the type of the fields.
    let fields = arguments.iter().find_map(|argument| source(argument).ok()).map(|(_, kind)| kind);
    for argument in arguments {
        let (source, its) = match fields {
            Some(_) => source_as(argument, fields)?,
            None => source(argument)?,
        };
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

/// The field that a word must name.
pub(super) fn field(word: &Word) -> Result<&'static Field, Error> {
    if word.quoted {
        return Err(Error::new(word.at.clone(), "A field is expected here, not a text in quotation marks."));
    }
    find(&word.text).ok_or_else(|| Error {
        suggestion: nearest(&word.text, super::FIELDS.iter().map(|field| field.name)).map(str::to_owned),
        ..Error::new(word.at.clone(), format!("`{}` is not a field.", word.text))
    })
}
