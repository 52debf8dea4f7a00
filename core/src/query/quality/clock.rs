//! `clock_step`: times before and after do not compare.

use super::super::engine::Knowledge;
use crate::ids::InterfaceId;
use crate::time::{Nanos, Timestamp};

/// Going back in time by more than this is a clock that was set, not two queues that were merged.
const BACKWARDS: Nanos = Nanos::from_secs(1);

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let recording = known.recording;
    let steps = recording.clock_steps.iter().map(|(at, step)| {
        format!("The host's clock was set by {step} at {}: times before and after do not compare.", seconds(*at))
    });
    let back = recording.taps.iter().enumerate().filter_map(|(place, tap)| {
        let (at, back) = tap.went_back.filter(|(_, back)| *back > BACKWARDS)?;
        let name = recording.interface_name(InterfaceId(place as u32));
        Some(format!("Time goes back by {back} on {name} at {}: the clock was set, or files were joined.", seconds(at)))
    });
    steps.chain(back).collect()
}

/// A time as the log has it, in seconds since the Unix epoch.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:09}", at.nanos().div_euclid(1_000_000_000), at.nanos().rem_euclid(1_000_000_000))
}
