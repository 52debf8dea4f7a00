//! The `dropscope` binary.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

fn binary() -> Result<PathBuf> {
    Ok(PathBuf::from(std::env::var_os("DROPSCOPE").context("the variable DROPSCOPE must name the binary")?))
}

/// A running `dropscope`; killed when dropped.
pub struct Dropscope {
    child: Child,
    printed: Arc<Mutex<String>>,
    link: String,
    /// Where it keeps captures: nothing of this machine is read or changed.
    _data: TempDir,
}

impl Dropscope {
    /// Starts one that serves a page, and waits for the link it prints.
    pub async fn start(args: &[&str]) -> Result<Self> {
        let data = TempDir::new().context("a folder for captures")?;
        let mut child = Command::new(binary()?)
            .args(args)
            .env("DROPSCOPE_DATA", data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting dropscope")?;
        let printed = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().context("no standard output")?, &printed);
        collect(child.stderr.take().context("no standard error")?, &printed);
        let mut running = Self { child, printed, link: String::new(), _data: data };
        running.link = crate::until("the page's link", async || Ok(link_in(&running.printed())))
            .await
            .with_context(|| format!("dropscope {} printed:\n{}", args.join(" "), running.printed()))?;
        Ok(running)
    }

    /// The link it printed.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// A page of its server with the owner's rights: `""` for the empty page, `"reference"` for the reference case.
    pub fn page(&self, route: &str) -> Result<String> {
        let (origin, _) = self.link.split_once("#/").context("the link has no fragment")?;
        Ok(format!("{origin}#/{route}?k={}", self.token()?))
    }

    /// The owner's token, from the link.
    pub fn token(&self) -> Result<&str> {
        let (_, rest) = self.link.split_once("k=").context("the link has no token")?;
        Ok(rest.split('&').next().unwrap_or(rest))
    }

    /// Everything it has printed so far.
    pub fn printed(&self) -> String {
        self.printed.lock().map(|text| text.clone()).unwrap_or_default()
    }

    /// Its process number.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) -> Result<()> {
        let pid = self.child.id().context("it has ended already")?;
        Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal)?)
    }

    /// Asks it to end (SIGINT, as Ctrl-C does) and waits until it has.
    pub async fn stop(mut self) -> Result<String> {
        self.signal(nix::sys::signal::Signal::SIGINT)?;
        tokio::time::timeout(crate::PATIENCE, self.child.wait()).await.context("it did not end when it was asked to")??;
        Ok(self.printed())
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Keeps what a stream says.
fn collect(stream: impl AsyncRead + Send + Unpin + 'static, into: &Arc<Mutex<String>>) {
    let into = Arc::clone(into);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(mut text) = into.lock() {
                text.push_str(&line);
                text.push('\n');
            }
        }
    });
}

fn link_in(text: &str) -> Option<String> {
    text.split_whitespace().find(|word| word.starts_with("http://") && word.contains("/#/")).map(str::to_owned)
}

/// Runs `dropscope` to its end.
pub async fn run_to_end(args: &[&str]) -> Result<Output> {
    Ok(Command::new(binary()?).args(args).stdin(Stdio::null()).output().await?)
}

/// `dropscope check --json FILE`, parsed.
pub async fn check(file: &Path) -> Result<Value> {
    let output = run_to_end(&["check", "--json", &file.to_string_lossy()]).await?;
    if output.stdout.is_empty() {
        bail!("dropscope check said nothing: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("reading what dropscope check printed")
}
