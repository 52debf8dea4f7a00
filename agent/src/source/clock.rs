//! How the host's clocks stand to each other, so that times of one clock can be told in another's.

use super::{Sample, Scene, Scope, Source, SourceError, SourceKind};
use dropscope_core::log::block::Clock;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

pub(super) const KIND: SourceKind = SourceKind {
    name: "clock",
    about: "how the host's clocks stand to each other",
    scope: Scope::Host,
    interval: Duration::from_secs(60),
    open: |_: &Scene<'_>| Ok(Box::new(Clocks)),
};

struct Clocks;

impl Source for Clocks {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        out.clock = Some(read());
        Ok(())
    }
}

/// Nanoseconds since the Unix epoch.
pub fn realtime_ns() -> i64 {
    nanos(ClockId::CLOCK_REALTIME)
}

/// The clocks at one moment: the tightest of a few tries, with realtime read before and after the others.
pub fn read() -> Clock {
    let once = || {
        let before = realtime_ns();
        let monotonic_ns = nanos(ClockId::CLOCK_MONOTONIC);
        let boottime_ns = nanos(ClockId::CLOCK_BOOTTIME);
        let after = realtime_ns();
        let error_ns = after.saturating_sub(before).unsigned_abs();
        Clock { realtime_ns: before + (after - before) / 2, monotonic_ns, boottime_ns, error_ns }
    };
    (0..5).map(|_| once()).min_by_key(|clock| clock.error_ns).expect("five readings were taken")
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock).expect("Linux has had these three clocks since 2.6.39");
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_is_never_behind_the_monotonic_one() {
        let clock = read();
        assert!(clock.boottime_ns + clock.error_ns as i64 >= clock.monotonic_ns, "{clock:?}");
    }
}
