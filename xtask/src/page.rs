//! The page: Trunk's build, then each file compressed beside itself.

use crate::{setup, shell};
use anyhow::Result;
use std::ffi::OsStr;
use std::process::Command;

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
