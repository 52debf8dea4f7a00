//! Words to fields and values: [`Expr`] to typed tests.

use super::Error;
use super::complete::nearest;
use super::field::{Field, find};
use super::literal::Literal;
use super::parse::shortened;
use super::syntax::{Arithmetic, Expr, Join, Op, Operand, Quantity, Word};
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

/// Bytes that the compiled patterns of one filter may take together.
const ALL_PATTERNS: usize = 16 << 20;
/// Bytes that one of them may take: a few repetitions of repetitions would take any number.
const LARGEST_PATTERN: usize = 1 << 20;

/// Understands an expression.
pub(super) fn compile(expr: &Expr) -> Result<Node, Error> {
    understand(expr, LARGEST_PATTERN.min(ALL_PATTERNS / patterns(expr).max(1)))
}

/// How many patterns it has.
fn patterns(expr: &Expr) -> usize {
    match expr {
        Expr::Chain(_, parts) => parts.iter().map(patterns).sum(),
        Expr::Not(inner) => patterns(inner),
        Expr::Compare { op, .. } => usize::from(*op == Op::Matches),
        Expr::Present(_) | Expr::In { .. } => 0,
    }
}

/// Understands an expression whose patterns may take this many bytes each.
fn understand(expr: &Expr, largest_pattern: usize) -> Result<Node, Error> {
    Ok(match expr {
        Expr::Chain(join, parts) => {
            Node::Chain(*join, parts.iter().map(|part| understand(part, largest_pattern)).collect::<Result<_, _>>()?)
        }
        Expr::Not(inner) => Node::Not(Box::new(understand(inner, largest_pattern)?)),
        Expr::Present(operand) => Node::Present(source(operand)?.0),
        Expr::Compare { quantity, left, op, right } => {
            let (source_left, kind) = source(left)?;
            let quantity = quantity.unwrap_or(op.quantity());
            check_operator(left, kind, *op)?;
            if let Operand::Word(word) = right
                && field_of(word).is_none()
            {
                let literal = match op {
                    Op::Matches => Literal::pattern(word, largest_pattern)?,
                    _ => Literal::read(word, kind, *op)?,
                };
                return Ok(Node::Compare(source_left, quantity, *op, literal));
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
    let mut tests: Vec<Node> = between.chain(equal).collect();
    match tests.len() {
        0 => Err(Error::new(left.at(), "The set has no member.")),
        1 => Ok(tests.remove(0)),
        _ => Ok(Node::Chain(Join::Or, tests)),
    }
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
                let rest = vec![(Arithmetic::Subtract, Source::Field(field))];
                Ok((Source::Arithmetic(Box::new(Source::Constant(zero)), rest), field.kind))
            }
            None => field(word).map(|field| (Source::Field(field), field.kind)),
        },
        Operand::Slice { of, cuts } => {
            let (inner, kind) = source(of)?;
            if !has_bytes(kind) {
                return Err(Error::new(of.at(), "Only layers, bytes, addresses and text can be sliced."));
            }
            Ok((Source::Slice(Box::new(inner), cuts.clone()), Type::Bytes))
        }
        Operand::Call { name, arguments } => call(name, arguments),
        Operand::Arithmetic { first, rest } => arithmetic(operand, first, rest, None),
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
        Operand::Arithmetic { first, rest } => arithmetic(operand, first, rest, kind),
        _ => source(operand),
    }
}

/// `-tcp.len`: the field whose values are meant with the other sign.
fn negated(word: &Word) -> Option<&'static Field> {
    let name = word.text.strip_prefix('-').filter(|_| !word.quoted)?;
    find(name).filter(|field| matches!(field.kind, Type::Number | Type::Duration))
}

/// Whether only plain values stand in it: they have the type of what they are put beside.
fn is_plain(operand: &Operand) -> bool {
    match operand {
        Operand::Word(word) => field_of(word).is_none() && negated(word).is_none(),
        Operand::Arithmetic { first, rest } => is_plain(first) && rest.iter().all(|(_, next)| is_plain(next)),
        Operand::Slice { .. } | Operand::Call { .. } => false,
    }
}

/// Values of one type, computed from left to right. Plain ones among them are read as the type of the first that is not.
fn arithmetic(
    whole: &Operand,
    first: &Operand,
    rest: &[(Arithmetic, Operand)],
    wanted: Option<Type>,
) -> Result<(Source, Type), Error> {
    // Each operand is understood once: twice would be a million times where twenty stand within each other.
    let mut sources: Vec<Option<Source>> = Vec::with_capacity(rest.len() + 1);
    let mut kind = None;
    for operand in std::iter::once(first).chain(rest.iter().map(|(_, next)| next)) {
        if is_plain(operand) {
            sources.push(None);
            continue;
        }
        let (source, its) = source_as(operand, kind.or(wanted))?;
        if kind.is_some_and(|kind| kind != its) {
            return Err(Error::new(whole.at(), "Only values of one type can be computed with each other."));
        }
        kind = Some(its);
        sources.push(Some(source));
    }
    let kind = kind.or(wanted).unwrap_or(Type::Number);
    let understood = |operand: &Operand, source: Option<Source>| match source {
        Some(source) => Ok(source),
        None => source_as(operand, Some(kind)).map(|(source, _)| source),
    };
    let mut sources = sources.into_iter();
    let beginning = Box::new(understood(first, sources.next().flatten())?);
    let mut computed = Vec::with_capacity(rest.len());
    for ((op, operand), source) in rest.iter().zip(sources) {
        computed.push((*op, understood(operand, source)?));
    }
    let mut kind = kind;
    for (op, _) in rest {
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
        if kind == Type::Flag {
            kind = Type::Number;
        }
    }
    Ok((Source::Arithmetic(beginning, computed), kind))
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
        return Err(Error::new(name.at.clone(), format!("`{}` takes one field between its parentheses.", shortened(&name.text))));
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
                    format!(
                        "`{}` is not a function; there are len, count, upper, lower, string, max, min and abs.",
                        shortened(&name.text)
                    ),
                )
            })
        }
    }
}

/// `max(tcp.srcport, tcp.dstport)`.
fn extreme(name: &Word, arguments: &[Operand], order: Ordering) -> Result<(Source, Type), Error> {
    // A plain value among them is of the type of the fields. Each argument is understood once.
    let (mut sources, mut kind) = (Vec::with_capacity(arguments.len()), None);
    let fits = |argument: &Operand, its: Type, kind: Option<Type>| {
        if !matches!(its, Type::Number | Type::Duration) || kind.is_some_and(|kind| kind != its) {
            return Err(Error::new(argument.at(), format!("`{}` takes numbers, or lengths of time.", name.text)));
        }
        Ok(())
    };
    for argument in arguments.iter().filter(|argument| !is_plain(argument)) {
        let (source, its) = source(argument)?;
        fits(argument, its, kind)?;
        kind = Some(its);
        sources.push(source);
    }
    for argument in arguments.iter().filter(|argument| is_plain(argument)) {
        let (source, its) = if kind.is_some() { source_as(argument, kind)? } else { source(argument)? };
        fits(argument, its, kind)?;
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
        ..Error::new(word.at.clone(), format!("`{}` is not a field.", shortened(&word.text)))
    })
}
