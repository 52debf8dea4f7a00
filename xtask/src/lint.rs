//! Formatting and clippy.

use crate::shell::{run, say};
use anyhow::Result;

/// Both, native and wasm; any warning fails.
pub(crate) fn lint() -> Result<()> {
    say("formatting");
    run("cargo", &["fmt", "--all", "--check"])?;
    say("clippy");
    run("cargo", &["clippy", "--workspace", "--exclude", "dropscope-frontend", "--all-targets", "--", "-D", "warnings"])?;
    say("clippy, wasm");
    let wasm = [
        "clippy",
        "-p",
        "dropscope-packets",
        "-p",
        "dropscope-core",
        "-p",
        "dropscope-frontend",
        "--target",
        "wasm32-unknown-unknown",
        "--",
        "-D",
        "warnings",
    ];
    run("cargo", &wasm)
}
