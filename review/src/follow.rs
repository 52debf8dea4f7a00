//! A capture as it grows, over a WebSocket: bytes of the file from the viewer's offset on, whole blocks a message.
//!
//! ```text
//! hello ─▶ send what is flushed ─▶ wait for growth, an end, or the next ping ─┐
//!               ▲─────────────────────────────────────────────────────────────┘
//!          ended and all sent ─▶ end, close
//! ```
//! No data is queued for a viewer: each reads the file at its own offset, when its connection has room. Whoever writes the
//! capture only raises a number (`Growth::bytes`), so the slowest viewer costs it nothing.
//!
//! A block that does not fit into one message goes in pieces, each a multiple of [`PIECE`] but the last. Where a viewer comes
//! back between two of them, the block is found by looking back from there in steps of that size.

use crate::block::{self, Cut, Order};
use crate::caller::Access;
use crate::capture::{Capture, Format, Growth};
use crate::download::{blocking, read_at};
use crate::files::Reader;
use crate::seats::{PIECE, Seat};
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

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

/// Sends the capture from byte `from` on until it ends, the viewer goes, or it may not be read any more.
pub(crate) async fn follow(socket: WebSocket, capture: Arc<Capture>, from: u64, seat: Seat, access: Access) {
    let (sink, mut ears) = socket.split();
    let mut viewer = Viewer { sink, pinged: Instant::now() };
    let ended = tokio::select! {
        biased;
        () = listen(&mut ears) => return,
        // A message that was begun is with the connection and goes out before the refusal.
        () = access.ended() => None,
        ended = send_all(&mut viewer, &capture, from, &seat) => Some(ended),
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            let message = "The capture was deleted, or the link to it revoked.".to_owned();
            let refused = viewer.refuse("gone", message, "Ask whoever sent the link for a new one.");
            timeout(GOODBYE, refused).await.unwrap_or(Err(Gone))
        }
    };
    match ended {
        Ok(()) => drop(timeout(GOODBYE, listen(&mut ears)).await),
        Err(Gone) => tracing::debug!("a viewer of {} went", capture.id),
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

async fn send_all(viewer: &mut Viewer, capture: &Capture, from: u64, seat: &Seat) -> Result<(), Gone> {
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
        Format::PcapNg => Some(Cutter::of_section(&read_at(&file, 0, 12).await.unwrap_or_default())),
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
            // Held until the bytes are with the kernel.
            let grant = seat.grant();
            match next_piece(&file, at, size, last, grant.bytes, cutter.as_mut()).await {
                Ok(Piece::Bytes(bytes)) => {
                    at += bytes.len() as u64;
                    viewer.send(Message::Binary(bytes.into())).await?;
                    viewer.ping_when_due().await?;
                }
                Ok(Piece::Later) => break,
                Ok(Piece::NoBlock) if at == from && from > 0 => {
                    if let Some(inside) = rest_of_block(&file, from, size).await {
                        cutter.iter_mut().for_each(|cutter| cutter.inside = inside);
                        continue;
                    }
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

/// Where the log is cut into messages.
struct Cutter {
    order: Order,
    /// Bytes that are still to come of a block that is sent in pieces.
    inside: u64,
}

impl Cutter {
    fn of_section(head: &[u8]) -> Self {
        Self { order: Order::of_section(head), inside: 0 }
    }
}

/// The next message's worth of bytes from `at` on, at most `most`, of a file that may be read up to `size`.
async fn next_piece(
    file: &Arc<Reader>,
    at: u64,
    size: u64,
    last: bool,
    most: usize,
    cutter: Option<&mut Cutter>,
) -> std::io::Result<Piece> {
    let left = size - at;
    let Some(cutter) = cutter else { return read_some(file, at, left, most).await };
    if cutter.inside > 0 {
        let piece = read_some(file, at, cutter.inside.min(left), most).await?;
        if let Piece::Bytes(bytes) = &piece {
            cutter.inside -= bytes.len() as u64;
        }
        return Ok(piece);
    }
    let Piece::Bytes(mut bytes) = read_some(file, at, left, most).await? else { return Ok(Piece::NoBlock) };
    Ok(match block::cut(&bytes, &mut cutter.order) {
        Cut::Whole(length) => {
            bytes.truncate(length);
            Piece::Bytes(bytes)
        }
        Cut::Needs(_) => match whole_at(file, at, size, &bytes).await? {
            Some(length) => {
                cutter.inside = length - bytes.len() as u64;
                Piece::Bytes(bytes)
            }
            // A file that was cut short: its last, broken block belongs to it.
            None if last => Piece::Bytes(bytes),
            None => Piece::Later,
        },
        Cut::NoBlock => Piece::NoBlock,
    })
}

async fn read_some(file: &Arc<Reader>, at: u64, left: u64, most: usize) -> std::io::Result<Piece> {
    let bytes = read_at(file, at, usize::try_from(left).unwrap_or(most).min(most)).await?;
    if bytes.is_empty() {
        return Err(std::io::Error::other("the file is shorter than it was"));
    }
    Ok(Piece::Bytes(bytes))
}

/// The length of the block that begins at `at` with `head`, when all of it may be read: its length stands at its end again.
async fn whole_at(file: &Arc<Reader>, at: u64, size: u64, head: &[u8]) -> std::io::Result<Option<u64>> {
    for length in block::lengths(head) {
        if at + length <= size && read_at(file, at + length - 4, 4).await? == head[4..8] {
            return Ok(Some(length));
        }
    }
    Ok(None)
}

/// How many bytes from `at` on belong to a block that began before and is sent in pieces; `None` where there is none.
async fn rest_of_block(file: &Arc<Reader>, at: u64, size: u64) -> Option<u64> {
    let piece = PIECE as u64;
    for sent in (1..block::LARGEST as u64 / piece).map(|pieces| pieces * piece).take_while(|sent| *sent <= at) {
        let head = read_at(file, at - sent, 8).await.ok()?;
        if let Some(length) = whole_at(file, at - sent, size, &head).await.ok()?
            && length > sent
        {
            return Some(length - sent);
        }
    }
    None
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
