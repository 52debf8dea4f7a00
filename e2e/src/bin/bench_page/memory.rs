//! The most memory a browser's renderers hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The most memory that any renderer process below this one has held.
pub(crate) struct PeakMemory {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
}

impl PeakMemory {
    /// Begins to look at the renderers among the processes below `root`.
    pub(crate) fn watch(root: u32) -> Self {
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let watched = (Arc::clone(&stop), Arc::clone(&peak));
        std::thread::spawn(move || {
            while !watched.0.load(Ordering::Relaxed) {
                let most = renderers_below(root).iter().filter_map(|pid| resident_kib(*pid)).max().unwrap_or(0);
                watched.1.fetch_max(most, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { stop, peak }
    }

    /// In KiB.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.peak.load(Ordering::Relaxed)
    }
}

fn renderers_below(root: u32) -> Vec<u32> {
    let processes: Vec<u32> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name, which may hold anything in its parentheses: state, then parent.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let is_below = |pid: u32| {
        let mut at = pid;
        while let Some(up) = parent(at).filter(|up| *up > 1) {
            if up == root {
                return true;
            }
            at = up;
        }
        false
    };
    let is_renderer = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains("--type=renderer"))
    };
    processes.into_iter().filter(is_renderer).filter(|pid| is_below(*pid)).collect()
}

fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
}
