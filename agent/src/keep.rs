//! `--keep` and what goes with it: how much of an always-on recording stays.

use crate::cli::size;
use crate::record::duration;
use crate::segments::Bounds;
use crate::trigger::Trigger;
use anyhow::{Result, bail};
use clap::Args;
use std::time::Duration;

/// A segment is no longer and no larger than this, unless told otherwise.
const SEGMENT_TIME: Duration = Duration::from_secs(60);
const SEGMENT_BYTES: u64 = 64 << 20;
/// What is kept is so many segments at least, so that removing one does not remove much of it.
const SEGMENTS: u32 = 10;

/// How an always-on recording is bounded.
#[derive(Args)]
#[command(next_help_heading = "Always on", mut_arg("trigger", |trigger| trigger.requires("keep")))]
pub(crate) struct KeepArgs {
    /// Record for ever and keep the last so long (30s, 10m, 2h) or so many bytes (500M, 2G); both may be given. The log is then
    /// a folder of segments, of which the oldest are removed; `dropscope check FOLDER` reads them as one.
    #[arg(long, value_name = "TIME|SIZE", value_parser = keep)]
    keep: Vec<Keep>,
    /// Begin a new segment after so long.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "keep")]
    segment_time: Option<Duration>,
    /// Begin a new segment after so many bytes.
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "keep")]
    segment_size: Option<u64>,
    #[command(flatten)]
    freezing: FreezeArgs,
}

/// What is kept for good, and why.
#[derive(Args)]
#[command(next_help_heading = "Always on")]
pub(crate) struct FreezeArgs {
    /// What has to happen for the minutes around it to be kept for good, in the folder's `frozen`: COUNTER>N/s, COUNTER>N,
    /// rule:WORDS, drop:REASON (both also with >N/s), finding:RULE or finding:SEVERITY. May be repeated.
    #[arg(long, value_name = "EXPRESSION")]
    trigger: Vec<Trigger>,
    /// How much before and after a trigger is frozen.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2m")]
    pub(crate) freeze: Duration,
    /// Freezes that are kept at most; then the oldest is removed.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub(crate) most_frozen: usize,
}

impl FreezeArgs {
    /// What freezes the minutes around it.
    pub(crate) fn triggers(&self) -> &[Trigger] {
        &self.trigger
    }
}

/// One bound of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Time(Duration),
    Bytes(u64),
}

impl KeepArgs {
    /// What freezes the minutes around it.
    pub(crate) fn triggers(&self) -> &[Trigger] {
        self.freezing.triggers()
    }

    /// The bounds that were asked for; `None` for a log that is one file.
    ///
    /// # Errors
    /// When they contradict each other.
    pub(crate) fn bounds(&self) -> Result<Option<Bounds>> {
        if self.keep.is_empty() {
            return Ok(None);
        }
        let keep_time = self.keep.iter().filter_map(|keep| if let Keep::Time(time) = keep { Some(*time) } else { None }).min();
        let keep_bytes =
            self.keep.iter().filter_map(|keep| if let Keep::Bytes(bytes) = keep { Some(*bytes) } else { None }).min();
        let segment_time = self.segment_time.unwrap_or(keep_time.map_or(SEGMENT_TIME, |keep| SEGMENT_TIME.min(keep / SEGMENTS)));
        let segment_bytes = self
            .segment_size
            .unwrap_or_else(|| keep_bytes.map_or(SEGMENT_BYTES, |keep| SEGMENT_BYTES.min(keep / u64::from(SEGMENTS))));
        if keep_bytes.is_some_and(|keep| segment_bytes > keep / 2) {
            bail!("a segment has to be smaller than half of what is kept: choose a smaller --segment-size or a larger --keep");
        }
        let FreezeArgs { freeze, most_frozen, .. } = self.freezing;
        Ok(Some(Bounds { segment_bytes, segment_time, keep_bytes, keep_time, freeze, most_frozen }))
    }
}

/// A time has a small letter, a size a large one: `10m` is ten minutes, `10M` ten mebibytes.
fn keep(text: &str) -> Result<Keep, String> {
    let wrong = || format!("`{text}` is neither a time such as 10m or 2h nor a size such as 500M or 2G");
    match text.chars().last() {
        Some('s' | 'm' | 'h') => duration(text).map(Keep::Time).map_err(|_| wrong()),
        Some('K' | 'M' | 'G' | 'T') => size(text).map(Keep::Bytes).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_a_time_or_a_size() {
        let cases = [
            ("10m", Ok(Keep::Time(Duration::from_secs(600)))),
            ("10M", Ok(Keep::Bytes(10 << 20))),
            ("2h", Ok(Keep::Time(Duration::from_secs(7200)))),
            ("2G", Ok(Keep::Bytes(2 << 30))),
        ];
        for (text, expected) in cases {
            assert_eq!(keep(text), expected, "{text}");
        }
        for text in ["", "10", "m", "-1m", "10g", "1.5G", "forever"] {
            assert!(keep(text).is_err_and(|why| why.contains("10m or 2h")), "{text}");
        }
    }
}
