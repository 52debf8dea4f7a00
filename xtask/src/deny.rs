//! Licences, sources, duplicates and advisories of what the workspace depends on, by `deny.toml`.

use crate::shell::{self, say};
use anyhow::Result;

/// Runs cargo-deny where it is installed; the rest of its checks are tests, which need no more than cargo (`xtask/tests/dependencies.rs`).
pub(crate) fn deny() -> Result<()> {
    if shell::output("cargo", &["deny", "--version"]).is_none() {
        say("cargo-deny is not installed, so advisories are not checked; to install it: cargo install --locked cargo-deny");
        return shell::run("cargo", &["test", "-p", "xtask", "--test", "dependencies"]);
    }
    say("licences, sources and duplicates");
    shell::run("cargo", &["deny", "--all-features", "check", "licenses", "bans", "sources"])?;
    say("advisories (their database is fetched)");
    shell::run("cargo", &["deny", "--all-features", "check", "advisories"])
}
