//! Agreement with tshark, packet by packet and field by field.

use crate::shell::{self, say};
use anyhow::{Result, bail};
use std::path::PathBuf;

/// Runs the corpus' own comparer over the captures in a folder that holds `dev/`, `oracle/` and `compare.py`.
pub(crate) fn agree(args: &[String]) -> Result<()> {
    let folder = args.first().map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from);
    let comparer = folder.join("compare.py");
    if !comparer.is_file() {
        bail!("{} is not there; name the folder that holds compare.py, dev/ and oracle/", comparer.display());
    }
    say("building the binary (release)");
    shell::run("cargo", &["build", "--release", "-p", "dropscope-agent"])?;
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let ours = format!("{}/release/dropscope packets --json {{}}", crate::setup::target_folder().display());
    let args = [
        &path("compare.py"),
        "--oracle",
        &path("oracle/dev"),
        "--files",
        &path("dev"),
        "--run",
        &ours,
        "--timeout",
        "10",
        "-j",
        "2",
    ];
    // The comparer fails unless every field of every packet is equal; what matters is what it prints.
    let _ = shell::run("python3", &args);
    Ok(())
}
