//! Benchmarks: how fast a capture is analysed, beside the peers that are installed. They print ratios within one run and judge nothing.

mod generate;

use crate::setup::target_folder;
use crate::shell::{self, say};
use crate::{page, setup};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Generates the captures that are missing and runs us and the peers in turn.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    if let [option, megabytes, path] = args
        && option == "--generate"
    {
        let bytes = megabytes.parse::<u64>().context("the size is a number of megabytes")? * 1_000_000;
        println!("{} packets in {path}", generate::capture(Path::new(path), bytes, SEED)?);
        return Ok(());
    }
    match args {
        [] => native(),
        [option] if option == "--browser" => browser(),
        _ => bail!("usage: cargo xtask bench [--browser | --generate MEGABYTES FILE]"),
    }
}

/// Our binary and the peers that are installed, over the generated captures.
fn native() -> Result<()> {
    say("building the binary (release)");
    shell::run("cargo", &["build", "--release", "-p", "dropscope-agent"])?;
    for megabytes in [100, 1000] {
        let (path, packets) = provide(megabytes)?;
        compare(&path, packets)?;
    }
    Ok(())
}

/// The page in headless Chromium, over the generated captures.
fn browser() -> Result<()> {
    setup::for_tests()?;
    page::build()?;
    say("building the binary (release)");
    shell::run("cargo", &["build", "--release", "-p", "dropscope-agent", "-p", "dropscope-e2e"])?;
    let files: Result<Vec<PathBuf>> = [100, 1000].map(|megabytes| Ok(provide(megabytes)?.0)).into_iter().collect();
    let release = target_folder().join("release");
    let mut bench = Command::new(release.join("bench_page"));
    shell::status(bench.args(files?).env("DROPSCOPE", release.join("dropscope")))
}

const SEED: u64 = 20_210_601;
const ROUNDS: usize = 3;

/// The generated capture of this size, made if it is not there yet.
fn provide(megabytes: u64) -> Result<(PathBuf, u64)> {
    let folder = target_folder().join("bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("seeded-{megabytes}.pcap"));
    let partial = path.with_extension("partial");
    let count = path.with_extension("count");
    if let Some(packets) = std::fs::read_to_string(&count).ok().and_then(|text| text.parse().ok()) {
        return Ok((path, packets));
    }
    say(&format!("generating {}", path.display()));
    let packets = generate::capture(&partial, megabytes * 1_000_000, SEED)?;
    std::fs::rename(&partial, &path)?;
    std::fs::write(&count, packets.to_string())?;
    Ok((path, packets))
}

/// Each program over one capture, in turn, best of some rounds.
fn compare(path: &Path, packets: u64) -> Result<()> {
    let file = path.to_string_lossy();
    let ours = target_folder().join("release/dropscope").to_string_lossy().into_owned();
    let all: [(&str, Vec<&str>); 6] = [
        ("dropscope check", vec![&ours, "check", "--json", &file]),
        ("tshark -q -z expert", vec!["tshark", "-n", "-q", "-z", "expert", "-r", &file]),
        ("tcptrace -n -l -r -W", vec!["tcptrace", "-n", "-l", "-r", "-W", &file]),
        ("tcptrace -n", vec!["tcptrace", "-n", &file]),
        ("tcpdump -n", vec!["tcpdump", "-n", "-r", &file]),
        ("capinfos", vec!["capinfos", &file]),
    ];
    let megabytes = std::fs::metadata(path)?.len() as f64 / 1e6;
    println!("\n{} ({megabytes:.0} MB, {packets} packets)", path.display());
    println!("{:24} {:>9} {:>11} {:>9} {:>10} {:>9}", "", "seconds", "packets/s", "MB/s", "peak MiB", "times us");
    let mut us = None;
    for (name, words) in &all {
        if shell::which(words[0]).is_none() && !Path::new(words[0]).exists() {
            println!("{name:24} not installed");
            continue;
        }
        let runs: Result<Vec<(Duration, u64)>> = (0..ROUNDS).map(|_| measure(words)).collect();
        let (time, memory) = runs?.into_iter().min().context("no round was run")?;
        let seconds = time.as_secs_f64();
        let base = *us.get_or_insert(seconds);
        let rate = packets as f64 / seconds;
        println!(
            "{name:24} {seconds:9.3} {rate:11.0} {:9.0} {:10.1} {:9.2}",
            megabytes / seconds,
            memory as f64 / 1024.0,
            seconds / base
        );
    }
    Ok(())
}

/// Wall time and peak resident memory in KiB of one run, its output thrown away.
fn measure(words: &[&str]) -> Result<(Duration, u64)> {
    let begun = Instant::now();
    let mut child =
        Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    // The kernel keeps the high-water mark; it is gone with the process, so it is read while it lives.
    while child.try_wait()?.is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(mark.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok((begun.elapsed(), peak))
}
