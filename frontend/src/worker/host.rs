//! The Worker's end: owns the engine, reads the source, answers questions in between.
//!
//! Reading yields to the event loop every few milliseconds, and only then do questions arrive: so a question waits at most
//! that long, and nothing here needs a queue or a lock. Whatever goes wrong with the bytes is told and what was read stays.

use super::message::{Opening, ToPage, ToWorker, pack, unpack};
use super::socket::Socket;
use super::spool::Spool;
use crate::state::{Link, Trouble};
use dropscope_core::query::Engine;
use gloo::events::EventListener;
use gloo::timers::callback::Timeout;
use js_sys::{Function, Promise, Uint8Array};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, DedicatedWorkerGlobalScope, MessageChannel};

/// One read of the file: larger is no faster (measured 4 to 32 MiB), smaller costs round trips.
const SLICE: u64 = 16 << 20;
/// Bytes fed to the engine at a time, between looks at the clock.
const PIECE: u32 = 256 << 10;
/// How long the engine may work before the event loop gets its turn, in milliseconds.
const TURN_MS: f64 = 12.0;
/// Progress is told at most this often, in milliseconds.
const PROGRESS_MS: u32 = 33;

/// What the Worker holds.
pub(super) struct Host {
    scope: DedicatedWorkerGlobalScope,
    session: u32,
    engine: Engine,
    pub(super) spool: Spool,
    socket: Option<Socket>,
    stopped: bool,
    buffer: Vec<u8>,
    progress_timer: Option<Timeout>,
}

/// The host, shared between the event handlers of the Worker's one thread.
pub(super) type Shared = Rc<RefCell<Host>>;

/// Runs in the Worker: listens for messages from now on.
pub fn run(scope: DedicatedWorkerGlobalScope) {
    let panics = scope.clone();
    std::panic::set_hook(Box::new(move |info| {
        let why = format!("The engine stopped on a fault of its own: {info}");
        post(&panics, &ToPage::Panicked { why });
        console_error_panic_hook::hook(info);
    }));
    let host = Rc::new(RefCell::new(Host {
        scope: scope.clone(),
        session: 0,
        engine: Engine::new(),
        spool: Spool::default(),
        socket: None,
        stopped: false,
        buffer: vec![],
        progress_timer: None,
    }));
    EventListener::new(&scope, "message", move |event| {
        let Some(event) = event.dyn_ref::<web_sys::MessageEvent>() else { return };
        match unpack::<ToWorker>(&event.data()) {
            Ok((message, file)) => received(&host, message, file),
            Err(why) => post(&host.borrow().scope, &ToPage::Panicked { why: format!("The page sent {why}.") }),
        }
    })
    // The Worker listens as long as it lives.
    .forget();
    post(&scope, &ToPage::Ready);
}

fn received(host: &Shared, message: ToWorker, file: Option<Blob>) {
    match message {
        ToWorker::Open { session, opening } => {
            host.borrow_mut().reset(session);
            match (opening, file) {
                (Opening::File, Some(blob)) => {
                    host.borrow_mut().spool = Spool::of(&blob);
                    spawn_local(read_blob(host.clone(), session, blob));
                }
                (Opening::File, None) => host.borrow_mut().trouble("No file came with the message.", "Drop the file again."),
                (Opening::Reference, _) => match bytes_as_blob(&dropscope_core::reference::log()) {
                    Ok(blob) => {
                        host.borrow_mut().spool = Spool::of(&blob);
                        spawn_local(read_blob(host.clone(), session, blob));
                    }
                    Err(_) => host.borrow_mut().trouble("The browser refused to hold the reference case.", "Reload the page."),
                },
                (Opening::Capture { url, token }, _) => {
                    let socket = Socket::open(host.clone(), session, url, token);
                    host.borrow_mut().socket = Some(socket);
                }
            }
        }
        ToWorker::Ask { session, slot, number, query } => host.borrow_mut().answer(session, slot, number, &query),
        ToWorker::Stop => host.borrow_mut().stop(),
        ToWorker::Close => host.borrow_mut().reset(0),
    }
}

impl Host {
    fn reset(&mut self, session: u32) {
        self.session = session;
        self.engine = Engine::new();
        self.spool = Spool::default();
        self.socket = None;
        self.stopped = false;
        self.progress_timer = None;
    }

    fn answer(&mut self, session: u32, slot: u32, number: u32, query: &dropscope_core::query::Query) {
        if session != self.session {
            return;
        }
        let answer = self.engine.ask(query, &mut self.spool);
        post(&self.scope, &ToPage::Answer { session, slot, number, answer });
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.socket = None;
        self.engine.finish();
        self.tell_progress();
    }

    /// Whether what belongs to `session` is still wanted.
    pub(super) fn wants(&self, session: u32) -> bool {
        self.session == session && !self.stopped
    }

    /// Feeds the engine; `bytes` are not kept.
    pub(super) fn feed(&mut self, bytes: &Uint8Array) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(bytes.length() as usize, 0);
        bytes.copy_to(&mut buffer);
        self.engine.push(&buffer);
        self.buffer = buffer;
    }

    /// Feeds the engine and keeps the bytes.
    pub(super) fn keep_and_feed(&mut self, bytes: &Uint8Array) {
        if self.spool.append(bytes).is_err() {
            let at = self.spool.size();
            self.trouble(
                &format!("The browser could not store what came after byte {at}."),
                "Free some disk space and reload the page; everything before that byte stays usable until then.",
            );
            self.stop();
            return;
        }
        let mut at = 0;
        while at < bytes.length() {
            let end = (at + PIECE).min(bytes.length());
            self.feed(&bytes.subarray(at, end));
            at = end;
        }
    }

    /// No more bytes will come.
    pub(super) fn finish(&mut self) {
        self.engine.finish();
        self.tell_progress();
    }

    /// Tells how far reading has come, now.
    fn tell_progress(&mut self) {
        self.progress_timer = None;
        let mut progress = self.engine.progress();
        if progress.bytes_total.is_none() && self.socket.is_none() {
            progress.bytes_total = Some(self.spool.size());
        }
        post(&self.scope, &ToPage::Progress { session: self.session, progress });
    }

    /// Tells the page how the connection is.
    pub(super) fn tell_link(&self, session: u32, link: Link) {
        post(&self.scope, &ToPage::Link { session, link });
    }

    /// Tells the page what went wrong.
    pub(super) fn trouble(&self, what: &str, what_to_do: &str) {
        let trouble = Trouble { what: what.into(), what_to_do: what_to_do.into() };
        post(&self.scope, &ToPage::Trouble { session: self.session, trouble });
    }
}

/// Tells how far reading has come, soon: many calls in a row are one message.
pub(super) fn tell_progress_soon(host: &Shared) {
    let mut this = host.borrow_mut();
    if this.progress_timer.is_none() {
        let later = host.clone();
        this.progress_timer = Some(Timeout::new(PROGRESS_MS, move || {
            // The timer must not be dropped from within its own callback's borrow.
            let timer = later.borrow_mut().progress_timer.take();
            later.borrow_mut().tell_progress();
            drop(timer);
        }));
    }
}

/// Reads a Blob to its end, one slice ahead of the engine.
async fn read_blob(host: Shared, session: u32, blob: Blob) {
    let size = blob.size() as u64;
    let turns = Turns::new();
    let mut at = 0;
    let mut next = slice(&blob, at);
    let mut turn_began = now();
    while at < size {
        let slice_read = match next {
            Ok(promise) => JsFuture::from(promise).await,
            Err(error) => Err(error),
        };
        if !host.borrow().wants(session) {
            return;
        }
        let Ok(slice_read) = slice_read else {
            let mut host = host.borrow_mut();
            host.trouble(
                &format!(
                    "The file could not be read beyond byte {at}: it was changed, moved or removed while it was being read."
                ),
                "What was read before stays here. Drop the file again to read it anew.",
            );
            host.stop();
            return;
        };
        let bytes = Uint8Array::new(&slice_read);
        next = slice(&blob, at + u64::from(bytes.length()));
        let mut piece = 0;
        while piece < bytes.length() {
            let end = (piece + PIECE).min(bytes.length());
            host.borrow_mut().feed(&bytes.subarray(piece, end));
            piece = end;
            if now() - turn_began > TURN_MS {
                tell_progress_soon(&host);
                turns.give_up_one().await;
                if !host.borrow().wants(session) {
                    return;
                }
                turn_began = now();
            }
        }
        at += u64::from(bytes.length());
    }
    host.borrow_mut().finish();
}

/// Begins to read the slice that starts at `at`.
fn slice(blob: &Blob, at: u64) -> Result<Promise, JsValue> {
    let end = (at + SLICE).min(blob.size() as u64);
    Ok(blob.slice_with_f64_and_f64(at.min(end) as f64, end as f64)?.array_buffer())
}

/// Lets other events through. A timer of 0 ms would be made 4 ms by the browser; a message to oneself is not.
struct Turns {
    channel: Option<MessageChannel>,
}

impl Turns {
    fn new() -> Self {
        Self { channel: MessageChannel::new().ok() }
    }

    async fn give_up_one(&self) {
        let Some(channel) = &self.channel else { return };
        let promise = Promise::new(&mut |resolve: Function, _| channel.port1().set_onmessage(Some(&resolve)));
        // A port that cannot be posted to would leave us waiting for ever.
        if channel.port2().post_message(&JsValue::NULL).is_ok() {
            let _ = JsFuture::from(promise).await;
        }
    }
}

fn bytes_as_blob(bytes: &[u8]) -> Result<Blob, JsValue> {
    Blob::new_with_u8_array_sequence(&js_sys::Array::of1(&Uint8Array::from(bytes)))
}

/// Milliseconds since some moment.
fn now() -> f64 {
    js_sys::Date::now()
}

fn post(scope: &DedicatedWorkerGlobalScope, message: &ToPage) {
    // Posting plain data from a Worker fails only when the page is gone.
    if let Ok((value, transfer)) = pack(message, None) {
        let _ = scope.post_message_with_transfer(&value, &transfer);
    }
}
