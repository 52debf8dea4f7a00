//! Values of fields, and what they are compared with.

use super::Error;
use super::syntax::{Arithmetic, Op, Word};
use regex_lite::{Regex, RegexBuilder};
use std::cmp::Ordering;
use std::net::IpAddr;

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
    /// An IPv4 or IPv6 address; compared with an address or a prefix.
    Address,
    /// Bytes, a hardware address among them.
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
            Self::Address => "address, 10.0.0.1 or 10.0.0.0/8",
            Self::Bytes => "bytes, 00:1b:21",
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

/// What a value is compared with.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    Number(u64),
    Negative(i64),
    Nanos(i64),
    Text(String),
    Network(IpAddr, u8),
    Bytes(Vec<u8>),
    Pattern(Regex),
}

/// Bytes that a compiled pattern may take: a few repetitions of repetitions would take any number.
const LARGEST_PATTERN: usize = 1 << 20;
/// The longest pattern that is compiled.
const LONGEST_PATTERN: usize = 1 << 10;

impl Literal {
    /// Reads a word as what a field of this type can be compared with.
    pub(super) fn read(word: &Word, kind: Type, op: Op) -> Result<Self, Error> {
        let text = word.text.as_str();
        let wrong = |expected: &str| Err(Error::new(word.at.clone(), format!("`{text}` is not {expected}.")));
        match op {
            Op::Matches => {
                if text.len() > LONGEST_PATTERN {
                    return wrong("a pattern of at most 1,024 characters");
                }
                return RegexBuilder::new(text)
                    .case_insensitive(true)
                    .size_limit(LARGEST_PATTERN)
                    .build()
                    .map(Self::Pattern)
                    .map_err(|error| Error::new(word.at.clone(), format!("The pattern cannot be read: {error}.")));
            }
            Op::Contains if kind == Type::Text => return Ok(Self::Text(text.to_owned())),
            Op::Contains => return Ok(Self::Bytes(bytes(word).unwrap_or_else(|| text.as_bytes().to_vec()))),
            _ => {}
        }
        match kind {
            Type::Number => match text.strip_prefix('-').map(number) {
                Some(Some(n)) if n > 0 => i64::try_from(n).map_or_else(|_| wrong("a whole number"), |n| Ok(Self::Negative(-n))),
                _ => number(text).map_or_else(|| wrong("a whole number"), |n| Ok(Self::Number(n))),
            },
            Type::Flag => match text.to_ascii_lowercase().as_str() {
                "1" | "true" => Ok(Self::Number(1)),
                "0" | "false" => Ok(Self::Number(0)),
                _ => wrong("true or false"),
            },
            Type::Duration => seconds(text).map_or_else(|| wrong("a number of seconds"), |n| Ok(Self::Nanos(n))),
            Type::Moment => moment(text)
                .map_or_else(|| wrong("a time like \"2026-01-31 14:40:00\" or seconds since 1970"), |n| Ok(Self::Nanos(n))),
            Type::Text => Ok(Self::Text(text.to_owned())),
            Type::Address => network(text).map_or_else(|| wrong("an address or a prefix"), |(a, n)| Ok(Self::Network(a, n))),
            Type::Bytes | Type::Presence => bytes(word).map_or_else(|| wrong("bytes like 00:1b:21"), |b| Ok(Self::Bytes(b))),
        }
    }
}

impl Literal {
    /// As a value that can be computed with; `None` for a pattern.
    pub(super) fn to_value(&self) -> Option<Value<'_>> {
        Some(match self {
            Self::Number(number) => Value::Number(*number),
            Self::Negative(number) => Value::Negative(*number),
            Self::Nanos(nanos) => Value::Nanos(*nanos),
            Self::Text(text) => Value::Text(text),
            Self::Network(address, _) => Value::Address(*address),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Pattern(_) => return None,
        })
    }
}

impl Value<'_> {
    /// Whether the comparison holds for this one value.
    pub(super) fn holds(&self, op: Op, literal: &Literal) -> bool {
        match op {
            Op::Contains => match (self, literal) {
                (Self::Text(text), Literal::Text(part)) => text.contains(part.as_str()),
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
        match (self, literal) {
            (Self::Address(address), Literal::Network(network, prefix)) => within(*address, *network, *prefix),
            _ => self.order(literal) == Some(Ordering::Equal),
        }
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
            (Self::Address(a), Literal::Network(b, _)) if a.is_ipv4() == b.is_ipv4() => Some(a.cmp(b)),
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
            _ => false,
        }
    }

    /// Gives what comes out of this and `other`; nothing where that is beyond 64 bits, or divided by 0.
    pub(super) fn computed(&self, op: Arithmetic, other: &Literal, out: &mut dyn FnMut(Value<'_>)) {
        if let (Self::Bytes(bytes), Literal::Bytes(mask), Arithmetic::BitAnd) = (self, other, op) {
            let both: Vec<u8> = bytes.iter().zip(mask).map(|(byte, mask)| byte & mask).collect();
            return out(Value::Bytes(&both));
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

    fn whole(&self) -> Option<i128> {
        match self {
            Self::Number(number) => Some(i128::from(*number)),
            Self::Negative(number) => Some(i128::from(*number)),
            _ => None,
        }
    }

    /// The value as text; `None` for what is only there. Lengths of time and moments stand in seconds.
    pub(super) fn to_text(self) -> Option<String> {
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
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}

fn within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        _ => false,
    }
}

/// `80`, `0x50`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Decimal seconds as nanoseconds, exactly.
fn seconds(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !plain(whole) || !plain(part) || part.len() > 9 {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: i64 = format!("{part:0<9}").parse().ok()?;
    let nanos = whole.checked_mul(1_000_000_000)?.checked_add(part)?;
    Some(if negative { -nanos } else { nanos })
}

/// `2026-01-31 14:40:00.5` or `2026-01-31T14:40:00Z` in UTC, or seconds since the Unix epoch.
fn moment(text: &str) -> Option<i64> {
    if let Some(nanos) = seconds(text) {
        return Some(nanos);
    }
    let (date, time) = text.trim_end_matches('Z').split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (time.next()?.parse::<i64>().ok()?, time.next()?.parse::<i64>().ok()?);
    let second = seconds(time.next().unwrap_or("0"))?;
    let sane = (1..=9_999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !sane || !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..61_000_000_000).contains(&second) {
        return None;
    }
    ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute).checked_mul(60_000_000_000)?.checked_add(second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant, `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address.parse::<IpAddr>().ok()?, Some(prefix.parse::<u8>().ok()?)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(longest);
    (prefix <= longest).then_some((address, prefix))
}

/// `00:1b:21`, `00-1b-21`, `001b.21ff`, `0x1b21`, `ff`; in quotes, the characters themselves.
fn bytes(word: &Word) -> Option<Vec<u8>> {
    if word.quoted {
        return Some(word.text.as_bytes().to_vec());
    }
    let text = word.text.as_str();
    let pairs: Vec<&str> = text.split([':', '-']).collect();
    if pairs.len() > 1 {
        return pairs.into_iter().map(|pair| u8::from_str_radix(pair, 16).ok().filter(|_| pair.len() <= 2)).collect();
    }
    let digits: String = text.strip_prefix("0x").unwrap_or(text).split('.').collect();
    let digits = if digits.len() == 1 { format!("0{digits}") } else { digits };
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_exactly() {
        assert_eq!(seconds("0.000000001"), Some(1));
        assert_eq!(seconds("-1.5"), Some(-1_500_000_000));
        assert_eq!(seconds("1.0000000001"), None);
        assert_eq!(moment("2000-03-01 00:00:00"), Some(951_868_800_000_000_000));
        assert_eq!(moment("1970-01-01T00:00:01.5Z"), Some(1_500_000_000));
        assert_eq!(moment("2026-13-01"), None);
    }

    #[test]
    fn prefixes_of_any_length_hold_what_they_should() {
        let check = |address: &str, prefix: &str| {
            let (network, length) = network(prefix).expect("a prefix");
            within(address.parse().expect("an address"), network, length)
        };
        assert!(check("10.1.2.3", "10.0.0.0/8"));
        assert!(!check("11.1.2.3", "10.0.0.0/8"));
        assert!(check("1.2.3.4", "0.0.0.0/0"));
        assert!(check("2001:db8::1", "2001:db8::/32"));
        assert!(!check("10.0.0.1", "::/0"));
        assert_eq!(network("10.0.0.0/33"), None);
    }
}
