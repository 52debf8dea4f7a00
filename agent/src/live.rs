//! A recording with a page: `dropscope live`. Recorder and server run in one process; the page reads the log from its file.

use crate::cli::{ServerArgs, announce, runtime};
use crate::log_file::LogFile;
use crate::metrics::Endpoint;
use crate::record::{CaptureArgs, conclude, end, run_out, say_what_is_held, say_what_is_recorded};
use crate::recording::{Opened, Plan, Recording};
use crate::rights::Rights;
use crate::serve::{self, Browser, Server};
use crate::source::Pace;
use crate::stderr::complain;
use crate::web;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use dropscope_review::LOG;
use std::net::TcpListener;
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
pub(crate) fn live(args: &LiveArgs) -> Result<ExitCode> {
    if args.output.as_deref() == Some(Path::new("-")) {
        bail!("viewers read the log from its file, so it cannot go to standard output; use `dropscope record -o -`");
    }
    let settings = args.server.settings();
    let listener = settings.listen()?;
    let own_port = listener.local_addr().context("the port that was opened cannot be read")?.port();
    let plan = args.capture.plan(Some(own_port))?;
    let endpoint = args.capture.endpoint()?;
    let ready =
        Ready::open(listener, settings, plan, args.output.as_deref(), args.capture.rights()?, args.server.browser(), &[])?;
    runtime()?.block_on(show(ready, endpoint, args))
}

async fn show(ready: Ready, endpoint: Option<Endpoint>, args: &LiveArgs) -> Result<ExitCode> {
    let stop = serve::asked_to_stop();
    let review = ready.server.review();
    let live = Live::begin(ready, "Dropscope is live:")?;
    if let Some(endpoint) = endpoint {
        endpoint.serve(live.recording.metrics(), live.recording.growth(), Some(review))?;
    }
    tokio::pin!(stop);
    let is_stopped = tokio::select! {
        () = &mut stop => true,
        () = run_out(args.capture.duration) => false,
        () = live.recording.ended() => false,
    };
    let (status, page) = live.end_recording().await?;
    if !is_stopped {
        complain!("the page stays; Ctrl-C ends it.");
        stop.await;
    }
    page.end().await?;
    Ok(status)
}

/// A recording with a page for which everything is open, and rights are given up.
pub(crate) struct Ready {
    server: Server,
    plan: Plan,
    opened: Opened,
    rights: Rights,
    /// A log with a place of its own, outside the data folder.
    own_place: Option<(PathBuf, LogFile)>,
    browser: Browser,
}

impl Ready {
    /// Opens everything, and then gives up the rights of this process's threads, but for those named in `except`.
    pub(crate) fn open(
        listener: TcpListener,
        mut settings: serve::Settings,
        plan: Plan,
        output: Option<&Path>,
        mut rights: Rights,
        browser: Browser,
        except: &[&str],
    ) -> Result<Self> {
        let data = settings.take_data(&rights)?;
        rights.will_keep_captures(&data)?;
        let opened = plan.open(&rights)?;
        let own_place = output.map(|path| LogFile::create(path, &rights).map(|log| (path.to_owned(), log))).transpose()?;
        let page = web::Page::read();
        rights.drop_here(&[except, &[Browser::THREAD]].concat())?;
        let server = Server::over(listener, page, serve::Settings { data: Some(data), ..settings })?;
        Ok(Self { server, plan, opened, rights, own_place, browser })
    }
}

/// A recording that is under way and shown.
pub(crate) struct Live {
    pub(crate) recording: Recording,
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
    pub(crate) fn begin(ready: Ready, sentence: &str) -> Result<Self> {
        let Ready { server, plan, opened, rights, own_place, browser } = ready;
        let limits = opened.limits().to_vec();
        let name = plan.name();
        let review = server.review();
        let pace = Pace::watched_while(move || review.viewers() > 0);
        let (id, recording, path) = match own_place {
            Some((path, log)) => {
                let read = log.reader()?.context("viewers read the log from its file")?;
                let recording = opened.begin(log, pace)?;
                (server.store().add_live(&name, read, recording.growth())?, recording, path)
            }
            None => {
                let written = "the data folder cannot be written";
                let reserved = server.store().reserve(&name).context(written)?;
                let path = reserved.home.at(LOG);
                let recording = opened.begin(LogFile::of(reserved.home.create_file(LOG).context(written)?), pace)?;
                (server.store().begin(reserved, recording.growth())?, recording, path)
            }
        };
        say_what_is_recorded(&plan, &limits, &path);
        say_what_is_held(&rights);
        announce(&server, sentence, &[server.link(Some(&id))], &browser)?;
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
