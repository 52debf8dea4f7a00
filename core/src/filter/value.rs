//! Values of fields, and how they compare.

use super::literal::Literal;
use super::syntax::{Arithmetic, Op};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Of which type a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A layer or a mark that is there or not; a layer's bytes can be sliced and searched.
    Presence,
    /// A whole number.
    Number,
    /// True or false.
    Flag,
    /// A length of time; written in seconds.
    Duration,
    /// A point in time; written `2026-01-31 14:40:00.5` (UTC) or in seconds since the Unix epoch.
    Moment,
    /// Characters.
    Text,
    /// An IPv4 address; compared with an address or a prefix.
    Ipv4,
    /// An IPv6 address; compared with an address or a prefix.
    Ipv6,
    /// A hardware address of six bytes.
    Mac,
    /// Bytes.
    Bytes,
}

impl Type {
    /// In words, with an example.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Presence => "is there or not",
            Self::Number => "number, 80 or 0x50",
            Self::Flag => "flag, true or false",
            Self::Duration => "seconds, 0.2",
            Self::Moment => "time, \"2026-01-31 14:40:00\"",
            Self::Text => "text, \"example\"",
            Self::Ipv4 => "address, 10.0.0.1 or 10.0.0.0/8",
            Self::Ipv6 => "address, 2001:db8::1 or 2001:db8::/32",
            Self::Mac => "hardware address, 00:1b:21:3a:4f:5e",
            Self::Bytes => "bytes, 00:1b:21",
        }
    }

    /// What such a value is, within a sentence.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Presence => "a layer or a mark without a value",
            Self::Number => "a number",
            Self::Flag => "a flag",
            Self::Duration => "a length of time",
            Self::Moment => "a point in time",
            Self::Text => "text",
            Self::Ipv4 => "an IPv4 address",
            Self::Ipv6 => "an IPv6 address",
            Self::Mac => "a hardware address",
            Self::Bytes => "bytes",
        }
    }
}

/// One value of a field in one packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// It is there; a layer with its bytes, where the packet was read.
    Present(&'a [u8]),
    /// A number; a flag is 0 or 1.
    Number(u64),
    /// A number below 0, which only computing gives.
    Negative(i64),
    /// Nanoseconds: a length of time, or since the Unix epoch.
    Nanos(i64),
    /// Characters.
    Text(&'a str),
    /// An address.
    Address(IpAddr),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// Whether the comparison holds for this one value.
    pub(super) fn holds(&self, op: Op, literal: &Literal) -> bool {
        match op {
            Op::Contains => match (self, literal) {
                (Self::Text(text), Literal::Text(part)) => holds_bytes(text.as_bytes(), part.as_bytes()),
                (Self::Text(text), Literal::Bytes(part)) => holds_bytes(text.as_bytes(), part),
                (Self::Bytes(bytes) | Self::Present(bytes), Literal::Bytes(part)) => holds_bytes(bytes, part),
                _ => false,
            },
            Op::Matches => match (self, literal) {
                (Self::Text(text), Literal::Pattern(pattern)) => pattern.is_match(text),
                // One character a byte, so that a pattern can name any of them.
                (Self::Bytes(bytes) | Self::Present(bytes), Literal::Pattern(pattern)) => {
                    pattern.is_match(&bytes.iter().map(|byte| char::from(*byte)).collect::<String>())
                }
                _ => false,
            },
            Op::AnyEqual | Op::AllEqual => self.equals(literal),
            Op::NoneEqual | Op::AnyUnequal => !self.equals(literal),
            Op::Greater => self.order(literal) == Some(Ordering::Greater),
            Op::Less => self.order(literal) == Some(Ordering::Less),
            Op::GreaterOrEqual => self.order(literal).is_some_and(Ordering::is_ge),
            Op::LessOrEqual => self.order(literal).is_some_and(Ordering::is_le),
        }
    }

    fn equals(&self, literal: &Literal) -> bool {
        self.order(literal) == Some(Ordering::Equal)
    }

    /// `None` where the two cannot be compared.
    pub(super) fn order(&self, literal: &Literal) -> Option<Ordering> {
        match (self, literal) {
            (Self::Number(a), Literal::Number(b)) => Some(a.cmp(b)),
            (Self::Negative(a), Literal::Negative(b)) => Some(a.cmp(b)),
            (Self::Number(_), Literal::Negative(_)) => Some(Ordering::Greater),
            (Self::Negative(_), Literal::Number(_)) => Some(Ordering::Less),
            (Self::Nanos(a), Literal::Nanos(b)) => Some(a.cmp(b)),
            (Self::Text(a), Literal::Text(b)) => Some((*a).cmp(b.as_str())),
            // What the prefix leaves out does not count, on either side.
            (Self::Address(a), Literal::Network(b, prefix)) if a.is_ipv4() == b.is_ipv4() => {
                Some(masked(*a, *prefix).cmp(&masked(*b, *prefix)))
            }
            (Self::Bytes(a), Literal::Bytes(b)) => Some((*a).cmp(b.as_slice())),
            _ => None,
        }
    }

    /// Whether it is 0, or nothing but bytes of 0.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Number(number) => *number == 0,
            Self::Nanos(nanos) => *nanos == 0,
            Self::Bytes(bytes) => bytes.iter().all(|byte| *byte == 0),
            Self::Address(address) => address.is_unspecified(),
            _ => false,
        }
    }

    /// Gives what comes out of this and `other`; nothing where that is beyond 64 bits, or divided by 0.
    pub(super) fn computed(&self, op: Arithmetic, other: &Literal, out: &mut dyn FnMut(Value<'_>)) {
        if let (Self::Bytes(bytes), Literal::Bytes(mask), Arithmetic::BitAnd) = (self, other, op) {
            let both: Vec<u8> = bytes.iter().zip(mask).map(|(byte, mask)| byte & mask).collect();
            return out(Value::Bytes(&both));
        }
        match (self, other) {
            (Self::Address(IpAddr::V4(address)), Literal::Network(IpAddr::V4(mask), _)) => {
                return out(Value::Address((*address & *mask).into()));
            }
            (Self::Address(IpAddr::V6(address)), Literal::Network(IpAddr::V6(mask), _)) => {
                return out(Value::Address((*address & *mask).into()));
            }
            _ => {}
        }
        let (a, b, is_time) = match (self, other) {
            (Self::Nanos(a), Literal::Nanos(b)) => (i128::from(*a), i128::from(*b), true),
            _ => match (self.whole(), other.to_value().and_then(|other| other.whole())) {
                (Some(a), Some(b)) => (a, b, false),
                _ => return,
            },
        };
        let result = match op {
            Arithmetic::Add => a.checked_add(b),
            Arithmetic::Subtract => a.checked_sub(b),
            Arithmetic::Multiply => a.checked_mul(b),
            Arithmetic::Divide => a.checked_div(b),
            Arithmetic::Remainder => a.checked_rem(b),
            Arithmetic::BitAnd => Some(a & b),
        };
        let Some(result) = result else { return };
        match (u64::try_from(result), i64::try_from(result)) {
            (_, Ok(nanos)) if is_time => out(Value::Nanos(nanos)),
            (Ok(number), _) if !is_time => out(Value::Number(number)),
            (_, Ok(number)) if !is_time => out(Value::Negative(number)),
            _ => {}
        }
    }

    /// The bytes it consists of; `None` where its type has none that count from the front.
    pub(super) fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Present(bytes) | Self::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            Self::Text(text) => Some(Cow::Borrowed(text.as_bytes())),
            Self::Address(address) => Some(Cow::Owned(octets(*address))),
            _ => None,
        }
    }

    fn whole(&self) -> Option<i128> {
        match self {
            Self::Number(number) => Some(i128::from(*number)),
            Self::Negative(number) => Some(i128::from(*number)),
            _ => None,
        }
    }

    /// The value as text; `None` for what is only there. Lengths of time and moments stand in seconds.
    pub fn to_text(self) -> Option<String> {
        Some(match self {
            Self::Present(_) => return None,
            Self::Number(number) => number.to_string(),
            Self::Negative(number) => number.to_string(),
            Self::Nanos(nanos) => {
                let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
                format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
            }
            Self::Text(text) => text.to_owned(),
            Self::Address(address) => address.to_string(),
            Self::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
        })
    }

    /// The value as something another value can be compared with.
    pub(super) fn to_literal(self) -> Option<Literal> {
        Some(match self {
            Self::Present(_) => return None,
            Self::Number(n) => Literal::Number(n),
            Self::Negative(n) => Literal::Negative(n),
            Self::Nanos(n) => Literal::Nanos(n),
            Self::Text(text) => Literal::Text(text.to_owned()),
            Self::Address(address) => Literal::Network(address, if address.is_ipv4() { 32 } else { 128 }),
            Self::Bytes(bytes) => Literal::Bytes(bytes.to_vec()),
        })
    }
}

fn holds_bytes(whole: &[u8], part: &[u8]) -> bool {
    // Nothing is found nowhere, as in Wireshark.
    !part.is_empty() && whole.windows(part.len()).any(|window| window == part)
}

/// The address without what lies beyond a prefix of this length.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(address) => {
            Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0)).into()
        }
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0)).into()
        }
    }
}

/// The octets of an address.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
