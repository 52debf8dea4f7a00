//! The Worker's end: owns the engine, reads the source, answers questions in between.
//!
//! Reading yields to the event loop every few milliseconds, and only then do questions arrive: so a question waits at most
//! that long, and nothing here needs a queue or a lock. Whatever goes wrong with the bytes is told and what was read stays.

use super::message::{Opening, ToPage, ToWorker, pack, unpack};
use super::read::BlobReader;
use super::socket::Socket;
use super::spool::Spool;
use crate::state::{Link, Trouble};
use dropscope_core::log::{UnpackError, Unpacker};
use dropscope_core::query::{Engine, Query, Rows, Selection};
use gloo::events::EventListener;
use gloo::timers::callback::Timeout;
use js_sys::{Function, Promise, Uint8Array};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, DedicatedWorkerGlobalScope, MessageChannel};

/// Bytes fed to the engine at a time, between looks at the clock.
const PIECE: u32 = 256 << 10;
/// The first bytes, which name a compression.
const MAGIC: u32 = 4;
/// How long the engine may work before the event loop gets its turn, in milliseconds.
const TURN_MS: f64 = 12.0;
/// Reading takes at least this many times as long as answering did since its last turn, so that questions about a growing log,
/// which come all the time, cannot starve it …
const READING_SHARE: f64 = 4.0;
/// … but never longer than this, in milliseconds: a click waits no longer for its answer.
const LONGEST_TURN_MS: f64 = 40.0;
/// Progress is told at most this often, in milliseconds, unless something was found.
const PROGRESS_MS: u32 = 100;
/// Between two judgements at least this many times as long as the last one took, so that the rules take little of the whole …
const JUDGING_SHARE: f64 = 20.0;
/// … and at least this long, in milliseconds: nobody reads faster …
const JUDGING_PAUSE_MS: f64 = 50.0;
/// … but the first finding is waited for.
const FIRST_JUDGING_PAUSE_MS: f64 = 10.0;
/// How long the engine runs for nobody when the page has just been opened, in milliseconds in all.
const WARMING_MS: f64 = 400.0;

/// What the Worker holds.
pub(super) struct Host {
    scope: DedicatedWorkerGlobalScope,
    session: u32,
    engine: Engine,
    unpacker: Unpacker,
    /// The uncompressed log.
    spool: Spool,
    /// Bytes that came in, as they came: compressed ones where the log is compressed.
    received: u64,
    /// How many there are, where that is known.
    total: Option<u64>,
    /// Whether what comes out of the unpacker is not in the spool by itself.
    keeps: bool,
    socket: Option<Socket>,
    stopped: bool,
    /// Time spent on answers since reading last had its turn, in milliseconds.
    answering_ms: f64,
    buffer: Vec<u8>,
    progress_timer: Option<Timeout>,
    /// When progress was reported last, in milliseconds as [`now`] counts them; the first report is due at once.
    told_at: f64,
    /// When the rules run next, in milliseconds as [`now`] counts them.
    judges_at: f64,
    /// Whether something came that the rules have not seen.
    unjudged: bool,
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
        unpacker: Unpacker::default(),
        spool: Spool::default(),
        received: 0,
        total: None,
        keeps: true,
        socket: None,
        stopped: false,
        answering_ms: 0.0,
        buffer: vec![],
        progress_timer: None,
        told_at: f64::NEG_INFINITY,
        judges_at: 0.0,
        unjudged: false,
    }));
    let idle = host.clone();
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
    spawn_local(warm_up(idle));
}

/// Reads the reference case and answers the first questions of a page, for nobody, again and again until something is opened:
/// browsers compile a function when it is first called, and well only when it has been called often, and a file that is dropped
/// later need not wait for that.
async fn warm_up(host: Shared) {
    let turns = Turns::new();
    let mut spent = 0.0;
    while spent < WARMING_MS {
        turns.give_up_one().await;
        if host.borrow().session != 0 {
            return;
        }
        let began = now();
        rehearse();
        spent += now() - began;
    }
}

fn rehearse() {
    let capture = dropscope_core::reference::capture();
    let mut engine = Engine::new();
    engine.push(&capture);
    engine.judge();
    let rows = Rows { first: 0, count: 100 };
    for query in [
        Query::Findings,
        Query::Packets { selection: Selection::default(), rows, locate: None },
        Query::Timeline { span: None, columns: 100, filter: String::new() },
    ] {
        engine.ask(&query, &mut &capture[..]);
    }
}

fn received(host: &Shared, message: ToWorker, file: Option<Blob>) {
    match message {
        ToWorker::Open { session, opening } => {
            host.borrow_mut().reset(session);
            match (opening, file) {
                (Opening::File, Some(blob)) => {
                    host.borrow_mut().begin_blob(&blob);
                    spawn_local(read_blob(host.clone(), session, blob));
                }
                (Opening::File, None) => host.borrow_mut().trouble("No file came with the message.", "Drop the file again."),
                (Opening::Reference, _) => match bytes_as_blob(dropscope_core::reference::LOG) {
                    Ok(blob) => {
                        host.borrow_mut().begin_blob(&blob);
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
        ToWorker::Ask { session, slot, number, query } => {
            host.borrow_mut().answer(session, slot, number, &query);
        }
        ToWorker::Stop => host.borrow_mut().stop(),
        ToWorker::Close => host.borrow_mut().reset(0),
    }
}

impl Host {
    fn reset(&mut self, session: u32) {
        self.session = session;
        self.engine = Engine::new();
        self.unpacker = Unpacker::default();
        self.spool = Spool::default();
        self.received = 0;
        self.total = None;
        self.keeps = true;
        self.socket = None;
        self.stopped = false;
        self.progress_timer = None;
        self.told_at = f64::NEG_INFINITY;
        self.judges_at = 0.0;
        self.unjudged = false;
    }

    /// Answers a question about what is open; one about an older session is dropped.
    fn answer(&mut self, session: u32, slot: u32, number: u32, query: &Query) {
        if session != self.session {
            return;
        }
        let began = now();
        let answer = self.engine.ask(query, &mut self.spool);
        self.answering_ms += now() - began;
        post(&self.scope, &ToPage::Answer { session, slot, number, answer: Box::new(answer) });
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

    /// Bytes that came in: where a cut connection goes on.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    fn begin_blob(&mut self, blob: &Blob) {
        self.spool = Spool::of(blob);
        self.total = Some(blob.size() as u64);
        self.keeps = false;
    }

    /// Takes the next bytes of the source, compressed or not.
    pub(super) fn take(&mut self, bytes: &Uint8Array) {
        let begins = self.received == 0;
        self.received += u64::from(bytes.length());
        if !begins {
            return self.feed(bytes);
        }
        // Alone, the first bytes tell whether the log is compressed and has to be kept as it comes out.
        let magic = MAGIC.min(bytes.length());
        self.feed(&bytes.subarray(0, magic));
        self.feed(&bytes.subarray(magic, bytes.length()));
    }

    fn feed(&mut self, bytes: &Uint8Array) {
        let mut at = 0;
        while at < bytes.length() && !self.stopped {
            let end = at.saturating_add(PIECE).min(bytes.length());
            self.take_piece(&bytes.subarray(at, end));
            at = end;
        }
    }

    fn take_piece(&mut self, bytes: &Uint8Array) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(bytes.length() as usize, 0);
        bytes.copy_to(&mut buffer);
        self.unjudged = true;
        let unpacked = self.unpack(|unpacker, sink| unpacker.push(&buffer, sink));
        self.buffer = buffer;
        if !self.keeps && self.unpacker.compression().is_some() {
            self.keeps = true;
            self.spool = Spool::default();
        }
        if let Err((what, what_to_do)) = unpacked {
            self.trouble(&what, &what_to_do);
            self.stop();
        }
    }

    /// Runs the unpacker; what comes out goes to the engine and, where it is not there by itself, into the spool.
    fn unpack(
        &mut self,
        run: impl FnOnce(&mut Unpacker, &mut dyn FnMut(&[u8])) -> Result<(), UnpackError>,
    ) -> Result<(), (String, String)> {
        let Self { unpacker, engine, spool, keeps, .. } = self;
        let mut refused = false;
        let mut sink = |out: &[u8]| {
            refused = refused || (*keeps && spool.append(&Uint8Array::from(out)).is_err());
            if !refused {
                engine.push(out);
            }
        };
        let unpacked = run(unpacker, &mut sink);
        let packets = engine.progress().packets;
        if refused {
            let what = format!("The browser could not store what comes after byte {} of the log.", spool.size());
            return Err((what, format!("{packets} packets before it are shown. Free some disk space and open it again.")));
        }
        unpacked.map_err(|error| {
            (format!("The file could not be unpacked further: {error}."), format!("{packets} packets before that are shown."))
        })
    }

    /// No more bytes will come.
    pub(super) fn finish(&mut self) {
        if let Err((what, what_to_do)) = self.unpack(|unpacker, sink| unpacker.finish(sink)) {
            self.trouble(&what, &what_to_do);
        }
        self.engine.finish();
        self.tell_progress();
    }

    /// Tells how far reading has come, now.
    fn tell_progress(&mut self) {
        self.progress_timer = None;
        self.told_at = now();
        let mut progress = self.engine.progress();
        // How far in the source, which the reader knows the size of.
        progress.bytes_read = self.received;
        progress.bytes_total = self.total;
        post(&self.scope, &ToPage::Progress { session: self.session, progress });
    }

    /// Whether the rules have yet to see something; at the end the engine lets them by itself.
    fn awaits_judging(&self) -> bool {
        self.unjudged && !self.engine.progress().ended
    }

    /// Runs the rules if that has not been for a while, and says whether they find other than before.
    fn judge_when_due(&mut self) -> bool {
        let began = now();
        let before = self.engine.progress();
        if began < self.judges_at || !self.awaits_judging() {
            return false;
        }
        self.engine.judge();
        self.unjudged = false;
        let found = self.engine.progress().findings;
        let ended = now();
        let pause = if found == [0; 3] { FIRST_JUDGING_PAUSE_MS } else { JUDGING_PAUSE_MS };
        self.judges_at = ended + ((ended - began) * JUDGING_SHARE).max(pause);
        found != before.findings
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

/// Runs the rules if it is time, and tells how far reading has come: now if there is news, else soon; many calls in a row are one
/// message.
pub(super) fn tell_progress_soon(host: &Shared) {
    let mut this = host.borrow_mut();
    let is_news = this.judge_when_due();
    // The timer alone would wait for its turn among the questions.
    if is_news || now() - this.told_at >= f64::from(PROGRESS_MS) {
        this.tell_progress();
    } else if this.progress_timer.is_none() {
        let later = host.clone();
        this.progress_timer = Some(Timeout::new(PROGRESS_MS, move || {
            // The timer must not be dropped from within its own callback's borrow.
            let timer = later.borrow_mut().progress_timer.take();
            later.borrow_mut().judge_when_due();
            later.borrow_mut().tell_progress();
            if later.borrow().awaits_judging() {
                tell_progress_soon(&later);
            }
            drop(timer);
        }));
    }
}

/// Reads a Blob to its end.
async fn read_blob(host: Shared, session: u32, blob: Blob) {
    let size = blob.size() as u64;
    let turns = Turns::new();
    let mut reader = BlobReader::new(&blob);
    let mut at = 0;
    let mut turn_began = now();
    let mut turn = TURN_MS;
    while at < size {
        let read = reader.next().await;
        if !host.borrow().wants(session) {
            return;
        }
        let Ok(Some(bytes)) = read else {
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
        let mut piece = 0;
        while piece < bytes.length() {
            let end = (piece + PIECE).min(bytes.length());
            host.borrow_mut().take(&bytes.subarray(piece, end));
            piece = end;
            if now() - turn_began > turn {
                tell_progress_soon(&host);
                turns.give_up_one().await;
                if !host.borrow().wants(session) {
                    return;
                }
                let answering = std::mem::take(&mut host.borrow_mut().answering_ms);
                turn = (READING_SHARE * answering).clamp(TURN_MS, LONGEST_TURN_MS);
                turn_began = now();
            }
        }
        at += u64::from(bytes.length());
    }
    host.borrow_mut().finish();
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

#[wasm_bindgen]
extern "C" {
    /// Milliseconds since the Worker started, by a clock that is never set.
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

fn post(scope: &DedicatedWorkerGlobalScope, message: &ToPage) {
    // Posting plain data from a Worker fails only when the page is gone.
    if let Ok((value, transfer)) = pack(message, None) {
        let _ = scope.post_message_with_transfer(&value, &transfer);
    }
}
