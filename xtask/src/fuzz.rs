//! `cargo xtask fuzz`: the fuzz targets under libFuzzer.
//!
//! Built with the compiler that builds everything else: coverage is an ordinary code-generation option, and what a sanitizer
//! would find is not there to be found, for the core has no unsafe code. cargo-fuzz does the same with `--sanitizer none`.

use crate::setup::target_folder;
use crate::shell::{self, say};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Where there is nothing else to be had, each target runs so long.
const SECONDS: u64 = 60;
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Edges counted and comparisons traced, as libFuzzer wants them.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Builds the targets and runs those named, or all, one after the other. What a target finds is put among its kept inputs.
pub(crate) fn fuzz(args: &[String]) -> Result<()> {
    let (names, seconds) = wanted(args)?;
    let folder = target_folder().join("fuzz");
    say("building the fuzz targets with coverage (no sanitizer)");
    let build = ["build", "-p", "dropscope-fuzz", "--features", "libfuzzer", "--profile", "fuzz", "--target", TARGET];
    shell::status(Command::new("cargo").args(build).env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &folder))?;
    for name in names {
        let kept = Path::new("fuzz/corpus").join(&name);
        let found = folder.join("inputs").join(&name);
        std::fs::create_dir_all(&found).with_context(|| format!("making {}", found.display()))?;
        say(&format!("fuzzing {name} for {seconds} s; the inputs that reach more are in {}", found.display()));
        let mut target = Command::new(folder.join(TARGET).join("fuzz").join(&name));
        target.args(["-timeout=10", "-rss_limit_mb=3000", "-max_len=4096", "-print_final_stats=1"]);
        target.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/found-", kept.display()));
        shell::status(target.arg(&found).arg(&kept))
            .with_context(|| format!("{name} found something: its input is in {}", kept.display()))?;
    }
    Ok(())
}

/// Which targets, and for how many seconds each.
fn wanted(args: &[String]) -> Result<(Vec<String>, u64)> {
    let mut known: Vec<String> = std::fs::read_dir("fuzz/corpus")
        .context("reading fuzz/corpus")?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    known.retain(|name| !name.contains('.'));
    known.sort();
    let (mut names, mut seconds) = (Vec::new(), SECONDS);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let number = args.next().context("--seconds wants a number")?;
            seconds = number.parse().with_context(|| format!("--seconds wants a number, not `{number}`"))?;
        } else if known.contains(arg) {
            names.push(arg.clone());
        } else {
            bail!("there is no fuzz target `{arg}`; there are {}", known.join(", "));
        }
    }
    Ok((if names.is_empty() { known } else { names }, seconds))
}
