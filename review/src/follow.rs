//! A capture as it grows, over a WebSocket: bytes of the file from the viewer's offset on, whole blocks a message.
//!
//! ```text
//! hello ─▶ send what is flushed ─▶ wait for growth, an end, or the next ping ─┐
//!               ▲─────────────────────────────────────────────────────────────┘
//!          ended and all sent ─▶ end, close
//! ```
//! No data is queued for a viewer: each reads the file at its own offset, when its connection has room. Whoever writes the
//! capture only raises a number (`Growth::bytes`), so the slowest viewer costs it nothing.

use crate::block::{self, Cut, Order};
use crate::capture::{Capture, Format, Growth};
use crate::download::{blocking, read_at};
use crate::files::Reader;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Bytes read, and sent in one message, at once; more only for a block that is larger.
const CHUNK: usize = 256 << 10;
/// Between two pings.
const PING: Duration = Duration::from_secs(15);
/// How long a viewer may say nothing at all, not even a pong.
const SILENCE: Duration = Duration::from_secs(45);
/// How long one message may take to be accepted.
const STALL: Duration = Duration::from_secs(60);
/// How long to wait for the viewer's side of a close.
const GOODBYE: Duration = Duration::from_secs(5);

/// What the server says beside the bytes.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Word<'a> {
    Hello { from: u64, size: u64, live: bool },
    End { size: u64, why: &'a str },
    Refused { code: &'a str, message: String, what_to_do: &'a str },
}

/// Why following ended without an end of the capture: nobody is left to be told.
struct Gone;

/// Sends the capture from byte `from` on until it ends or the viewer goes.
pub(crate) async fn follow(socket: WebSocket, capture: Arc<Capture>, from: u64) {
    let (sink, mut ears) = socket.split();
    let mut viewer = Viewer { sink, pinged: Instant::now() };
    tokio::select! {
        () = listen(&mut ears) => {}
        told = tell(&mut viewer, &capture, from) => match told {
            Ok(()) => drop(timeout(GOODBYE, listen(&mut ears)).await),
            Err(Gone) => tracing::debug!("a viewer of {} went", capture.id),
        },
    }
}

/// Hears the viewer out: pongs, mostly. Returns when it closes, vanishes, or has been silent for too long.
async fn listen(ears: &mut SplitStream<WebSocket>) {
    while let Ok(Some(Ok(message))) = timeout(SILENCE, ears.next()).await {
        if matches!(message, Message::Close(_)) {
            return;
        }
    }
}

async fn tell(viewer: &mut Viewer, capture: &Capture, from: u64) -> Result<(), Gone> {
    let mut growth = capture.growth();
    let size = growth.borrow_and_update().bytes;
    if from > size {
        let message = format!("The capture has {size} bytes; it cannot be followed from byte {from}.");
        return viewer.refuse("range", message, "Follow it from 0: it may be another capture than before.").await;
    }
    let files = capture.files.clone();
    let Ok(file) = blocking(move || files.open()).await else {
        let message = "The capture's file is no longer where it was.".to_owned();
        return viewer.refuse("not_found", message, "Put it back, or open it again.").await;
    };
    let file = Arc::new(file);
    let mut cutter = match capture.format {
        Format::PcapNg => Some(Order::of_section(&read_at(&file, 0, 12).await.unwrap_or_default())),
        _ => None,
    };

    viewer.say(&Word::Hello { from, size, live: capture.is_live() }).await?;
    let mut at = from;
    loop {
        let Growth { bytes: size, ended } = growth.borrow_and_update().clone();
        // Nobody left to write means it ended, even when nobody said so.
        let abandoned = ended.is_none() && growth.has_changed().is_err();
        let last = ended.is_some() || abandoned;
        while at < size {
            match next_piece(&file, at, size, last, cutter.as_mut()).await {
                Ok(Piece::Bytes(bytes)) => {
                    at += bytes.len() as u64;
                    viewer.send(Message::Binary(bytes.into())).await?;
                    viewer.ping_when_due().await?;
                }
                Ok(Piece::Later) => break,
                Ok(Piece::NoBlock) if at == from && from > 0 => {
                    let message = format!("No block of the capture begins at byte {from}.");
                    return viewer.refuse("offset", message, "Follow it from 0, or from where the last message ended.").await;
                }
                // Damaged in the middle: the rest goes out as it is, so that the viewer has the file's bytes.
                Ok(Piece::NoBlock) => cutter = None,
                Err(error) => {
                    let why = format!("Reading the capture failed: {error}.");
                    return viewer.end(at, &why).await;
                }
            }
        }
        if last && at >= size {
            let why = ended.unwrap_or_else(|| "Whoever wrote the capture went without closing it.".to_owned());
            return viewer.end(size, &why).await;
        }
        tokio::select! {
            // An error means the writer is gone: the next turn sees that and ends.
            _ = growth.changed() => {}
            () = tokio::time::sleep_until(viewer.pinged + PING) => viewer.ping_when_due().await?,
        }
    }
}

enum Piece {
    Bytes(Vec<u8>),
    /// The flushed length ends inside a block: the rest of it is still being written.
    Later,
    NoBlock,
}

/// The next message's worth of bytes from `at` on, of a file that may be read up to `size`.
async fn next_piece(file: &Arc<Reader>, at: u64, size: u64, last: bool, cutter: Option<&mut Order>) -> std::io::Result<Piece> {
    let left = usize::try_from(size - at).unwrap_or(usize::MAX);
    let mut bytes = read_at(file, at, left.min(CHUNK)).await?;
    if bytes.is_empty() {
        return Err(std::io::Error::other("the file is shorter than it was"));
    }
    let Some(order) = cutter else { return Ok(Piece::Bytes(bytes)) };
    let mut cut = block::cut(&bytes, order);
    if let Cut::Needs(needed) = cut
        && needed > bytes.len()
        && needed <= left
    {
        bytes = read_at(file, at, needed).await?;
        cut = block::cut(&bytes, order);
    }
    Ok(match cut {
        Cut::Whole(length) => {
            bytes.truncate(length);
            Piece::Bytes(bytes)
        }
        // A file that was cut short: its last, broken block belongs to it.
        Cut::Needs(_) if last => Piece::Bytes(bytes),
        Cut::Needs(_) => Piece::Later,
        Cut::NoBlock => Piece::NoBlock,
    })
}

struct Viewer {
    sink: SplitSink<WebSocket, Message>,
    pinged: Instant,
}

impl Viewer {
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match timeout(STALL, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }

    async fn say(&mut self, word: &Word<'_>) -> Result<(), Gone> {
        let text = serde_json::to_string(word).map_err(|_| Gone)?;
        self.send(Message::Text(text.into())).await
    }

    async fn ping_when_due(&mut self) -> Result<(), Gone> {
        if self.pinged.elapsed() < PING {
            return Ok(());
        }
        self.pinged = Instant::now();
        self.send(Message::Ping(Vec::new().into())).await
    }

    async fn end(&mut self, size: u64, why: &str) -> Result<(), Gone> {
        self.say(&Word::End { size, why }).await?;
        self.close(close_code::NORMAL).await
    }

    async fn refuse(&mut self, code: &str, message: String, what_to_do: &str) -> Result<(), Gone> {
        self.say(&Word::Refused { code, message, what_to_do }).await?;
        self.close(close_code::POLICY).await
    }

    async fn close(&mut self, code: u16) -> Result<(), Gone> {
        self.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await
    }
}
