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

/// How the page is built, by the profile in Cargo.toml.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Profile {
    /// Small and fast, for releases and measurements.
    Wasm,
    /// Quick to build, for `cargo xtask run`; not compressed.
    Quick,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Quick => "quick",
        }
    }
}

/// Sets up and builds the page into `dist/`, as a release has it.
pub(crate) fn build() -> Result<()> {
    let path = setup::for_build()?;
    build_with(&path, Profile::Wasm)
}

/// The same unless the page is newer than everything it is built from.
pub(crate) fn build_if_older() -> Result<()> {
    if is_newer(&[Profile::Wasm])? {
        shell::say("the page in dist/ is up to date (`cargo xtask page` builds it all the same)");
        return Ok(());
    }
    build()
}

/// Sets up, and builds binary and page as quickly as that is possible. Returns the binary, which reads the page from `dist/`.
pub(crate) fn build_to_run() -> Result<PathBuf> {
    setup::sources()?;
    let up_to_date = is_newer(&[Profile::Quick, Profile::Wasm])?;
    let trunk = (!up_to_date).then(|| std::thread::spawn(setup::trunk));
    shell::say("building the binary and wasm-bindgen of the locked version (about three minutes on two cores the first time)");
    let build = ["build", "--locked", "--profile", "quick", "-p", "dropscope-agent", "-p", "dropscope-tools"];
    let built = shell::run("cargo", &[&build[..], &["--bin", "dropscope", "--bin", "bindgen"]].concat());
    if let Some(trunk) = trunk {
        let trunk = setup::joined(trunk)?;
        built?;
        build_with(&setup::path_of(&trunk, setup::Tools::Quick)?, Profile::Quick)?;
    } else {
        built?;
    }
    Ok(setup::target_folder().join("quick/dropscope"))
}

/// Whether the page in `dist/` was built in one of these ways, and after the last change of everything it is built from.
fn is_newer(ways: &[Profile]) -> Result<bool> {
    let Ok(built_as) = fs::read_to_string(built()) else { return Ok(false) };
    if !ways.iter().any(|way| way.name() == built_as) {
        return Ok(false);
    }
    let built = fs::metadata(built()).and_then(|file| file.modified()).context("looking at when the page was built")?;
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

/// A file that is as old as the page, written once all of it is in `dist/`, with the name of the profile.
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
pub(crate) fn build_with(path: &OsStr, profile: Profile) -> Result<()> {
    shell::say("building the page (about a minute and a half the first time)");
    // `offline`: every tool is on PATH already. NO_COLOR must not be 1, which Trunk 0.21 refuses to parse.
    let mut trunk = Command::new("trunk");
    trunk.args(["build", "--release", "--offline", "--cargo-profile", profile.name()]).env("PATH", path).env_remove("NO_COLOR");
    shell::status(&mut trunk)?;
    if profile == Profile::Wasm {
        shell::status(Command::new(setup::target_folder().join("debug/precompress")).arg("dist"))?;
    }
    fs::write(built(), profile.name()).with_context(|| format!("writing {}", built().display()))
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
