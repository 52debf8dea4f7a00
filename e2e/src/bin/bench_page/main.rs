//! Times the page with a large capture in headless Chromium, beside its peers in the same browser and run (run by
//! `cargo xtask bench --browser`): `bench_page [--peer NAME=FOLDER]... [--rounds N] FILE...`.
//!
//! For each file and round, from the drop on: the first packets on screen, the first finding, the complete analysis, the
//! longest time the page did not answer, and the most memory any renderer process held. The peers are the bare loop (`bare`,
//! see `xtask/bare`) and Wireshark compiled to WebAssembly (`wiregasm`). Prints figures and ratios, and judges nothing.

mod memory;
mod peer;

use anyhow::{Context, Result, bail};
use dropscope_e2e::{Browser, Dropscope};
use memory::PeakMemory;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Notes when things appear, and how long the main thread was busy at a stretch (Long Tasks API, from 50 ms on).
const WATCH: &str = "
    const bench = {start: performance.now(), packets: null, finding: null, end: null, longest: 0};
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
        if (bench.end === null && begun && !loading) { bench.end = now(); window.bench = bench; }
        if (bench.end === null) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
    return true;";

struct Args {
    peers: peer::Folders,
    rounds: usize,
    files: Vec<PathBuf>,
}

fn args() -> Result<Args> {
    let mut args = Args { peers: vec![], rounds: 1, files: vec![] };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--peer" => {
                let value = value()?;
                let (name, folder) = value.split_once('=').context("a peer is NAME=FOLDER")?;
                args.peers.push((name.to_owned(), folder.into()));
            }
            "--rounds" => args.rounds = value()?.parse().context("the number of rounds is a number")?,
            _ => args.files.push(word.into()),
        }
    }
    Ok(args)
}

/// What one run over one file took.
struct Run {
    /// What the page noted.
    bench: Value,
    /// Of the hungriest renderer.
    peak_kib: u64,
}

impl Run {
    fn ms(&self, name: &str) -> Option<f64> {
        self.bench[name].as_f64()
    }
    /// To the list, where that is told, else to the end.
    fn list_ms(&self) -> Option<f64> {
        self.ms("list").or(self.ms("end"))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = args()?;
    let peers = peer::serve(args.peers.clone()).await?;
    for file in &args.files {
        let megabytes = std::fs::metadata(file).with_context(|| format!("finding {}", file.display()))?.len() as f64 / 1e6;
        println!("\n{} ({megabytes:.0} MB)", file.display());
        let mut best: Vec<(&str, Run)> = vec![];
        for round in 0..args.rounds {
            for (name, _) in std::iter::once(&("dropscope".to_owned(), PathBuf::new())).chain(&args.peers) {
                let name =
                    ["dropscope", "bare", "wiregasm"].into_iter().find(|known| known == name).context("an unknown peer")?;
                // One round of it takes longer than all of the others together.
                if name == "wiregasm" && round > 0 {
                    continue;
                }
                let run = match name {
                    "dropscope" => ours(file).await?,
                    _ => theirs(&format!("{peers}/{name}.html"), file).await?,
                };
                match best.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, before)) if run.ms("end") < before.ms("end") => *before = run,
                    Some(_) => {}
                    None => best.push((name, run)),
                }
            }
        }
        print(&best, megabytes);
    }
    Ok(())
}

fn print(best: &[(&str, Run)], megabytes: f64) {
    let text = |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    let Some((_, us)) = best.first() else { return };
    println!(
        "{:12} {:>9} {:>9} {:>10} {:>9} {:>8} {:>11} {:>13} {:>9} {:>8} {:>10}",
        "",
        "packets",
        "list ms",
        "finding ms",
        "end ms",
        "MB/s",
        "longest ms",
        "renderer MiB",
        "list / us",
        "end / us",
        "memory / us"
    );
    for (name, run) in best {
        if let Some(why) = run.bench["failed"].as_str() {
            println!("{name:12} failed: {why}");
            continue;
        }
        let ratio = |theirs: Option<f64>, ours: Option<f64>| Some(theirs? / ours?);
        let memory = run.peak_kib as f64;
        println!(
            "{name:12} {:>9} {:>9} {:>10} {:>9} {:>8} {:>11} {:>13} {:>9} {:>8} {:>10}",
            text(run.ms("packets").filter(|_| *name != "dropscope"), 0),
            text(if *name == "dropscope" { run.ms("packets") } else { run.ms("list") }, 0),
            text(run.ms("finding"), 0),
            text(run.ms("end"), 0),
            text(run.ms("end").map(|end| megabytes / end * 1000.0), 0),
            text(run.ms("longest"), 0),
            text(Some(memory / 1024.0), 0),
            // Our list counts as complete when all is analysed; a first screenful is there long before.
            text(ratio(run.list_ms(), us.ms("end")), 2),
            text(ratio(run.ms("end"), us.ms("end")), 2),
            text(Some(memory / us.peak_kib as f64), 2),
        );
    }
}

async fn ours(file: &Path) -> Result<Run> {
    let dropscope = Dropscope::start(&["--port", "0"]).await?;
    let browser = Browser::open().await?;
    browser.goto(&dropscope.page("")?).await?;
    browser.wait_for("#drop-zone", "").await?;
    tokio::time::sleep(LOOKING_FOR_THE_FILE).await;
    let run = measured(&browser, file, Some(WATCH)).await?;
    browser.close().await?;
    dropscope.stop().await?;
    Ok(run)
}

async fn theirs(page: &str, file: &Path) -> Result<Run> {
    let browser = Browser::open().await?;
    browser.goto(page).await?;
    browser.wait_until("the peer's page", "return window.ready").await?;
    tokio::time::sleep(LOOKING_FOR_THE_FILE).await;
    let run = measured(&browser, file, None).await?;
    browser.close().await?;
    Ok(run)
}

/// Drops the file on the page and waits until the page notes that it is done.
async fn measured(browser: &Browser, file: &Path, watch: Option<&str>) -> Result<Run> {
    let memory = PeakMemory::watch(std::process::id());
    if let Some(script) = watch {
        browser.eval(script).await?;
    }
    browser.drop_file(file).await?;
    let begun = std::time::Instant::now();
    loop {
        // While a peer computes on the main thread it answers nothing, and the driver waits.
        let bench = browser.eval("return window.bench ?? null").await.unwrap_or_default();
        if !bench.is_null() {
            return Ok(Run { bench, peak_kib: memory.stop() });
        }
        if begun.elapsed() > GIVE_UP {
            bail!("{} is not done after {} s", file.display(), GIVE_UP.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Nobody drops a file sooner after a page has opened: what pages and browsers do while idle is done by then.
const LOOKING_FOR_THE_FILE: Duration = Duration::from_secs(1);
const GIVE_UP: Duration = Duration::from_secs(900);
