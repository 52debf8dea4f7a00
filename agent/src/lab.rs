//! `dropscope lab`: one of the labs, set up in fresh namespaces, recorded and shown while its traffic runs.

use crate::cli::{ServerArgs, runtime};
use crate::live::Live;
use crate::log_file::LogFile;
use crate::record::{conclude, end, say_what_is_recorded};
use crate::recording::Plan;
use crate::serve::{self, Server};
use crate::source::Target;
use crate::source::capture::CaptureSettings;
use crate::source::watch::WatchSettings;
use anyhow::{Context as _, Result};
use clap::Args;
use dropscope_labs::{LABS, Lab, Net, Running};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Between two rounds of a lab's traffic while it is shown.
const PAUSE: Duration = Duration::from_secs(5);

/// Arguments of `lab`.
#[derive(Args)]
pub(crate) struct LabArgs {
    /// Which one; without a name they are listed.
    name: Option<String>,
    /// Record one round of its traffic into this file and end, without a page.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs a lab.
pub(crate) fn lab(args: &LabArgs) -> Result<ExitCode> {
    let Some(name) = &args.name else {
        for lab in LABS {
            println!("{:<24}{}", lab.name, lab.about);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let lab = Lab::named(name)?;
    // Beside other labs of this machine: the process's number tells them apart, and an interface's name has 15 bytes.
    let running = lab.start(&format!("ds{}", std::process::id()))?;
    runtime()?.block_on(async {
        match &args.output {
            Some(path) => record(running, path).await,
            None => show(running, &args.server).await,
        }
    })
}

/// One round, into a file.
async fn record(mut running: Running, path: &Path) -> Result<ExitCode> {
    let plan = plan(running.net())?;
    let opened = plan.open()?;
    let limits = opened.limits().to_vec();
    let recording = opened.begin(LogFile::create(path)?)?;
    say_what_is_recorded(&plan, &limits, path);
    let loaded = tokio::task::spawn_blocking(move || running.load().map(|printed| (printed, running))).await;
    let status = conclude(&end(recording).await?, path);
    let (printed, running) = loaded.context("the lab's traffic failed")??;
    println!("{printed}");
    // Torn down only now: the recording still watched its namespaces.
    drop(running);
    Ok(status)
}

/// Round after round, with a page, until somebody has seen enough.
async fn show(running: Running, args: &ServerArgs) -> Result<ExitCode> {
    let stop = serve::asked_to_stop();
    let server = Server::open(args.settings()).await?;
    let plan = plan(running.net())?;
    let sentence = format!("Lab {}: {}.", running.lab().name, running.lab().about);
    let live = Live::begin(server, &plan, None, &sentence, args)?;
    let (end_traffic, ends) = channel();
    let traffic = tokio::task::spawn_blocking(move || run_traffic(running, &ends));
    stop.await;
    let (status, page) = live.end_recording().await?;
    drop::<Sender<()>>(end_traffic);
    page.end().await?;
    traffic.await.context("the lab's traffic failed")?;
    Ok(status)
}

/// The lab's traffic over and over, until the other end of `ends` is gone; then the lab is torn down.
fn run_traffic(mut running: Running, ends: &Receiver<()>) {
    loop {
        match running.load() {
            Ok(printed) => tracing::debug!("{printed}"),
            // Ctrl-C reaches the lab's tools too, so a round that fails in the end is no news.
            Err(error) => match ends.recv_timeout(Duration::ZERO) {
                Err(RecvTimeoutError::Disconnected) => {}
                _ => tracing::warn!("the lab's traffic: {error:#}"),
            },
        }
        match ends.recv_timeout(PAUSE) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return,
        }
    }
}

/// Packets where the service is; counters there and at the other end of its link.
fn plan(net: &Net) -> Result<Plan> {
    let target = |namespace: &dropscope_labs::Namespace| Target::resolve(namespace.name());
    let server = target(&net.server)?;
    let watched = vec![server.clone(), target(&net.between)?];
    Ok(Plan { watched, captures: vec![(server, CaptureSettings::of("eth0"))], sources: WatchSettings::default() })
}
