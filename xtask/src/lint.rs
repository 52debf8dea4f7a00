//! Formatting and clippy.

use crate::shell::say;
use std::process::Command;

/// What runs as WebAssembly.
const IN_WASM: [&str; 3] = ["dropscope-packets", "dropscope-core", "dropscope-frontend"];

/// Every check as a command: any warning fails, in every crate, target and test.
pub(crate) fn checks() -> Vec<(&'static str, Command)> {
    let cargo = |args: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo.args(args);
        cargo
    };
    let mut wasm = cargo(&["clippy", "--locked", "--all-targets", "--target", "wasm32-unknown-unknown"]);
    wasm.args(IN_WASM.iter().flat_map(|package| ["-p", package]));
    wasm.args(["--", "-D", "warnings"]);
    vec![
        ("formatting", cargo(&["fmt", "--all", "--check"])),
        ("clippy", cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])),
        ("clippy, WebAssembly", wasm),
    ]
}

/// `cargo xtask lint`: all of them, up to the first that fails.
pub(crate) fn lint() -> anyhow::Result<()> {
    for (what, mut command) in checks() {
        say(what);
        crate::shell::status(&mut command)?;
    }
    Ok(())
}
