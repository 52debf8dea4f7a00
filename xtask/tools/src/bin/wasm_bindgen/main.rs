//! wasm-bindgen's command line, built from this workspace's lock file.
//!
//! A module that has parts (see `frontend/src/parts.rs`) is split first: Trunk knows no moment between linking and binding, but
//! calls the wasm-bindgen it finds on PATH, which is this one.

mod split;

use std::ffi::OsString;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let Some(split) = split::split(&arguments)? else { return wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(arguments) };
    wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(split.arguments(&arguments))?;
    split.finish()
}
