//! Numbers in the words that all rules share: `1 packet`, `9 of 30`, `33.3 %`, `bytes 1 to 75`, `262,144`.

use std::net::IpAddr;

/// `1,225,736`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 packet`, `1,024 packets`. Takes the singular.
pub(crate) fn count(n: u64, singular: &str) -> String {
    let ending = match (n, singular) {
        (1, _) => "",
        (_, s) if s.ends_with(['s', 'x']) || s.ends_with("ch") => "es",
        _ => "s",
    };
    // "try" and "entry" alone need more than an ending.
    match singular.strip_suffix("ry") {
        Some(stem) if n != 1 => format!("{} {stem}ries", number(n)),
        _ => format!("{} {singular}{ending}", number(n)),
    }
}

/// `33.3 %`; a share so small that it would read 0.0 keeps two decimals.
pub(super) fn percent(part: u64, whole: u64) -> String {
    share(if whole == 0 { 0.0 } else { part as f64 / whole as f64 })
}

/// A share from 0 to 1 as `30 %`, `33.3 %`, `0.07 %`.
pub(super) fn share(x: f64) -> String {
    let percent = x * 100.0;
    if percent > 0.0 && percent < 0.095 {
        format!("{percent:.2} %")
    } else if (percent - percent.round()).abs() < 0.005 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// `bytes 1 to 75`, `byte 1`.
pub(super) fn bytes(first: u64, last: u64) -> String {
    if first == last { format!("byte {}", number(first)) } else { format!("bytes {} to {}", number(first), number(last)) }
}

/// `a`, `a and b`, `a, b and c`; of more than `most`, the rest as a number.
pub(crate) fn list(items: &[String], most: usize) -> String {
    let shown = &items[..items.len().min(most)];
    let rest = items.len() - shown.len();
    match (shown, rest) {
        ([], _) => String::new(),
        ([one], 0) => one.clone(),
        ([head @ .., last], 0) => format!("{} and {last}", head.join(", ")),
        (shown, rest) => format!("{} and {rest} more", shown.join(", ")),
    }
}

/// The text with its first letter large, to begin a sentence. An address stays as it is.
pub(crate) fn capital(text: &str) -> String {
    if text.split([' ', ',']).next().is_some_and(|word| word.parse::<IpAddr>().is_ok()) {
        return text.to_owned();
    }
    let mut chars = text.chars();
    chars.next().map(|first| std::iter::once(first.to_ascii_uppercase()).chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(number(1_225_736), "1,225,736");
        assert_eq!(number(182), "182");
        assert_eq!(
            [count(1, "packet"), count(2, "packet"), count(3, "entry"), count(4, "stretch")],
            ["1 packet", "2 packets", "3 entries", "4 stretches"]
        );
        assert_eq!([percent(1, 3), percent(3, 10), percent(182, 262_144)], ["33.3 %", "30 %", "0.07 %"]);
        assert_eq!([bytes(1, 75), bytes(9, 9)], ["bytes 1 to 75", "byte 9"]);
        assert_eq!([capital("rule 1"), capital("fd77:2::1 sent"), capital("fd77::1")], ["Rule 1", "fd77:2::1 sent", "fd77::1"]);
        let items = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!([list(&items, 3), list(&items, 2), list(&items[..1], 2)], ["a, b and c", "a, b and 1 more", "a"]);
    }
}
