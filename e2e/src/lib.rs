//! What the tests of page, agent and labs together stand on: a browser, the `dropscope` binary, and waiting for what should
//! happen.
//!
//! Nothing is simulated. Chromium is driven through ChromeDriver; a file is dropped by the browser's own drag-and-drop; the
//! binary runs in the namespaces of a real lab.

mod browser;
mod dropscope;
mod wire;

pub use browser::Browser;
pub use dropscope::{Dropscope, check, run_to_end};
pub use wire::Wire;

use anyhow::{Result, bail};
use std::io::Write;
use std::time::{Duration, Instant};

/// How long anything may take that a test waits for. Generous: it bounds a hang, it measures nothing.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a test that needs a browser and the built binary can run; if not, says so in one line. Under CI it must.
pub fn can_browse(test: &str) -> bool {
    let missing = match (std::env::var_os("DROPSCOPE"), which("chromedriver")) {
        (None, _) => "the variable DROPSCOPE names no binary (use `cargo xtask test browser`)",
        (_, false) => "chromedriver is missing",
        _ => return true,
    };
    skip(test, missing)
}

/// Whether a test that also makes network namespaces can run.
pub fn can_run_labs(test: &str) -> bool {
    can_browse(test) && (dropscope_labs::is_root() || skip(test, "it makes network namespaces, which needs root"))
}

fn skip(test: &str, why: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "{test} cannot run ({why}), and CI skips nothing");
    // Past the test harness, which would swallow a print of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    false
}

fn which(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Tries `attempt` until it gives a value; an error names `what` was waited for, with the last error there was.
pub async fn until<T, F: Future<Output = Result<Option<T>>>>(what: &str, mut attempt: impl FnMut() -> F) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = attempt().await;
        match answer {
            Ok(Some(value)) => return Ok(value),
            Ok(None) if Instant::now() > deadline => bail!("waited {} s in vain for {what}", PATIENCE.as_secs()),
            Err(error) if Instant::now() > deadline => return Err(error.context(format!("waited in vain for {what}"))),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
