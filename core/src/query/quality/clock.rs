//! `clock_step`: times before and after do not compare, or are not what the file says.

use super::super::engine::Knowledge;
use crate::ids::InterfaceId;
use crate::rules::say;
use crate::time::{Nanos, Timestamp};

/// Going back in time by more than this is a clock that was set, not two queues that were merged.
const BACKWARDS: Nanos = Nanos::from_secs(1);

/// Queues of one network card that are read by turns differ by less.
const DISORDER: Nanos = Nanos::from_millis(1);

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
    let misnamed = recording.interfaces.iter().filter(|interface| interface.is_misnamed_nanoseconds).map(|_| {
        "The file calls its times microseconds, and fractions of a second go above 999,999: they are read as nanoseconds, which its writer must \
         have meant."
            .to_owned()
    });
    misnamed.chain(steps).chain(back).collect()
}

/// `time_disorder`: records that stand behind later ones.
pub(super) fn disorder(known: &Knowledge<'_>) -> Vec<String> {
    let recording = known.recording;
    let taps = recording.taps.iter().enumerate();
    let late = taps.filter_map(|(place, tap)| {
        let (at, back) = tap.went_back.filter(|(_, back)| *back >= DISORDER && *back <= BACKWARDS)?;
        let name = recording.interface_name(InterfaceId(place as u32));
        Some(format!(
            "The file is not in time order: {} of {} on {name} stand behind later ones, by {back} at most (at {}). Their times are taken as true, and \
             what stands behind its own acknowledgement was not sent again.",
            say::number(tap.out_of_order.into()),
            say::count(tap.packets.into(), "packet"),
            seconds(at)
        ))
    });
    late.collect()
}

/// A time as the log has it, in seconds since the Unix epoch.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:09}", at.nanos().div_euclid(1_000_000_000), at.nanos().rem_euclid(1_000_000_000))
}
