//! The names of segments, and which of a folder's files are segments.

use super::Stored;
use dropscope_review::Folder;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name of a segment: `00000042-20261122-131500.pcapng`.
pub(super) fn of(number: u64, begun: SystemTime) -> String {
    format!("{number:08}-{}.pcapng", compact_time(begun))
}

/// The segments that whoever runs the command finds in a folder, in order of their numbers; any other file is passed over.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<Stored>> {
    let mut stored = Vec::new();
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        let Ok(name) = item.file_name().into_string() else { continue };
        let Some((number, begun)) = parse(&name) else { continue };
        let metadata = item.metadata()?;
        if metadata.is_file() {
            stored.push(Stored { number, name, bytes: metadata.len(), begun });
        }
    }
    stored.sort_by_key(|one| one.number);
    Ok(stored)
}

/// The segments in a folder that is recorded into: this user's own files alone, for somebody else may have put others there.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn list_in(folder: &Folder) -> io::Result<Vec<Stored>> {
    let mut stored = Vec::new();
    for name in folder.names()? {
        let Some((number, begun)) = parse(&name) else { continue };
        // It may be removed under our hands.
        if let Ok(entry) = folder.entry(&name)
            && entry.is_own_file()
        {
            stored.push(Stored { number, name, bytes: entry.bytes(), begun });
        }
    }
    stored.sort_by_key(|one| one.number);
    Ok(stored)
}

/// Removes what is left of a segment that was killed before it had its head.
pub(super) fn remove_unfinished(folder: &Folder) -> io::Result<()> {
    for name in folder.names()? {
        if name.strip_prefix('.').and_then(parse).is_some() {
            folder.remove_file(&name)?;
        }
    }
    Ok(())
}

fn parse(name: &str) -> Option<(u64, SystemTime)> {
    let (number, time) = name.strip_suffix(".pcapng")?.split_once('-')?;
    Some((number.parse().ok().filter(|_| number.len() >= 8)?, read_time(time)?))
}

/// `20261122-131500`, in UTC.
pub(crate) fn compact_time(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to date, from the first of March of year 0: http://howardhinnant.github.io/date_algorithms.html#civil_from_days
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// The time that [`compact_time`] wrote.
fn read_time(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once('-')?;
    if date.len() != 8 || time.len() != 6 {
        return None;
    }
    let number = |text: &str, at: std::ops::Range<usize>| text.get(at)?.parse::<u64>().ok();
    let (year, month, day) = (number(date, 0..4)?, number(date, 4..6)?, number(date, 6..8)?);
    let (hour, minute, second) = (number(time, 0..2)?, number(time, 2..4)?, number(time, 4..6)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // http://howardhinnant.github.io/date_algorithms.html#days_from_civil
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(UNIX_EPOCH + Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_and_read_back() {
        // date -u -d @SECONDS +%Y%m%d-%H%M%S
        for (seconds, text) in [(0, "19700101-000000"), (951_782_400, "20000229-000000"), (1_795_353_599, "20261122-131959")] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!((compact_time(at).as_str(), read_time(text)), (text, Some(at)));
        }
    }

    #[test]
    fn only_segments_are_taken_for_segments() {
        let at = UNIX_EPOCH + Duration::from_secs(951_782_400);
        assert_eq!(parse(&of(42, at)), Some((42, at)));
        assert_eq!(parse(&of(123_456_789, at)), Some((123_456_789, at)));
        for name in ["a.pcapng", "00000042-20000229-000000.pcap", "42-20000229-000000.pcapng", "00000042-2000022-000000.pcapng"] {
            assert_eq!(parse(name), None, "{name}");
        }
        assert_eq!(parse("00000042-20001329-000000.pcapng"), None, "there is no 13th month");
    }
}
