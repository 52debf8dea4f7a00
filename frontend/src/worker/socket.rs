//! A capture that comes over a WebSocket: its bytes in order, resumed from the offset after any cut.
//!
//! ```text
//! Connecting ─hello─▶ Live or Fetching ─end─▶ Ended
//!     ▲                    │ closed
//!     └── wait 0.5 … 8 s ──┘   (the wait starts over once bytes came)
//! ```
//! All binary messages from offset 0 on, put together, are the log: so the number of bytes kept is all there is to remember.

use super::host::{Shared, tell_progress_soon};
use crate::browser::json::Json;
use crate::state::Link;
use gloo::events::EventListener;
use gloo::timers::callback::Timeout;
use js_sys::{Array, ArrayBuffer, Uint8Array};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{BinaryType, MessageEvent, WebSocket};

/// The first and the longest wait before the next try, in milliseconds.
const FIRST_WAIT_MS: u32 = 500;
const LONGEST_WAIT_MS: u32 = 8_000;

/// A connection that mends itself; ends when dropped.
pub(super) struct Socket {
    inner: Rc<Inner>,
}

struct Inner {
    host: Shared,
    session: u32,
    url: String,
    token: String,
    socket: RefCell<Option<WebSocket>>,
    listeners: RefCell<Vec<EventListener>>,
    retry: RefCell<Option<Timeout>>,
    attempt: Cell<u32>,
    /// Nothing more is wanted or will come.
    over: Cell<bool>,
}

/// What the server says in text messages.
#[derive(Debug)]
enum Said {
    Hello { live: bool },
    End { why: String },
    Refused { message: String, what_to_do: String },
}

impl Said {
    fn read(text: &str) -> Option<Self> {
        let said = Json::parse(text)?;
        Some(match said.text("type")?.as_str() {
            "hello" => Self::Hello { live: said.truth("live")? },
            "end" => Self::End { why: said.text("why")? },
            "refused" => Self::Refused { message: said.text("message")?, what_to_do: said.text("what_to_do")? },
            _ => return None,
        })
    }
}

impl Socket {
    /// Connects, and stays connected.
    pub(super) fn open(host: Shared, session: u32, url: String, token: String) -> Self {
        let inner = Rc::new(Inner {
            host,
            session,
            url,
            token,
            socket: RefCell::new(None),
            listeners: RefCell::new(vec![]),
            retry: RefCell::new(None),
            attempt: Cell::new(0),
            over: Cell::new(false),
        });
        // The host is borrowed by whoever opens us, so the first step waits for the next turn.
        let first = inner.clone();
        *inner.retry.borrow_mut() = Some(Timeout::new(0, move || first.connect()));
        Self { inner }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.inner.over.set(true);
        self.inner.hang_up();
        self.inner.retry.borrow_mut().take();
    }
}

impl Inner {
    fn connect(self: &Rc<Self>) {
        if self.over.get() {
            return;
        }
        if self.attempt.get() == 0 {
            self.tell(Link::Connecting);
        }
        let from = self.host.borrow().received();
        let protocols = Array::of2(&"dropscope.v1".into(), &format!("bearer.{}", self.token).into());
        let Ok(socket) = WebSocket::new_with_str_sequence(&format!("{}?from={from}", self.url), &protocols) else {
            self.wait_and_retry();
            return;
        };
        socket.set_binary_type(BinaryType::Arraybuffer);
        let weak = Rc::downgrade(self);
        let message = EventListener::new(&socket, "message", move |event| {
            if let (Some(this), Some(event)) = (weak.upgrade(), event.dyn_ref::<MessageEvent>()) {
                this.received(&event.data());
            }
        });
        let weak = Rc::downgrade(self);
        let closed = EventListener::new(&socket, "close", move |_| {
            if let Some(this) = weak.upgrade() {
                this.wait_and_retry();
            }
        });
        *self.listeners.borrow_mut() = vec![message, closed];
        *self.socket.borrow_mut() = Some(socket);
    }

    fn received(&self, data: &JsValue) {
        if self.over.get() || !self.host.borrow().wants(self.session) {
            return;
        }
        if let Some(buffer) = data.dyn_ref::<ArrayBuffer>() {
            self.attempt.set(0);
            self.host.borrow_mut().take(&Uint8Array::new(buffer));
            tell_progress_soon(&self.host);
        } else if let Some(said) = data.as_string().and_then(|text| Said::read(&text)) {
            match said {
                Said::Hello { live } => self.tell(if live { Link::Live } else { Link::Fetching }),
                Said::End { why } => {
                    self.over.set(true);
                    self.host.borrow_mut().finish();
                    self.tell(Link::Ended { why });
                }
                Said::Refused { message, what_to_do } => {
                    self.over.set(true);
                    let mut host = self.host.borrow_mut();
                    host.trouble(&message, &what_to_do);
                    host.finish();
                    host.tell_link(self.session, Link::Ended { why: message });
                }
            }
        }
    }

    fn wait_and_retry(self: &Rc<Self>) {
        self.hang_up();
        if self.over.get() {
            return;
        }
        let attempt = self.attempt.get() + 1;
        self.attempt.set(attempt);
        let next_ms = wait_before(attempt);
        self.tell(Link::Reconnecting { attempt, next_ms });
        let weak = Rc::downgrade(self);
        *self.retry.borrow_mut() = Some(Timeout::new(next_ms, move || {
            if let Some(this) = weak.upgrade() {
                // Forgotten, not dropped: dropping it now would cancel a timer that is already running.
                if let Some(timer) = this.retry.borrow_mut().take() {
                    timer.forget();
                }
                this.connect();
            }
        }));
    }

    fn hang_up(&self) {
        // Listeners may be gone only after the event that runs now has returned.
        let listeners = self.listeners.take();
        if !listeners.is_empty() {
            Timeout::new(0, move || drop(listeners)).forget();
        }
        if let Some(socket) = self.socket.borrow_mut().take() {
            let _ = socket.close();
        }
    }

    fn tell(&self, link: Link) {
        self.host.borrow().tell_link(self.session, link);
    }
}

/// How long to wait before try number `attempt`, from 1.
fn wait_before(attempt: u32) -> u32 {
    FIRST_WAIT_MS.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST_WAIT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_eight_seconds() {
        let waits: Vec<u32> = [1, 2, 3, 4, 5, 6, 40].into_iter().map(wait_before).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    }
}
