//! The page: Trunk's build, then each file compressed beside itself.

use crate::{setup, shell};
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

/// The most bytes a browser that takes brotli may have to fetch before it shows the findings of a dropped file. The page
/// should come down to 400,000; until then it must not grow unnoticed.
pub(crate) const MOST_DOWNLOAD: u64 = 670_000;

/// Sets up and builds the page into `dist/`.
pub(crate) fn build() -> Result<()> {
    let path = setup::for_build()?;
    build_with(&path)
}

/// Builds the page with the tools on `path`.
pub(crate) fn build_with(path: &OsStr) -> Result<()> {
    shell::say("building the page");
    // `offline`: every tool is on PATH already. NO_COLOR must not be 1, which Trunk 0.21 refuses to parse.
    shell::status(Command::new("trunk").args(["build", "--release", "--offline"]).env("PATH", path).env_remove("NO_COLOR"))?;
    shell::status(Command::new(setup::target_folder().join("debug/precompress")).arg("dist"))
}

/// Bytes of the first download: every file in `dist/`, as the server sends it. Nothing there is fetched later.
pub(crate) fn download() -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir("dist").context("reading dist/")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "br" || extension == "gz") {
            continue;
        }
        let compressed = fs::metadata(format!("{}.br", path.display()));
        bytes += compressed.or_else(|_| fs::metadata(&path)).with_context(|| format!("measuring {}", path.display()))?.len();
    }
    Ok(bytes)
}
