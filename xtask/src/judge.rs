//! How right the rules are about labelled captures; `core/tests/judge.rs` measures it.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// `cargo xtask judge [FOLDER] [--held-out]`.
pub(crate) fn judge(args: &[String]) -> Result<()> {
    let mut test = Command::new("cargo");
    test.args([
        "test",
        "--quiet",
        "-p",
        "dropscope-core",
        "--test",
        "judge",
        "the_rules_are_as_right_as_they_were",
        "--",
        "--nocapture",
    ]);
    let (flags, folders): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| arg.starts_with('-'));
    match (folders.as_slice(), flags.as_slice()) {
        ([], []) => {}
        ([folder], flags @ ([] | [_])) if flags.iter().all(|flag| *flag == "--held-out") => {
            // The test stands in another folder.
            let folder = PathBuf::from(folder).canonicalize().with_context(|| format!("{folder} cannot be read"))?;
            test.env("JUDGE_FOLDER", folder);
            if !flags.is_empty() {
                test.env("JUDGE_HELD_OUT", "1");
            }
        }
        _ => bail!("usage: cargo xtask judge [FOLDER] [--held-out]; only captures below a folder are held out"),
    }
    shell::status(&mut test)
}
