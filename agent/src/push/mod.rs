//! `dropscope agent --push`: the segments of a recording, sent to a review server while they are written.
//!
//! ```text
//! connect ─▶ welcome: have segment 7, 4,096 bytes ─▶ send from there ─▶ … ─▶ end
//!    ▲ back off, longer each time                        │ cut
//!    └───────────────────────────────────────────────────┘
//! ```
//! The recorder writes to its spool as if nobody listened; this reads the files behind it. The server says at each beginning
//! what it has on its disk, and sending goes on there: no byte is sent that it has, none is left out but what the spool had to
//! give up, which stands in the log. One WebSocket, over TLS for a link with https://, docs/api.md.

mod address;
mod state;
mod tally;

use address::printable;
pub(crate) use address::{Address, token_in};
pub(crate) use state::Saved;
pub(crate) use tally::Tally;

use crate::segments::{Progress, Sent, list_in};
use crate::tls;
use dropscope_review::Folder;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde_json::json;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Bytes of one message at most: what a cut in the middle of one may cost to send again.
const CHUNK: usize = 32 << 10;
/// How long connecting, or one message, may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two pings while nothing is recorded.
const PING: Duration = Duration::from_secs(15);
/// How long the server may say nothing while it has something to acknowledge or a ping to answer.
const SILENCE: Duration = Duration::from_secs(45);
/// The first wait after a cut, and the longest; each is cut short at random by up to half, so that many agents do not come at once.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// TCP, or TLS over it.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

type Socket = WebSocketStream<Box<dyn Wire>>;

/// What is sent where.
pub(crate) struct Pusher {
    /// The server.
    pub(crate) address: Address,
    /// Whom a server with TLS has to be known to; read while everything still may be.
    pub(crate) trust: Option<Arc<ClientConfig>>,
    /// What the capture is called there.
    pub(crate) name: String,
    /// The spool.
    pub(crate) folder: Folder,
    /// How far the recorder is.
    pub(crate) progress: watch::Receiver<Progress>,
    /// What the recorder is told of what was sent.
    pub(crate) sent: Arc<Sent>,
    /// What is counted of it.
    pub(crate) tally: Arc<Tally>,
    /// The capture at the server, once there is one.
    pub(crate) saved: Option<Saved>,
    /// The most the server was heard to have: segment, and bytes of it.
    pub(crate) reached: (u64, u64),
}

/// What the server says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Heard {
    Welcome { id: String, token: Option<String>, segment: u64, bytes: u64 },
    Have { segment: u64, bytes: u64 },
    Ended,
    Refused { code: String, message: String, what_to_do: String },
}

/// What the server has, and whether it said the end.
#[derive(Clone, Copy, Debug, Default)]
struct There {
    segment: u64,
    bytes: u64,
    ended: bool,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    WebSocket(#[from] Box<tungstenite::Error>),
    #[error("no secure connection: {0} (--push-ca names the file of an own authority)")]
    Tls(String),
    #[error("nothing came for too long")]
    Silent,
    #[error("the connection was closed")]
    Closed,
    #[error("{0}")]
    Refused(String),
    /// The server does not know the capture any more.
    #[error("the server does not know this recording any more; it is sent as a new one")]
    Forgotten,
    /// The owner of the server deleted the capture, or revoked the token.
    #[error("{0}")]
    Gone(String),
}

impl From<tungstenite::Error> for Cut {
    fn from(error: tungstenite::Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

impl Pusher {
    /// Sends until the recording has ended and the server has all of it.
    ///
    /// # Errors
    /// When the owner of the server deleted the capture or revoked the token. To send it again would undo that, so it is over.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let mut wait = FIRST_WAIT;
        let mut last_said = String::new();
        loop {
            let before = self.reached;
            let connected = Instant::now();
            let cut = match self.connect_and_send().await {
                Ok(()) => return Ok(()),
                Err(Cut::Gone(why)) => return Err(why),
                Err(cut) => cut,
            };
            self.tally.cut();
            if matches!(cut, Cut::Forgotten) {
                self.forget();
            }
            // A server that has more than it had is one to come back to soon.
            let was_good = connected.elapsed() > LONGEST_WAIT || self.reached > before;
            let cut = cut.to_string();
            if was_good || cut != last_said {
                tracing::warn!("sending to {} stopped: {cut}; trying again", self.address);
                last_said = cut;
            }
            wait = if was_good { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
            sleep(wait.mul_f64(jitter())).await;
        }
    }

    fn forget(&mut self) {
        (self.saved, self.reached) = (None, (0, 0));
        Saved::remove(&self.folder);
        self.tell_recorder(0, 0);
    }

    fn tell_recorder(&self, acknowledged: u64, sending: u64) {
        self.sent.acknowledged.store(acknowledged, Ordering::Release);
        self.sent.sending.store(sending, Ordering::Release);
    }

    async fn connect_and_send(&mut self) -> Result<(), Cut> {
        let (sink, mut ears) = self.connect().await?.split();
        let first = timeout(PATIENCE, hear(&mut ears)).await.map_err(|_| Cut::Silent)??;
        let Heard::Welcome { id, token, segment, bytes } = first else { return Err(refused(first)) };
        if let Some(token) = token {
            let saved = Saved::new(&self.address, id, token);
            if !saved.is_usable() {
                return Err(Cut::Refused("the server named the recording by something that is no id, or sent no token".into()));
            }
            self.saved = Some(saved);
        }
        tracing::debug!("the server has {bytes} bytes of segment {segment}");
        self.reached = self.reached.max((segment, bytes));
        self.tally.connected();
        self.tally.has(segment, bytes);
        let there = There { segment, bytes, ended: false };
        self.tell_recorder(segment, segment);
        let (tell, heard) = watch::channel(there);
        let mut outlet = Outlet { pusher: self, sink, heard: heard.clone(), at: (segment, bytes) };
        let (sent, tally) = (Arc::clone(&outlet.pusher.sent), Arc::clone(&outlet.pusher.tally));
        tokio::select! {
            done = outlet.send_all() => done,
            cut = listen(ears, tell, sent, tally, heard) => Err(cut),
        }
    }

    async fn connect(&self) -> Result<Socket, Cut> {
        let (path, token) = match &self.saved {
            Some(saved) => (format!("/api/captures/{}/push", saved.capture), saved.token.as_str()),
            None => (format!("/api/push?name={}", address::in_query(&self.name)), self.address.token.as_str()),
        };
        let mut request = format!("ws://{}{path}", self.address).into_client_request()?;
        let protocols = format!("dropscope.v1, bearer.{token}");
        let protocols = protocols.parse().map_err(|_| Cut::Refused("the token in --push is no token".into()))?;
        request.headers_mut().insert("sec-websocket-protocol", protocols);
        let connecting = async {
            let stream = TcpStream::connect((self.address.host.as_str(), self.address.port)).await?;
            stream.set_nodelay(true)?;
            let stream: Box<dyn Wire> = match &self.trust {
                None => Box::new(stream),
                Some(trust) => Box::new(self.secure(Arc::clone(trust), stream).await?),
            };
            match client_async(request, stream).await {
                Ok((socket, _)) => Ok(socket),
                Err(tungstenite::Error::Http(response)) => Err(self.why_refused(&response)),
                Err(error) => Err(error.into()),
            }
        };
        timeout(PATIENCE, connecting).await.map_err(|_| Cut::Silent)?
    }

    async fn secure(&self, trust: Arc<ClientConfig>, stream: TcpStream) -> Result<impl Wire + use<>, Cut> {
        let name = ServerName::try_from(self.address.host.clone()).map_err(io::Error::other)?;
        let secured = TlsConnector::from(trust).connect(name, stream).await;
        secured.map_err(|error| match tls::why(&error) {
            Some(why) => Cut::Tls(why),
            None => error.into(),
        })
    }

    fn why_refused(&self, response: &tungstenite::http::Response<Option<Vec<u8>>>) -> Cut {
        if self.saved.is_some() && matches!(response.status().as_u16(), 401 | 404) {
            return Cut::Forgotten;
        }
        let is_gone = response.status().as_u16() == 410;
        let body: Option<serde_json::Value> = response.body().as_ref().and_then(|body| serde_json::from_slice(body).ok());
        let told = body.as_ref().and_then(|body| {
            let word = |key: &str| body.pointer(&format!("/error/{key}"))?.as_str();
            Some(printable(&format!("{} {}", word("message")?, word("what_to_do")?)))
        });
        let told = told.unwrap_or_else(|| format!("the server answered {}", response.status()));
        if is_gone { Cut::Gone(told) } else { Cut::Refused(told) }
    }
}

/// One connection's sending side.
struct Outlet<'a> {
    pusher: &'a mut Pusher,
    sink: SplitSink<Socket, Message>,
    heard: watch::Receiver<There>,
    /// The segment that is being sent, and how many of its bytes are.
    at: (u64, u64),
}

impl Outlet<'_> {
    async fn send_all(&mut self) -> Result<(), Cut> {
        loop {
            let now = self.pusher.progress.borrow_and_update().clone();
            if self.at.0 < now.number || self.at.0 == 0 {
                self.send_segment(None).await?;
                self.begin_next(&now).await?;
                continue;
            }
            self.send_segment(Some(now.bytes)).await?;
            if now.ended {
                return self.end().await;
            }
            tokio::select! {
                changed = self.pusher.progress.changed() => changed.map_err(|_| Cut::Closed)?,
                () = sleep(PING) => self.send(Message::Ping(Vec::new().into())).await?,
            }
        }
    }

    /// Sends what is missing of the segment up to `end`, or to the end of its file.
    async fn send_segment(&mut self, end: Option<u64>) -> Result<(), Cut> {
        let (number, mut at) = self.at;
        let Some(name) = name_of(&self.pusher.folder, number)? else { return Ok(()) };
        let file = Arc::new(self.pusher.folder.open_file(&name)?);
        let end = match end {
            Some(end) => end,
            None => file.metadata()?.len(),
        };
        while at < end {
            let most = CHUNK.min(usize::try_from(end - at).unwrap_or(CHUNK));
            let bytes = read(&file, at, most).await?;
            if bytes.is_empty() {
                break;
            }
            at += bytes.len() as u64;
            self.send(Message::Binary(bytes.into())).await?;
            self.at.1 = at;
        }
        Ok(())
    }

    /// Names the next segment there is.
    async fn begin_next(&mut self, now: &Progress) -> Result<(), Cut> {
        let next = list_in(&self.pusher.folder)?.into_iter().map(|one| one.number).find(|number| *number > self.at.0);
        let Some(number) = next.filter(|number| *number <= now.number) else {
            // Removed under our hands: the one being written is always there soon.
            return self.pusher.progress.changed().await.map_err(|_| Cut::Closed);
        };
        // From here on it is not removed; if it just was, the next turn finds the one after it.
        self.pusher.sent.sending.store(number, Ordering::Release);
        if name_of(&self.pusher.folder, number)?.is_none() {
            return Ok(());
        }
        let acknowledged = self.pusher.sent.acknowledged.load(Ordering::Acquire);
        if let Some(saved) = &mut self.pusher.saved {
            (saved.acknowledged, saved.sending) = (acknowledged, number);
            saved.write(&self.pusher.folder)?;
        }
        let word = json!({"type": "segment", "number": number, "after": self.at.1});
        self.send(Message::Text(word.to_string().into())).await?;
        self.at = (number, 0);
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Cut> {
        self.send(Message::Text(json!({"type": "end"}).to_string().into())).await?;
        self.heard.wait_for(|there| there.ended).await.map_err(|_| Cut::Closed)?;
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Cut> {
        timeout(PATIENCE, self.sink.send(message)).await.map_err(|_| Cut::Silent)??;
        Ok(())
    }
}

/// Hears what the server has; returns when it goes.
async fn listen(
    mut ears: SplitStream<Socket>,
    tell: watch::Sender<There>,
    sent: Arc<Sent>,
    tally: Arc<Tally>,
    // Kept, so that what is told is never told to nobody.
    _heard: watch::Receiver<There>,
) -> Cut {
    loop {
        match timeout(SILENCE, hear(&mut ears)).await {
            Err(_) => return Cut::Silent,
            Ok(Err(cut)) => return cut,
            Ok(Ok(Heard::Have { segment, bytes })) => {
                sent.acknowledged.store(segment, Ordering::Release);
                tally.has(segment, bytes);
                tell.send_modify(|there| (there.segment, there.bytes) = (segment, bytes));
            }
            Ok(Ok(Heard::Ended)) => {
                tell.send_modify(|there| there.ended = true);
                // Whoever waits for it ends all this.
                std::future::pending::<()>().await;
            }
            Ok(Ok(other)) => return refused(other),
        }
    }
}

/// The next word of the server. A pong is silence broken, too, but no word; it is answered by waiting on.
async fn hear(ears: &mut SplitStream<Socket>) -> Result<Heard, Cut> {
    loop {
        match timeout(SILENCE, ears.next()).await.map_err(|_| Cut::Silent)? {
            Some(Ok(Message::Text(text))) => {
                return serde_json::from_str(&text)
                    .map_err(|error| Cut::Refused(format!("the server sent `{}`: {error}", printable(&text))));
            }
            Some(Ok(Message::Close(_))) | None => return Err(Cut::Closed),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
}

fn refused(heard: Heard) -> Cut {
    match heard {
        Heard::Refused { code, message, what_to_do } => {
            let told = printable(&format!("{message} {what_to_do}"));
            if code == "gone" { Cut::Gone(told) } else { Cut::Refused(told) }
        }
        other => Cut::Refused(printable(&format!("the server sent {other:?} where that means nothing"))),
    }
}

fn name_of(folder: &Folder, number: u64) -> io::Result<Option<String>> {
    Ok(list_in(folder)?.into_iter().find(|one| one.number == number).map(|one| one.name))
}

async fn read(file: &Arc<File>, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let file = Arc::clone(file);
    let work = move || {
        let mut bytes = vec![0; length];
        let have = file.read_at(&mut bytes, at)?;
        bytes.truncate(have);
        Ok(bytes)
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Between a half and one.
fn jitter() -> f64 {
    let mut random = [0; 2];
    // Without randomness all agents wait equally long, which is no reason not to go on.
    let _ = getrandom::fill(&mut random);
    0.5 + f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX) / 2.0
}
