//! `cargo xtask same OLD NEW DIR…`: whether two builds of `dropscope` print the same about every capture in some folders.
//!
//! For changes that must not change any result: build the binary before and after, keep both, and compare.

use crate::shell::say;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is compared.
const COMMANDS: [&[&str]; 2] = [&["check", "--json"], &["packets", "--json"]];
/// Differences that are printed; all are counted.
const MOST_PRINTED: usize = 20;

/// Runs both binaries over every file and fails if anything they print, or how they end, differs.
pub(crate) fn same(args: &[String]) -> Result<()> {
    let [old, new, folders @ ..] = args else { bail!("usage: cargo xtask same OLD NEW DIR…") };
    let mut files = Vec::new();
    for folder in folders {
        collect(Path::new(folder), &mut files)?;
    }
    files.sort();
    if files.is_empty() {
        bail!("there is no file in {}", folders.join(", "));
    }
    say(&format!("comparing {} files", files.len()));
    let (next, differences) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = COMMANDS.iter().filter_map(|command| difference(old, new, command, file).transpose());
                    differences.lock().expect("no thread panics while it holds the list").extend(found);
                }
            });
        }
    });
    let differences = differences.into_inner().context("a thread panicked")?.into_iter().collect::<Result<Vec<_>>>()?;
    for difference in differences.iter().take(MOST_PRINTED) {
        println!("{difference}");
    }
    if !differences.is_empty() {
        bail!("{} outputs of {} differ", differences.len(), files.len() * COMMANDS.len());
    }
    println!("{} files: identical", files.len());
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// The first line in which the outputs about a file differ.
fn difference(old: &str, new: &str, command: &[&str], file: &Path) -> Result<Option<String>> {
    let run = |binary: &str| {
        let output = Command::new(binary).args(command).arg(file).stdin(Stdio::null()).output();
        output.with_context(|| format!("starting {binary}"))
    };
    let (was, is) = (run(old)?, run(new)?);
    if was == is {
        return Ok(None);
    }
    let begins = format!("{} {}: {} and {}", command.join(" "), file.display(), was.status, is.status);
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    for (was, is) in [(lines(&was.stdout), lines(&is.stdout)), (lines(&was.stderr), lines(&is.stderr))] {
        if let Some(at) = (0..was.len().max(is.len())).find(|at| was.get(*at) != is.get(*at)) {
            let line = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "(nothing)".into());
            return Ok(Some(format!("{begins}, line {}\n  old: {}\n  new: {}", at + 1, line(&was), line(&is))));
        }
    }
    Ok(Some(begins))
}
