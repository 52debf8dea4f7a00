//! Times the page with a large capture in headless Chromium: `bench_page FILE...` (run by `cargo xtask bench --browser`).
//!
//! For each file, from the drop on: the first packets on screen, the first finding, the complete analysis, the longest time
//! the page did not answer, and the most memory any renderer process held. Prints figures and judges nothing.

use anyhow::{Context, Result};
use dropscope_e2e::{Browser, Dropscope};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Notes when things appear, and how long the main thread was busy at a stretch (Long Tasks API, from 50 ms on).
const WATCH: &str = "
    const bench = window.bench = {start: performance.now(), packets: null, finding: null, end: null, longest: 0};
    const now = () => Math.round(performance.now() - bench.start);
    new PerformanceObserver(list => {
        for (const task of list.getEntries()) bench.longest = Math.max(bench.longest, Math.round(task.duration));
    }).observe({entryTypes: ['longtask']});
    let begun = false;
    const look = () => {
        const loading = document.querySelector('#progress') !== null;
        begun ||= loading;
        if (bench.packets === null && document.querySelector('[data-packet]')) bench.packets = now();
        if (bench.finding === null && document.querySelector('[data-finding]')) bench.finding = now();
        if (bench.end === null && begun && !loading) bench.end = now();
        if (bench.end === null) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
    return true;";

#[tokio::main]
async fn main() -> Result<()> {
    println!(
        "{:40} {:>8} {:>11} {:>11} {:>9} {:>8} {:>12} {:>13}",
        "", "MB", "packets ms", "finding ms", "end ms", "MB/s", "longest ms", "renderer MiB"
    );
    for file in std::env::args().skip(1) {
        let path = Path::new(&file);
        let megabytes = std::fs::metadata(path).with_context(|| format!("finding {file}"))?.len() as f64 / 1e6;
        let dropscope = Dropscope::start(&["--port", "0"]).await?;
        let browser = Browser::open().await?;
        browser.goto(&dropscope.page("")?).await?;
        browser.wait_for("#drop-zone", "").await?;
        let memory = PeakMemory::watch(std::process::id());
        browser.eval(WATCH).await?;
        browser.drop_file(path).await?;
        while browser.eval("return window.bench.end").await?.is_null() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let figure = async |name: &str| browser.eval(&format!("return window.bench.{name}")).await;
        let end = figure("end").await?.as_f64().context("no end")?;
        println!(
            "{:24} {megabytes:8.0} {:>11} {:>11} {end:9.0} {:8.0} {:>12} {:13.0}",
            path.file_name().unwrap_or_default().to_string_lossy(),
            figure("packets").await?,
            figure("finding").await?,
            megabytes / end * 1000.0,
            figure("longest").await?,
            memory.stop() as f64 / 1024.0,
        );
        browser.close().await?;
        dropscope.stop().await?;
    }
    Ok(())
}

/// The most memory that any renderer process below this one has held.
struct PeakMemory {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
}

impl PeakMemory {
    fn watch(root: u32) -> Self {
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
    fn stop(self) -> u64 {
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
