//! The page: Trunk's build, then each file compressed beside itself.

use crate::{setup, shell};
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The most bytes a browser that takes brotli may have to fetch for the whole page.
pub(crate) const MOST_DOWNLOAD: u64 = 900_000;

/// What the page is built from.
const SOURCES: [&str; 8] =
    ["Cargo.lock", "Cargo.toml", "Trunk.toml", "core", "frontend", "index.html", "rust-toolchain.toml", "xtask/tools"];
/// What Trunk writes, before it is compressed.
const PAGE: &str = "dist/index.html";

/// Sets up and builds the page into `dist/`.
pub(crate) fn build() -> Result<()> {
    let path = setup::for_build()?;
    build_with(&path)
}

/// Sets up, and builds the page unless it is newer than everything it is built from: a second start costs no minute then, since the binary,
/// which holds the page, stays as it is, too.
pub(crate) fn build_if_older() -> Result<()> {
    let path = setup::for_build()?;
    if is_newer()? {
        shell::say("the page in dist/ is up to date (`cargo xtask page` builds it all the same)");
        return Ok(());
    }
    build_with(&path)
}

fn is_newer() -> Result<bool> {
    let Ok(built) = fs::metadata(built()).and_then(|file| file.modified()) else { return Ok(false) };
    for path in SOURCES.iter().chain([&PAGE]) {
        match changed(Path::new(path)) {
            Ok(at) if at <= built => {}
            Ok(_) => return Ok(false),
            Err(_) if *path == PAGE => return Ok(false),
            Err(error) => return Err(error).with_context(|| format!("looking at {path}")),
        }
    }
    Ok(true)
}

/// An empty file that is as old as the page: written once all of it is in `dist/`.
fn built() -> PathBuf {
    setup::target_folder().join("page-built")
}

/// When a file last changed, or the youngest of all below a folder; the folder itself, too, from which one may have been removed.
fn changed(path: &Path) -> std::io::Result<SystemTime> {
    let about = fs::metadata(path)?;
    let mut newest = about.modified()?;
    if about.is_dir() {
        for entry in fs::read_dir(path)? {
            newest = newest.max(changed(&entry?.path())?);
        }
    }
    Ok(newest)
}

/// Builds the page with the tools on `path`.
pub(crate) fn build_with(path: &OsStr) -> Result<()> {
    shell::say("building the page");
    // `offline`: every tool is on PATH already. NO_COLOR must not be 1, which Trunk 0.21 refuses to parse.
    shell::status(Command::new("trunk").args(["build", "--release", "--offline"]).env("PATH", path).env_remove("NO_COLOR"))?;
    shell::status(Command::new(setup::target_folder().join("debug/precompress")).arg("dist"))?;
    fs::write(built(), "").with_context(|| format!("writing {}", built().display()))
}

/// Bytes of the download: every file in `dist/`, as the server sends it to a browser that takes brotli.
pub(crate) fn download() -> Result<u64> {
    below(Path::new("dist"))
}

fn below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            bytes += below(&path)?;
            continue;
        }
        if path.extension().is_some_and(|extension| extension == "br" || extension == "gz") {
            continue;
        }
        let compressed = fs::metadata(format!("{}.br", path.display()));
        bytes += compressed.or_else(|_| fs::metadata(&path)).with_context(|| format!("measuring {}", path.display()))?.len();
    }
    Ok(bytes)
}
