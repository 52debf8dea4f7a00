//! The page in headless Chromium, beside the bare loop and Wireshark in WebAssembly.

use super::provide;
use crate::page;
use crate::setup::{self, target_folder};
use crate::shell::{self, say, which};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// Wireshark compiled to WebAssembly, from the npm registry.
const WIREGASM: &str = "@goodtools/wiregasm@1.9.1";

/// Builds what is needed and runs `bench_page` over captures of these sizes; alone, or beside the peers.
pub(super) fn bench(megabytes: &[u64], beside_peers: bool) -> Result<()> {
    setup::for_tests()?;
    page::build_if_older()?;
    say("building the binaries (release)");
    shell::run("cargo", &["build", "--release", "-p", "dropscope-agent", "-p", "dropscope-e2e"])?;
    let release = target_folder().join("release");
    let mut bench = Command::new(release.join("bench_page"));
    if beside_peers {
        bench.arg("--rounds").arg(super::ROUNDS.to_string());
        for (name, folder) in [("bare", Some(bare()?)), ("wiregasm", wiregasm())] {
            if let Some(folder) = folder {
                bench.arg("--peer").arg(format!("{name}={}", folder.display()));
            }
        }
    }
    for megabytes in megabytes {
        bench.arg(provide(&super::WEB, *megabytes)?.0);
    }
    shell::status(bench.env("DROPSCOPE", release.join("dropscope")))
}

/// The bare loop as a module for the browser.
fn bare() -> Result<PathBuf> {
    let target = "wasm32-unknown-unknown";
    shell::run("cargo", &["build", "--release", "-p", "dropscope-bare", "--lib", "--target", target])?;
    let folder = target_folder().join("bench/bare");
    let module = target_folder().join(target).join("release/dropscope_bare.wasm");
    let mut bindgen = Command::new(target_folder().join("debug/wasm-bindgen"));
    shell::status(bindgen.args(["--target", "web", "--no-typescript", "--out-dir"]).arg(&folder).arg(module))?;
    Ok(folder)
}

/// The folder with wiregasm's files, fetched once; `None`, and a line that says so, where npm is missing or fails.
fn wiregasm() -> Option<PathBuf> {
    let root = target_folder().join("bench/npm");
    let folder = root.join("node_modules/@goodtools/wiregasm/dist");
    if folder.join("wiregasm.wasm").exists() {
        return Some(folder);
    }
    if which("npm").is_none() {
        say("npm is missing, so the page is not compared with wiregasm");
        return None;
    }
    let mut npm = Command::new("npm");
    match shell::status(npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&root).arg(WIREGASM)) {
        Ok(()) => Some(folder),
        Err(error) => {
            say(&format!("{error}, so the page is not compared with wiregasm"));
            None
        }
    }
}
