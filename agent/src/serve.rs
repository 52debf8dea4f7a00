//! The server that `open`, `live`, `serve` and the bare command share: page and captures on one port.

use crate::web;
use anyhow::{Context as _, Result};
use dropscope_review::{CaptureId, Guard, Limits, Review, Store, Token};
use std::future::Future;
use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

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
}

/// A server that listens but answers nobody yet.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    store: Arc<Store>,
    owner: Token,
    settings: Settings,
}

impl Server {
    /// Opens the data folder and the port.
    pub(crate) async fn open(settings: Settings) -> Result<Self> {
        let data = settings.data.clone().map_or_else(data_folder, Ok)?;
        let store = Store::open(&data).with_context(|| format!("the data folder {} cannot be used", data.display()))?;
        let ip = settings.listen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let listener = listen(ip, settings.port).await?;
        let address = listener.local_addr().context("the port that was opened cannot be read")?;
        let owner = Token::random().context("the operating system gives no randomness for a token")?;
        Ok(Self { listener, address, store: Arc::new(store), owner, settings })
    }

    /// Its captures.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
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
        let limits =
            Limits { upload_bytes: self.settings.max_upload.unwrap_or(Limits::default().upload_bytes), ..Limits::default() };
        let review = Review::new(self.store, &self.owner, limits);
        let router = review.clone().router(web::page(), Guard::new(self.settings.names));
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let serving = axum::serve(self.listener, router).with_graceful_shutdown(async move {
            stop.await;
            let _ = stopping.send(());
        });
        let ended = async move {
            serving.await?;
            review.all_viewers_gone().await;
            std::io::Result::Ok(())
        };
        let give_up = async move {
            // An error means that serving ended first.
            let _ = stopped.await;
            tokio::time::sleep(GOODBYE).await;
        };
        tokio::select! {
            served = ended => served.context("serving failed"),
            () = give_up => Ok(()),
        }
    }
}

async fn listen(ip: IpAddr, port: Option<u16>) -> Result<TcpListener> {
    let opened = TcpListener::bind((ip, port.unwrap_or(USUAL_PORT))).await;
    match (opened, port) {
        (Ok(listener), _) => Ok(listener),
        (Err(error), Some(port)) => {
            Err(error).with_context(|| format!("port {port} on {ip} cannot be listened on; leave --port out to take a free one"))
        }
        (Err(_), None) => TcpListener::bind((ip, 0)).await.with_context(|| format!("{ip} cannot be listened on")),
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

/// Opens the link in a browser, where somebody sits in front of one.
pub(crate) fn show(link: &str) {
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()));
    // A browser started by root would keep its profile as root.
    if !has_display || !std::io::stdout().is_terminal() || nix::unistd::geteuid().is_root() {
        return;
    }
    let quiet = std::process::Stdio::null;
    let mut command = std::process::Command::new("xdg-open");
    let command = command.arg(link).stdin(quiet()).stdout(quiet()).stderr(quiet());
    match command.spawn() {
        // It ends as soon as the browser has the link; somebody has to take its exit status.
        Ok(mut opener) => drop(std::thread::spawn(move || opener.wait())),
        Err(error) => tracing::debug!("no browser was opened: {error}"),
    }
}

/// Waits for Ctrl-C or a polite request to end. Signals are watched from the call on, not only once it is waited for.
pub(crate) fn asked_to_stop() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let watched = signal(SignalKind::interrupt()).and_then(|one| Ok((one, signal(SignalKind::terminate())?)));
    async move {
        match watched {
            Ok((mut interrupt, mut terminate)) => tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            },
            Err(error) => {
                tracing::warn!("signals cannot be watched, end this process with kill -9: {error}");
                std::future::pending().await
            }
        }
    }
}
