//! `dropscope lab`: one of the labs, set up in fresh namespaces, recorded and shown while its traffic runs.

use crate::cli::{ServerArgs, runtime};
use crate::live::{Live, Ready};
use crate::log_file::LogFile;
use crate::probe::recorded;
use crate::record::{conclude, end, say_what_is_recorded};
use crate::recording::Plan;
use crate::rights::Rights;
use crate::serve;
use crate::source::capture::CaptureSettings;
use crate::source::watch::WatchSettings;
use crate::source::{Pace, Target};
use crate::stdout;
use anyhow::{Context as _, Result};
use clap::Args;
use dropscope_labs::{LABS, Lab, Net, Running};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
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
            stdout::say(&format!("{:<24}{}", lab.name, lab.about))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let lab = Lab::named(name)?;
    // Beside other labs of this machine: the process's number tells them apart, and an interface's name has 15 bytes.
    let running = lab.start(&format!("ds{}", std::process::id()))?;
    let plan = plan(running.net())?;
    let rights = Rights::choose(None)?;
    match &args.output {
        Some(path) => record(Traffic::begin(running, false)?, &plan, path, &rights),
        None => show(lab, running, plan, rights, &args.server),
    }
}

/// One round, into a file.
fn record(mut traffic: Traffic, plan: &Plan, path: &Path, rights: &Rights) -> Result<ExitCode> {
    let opened = plan.open(rights)?;
    let log = LogFile::create(path, rights)?;
    rights.drop_here(&[Traffic::THREAD])?;
    runtime()?.block_on(async {
        let limits = opened.limits().to_vec();
        let mut recording = opened.begin(log, Pace::steady())?;
        recording.wait_for_first_reading();
        say_what_is_recorded(plan, &limits, path);
        traffic.go();
        let loaded = traffic.round().await;
        let status = conclude(&end(recording).await?, path);
        let printed = loaded.and_then(|printed| stdout::say_lines(&printed));
        // Torn down only now: the recording still watched its namespaces.
        traffic.end();
        printed.map(|()| status)
    })
}

/// Round after round, with a page, until somebody has seen enough.
fn show(lab: &Lab, running: Running, plan: Plan, rights: Rights, args: &ServerArgs) -> Result<ExitCode> {
    let sentence = format!("Lab {}: {}.", lab.name, lab.about);
    let traffic = Traffic::begin(running, true)?;
    let settings = args.settings();
    let listener = settings.listen()?;
    let ready = Ready::open(listener, settings, plan, None, rights, args.browser(), &[Traffic::THREAD])?;
    runtime()?.block_on(async {
        let stop = serve::asked_to_stop();
        let mut live = Live::begin(ready, &sentence)?;
        live.recording.wait_for_first_reading();
        traffic.go();
        stop.await;
        let (status, page) = live.end_recording().await?;
        traffic.end();
        page.end().await?;
        Ok(status)
    })
}

/// A lab's traffic, and in the end its teardown, on a thread that was started before rights are given up: it stays root.
struct Traffic {
    orders: Sender<()>,
    rounds: tokio::sync::mpsc::Receiver<Result<String>>,
    thread: JoinHandle<()>,
}

impl Traffic {
    const THREAD: &str = "lab";

    /// Starts the thread, which waits to be told to [`go`](Self::go).
    fn begin(running: Running, again_and_again: bool) -> Result<Self> {
        let (orders, taken) = channel();
        let (tell, rounds) = tokio::sync::mpsc::channel(1);
        let body = move || {
            if taken.recv().is_err() {
                return;
            }
            if again_and_again {
                return run_traffic(running, &taken);
            }
            let mut running = running;
            // Whoever waits for the round is there until the end.
            let _ = tell.blocking_send(running.load());
            let _ = taken.recv();
        };
        let thread = std::thread::Builder::new().name(Self::THREAD.into()).spawn(body).context("the lab needs a thread")?;
        Ok(Self { orders, rounds, thread })
    }

    /// Has the traffic begin.
    fn go(&self) {
        // The thread waits for this; if it died, the round says so.
        let _ = self.orders.send(());
    }

    /// What the tools printed in the one round.
    async fn round(&mut self) -> Result<String> {
        self.rounds.recv().await.context("the lab's traffic failed")?
    }

    /// Ends the traffic and tears the lab down.
    fn end(self) {
        drop(self.orders);
        if self.thread.join().is_err() {
            tracing::warn!("the lab's traffic failed");
        }
    }
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

/// Packets at both ends of the conversation; counters there and on what lies between, the other end of either's link.
fn plan(net: &Net) -> Result<Plan> {
    let target = |namespace: &dropscope_labs::Namespace| Target::resolve(namespace.name());
    let (server, client) = (target(&net.server)?, target(&net.client)?);
    let watched = vec![server.clone(), target(&net.between)?, client.clone()];
    let captures = [server, client].map(|end| (end, CaptureSettings::of("eth0"))).to_vec();
    Ok(Plan { watched, captures, sources: WatchSettings::default(), triggers: Vec::new(), probes: recorded::Plan::default() })
}
