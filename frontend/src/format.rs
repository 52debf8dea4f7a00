//! Numbers and times as a reader wants them: grouped, rounded to what matters, with their unit.
//!
//! The only place where the page does arithmetic on time of day. Times are told in UTC: a capture is read on other machines
//! than the one that made it, and two readers of one link must see the same figures.

use dropscope_core::time::{Nanos, Timestamp};

/// `1,225,736`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `+344`, `-3`, `0`.
pub fn change(n: i64) -> String {
    match n {
        0 => "0".into(),
        1.. => format!("+{}", count(n.unsigned_abs())),
        _ => format!("-{}", count(n.unsigned_abs())),
    }
}

/// `127 B`, `16.0 MB`: decimal units, as disks and interfaces count.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1_000 {
        return format!("{n} B");
    }
    let mut x = n as f64;
    let mut unit = "B";
    for name in UNITS {
        if x < 999.5 {
            break;
        }
        x /= 1_000.0;
        unit = name;
    }
    format!("{} {unit}", figures(x))
}

/// A value on an axis: `0`, `0.25`, `12.3`, `980`, `1.2 k`, `3.4 M`.
pub fn short(x: f64) -> String {
    let a = x.abs();
    if a >= 999_950_000.0 {
        format!("{} G", figures(x / 1e9))
    } else if a >= 999_950.0 {
        format!("{} M", figures(x / 1e6))
    } else if a >= 9_995.0 {
        format!("{} k", figures(x / 1e3))
    } else if a >= 100.0 || x.fract() == 0.0 {
        format!("{x:.0}")
    } else {
        figures(x)
    }
}

fn figures(x: f64) -> String {
    match x.abs() {
        a if a < 10.0 => format!("{x:.2}"),
        a if a < 100.0 => format!("{x:.1}"),
        _ => format!("{x:.0}"),
    }
}

/// Time of day in UTC with `digits` decimals of the second: `14:40:00.589235`.
pub fn time_of_day(t: Timestamp, digits: usize) -> String {
    let ns = t.nanos();
    let second = ns.div_euclid(1_000_000_000);
    let of_day = second.rem_euclid(86_400);
    let (h, m, s) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    if digits == 0 {
        return format!("{h:02}:{m:02}:{s:02}");
    }
    let fraction = format!("{:09}", ns.rem_euclid(1_000_000_000));
    format!("{h:02}:{m:02}:{s:02}.{}", &fraction[..digits.min(9)])
}

/// Date and time in UTC: `2019-06-12 14:40:00.589235 UTC`.
pub fn date_time(t: Timestamp, digits: usize) -> String {
    let days = t.nanos().div_euclid(86_400_000_000_000);
    let (y, m, d) = civil_from_days(days);
    format!("{y:04}-{m:02}-{d:02} {} UTC", time_of_day(t, digits))
}

/// Seconds since `zero` with six decimals, as Wireshark shows time by default: `3.000117`.
pub fn since(t: Timestamp, zero: Timestamp) -> String {
    let ns = (t - zero).get();
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    format!("{sign}{}.{:06}", ns / 1_000_000_000, ns / 1_000 % 1_000_000)
}

/// A length of time, or a dash for none.
pub fn length(n: Option<Nanos>) -> String {
    n.map_or_else(|| "–".into(), |n| n.to_string())
}

/// Year, month and day of a day counted from 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_rounded_to_what_matters() {
        assert_eq!([0, 999, 1_000, 1_225_736].map(count), ["0", "999", "1,000", "1,225,736"]);
        assert_eq!([344, -3, 0].map(change), ["+344", "-3", "0"]);
        assert_eq!([127, 1_000, 16_000_000, 999_999].map(bytes), ["127 B", "1.00 kB", "16.0 MB", "1.00 MB"]);
        assert_eq!([0.0, 0.25, 12.34, 980.0, 12_000.0, 3.4e6].map(short), ["0", "0.25", "12.3", "980", "12.0 k", "3.40 M"]);
    }

    #[test]
    fn times_are_told_in_utc() {
        let t = Timestamp::from_nanos(1_560_350_400_589_235_000);
        assert_eq!(date_time(t, 6), "2019-06-12 14:40:00.589235 UTC");
        assert_eq!(time_of_day(t, 0), "14:40:00");
        assert_eq!(date_time(Timestamp::from_nanos(-1), 0), "1969-12-31 23:59:59 UTC");
        assert_eq!(since(t + Nanos::from_micros(3_000_117), t), "3.000117");
    }
}
