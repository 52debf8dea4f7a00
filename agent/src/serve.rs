//! The server that `open`, `live`, `serve` and the bare command share: page and captures on one port.

use crate::connections::{self, Bounds};
use crate::rights::Rights;
use crate::rights::user::Person;
use crate::web::Page;
use anyhow::{Context as _, Result};
use dropscope_review::{CaptureId, Guard, Limits, Review, Store, Token};
use std::future::Future;
use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// The port that is tried first when none is asked for.
const USUAL_PORT: u16 = 4747;
/// How long open connections may take to end when the server stops.
const GOODBYE: Duration = Duration::from_secs(3);

/// Where and for whom to serve.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// The address; loopback where none is given.
    pub(crate) listen: Option<IpAddr>,
    /// The port; the usual one where none is given, or any free one when that is taken. 0 is any free one.
    pub(crate) port: Option<u16>,
    /// Names beside `localhost` under which this server is reached.
    pub(crate) names: Vec<String>,
    /// The folder for captures that are uploaded or recorded.
    pub(crate) data: Option<PathBuf>,
    /// Bytes of one upload at most.
    pub(crate) max_upload: Option<u64>,
    /// Whether it is refused when another process uses the data folder, instead of working beside it.
    pub(crate) alone: bool,
}

/// A server that listens but answers nobody yet.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    store: Arc<Store>,
    review: Review,
    owner: Token,
    page: Page,
    settings: Settings,
}

impl Settings {
    /// The data folder: the one that was named, else that of whoever goes on.
    pub(crate) fn take_data(&mut self, rights: &Rights) -> Result<PathBuf> {
        let usual = || rights.person().and_then(Person::data_folder).map_or_else(data_folder, Ok);
        self.data.take().map_or_else(usual, Ok)
    }

    /// Opens the port.
    pub(crate) fn listen(&self) -> Result<TcpListener> {
        let ip = self.listen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        match (TcpListener::bind((ip, self.port.unwrap_or(USUAL_PORT))), self.port) {
            (Ok(listener), _) => Ok(listener),
            (Err(error), Some(port)) => Err(error)
                .with_context(|| format!("port {port} on {ip} cannot be listened on; leave --port out to take a free one")),
            (Err(_), None) => TcpListener::bind((ip, 0)).with_context(|| format!("{ip} cannot be listened on")),
        }
    }
}

impl Server {
    /// Opens the port and the data folder, and gives up what is not needed any more: threads that are started from here on hold
    /// nothing.
    pub(crate) fn open(mut settings: Settings, rights: &mut Rights) -> Result<Self> {
        let listener = settings.listen()?;
        let data = settings.take_data(rights)?;
        rights.will_keep_captures(&data)?;
        let page = Page::read();
        rights.drop_here(&[Browser::THREAD])?;
        Self::over(listener, page, Settings { data: Some(data), ..settings })
    }

    /// Opens the data folder, for a port that is open and a page that is read already: both may take rights which are gone by now.
    pub(crate) fn over(listener: TcpListener, page: Page, settings: Settings) -> Result<Self> {
        let data = settings.data.clone().map_or_else(data_folder, Ok)?;
        let store = if settings.alone { Store::open(&data) } else { Store::open_beside(&data) };
        let store = store.with_context(|| format!("the data folder {} cannot be used", data.display()))?;
        if let Some(holder) = store.beside() {
            eprintln!("dropscope: {holder} uses {}; the captures in it are not shown here.", data.display());
        }
        let address = listener.local_addr().context("the port that was opened cannot be read")?;
        let owner = Token::random().context("the operating system gives no randomness for a token")?;
        let store = Arc::new(store);
        let limits = Limits { upload_bytes: settings.max_upload.unwrap_or(Limits::default().upload_bytes), ..Limits::default() };
        let review = Review::new(Arc::clone(&store), &owner, limits);
        Ok(Self { listener, address, store, review, owner, page, settings })
    }

    /// Its captures.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Its calls.
    pub(crate) fn review(&self) -> Review {
        self.review.clone()
    }

    /// The owner's link to a capture, or to the empty page.
    pub(crate) fn link(&self, capture: Option<&CaptureId>) -> String {
        let host = match (self.settings.names.first(), self.address.ip()) {
            (Some(name), _) => name.clone(),
            (None, ip) if ip.is_unspecified() => "localhost".to_owned(),
            (None, IpAddr::V4(ip)) => ip.to_string(),
            (None, IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        let place = capture.map(|id| format!("c/{id}")).unwrap_or_default();
        format!("http://{host}:{}/#/{place}?k={}", self.address.port(), self.owner.as_str())
    }

    /// Says aloud what is reachable from elsewhere; nothing on loopback.
    pub(crate) fn warning(&self) -> Option<String> {
        (!self.address.ip().is_loopback()).then(|| {
            format!(
                "Listening on {}: whoever reaches this address and has the link sees the captures, and the connection is not encrypted.",
                self.address
            )
        })
    }

    /// Answers until `stop` comes, then lets open connections end, for a moment.
    pub(crate) async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let review = self.review;
        // An address that was asked for is one by which it may be called, also where connections are redirected to another one.
        let listened = self.settings.listen.filter(|ip| !ip.is_unspecified()).map(|ip| match ip {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        });
        let router = review.clone().router(self.page.router(), Guard::new(self.settings.names.into_iter().chain(listened)));
        self.listener.set_nonblocking(true).context("the port cannot be waited on")?;
        let listener = tokio::net::TcpListener::from_std(self.listener).context("the port cannot be waited on")?;
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let stop = async move {
            stop.await;
            let _ = stopping.send(());
        };
        let ended = async move {
            connections::serve(listener, router, Bounds::within_file_limit(), stop).await;
            review.all_viewers_gone().await;
        };
        let give_up = async move {
            // An error means that serving ended first.
            let _ = stopped.await;
            tokio::time::sleep(GOODBYE).await;
        };
        tokio::select! {
            () = ended => {}
            () = give_up => {}
        }
        Ok(())
    }
}

/// Where captures are kept when nobody says: `DROPSCOPE_DATA`, `/var/lib/dropscope` for root, else the user's data folder
/// (XDG Base Directory Specification).
pub(crate) fn data_folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set("DROPSCOPE_DATA") {
        return Ok(folder);
    }
    if nix::unistd::geteuid().is_root() {
        return Ok(Path::new("/var/lib/dropscope").to_owned());
    }
    let user = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    user.map(|folder| folder.join("dropscope")).context("neither HOME nor DROPSCOPE_DATA is set: say --data FOLDER")
}

/// The browser of whoever sits in front of this machine. It is started by a thread of its own, which stays as it was when rights
/// are given up: a browser guards itself, and could not do so as a confined process.
pub(crate) struct Browser(Option<Sender<String>>);

impl Browser {
    /// The name of that thread.
    pub(crate) const THREAD: &str = "browser";

    /// Gets ready to show a link, where somebody can see it.
    pub(crate) fn ready(is_wanted: bool) -> Self {
        let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()));
        // A browser started by root would keep its profile as root.
        if !is_wanted || !has_display || !std::io::stdout().is_terminal() || nix::unistd::geteuid().is_root() {
            return Self(None);
        }
        let (show, shown) = channel::<String>();
        let open = move || shown.iter().for_each(|link| open_in_browser(&link));
        Self(std::thread::Builder::new().name(Self::THREAD.into()).spawn(open).ok().map(|_| show))
    }

    /// Shows a link.
    pub(crate) fn show(&self, link: &str) {
        // If the thread could not go on there is no browser, and the link was printed.
        let _ = self.0.as_ref().map(|show| show.send(link.to_owned()));
    }
}

fn open_in_browser(link: &str) {
    let quiet = std::process::Stdio::null;
    let mut command = std::process::Command::new("xdg-open");
    let command = command.arg(link).stdin(quiet()).stdout(quiet()).stderr(quiet());
    // It ends as soon as the browser has the link.
    if let Err(error) = command.status() {
        tracing::debug!("no browser was opened: {error}");
    }
}

/// Waits for Ctrl-C, a polite request to end, or that the terminal is closed. Signals are watched from the call on, not only once it is waited for.
pub(crate) fn asked_to_stop() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    // `nohup` has it ignored, and it stays so.
    let hangup = (!ignores_hangup()).then(|| signal(SignalKind::hangup())).transpose();
    // A file that may grow no further is an error of its write then, and not the end of the process.
    let limit = signal(SignalKind::from_raw(nix::libc::SIGXFSZ)).map(drop);
    let watched =
        limit.and_then(|()| signal(SignalKind::interrupt())).and_then(|one| Ok((one, signal(SignalKind::terminate())?, hangup?)));
    async move {
        match watched {
            Ok((mut interrupt, mut terminate, mut hangup)) => tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                Some(_) = async { hangup.as_mut()?.recv().await } => {}
            },
            Err(error) => {
                tracing::warn!("signals cannot be watched, end this process with kill -9: {error}");
                std::future::pending().await
            }
        }
    }
}

/// Whether whoever started this process had it ignore SIGHUP (`SigIgn` of proc_pid_status(5), the lowest bit).
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}
