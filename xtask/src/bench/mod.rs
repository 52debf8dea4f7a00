//! Benchmarks: how fast a capture is analysed, beside the peers that are installed. They print ratios within one run and judge nothing.

mod agent;
mod browser;
mod generate;
mod instructions;

use crate::setup::target_folder;
use crate::shell::{self, say};
use anyhow::{Context, Result, bail};
use generate::{Kind, Shape};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Generates the captures that are missing and runs us and the peers in turn.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => native(),
        ["--growth"] => growth(),
        ["--instructions"] => instructions::instructions(),
        ["--agent"] => agent::agent(),
        ["--receive", at] => agent::receive(at),
        ["--send", to, rate, seconds] => agent::send(to, rate, seconds),
        ["--browser"] => browser::bench(&[100, 1_000], true),
        ["--browser", "--huge"] => browser::bench(&[10_000], false),
        ["--generate", megabytes, path] => {
            let bytes = megabytes.parse::<u64>().context("the size is a number of megabytes")? * 1_000_000;
            println!("{} packets in {path}", generate::capture(Path::new(path), bytes, SEED, &WEB)?);
            Ok(())
        }
        _ => bail!(
            "usage: cargo xtask bench [--growth | --instructions | --agent | --browser [--huge] | --generate MEGABYTES FILE]"
        ),
    }
}

/// Our binary and the peers that are installed, over the generated captures.
fn native() -> Result<()> {
    build()?;
    for megabytes in [100, 1_000] {
        let (path, packets) = provide(&WEB, megabytes)?;
        compare(&path, packets)?;
    }
    Ok(())
}

/// Whether cost grows linearly: time and memory a packet over sizes, and over one conversation and millions of them.
fn growth() -> Result<()> {
    build()?;
    let ours = binary("dropscope").to_string_lossy().into_owned();
    println!("{:24} {:>11} {:>9} {:>10} {:>9} {:>8}", "", "packets", "seconds", "ns/packet", "to 100 MB", "peak MiB");
    let sizes = [100, 10, 1_000, 4_000].map(|megabytes| (&WEB, megabytes));
    let mut base = None;
    for (shape, megabytes) in sizes.into_iter().chain([(&ONE_FLOW, 0), (&SCAN, 0)]) {
        let (path, packets) = provide(shape, megabytes)?;
        let (time, memory) = best(&[&ours, "check", "--json", &path.to_string_lossy()])?;
        let each = time.as_nanos() as f64 / packets as f64;
        println!(
            "{:24} {packets:11} {:9.3} {each:10.1} {:9.2} {:8.1}",
            path.file_stem().unwrap_or_default().to_string_lossy(),
            time.as_secs_f64(),
            each / *base.get_or_insert(each),
            memory as f64 / 1024.0,
        );
    }
    Ok(())
}

fn build() -> Result<()> {
    say("building the binaries (release)");
    shell::run("cargo", &["build", "--release", "-p", "dropscope-agent", "-p", "dropscope-bare"])
}

fn binary(name: &str) -> PathBuf {
    target_folder().join("release").join(name)
}

const SEED: u64 = 20_210_601;
const ROUNDS: usize = 3;

/// Web-like conversations; as long as the size asks for.
const WEB: Shape = Shape { name: "web", concurrent: 200, packets: None, kind: Kind::Web };
/// One conversation of five million packets.
const ONE_FLOW: Shape = Shape { name: "one-flow", concurrent: 1, packets: Some(5_000_000), kind: Kind::Endless };
/// Five million conversations of one packet.
const SCAN: Shape = Shape { name: "scan", concurrent: 200, packets: Some(5_000_000), kind: Kind::Scan };

/// The generated capture of this shape and size, made if it is not there yet.
fn provide(shape: &Shape, megabytes: u64) -> Result<(PathBuf, u64)> {
    let folder = target_folder().join("bench");
    std::fs::create_dir_all(&folder)?;
    let name = if megabytes == 0 { shape.name.to_owned() } else { format!("{}-{megabytes}", shape.name) };
    let path = folder.join(name).with_extension("pcap");
    let partial = path.with_extension("partial");
    let count = path.with_extension("count");
    if let Some(packets) = std::fs::read_to_string(&count).ok().and_then(|text| text.parse().ok()) {
        return Ok((path, packets));
    }
    say(&format!("generating {}", path.display()));
    let packets = generate::capture(&partial, megabytes * 1_000_000, SEED, shape)?;
    // The system would write it to the disk while it is read.
    std::fs::File::open(&partial)?.sync_all()?;
    std::fs::rename(&partial, &path)?;
    std::fs::write(&count, packets.to_string())?;
    Ok((path, packets))
}

/// Each program over one capture, in turn, best of some rounds.
fn compare(path: &Path, packets: u64) -> Result<()> {
    let file = path.to_string_lossy();
    let [ours, bare] = ["dropscope", "bare_loop"].map(|name| binary(name).to_string_lossy().into_owned());
    let all: [(&str, Vec<&str>); 7] = [
        ("dropscope check", vec![&ours, "check", "--json", &file]),
        ("bare loop", vec![&bare, &file]),
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
        let (time, memory) = best(words)?;
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

/// The fastest of some runs.
fn best(words: &[&str]) -> Result<(Duration, u64)> {
    let runs: Result<Vec<(Duration, u64)>> = (0..ROUNDS).map(|_| measure(words)).collect();
    runs?.into_iter().min().context("no round was run")
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
