//! A recording with a page: `dropscope live`. Recorder and server run in one process; the page reads the log from its file.

use crate::cli::{ServerArgs, announce};
use crate::log_file::LogFile;
use crate::record::{CaptureArgs, conclude, end, run_out, say_what_is_recorded};
use crate::recording::{Plan, Recording, ended};
use crate::serve::{self, Server};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Arguments of `live`.
#[derive(Args)]
pub(crate) struct LiveArgs {
    #[command(flatten)]
    capture: CaptureArgs,
    /// The log to write. Without it, one in the data folder, which `dropscope serve` shows later.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Records and shows it as it happens.
pub(crate) async fn live(args: &LiveArgs) -> Result<ExitCode> {
    if args.output.as_deref() == Some(Path::new("-")) {
        bail!("viewers read the log from its file, so it cannot go to standard output; use `dropscope record -o -`");
    }
    let stop = serve::asked_to_stop();
    let server = Server::open(args.server.settings()).await?;
    let plan = args.capture.plan(Some(server.port()))?;
    let live = Live::begin(server, &plan, args.output.as_deref(), "Dropscope is live:", &args.server)?;
    tokio::pin!(stop);
    let is_stopped = tokio::select! {
        () = &mut stop => true,
        () = run_out(args.capture.duration) => false,
        () = ended(live.recording.growth()) => false,
    };
    let (status, page) = live.end_recording().await?;
    if !is_stopped {
        eprintln!("dropscope: the page stays; Ctrl-C ends it.");
        stop.await;
    }
    page.end().await?;
    Ok(status)
}

/// A recording that is under way and shown.
pub(crate) struct Live {
    recording: Recording,
    path: PathBuf,
    page: Page,
}

/// The page of a recording; it outlives it.
pub(crate) struct Page {
    serving: JoinHandle<Result<()>>,
    end: oneshot::Sender<()>,
}

impl Live {
    /// Begins to record what is planned and to serve it, and says where.
    pub(crate) fn begin(server: Server, plan: &Plan, output: Option<&Path>, sentence: &str, args: &ServerArgs) -> Result<Self> {
        let opened = plan.open()?;
        let limits = opened.limits().to_vec();
        let name = plan.name();
        let (id, recording, path) = match output {
            Some(path) => {
                let path = std::path::absolute(path).with_context(|| format!("{} cannot be found", path.display()))?;
                let recording = opened.begin(LogFile::create(&path)?)?;
                (server.store().add_live(&name, &path, recording.growth())?, recording, path)
            }
            None => {
                let reserved = server.store().reserve(&name).context("the data folder cannot be written")?;
                let path = reserved.log.clone();
                let recording = opened.begin(LogFile::create(&path)?)?;
                (server.store().begin(reserved, recording.growth())?, recording, path)
            }
        };
        say_what_is_recorded(plan, &limits, &path);
        announce(&server, sentence, &[server.link(Some(&id))], args);
        let (end, ends) = oneshot::channel();
        let serving = tokio::spawn(server.run(async move { drop(ends.await) }));
        Ok(Self { recording, path, page: Page { serving, end } })
    }

    /// Ends the recording and says what was recorded. Viewers are told the end; the page stays.
    pub(crate) async fn end_recording(self) -> Result<(ExitCode, Page)> {
        Ok((conclude(&end(self.recording).await?, &self.path), self.page))
    }
}

impl Page {
    /// Ends the server, once viewers have what there is.
    pub(crate) async fn end(self) -> Result<()> {
        // An error means that it ended already, and says so below.
        let _ = self.end.send(());
        self.serving.await.context("the server failed")?
    }
}
