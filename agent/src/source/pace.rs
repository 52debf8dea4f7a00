//! How often the recorder looks at what came.
//!
//! To wake a thread costs as much as some hundred packets. So nobody wakes the recorder: it looks by the clock. Only where a viewer
//! waits, or much has come, a capture wakes it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

/// What the captures of a recording and its recorder share: how soon what was captured is written.
#[derive(Clone)]
pub struct Pace(Arc<Shared>);

struct Shared {
    /// Asked a few times a second.
    is_watched: Box<dyn Fn() -> bool + Send + Sync>,
    /// Bytes that wait for the recorder.
    waiting: AtomicUsize,
    recorder: OnceLock<Thread>,
}

impl Pace {
    /// Between two looks while nobody watches. With the time the kernel's ring takes (up to 0.2 s) and that until what was written
    /// is asked onto the disk itself (as long again), it is what a power cut may cost: less than a second.
    pub const STEADY: Duration = Duration::from_millis(350);
    /// Between two looks while somebody watches.
    pub const WATCHED: Duration = Duration::from_millis(100);
    /// With so many bytes waiting the recorder is woken.
    const MANY: usize = 512 << 10;

    /// Nobody watches.
    pub fn steady() -> Self {
        Self::watched_while(|| false)
    }

    /// Somebody always watches.
    pub fn watched() -> Self {
        Self::watched_while(|| true)
    }

    /// Somebody watches while `is_watched` says so.
    pub fn watched_while(is_watched: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { is_watched: Box::new(is_watched), waiting: AtomicUsize::new(0), recorder: OnceLock::new() }))
    }

    /// Makes the calling thread the one that is woken.
    pub fn is_set_by_this_thread(&self) {
        // A recording has one recorder.
        let _ = self.0.recorder.set(std::thread::current());
    }

    /// How long the recorder looks away now.
    pub fn interval(&self) -> Duration {
        if (self.0.is_watched)() { Self::WATCHED } else { Self::STEADY }
    }

    /// So many bytes are about to be handed to the recorder. Whether it is to be woken for them then.
    pub fn hand_on(&self, bytes: usize) -> bool {
        let waiting = self.0.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        waiting >= Self::MANY || (self.0.is_watched)()
    }

    /// So many bytes were taken by the recorder.
    pub fn taken(&self, bytes: usize) {
        self.0.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Wakes the recorder.
    pub fn wake(&self) {
        if let Some(recorder) = self.0.recorder.get() {
            recorder.unpark();
        }
    }
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pace({:?})", self.interval())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_recorder_is_woken_for_much_and_for_a_viewer() {
        assert!(Pace::watched().hand_on(1), "somebody waits for it");
        let pace = Pace::steady();
        assert!(!pace.hand_on(Pace::MANY - 1), "it can wait");
        assert!(pace.hand_on(1), "much has come");
        pace.taken(Pace::MANY);
        assert!(!pace.hand_on(1), "what was taken does not wait");
    }

    #[test]
    fn a_wake_before_the_recorder_rests_is_not_lost() {
        let pace = Pace::steady();
        pace.is_set_by_this_thread();
        pace.wake();
        let (began, far) = (Instant::now(), Duration::from_secs(3600));
        std::thread::park_timeout(far);
        assert!(began.elapsed() < far);
    }
}
