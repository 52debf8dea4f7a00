//! What a value is compared with, read from a word as the field's type asks.

use super::Error;
use super::parse::shortened;
use super::syntax::{Op, Word};
use super::value::{Type, Value};
use regex_lite::{Regex, RegexBuilder};
use std::net::IpAddr;

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

/// The longest pattern that is compiled.
const LONGEST_PATTERN: usize = 1 << 10;
/// Bytes of a hardware address.
const MAC: usize = 6;

impl Literal {
    /// Reads a word as what a field of this type can be compared with.
    pub(super) fn read(word: &Word, kind: Type, op: Op) -> Result<Self, Error> {
        let text = word.text.as_str();
        let wrong = |expected: &str| Err(Error::new(word.at.clone(), format!("`{}` is not {expected}.", shortened(text))));
        if let Some(at) = &word.unknown_escape {
            let message = "No character is written like this: there are \\\", \\\\, \\n, \\r, \\t, \\0, \\x0a and \\012.";
            return Err(Error::new(at.clone(), message));
        }
        let characters = || String::from_utf8_lossy(&word.bytes).into_owned();
        if op == Op::Contains {
            return Ok(match kind {
                Type::Text => Self::Text(characters()),
                _ => Self::Bytes(bytes(word).unwrap_or_else(|| word.bytes.clone())),
            });
        }
        match kind {
            Type::Number if word.character => Ok(Self::Number(word.bytes.first().copied().map_or(0, u64::from))),
            Type::Number => match text.strip_prefix('-').map(number) {
                Some(Some(n)) if n > 0 => i64::try_from(n).map_or_else(|_| wrong("a whole number"), |n| Ok(Self::Negative(-n))),
                _ => number(text).map_or_else(|| wrong("a whole number"), |n| Ok(Self::Number(n))),
            },
            // Any number but 0 is true.
            Type::Flag => match (text.to_ascii_lowercase().as_str(), number(text)) {
                ("true", _) => Ok(Self::Number(1)),
                ("false", _) => Ok(Self::Number(0)),
                (_, Some(number)) => Ok(Self::Number(number.min(1))),
                _ => wrong("true or false"),
            },
            Type::Duration => seconds(text).map_or_else(|| wrong("a number of seconds"), |n| Ok(Self::Nanos(n))),
            Type::Moment => moment(text)
                .map_or_else(|| wrong("a time like \"2026-01-31 14:40:00\" or seconds since 1970"), |n| Ok(Self::Nanos(n))),
            Type::Text => Ok(Self::Text(characters())),
            Type::Ipv4 | Type::Ipv6 => match network(text) {
                Some((address, prefix)) if address.is_ipv4() == (kind == Type::Ipv4) => Ok(Self::Network(address, prefix)),
                _ if kind == Type::Ipv4 => wrong("an IPv4 address or prefix"),
                _ => wrong("an IPv6 address or prefix"),
            },
            Type::Mac => match bytes(word) {
                Some(bytes) if bytes.len() == MAC => Ok(Self::Bytes(bytes)),
                _ => wrong("a hardware address like 00:1b:21:3a:4f:5e"),
            },
            Type::Bytes | Type::Presence => bytes(word).map_or_else(|| wrong("bytes like 00:1b:21"), |b| Ok(Self::Bytes(b))),
        }
    }

    /// Reads a word as a pattern that may take this many bytes once it is compiled.
    pub(super) fn pattern(word: &Word, largest: usize) -> Result<Self, Error> {
        let text = word.text.as_str();
        if text.len() > LONGEST_PATTERN {
            let message = format!("`{}` is not a pattern of at most 1,024 characters.", shortened(text));
            return Err(Error::new(word.at.clone(), message));
        }
        RegexBuilder::new(text)
            .case_insensitive(true)
            .size_limit(largest)
            .build()
            .map(Self::Pattern)
            .map_err(|error| Error::new(word.at.clone(), format!("The pattern cannot be read: {error}.")))
    }

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

/// `80`, `0x50`, `0120`, `0b1010000`: as in C, a number that begins with 0 is octal.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', b'b' | b'B', ..] => (&text[2..], 2),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // `from_str_radix` would take a sign.
    digits.starts_with(|c: char| c.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, radix).ok())?
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

/// `2026-01-31 14:40:00.5`, `2026-01-31T14:40:00Z`, `2026-01-31 14:40:00+01:00`, `Jan 31, 2026 14:40:00` (UTC where no other
/// zone is told), or seconds since the Unix epoch.
fn moment(text: &str) -> Option<i64> {
    if let Some(nanos) = seconds(text) {
        return Some(nanos);
    }
    let (text, east) = zone(text)?;
    let (year, month, day, time) = if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let mut words = text.split_whitespace();
        let month = month(words.next()?)?;
        let (day, year) = (words.next()?.trim_end_matches(','), words.next()?);
        (year.parse().ok()?, month, day.parse().ok()?, words.next()?)
    } else {
        let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
        let mut date = date.splitn(3, '-').map(str::parse::<i64>);
        (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?, time)
    };
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (time.next()?.parse::<i64>().ok()?, time.next()?.parse::<i64>().ok()?);
    let second = seconds(time.next().unwrap_or("0"))?;
    let sane = (1..=9_999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !sane || !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..61_000_000_000).contains(&second) {
        return None;
    }
    let minutes = (days_from_civil(year, month, day) * 24 + hour) * 60 + minute - east;
    minutes.checked_mul(60_000_000_000)?.checked_add(second)
}

/// A time without its zone, and how many minutes east of Greenwich that is.
fn zone(text: &str) -> Option<(&str, i64)> {
    if let Some(text) = text.strip_suffix('Z').or_else(|| text.strip_suffix(" UTC")) {
        return Some((text, 0));
    }
    // A date has dashes, too.
    let Some(sign) = text.rfind(['+', '-']).filter(|sign| text[..*sign].contains(':')) else { return Some((text, 0)) };
    let digits = text[sign + 1..].replace(':', "");
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let minutes = digits[..2].parse::<i64>().ok()? * 60 + digits[2..].parse::<i64>().ok()?;
    Some((&text[..sign], if text[sign..].starts_with('-') { -minutes } else { minutes }))
}

/// `Jan` to `Dec` as 1 to 12.
fn month(text: &str) -> Option<i64> {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    (1..).zip(months).find(|(_, name)| text.eq_ignore_ascii_case(name)).map(|(month, _)| month)
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
        Some((address, prefix)) => {
            (address.parse::<IpAddr>().ok()?, Some(number(prefix).and_then(|prefix| u8::try_from(prefix).ok())?))
        }
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(longest);
    (prefix <= longest).then_some((address, prefix))
}

/// `00:1b:21`, `00-1b-21`, `001b.21ff`, `0x1b21`, `ff`; in quotes, the characters themselves.
fn bytes(word: &Word) -> Option<Vec<u8>> {
    if word.quoted {
        return Some(word.bytes.clone());
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
        assert_eq!(moment("Jan  1, 1970 00:00:01.5"), Some(1_500_000_000));
        assert_eq!(moment("1970-01-01 01:00:01.5+01:00"), Some(1_500_000_000));
        assert_eq!(moment("1969-12-31T23:00:01.5-0100"), Some(1_500_000_000));
        assert_eq!(moment("1970-01-01 00:00:01.5 UTC"), Some(1_500_000_000));
        assert_eq!(moment("1970-01-01 00:00:01.5 EST"), None);
        assert_eq!(moment("1970-01-01 00:00:01+1"), None);
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        let read = ["80", "0x50", "0120", "0b1010000", "0"].map(number);
        assert_eq!(read, [Some(80), Some(80), Some(80), Some(80), Some(0)]);
        assert_eq!(["", "080", "0x", "0x+5", "+5", "-5", "0b2", "80a"].map(number), [None; 8]);
    }

    #[test]
    fn prefixes_of_any_length_hold_what_they_should() {
        let check = |address: &str, prefix: &str| {
            let (network, length) = network(prefix).expect("a prefix");
            Value::Address(address.parse().expect("an address")).holds(Op::AnyEqual, &Literal::Network(network, length))
        };
        assert!(check("10.1.2.3", "10.0.0.0/8"));
        assert!(!check("11.1.2.3", "10.0.0.0/8"));
        assert!(check("1.2.3.4", "0.0.0.0/0"));
        assert!(check("2001:db8::1", "2001:db8::/32"));
        assert!(!check("10.0.0.1", "::/0"));
        assert_eq!(network("10.0.0.0/33"), None);
    }
}
