//! Instructions a packet, which a loaded machine does not change: valgrind's count over two sizes of one capture, and the
//! difference, so that start-up and rules over fixed costs cancel.

use super::{WEB, binary, build, provide};
use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Megabytes of the two captures.
const SIZES: [u64; 2] = [20, 100];
/// Functions that are printed: those that most instructions are executed in.
const MOST_PRINTED: usize = 15;

/// Prints the instructions a packet of `dropscope check`, in all and by function (what was inlined counts to its caller).
pub(super) fn instructions() -> Result<()> {
    if shell::which("valgrind").is_none() || shell::which("callgrind_annotate").is_none() {
        bail!("valgrind is not installed");
    }
    build()?;
    let mut counts = Vec::new();
    for megabytes in SIZES {
        let (path, packets) = provide(&WEB, megabytes)?;
        counts.push((packets, count(&path)?));
    }
    let [(few, small), (many, large)] = &counts[..] else { bail!("two sizes were measured") };
    let packets = (many - few) as f64;
    let each = |name: &str| (large.get(name).unwrap_or(&0) - small.get(name).unwrap_or(&0)) as f64 / packets;
    let mut functions: Vec<(f64, &String)> = large.keys().map(|name| (each(name), name)).collect();
    functions.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    println!("instructions a packet, over {packets} packets (both threads)");
    for (each, name) in functions.into_iter().take(MOST_PRINTED) {
        println!("{each:9.0}  {name}");
    }
    Ok(())
}

/// Instructions by function, and of the whole program.
fn count(capture: &Path) -> Result<BTreeMap<String, i64>> {
    let out: PathBuf = capture.with_extension("callgrind");
    let mut run = Command::new("valgrind");
    run.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
    run.arg(binary("dropscope")).args(["check", "--json"]).arg(capture).stdout(Stdio::null()).stderr(Stdio::null());
    // Its status says whether there are findings.
    run.status().context("starting valgrind")?;
    let printed = shell::output("callgrind_annotate", &["--threshold=100", &out.to_string_lossy()])
        .with_context(|| format!("reading {}", out.display()))?;
    let mut counts = BTreeMap::new();
    for line in printed.lines() {
        // `1,234 (5.6%)  file:function [object]`, or `PROGRAM TOTALS`.
        let Some((number, rest)) = line.trim_start().split_once(" (") else { continue };
        let Ok(number) = number.replace(',', "").parse::<i64>() else { continue };
        let name = rest.split_once(") ").map_or(rest, |(_, name)| name).trim();
        let name = name.trim_start_matches("???:").split(" [").next().unwrap_or(name);
        *counts.entry(name.to_owned()).or_default() += number;
    }
    Ok(counts)
}
