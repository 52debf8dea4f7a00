//! A capture that an agent elsewhere records and sends here, over one WebSocket that may be cut at any time.
//!
//! ```text
//! agent ─▶ segment 7 (after N bytes of 6) ─▶ bytes, in order ─▶ segment 8 … ─▶ end
//! server ◀─ welcome: have segment 7, 4,096 bytes of it ◀─ have … (on the disk) ◀─ ended
//! ```
//! The file only ever grows, by bytes that follow what is there, so that it is the agent's segments one after the other. What is
//! acknowledged is on the disk. A connection that comes takes the place of the one before, which may not have noticed yet that
//! it is dead. Where a segment begins is written down before its first byte: whatever is killed when, `have` is what is there.

use crate::capture::{Capture, Growth};
use crate::download::blocking;
use crate::folder::Folder;
use crate::store::{LARGEST_JSON, LOG};
use crate::token::{Token, TokenHash};
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// The largest message an agent may send.
pub(crate) const LARGEST: usize = 1 << 20;
/// What was written is put on the disk, and acknowledged, after so long.
const ACKNOWLEDGE: Duration = Duration::from_millis(200);
/// How long an agent may say nothing at all, not even a ping.
const SILENCE: Duration = Duration::from_secs(45);
/// How long one message may take to be accepted.
const STALL: Duration = Duration::from_secs(20);
/// An agent that was away for so long is told to viewers as gone. It may still come back.
const AWAY: Duration = Duration::from_secs(600);

/// What an agent says beside the bytes.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Heard {
    /// The bytes from here on are those of segment `number`; of the one before, `after` bytes were sent.
    Segment { number: u64, after: u64 },
    /// Nothing more will come.
    End,
}

/// What the server says.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Word<'a> {
    Welcome { id: &'a str, token: Option<&'a str>, segment: u64, bytes: u64 },
    Have { segment: u64, bytes: u64 },
    Ended,
    Refused { code: &'a str, message: String, what_to_do: &'a str },
}

/// `push.json`: what outlives a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    token: TokenHash,
    /// The segment that comes in; 0 before the first.
    segment: u64,
    /// Where in the log it begins.
    begins_at: u64,
    ended: bool,
}

/// The receiving end of a pushed capture.
#[derive(Debug)]
pub(crate) struct Pushed {
    token: TokenHash,
    home: Folder,
    tell: watch::Sender<Growth>,
    /// Raised by each connection that comes: the one before gives way.
    turn: watch::Sender<u64>,
    /// Why nothing may be sent any more, as a full sentence.
    revoked: watch::Sender<Option<&'static str>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    kept: Kept,
    length: u64,
}

/// Why a connection ended.
struct Gone;

impl Pushed {
    /// Makes room for a capture in the folder `home`; whoever bears the token may send it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn create(home: &Folder) -> io::Result<(Self, Token)> {
        let token = Token::random()?;
        home.create_file(LOG)?;
        let kept = Kept { version: 1, token: token.hash(), segment: 0, begins_at: 0, ended: false };
        write(home, &kept)?;
        Ok((Self::with(home, kept, 0, "The agent was not here yet."), token))
    }

    /// The capture that was being pushed into `home` when the server ended; `None` where none was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn open(home: &Folder) -> io::Result<Option<Self>> {
        let kept: Kept = match home.read("push.json", LARGEST_JSON) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => serde_json::from_slice(&read?).map_err(io::Error::other)?,
        };
        let length = home.open_file(LOG)?.metadata()?.len();
        let why = if kept.ended { "The recording ended." } else { "The agent has not come back since this server was started." };
        Ok(Some(Self::with(home, kept, length, why)))
    }

    fn with(home: &Folder, kept: Kept, length: u64, ended: &str) -> Self {
        let growth = Growth { bytes: length, ended: Some(ended.to_owned()) };
        Self {
            token: kept.token,
            home: home.clone(),
            tell: watch::channel(growth).0,
            turn: watch::channel(0).0,
            revoked: watch::channel(None).0,
            state: Mutex::new(State { kept, length }),
        }
    }

    /// Tells how far it is here.
    pub(crate) fn growth(&self) -> watch::Receiver<Growth> {
        self.tell.subscribe()
    }

    /// Whether this token may send it.
    pub(crate) fn is_opened_by(&self, presented: &TokenHash) -> bool {
        self.revoked.borrow().is_none() && self.token.matches(presented)
    }

    /// The hash of the token that may send it.
    pub(crate) fn token(&self) -> &TokenHash {
        &self.token
    }

    /// Nothing may be sent any more. A connection that is open is told so and closed.
    pub(crate) fn revoke(&self, why: &'static str) {
        self.revoked.send_modify(|revoked| *revoked = Some(why));
        self.tell.send_modify(|growth| growth.ended = Some(why.to_owned()));
    }
}

/// Takes in what an agent sends, until it goes, ends, or another connection takes its place. At most `limit` bytes are kept.
/// Answers whether it is worth keeping: a capture whose first connection was cut before its first byte is nobody's.
pub(crate) async fn receive(
    mut socket: WebSocket,
    pushed: Arc<Pushed>,
    capture: Arc<Capture>,
    token: Option<Token>,
    limit: u64,
) -> bool {
    let mut mine = 0;
    pushed.turn.send_modify(|turn| {
        *turn += 1;
        mine = *turn;
    });
    let mut turn = pushed.turn.subscribe();
    // The connection before sees the turn and lets go.
    let mut state = pushed.state.lock().await;
    let home = pushed.home.clone();
    let Ok(file) = blocking(move || home.open_file_for_writing(LOG)).await else {
        let message = "The capture's file is no longer where it was.".to_owned();
        let _ = refuse(&mut socket, "not_found", message, "Push it as a new one.").await;
        return true;
    };
    pushed.tell.send_modify(|growth| growth.ended = pushed.revoked.borrow().map(str::to_owned));
    let mut inlet = Inlet { pushed: &pushed, file: Arc::new(file), state: &mut state, limit, acknowledge_at: None };
    let welcome = Word::Welcome {
        id: capture.id.as_str(),
        token: token.as_ref().map(Token::as_str),
        segment: inlet.state.kept.segment,
        bytes: inlet.state.length - inlet.state.kept.begins_at,
    };
    let ended = match say(&mut socket, &welcome).await {
        Ok(()) => inlet.take_all(&mut socket, &mut turn, mine).await,
        Err(Gone) => Err(Gone),
    };
    let is_begun = state.kept.segment > 0;
    drop(state);
    if ended.is_err() && is_begun {
        tracing::debug!("the agent of {} went", capture.id);
        // Waiting must not hold up whoever waits for this connection's end.
        tokio::spawn(wait_for_return(pushed, turn, mine));
    }
    is_begun
}

/// Waits until nothing may be sent any more, and answers why.
async fn revoked(revoked: &mut watch::Receiver<Option<&'static str>>) -> &'static str {
    // The sender lives as long as the capture; were it gone, so would be all this.
    revoked.wait_for(Option::is_some).await.ok().and_then(|why| *why).unwrap_or("The capture is gone.")
}

/// Waits until another connection has taken this one's place.
async fn superseded(turn: &mut watch::Receiver<u64>, mine: u64) {
    // The sender lives as long as the capture; were it gone, so would be all this.
    let _ = turn.wait_for(|turn| *turn != mine).await;
}

/// Tells viewers when the agent has been away for long.
async fn wait_for_return(pushed: Arc<Pushed>, mut turn: watch::Receiver<u64>, mine: u64) {
    if timeout(AWAY, superseded(&mut turn, mine)).await.is_err() && pushed.revoked.borrow().is_none() {
        let why = "The agent has been away for ten minutes; the capture goes on when it is back.";
        pushed.tell.send_modify(|growth| growth.ended = Some(why.to_owned()));
    }
}

struct Inlet<'a> {
    pushed: &'a Pushed,
    file: Arc<File>,
    state: &'a mut State,
    limit: u64,
    acknowledge_at: Option<Instant>,
}

impl Inlet<'_> {
    /// Takes in message after message. `Ok` when the agent said the end.
    async fn take_all(&mut self, socket: &mut WebSocket, turn: &mut watch::Receiver<u64>, mine: u64) -> Result<(), Gone> {
        let mut revocation = self.pushed.revoked.subscribe();
        loop {
            let due = self.acknowledge_at.unwrap_or_else(|| Instant::now() + SILENCE);
            let message = tokio::select! {
                biased;
                () = superseded(turn, mine) => return Err(Gone),
                why = revoked(&mut revocation) => {
                    refuse(socket, "gone", why.to_owned(), "Push to a new capture, with a token that may begin one.").await?;
                    return Err(Gone);
                }
                () = sleep_until(due), if self.acknowledge_at.is_some() => {
                    self.acknowledge(socket).await?;
                    continue;
                }
                message = timeout(SILENCE, socket.recv()) => message,
            };
            let done = match message {
                Ok(Some(Ok(Message::Binary(bytes)))) => self.append(bytes.into()).await,
                Ok(Some(Ok(Message::Text(text)))) => match serde_json::from_str(&text) {
                    Ok(Heard::Segment { number, after }) => self.begin(number, after).await,
                    Ok(Heard::End) => return self.end(socket).await,
                    Err(error) => Err(("bad_request", format!("This is not understood: {error}."), "Update the agent.")),
                },
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => Ok(()),
                _ => return Err(Gone),
            };
            if let Err((code, message, what_to_do)) = done {
                tracing::warn!("a push is refused: {message}");
                refuse(socket, code, message, what_to_do).await?;
                return Err(Gone);
            }
        }
    }

    async fn append(&mut self, bytes: Vec<u8>) -> Result<(), Refusal> {
        let length = self.state.length + bytes.len() as u64;
        if self.state.kept.segment == 0 {
            return Err(("bad_request", "Bytes came before a segment was named.".into(), "Update the agent."));
        }
        if length > self.limit {
            let message = format!("The capture would be larger than the {} bytes this server takes.", self.limit);
            return Err(("too_large", message, "Start the server with a larger --max-upload, or push a new capture."));
        }
        let (file, at) = (Arc::clone(&self.file), self.state.length);
        let written = blocking(move || {
            file.write_all_at(&bytes, at).inspect_err(|_| {
                let _ = file.set_len(at);
            })
        });
        written.await.map_err(|error| refusal(&error))?;
        self.state.length = length;
        self.pushed.tell.send_modify(|growth| growth.bytes = length);
        self.acknowledge_at.get_or_insert_with(|| Instant::now() + ACKNOWLEDGE);
        Ok(())
    }

    async fn begin(&mut self, number: u64, after: u64) -> Result<(), Refusal> {
        let have = self.state.length - self.state.kept.begins_at;
        if number <= self.state.kept.segment || (after != have && self.state.kept.segment > 0) {
            let message =
                format!("Here are {have} bytes of segment {}; segment {number} cannot follow now.", self.state.kept.segment);
            return Err(("offset", message, "Connect again, and go on from what is here."));
        }
        let kept = Kept { segment: number, begins_at: self.state.length, ended: false, ..self.state.kept.clone() };
        self.keep(kept).await
    }

    async fn keep(&mut self, kept: Kept) -> Result<(), Refusal> {
        let (file, home, new) = (Arc::clone(&self.file), self.pushed.home.clone(), kept.clone());
        let written = blocking(move || {
            file.sync_data()?;
            write(&home, &new)
        });
        written.await.map_err(|error| refusal(&error))?;
        self.state.kept = kept;
        Ok(())
    }

    async fn acknowledge(&mut self, socket: &mut WebSocket) -> Result<(), Gone> {
        self.acknowledge_at = None;
        let file = Arc::clone(&self.file);
        blocking(move || file.sync_data()).await.map_err(|_| Gone)?;
        let State { kept, length } = &*self.state;
        say(socket, &Word::Have { segment: kept.segment, bytes: length - kept.begins_at }).await
    }

    async fn end(&mut self, socket: &mut WebSocket) -> Result<(), Gone> {
        let kept = Kept { ended: true, ..self.state.kept.clone() };
        if let Err((code, message, what_to_do)) = self.keep(kept).await {
            refuse(socket, code, message, what_to_do).await?;
            return Err(Gone);
        }
        self.pushed.tell.send_modify(|growth| growth.ended = Some("The recording ended.".into()));
        say(socket, &Word::Ended).await?;
        close(socket, close_code::NORMAL).await
    }
}

/// A code, a sentence, and what to do.
type Refusal = (&'static str, String, &'static str);

fn refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ("disk_full", "The server's disk is full.".into(), "Delete captures that are no longer needed.")
        }
        _ => ("internal", format!("Keeping the capture failed: {error}."), "See the server's own output."),
    }
}

fn write(home: &Folder, kept: &Kept) -> io::Result<()> {
    home.replace_file("push.json", &serde_json::to_vec_pretty(kept).map_err(io::Error::other)?)
}

async fn say(socket: &mut WebSocket, word: &Word<'_>) -> Result<(), Gone> {
    let text = serde_json::to_string(word).map_err(|_| Gone)?;
    send(socket, Message::Text(text.into())).await
}

async fn refuse(socket: &mut WebSocket, code: &str, message: String, what_to_do: &str) -> Result<(), Gone> {
    say(socket, &Word::Refused { code, message, what_to_do }).await?;
    close(socket, close_code::POLICY).await
}

async fn close(socket: &mut WebSocket, code: u16) -> Result<(), Gone> {
    send(socket, Message::Close(Some(CloseFrame { code, reason: "".into() }))).await
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), Gone> {
    match timeout(STALL, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Gone),
    }
}
