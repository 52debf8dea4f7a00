//! A compiled filter, put to one packet.
//!
//! Answers are three-valued (Kleene): what the columns cannot say is open, and `and` and `or` often settle the matter
//! without it.

use super::field::{Field, Known, Subject};
use super::literal::Literal;
use super::syntax::{Arithmetic, Join, Op, Piece, Quantity};
use super::value::{Type, Value};
use std::cmp::Ordering;

/// A condition.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Chain(Join, Vec<Node>),
    Not(Box<Node>),
    Present(Source),
    Compare(Source, Quantity, Op, Literal),
    Between(Source, Quantity, Vec<(Literal, Option<Literal>)>),
    Pair(Source, Quantity, Op, Source),
}

/// Something that has values.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Field(&'static Field),
    /// Cut by each of these in turn.
    Slice(Box<Source>, Vec<Vec<Piece>>),
    Length(Box<Source>),
    Count(Box<Source>),
    Upper(Box<Source>),
    Lower(Box<Source>),
    /// Values as text.
    Text(Box<Source>),
    /// Each value of one with each of the next, from left to right.
    Arithmetic(Box<Source>, Vec<(Arithmetic, Source)>),
    /// Without its sign.
    Absolute(Box<Source>),
    /// A value that is the same in every packet.
    Constant(Literal),
    /// The greatest or least of all values.
    Extreme(Vec<Source>, Ordering),
}

impl Node {
    /// Whether the condition holds; `None` if the packet is needed to tell.
    pub(super) fn test(&self, subject: &Subject<'_>) -> Option<bool> {
        match self {
            Self::Chain(Join::And, parts) => all(parts.iter().map(|part| part.test(subject))),
            Self::Chain(Join::Or, parts) => {
                all(parts.iter().map(|part| part.test(subject).map(|holds| !holds))).map(|none| !none)
            }
            Self::Chain(Join::Xor, parts) => {
                parts.iter().try_fold(false, |odd, part| part.test(subject).map(|holds| odd != holds))
            }
            Self::Not(inner) => inner.test(subject).map(|holds| !holds),
            Self::Present(source) => {
                let mut there = false;
                // What was computed is asked whether it is something at all.
                let counts = |value: &Value<'_>| !matches!(source, Source::Arithmetic(..)) || !value.is_nothing();
                let known = source.emit(subject, &mut |value| there |= counts(&value));
                settle(there, true, known)
            }
            Self::Compare(source, quantity, op, literal) => {
                if matches!(op, Op::Contains | Op::Matches)
                    && let Some(known) = source.lacks_bytes(subject)
                {
                    return settle(false, true, known);
                }
                judge(source, *quantity, subject, &|value| value.holds(*op, literal))
            }
            Self::Between(source, quantity, set) => {
                let inside = |value: &Value<'_>| {
                    set.iter().any(|(low, high)| match high {
                        None => value.holds(Op::AnyEqual, low),
                        Some(high) => value.holds(Op::GreaterOrEqual, low) && value.holds(Op::LessOrEqual, high),
                    })
                };
                judge(source, *quantity, subject, &inside)
            }
            Self::Pair(left, quantity, op, right) => {
                let mut others = Vec::new();
                if right.emit(subject, &mut |value| others.extend(value.to_literal())) == Known::NeedsPacket {
                    return None;
                }
                let holds = |value: &Value<'_>| match quantity {
                    Quantity::All => !others.is_empty() && others.iter().all(|other| value.holds(*op, other)),
                    Quantity::Any => others.iter().any(|other| value.holds(*op, other)),
                };
                judge(left, *quantity, subject, &holds)
            }
        }
    }

    /// How many comparisons and values it takes to put it to a packet, roughly.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Chain(_, parts) => parts.iter().map(Self::cost).sum(),
            Self::Not(inner) => inner.cost(),
            Self::Present(source) | Self::Compare(source, ..) => source.cost(),
            Self::Between(source, _, set) => source.cost() + set.len(),
            Self::Pair(left, _, _, right) => left.cost() + right.cost(),
        }
    }

    /// Whether some field is so.
    pub(super) fn any_field(&self, is: &dyn Fn(&Field) -> bool) -> bool {
        match self {
            Self::Chain(_, parts) => parts.iter().any(|part| part.any_field(is)),
            Self::Not(a) => a.any_field(is),
            Self::Present(source) | Self::Compare(source, ..) | Self::Between(source, ..) => source.any_field(is),
            Self::Pair(a, _, _, b) => a.any_field(is) || b.any_field(is),
        }
    }
}

/// Whether all hold: one that does not settles it, whatever cannot be told of others.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut is_known = true;
    for holds in parts {
        match holds {
            Some(false) => return Some(false),
            Some(true) => {}
            None => is_known = false,
        }
    }
    is_known.then_some(true)
}

/// Puts a comparison to the values of a source. As in Wireshark, a packet without the field passes no comparison, not even
/// `!=`.
fn judge(source: &Source, quantity: Quantity, subject: &Subject<'_>, holds: &dyn Fn(&Value<'_>) -> bool) -> Option<bool> {
    let (mut any, mut all) = (false, true);
    let known = source.emit(subject, &mut |value| {
        let fits = holds(&value);
        any |= fits;
        all &= fits;
    });
    match quantity {
        Quantity::All if known == Known::NeedsPacket && all => None,
        Quantity::All => Some(any && all),
        Quantity::Any => settle(any, true, known),
    }
}

/// What was found settles the matter even if more values may come; what was not found does only if none can come.
fn settle(found: bool, answer: bool, known: Known) -> Option<bool> {
    match (found, known) {
        (true, _) => Some(answer),
        (false, Known::Yes) => Some(!answer),
        (false, Known::NeedsPacket) => None,
    }
}

impl Source {
    fn cost(&self) -> usize {
        match self {
            Self::Field(_) | Self::Constant(_) => 1,
            Self::Slice(of, cuts) => of.cost() + cuts.len(),
            Self::Absolute(of) | Self::Length(of) | Self::Count(of) | Self::Upper(of) | Self::Lower(of) | Self::Text(of) => {
                of.cost()
            }
            Self::Arithmetic(first, rest) => first.cost() + rest.iter().map(|(_, next)| next.cost()).sum::<usize>(),
            Self::Extreme(all, _) => all.iter().map(Self::cost).sum(),
        }
    }

    fn any_field(&self, is: &dyn Fn(&Field) -> bool) -> bool {
        match self {
            Self::Field(field) => is(field),
            Self::Slice(of, _) | Self::Absolute(of) => of.any_field(is),
            Self::Arithmetic(first, rest) => first.any_field(is) || rest.iter().any(|(_, next)| next.any_field(is)),
            Self::Constant(_) => false,
            Self::Length(of) | Self::Count(of) | Self::Upper(of) | Self::Lower(of) | Self::Text(of) => of.any_field(is),
            Self::Extreme(all, _) => all.iter().any(|of| of.any_field(is)),
        }
    }

    /// Columns know that a layer is there, but not its bytes: what to answer while they are not.
    fn lacks_bytes(&self, subject: &Subject<'_>) -> Option<Known> {
        if subject.packet.is_some() || !self.any_field(&|field| field.kind == Type::Presence) {
            return None;
        }
        let mut there = false;
        let known = self.emit(subject, &mut |_| there = true);
        Some(if there { Known::NeedsPacket } else { known })
    }

    /// Of a layer's bytes, which go on to the packet's end, those of its own header where Wireshark counts only these.
    fn own<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let Self::Field(field) = self else { return bytes };
        let header = match field.name {
            "eth" => 14,
            "ip" => bytes.first().map_or(0, |first| usize::from(first & 0xf) * 4),
            "ipv6" => 40,
            "udp" => 8,
            _ => return bytes,
        };
        bytes.get(..header).unwrap_or(bytes)
    }

    /// Gives each value of a packet to `out`.
    fn emit(&self, subject: &Subject<'_>, out: &mut dyn FnMut(Value<'_>)) -> Known {
        match self {
            Self::Field(field) => field.emit(subject, out),
            Self::Slice(of, cuts) => {
                if let Some(known) = of.lacks_bytes(subject) {
                    return known;
                }
                let Some((first, rest)) = cuts.split_first() else { return Known::Yes };
                of.emit(subject, &mut |value| {
                    let cut = value.bytes().map(|bytes| slice(of.own(&bytes), first)).unwrap_or_default();
                    let cut = rest.iter().fold(cut, |cut, pieces| slice(&cut, pieces));
                    if !cut.is_empty() {
                        out(Value::Bytes(&cut));
                    }
                })
            }
            Self::Length(of) => {
                if let Some(known) = of.lacks_bytes(subject) {
                    return known;
                }
                of.emit(subject, &mut |value| {
                    if let Some(bytes) = value.bytes() {
                        out(Value::Number(of.own(&bytes).len() as u64));
                    }
                })
            }
            Self::Count(of) => {
                let mut count = 0;
                let known = of.emit(subject, &mut |_| count += 1);
                if known == Known::Yes && count > 0 {
                    out(Value::Number(count));
                }
                known
            }
            Self::Text(of) => of.emit(subject, &mut |value| {
                if let Some(text) = value.to_text() {
                    out(Value::Text(&text));
                }
            }),
            Self::Arithmetic(first, rest) => {
                let mut values = Vec::new();
                let mut known = first.emit(subject, &mut |value| values.extend(value.to_literal()));
                let mut work = 0;
                for (op, next) in rest {
                    let mut others = Vec::new();
                    if next.emit(subject, &mut |value| others.extend(value.to_literal())) == Known::NeedsPacket {
                        known = Known::NeedsPacket;
                    }
                    values = computed(&values, *op, &others, &mut work);
                }
                values.iter().filter_map(Literal::to_value).for_each(out);
                known
            }
            Self::Absolute(of) => of.emit(subject, &mut |value| {
                out(match value {
                    Value::Negative(number) => Value::Number(number.unsigned_abs()),
                    Value::Nanos(nanos) => Value::Nanos(nanos.saturating_abs()),
                    other => other,
                });
            }),
            Self::Constant(literal) => {
                if let Some(value) = literal.to_value() {
                    out(value);
                }
                Known::Yes
            }
            Self::Extreme(all, order) => {
                let (mut known, mut best) = (Known::Yes, None::<(Literal, Value<'static>)>);
                for of in all {
                    let its = of.emit(subject, &mut |value| {
                        let own = match value {
                            Value::Number(number) => Value::Number(number),
                            Value::Nanos(nanos) => Value::Nanos(nanos),
                            Value::Negative(number) => Value::Negative(number),
                            _ => return,
                        };
                        if best.as_ref().is_none_or(|(best, _)| own.order(best) == Some(*order)) {
                            best = own.to_literal().map(|literal| (literal, own));
                        }
                    });
                    known = if its == Known::NeedsPacket { its } else { known };
                }
                if let (Known::Yes, Some((_, value))) = (known, best) {
                    out(value);
                }
                known
            }
            Self::Upper(of) => of.emit(subject, &mut |value| match value {
                Value::Text(text) => out(Value::Text(&text.to_ascii_uppercase())),
                other => out(other),
            }),
            Self::Lower(of) => of.emit(subject, &mut |value| match value {
                Value::Text(text) => out(Value::Text(&text.to_ascii_lowercase())),
                other => out(other),
            }),
        }
    }
}

/// Values that arithmetic computes for one packet: each value of one field with each of the other, and of a third, would take
/// for ever in a packet that was made for it.
const MOST_COMPUTED: usize = 1 << 16;

/// What comes out of each value with each other one. Beyond [`MOST_COMPUTED`] nothing does, as where a number is beyond 64 bits.
fn computed(values: &[Literal], op: Arithmetic, others: &[Literal], work: &mut usize) -> Vec<Literal> {
    let mut results = Vec::new();
    for value in values.iter().filter_map(Literal::to_value) {
        for other in others {
            let bytes = if let Literal::Bytes(bytes) = other { bytes.len() / 16 } else { 0 };
            *work = work.saturating_add(1 + bytes);
            if *work > MOST_COMPUTED {
                return Vec::new();
            }
            value.computed(op, other, &mut |result| results.extend(result.to_literal()));
        }
    }
    results
}

/// The pieces of some bytes, joined, up to the first that does not lie within them as a whole.
fn slice(bytes: &[u8], pieces: &[Piece]) -> Vec<u8> {
    let length = bytes.len() as i64;
    let place = |n: i64| if n < 0 { length + n } else { n };
    let mut cut = Vec::new();
    for piece in pieces {
        let (start, end) = match *piece {
            Piece::From { offset, length: None } => (place(offset), length),
            Piece::From { offset, length: Some(n) } => {
                (place(offset), place(offset).saturating_add(i64::try_from(n).unwrap_or(i64::MAX)))
            }
            Piece::Between { first, last } => (place(first), place(last).saturating_add(1)),
        };
        let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else { break };
        let Some(inside) = bytes.get(start..end) else { break };
        cut.extend(inside);
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_cut_as_wireshark_cuts_them() {
        let bytes: Vec<u8> = (0..10).collect();
        let from = |offset, length| Piece::From { offset, length };
        assert_eq!(slice(&bytes, &[from(2, Some(3))]), [2, 3, 4]);
        assert_eq!(slice(&bytes, &[from(-2, None)]), [8, 9]);
        assert_eq!(slice(&bytes, &[Piece::Between { first: 1, last: 2 }, from(9, Some(1))]), [1, 2, 9]);
        assert_eq!(slice(&bytes, &[Piece::Between { first: 1, last: 2 }, from(9, Some(5))]), [1, 2]);
        assert_eq!(slice(&bytes, &[from(9, Some(5)), from(0, Some(1))]), [0_u8; 0]);
        assert_eq!(slice(&bytes, &[Piece::Between { first: -2, last: -1 }]), [8, 9]);
        for outside in [from(20, Some(1)), from(0, Some(11)), from(-11, None), from(10, None)] {
            assert_eq!(slice(&bytes, &[outside]), [0_u8; 0]);
        }
    }
}
