//! The page's end: starts the Worker, sends questions, hands answers to whoever asked.
//!
//! Each asker has a slot. Of one slot only one question is under way; a newer one waits and replaces another that waits, so
//! that scrubbing never builds a queue. Answers of an older session or an older question are dropped.

use super::message::{Opening, ToPage, ToWorker, pack, unpack};
use dropscope_core::query::{Answer, Query};
use dropscope_core::sort;
use gloo::events::EventListener;
use js_sys::{Object, Reflect};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

#[wasm_bindgen]
extern "C" {
    type ImportMeta;
    #[wasm_bindgen(method, getter)]
    fn url(this: &ImportMeta) -> String;
    #[wasm_bindgen(thread_local_v2, js_namespace = import, js_name = meta)]
    static IMPORT_META: ImportMeta;
}

type Answered = Rc<dyn Fn(Rc<Answer>)>;

struct Slot {
    answered: Answered,
    /// The number of the question under way.
    under_way: Option<u32>,
    /// The question that follows it.
    waiting: Option<Query>,
    numbers: u32,
}

/// The page's end of the engine.
pub struct Bridge {
    worker: RefCell<Option<web_sys::Worker>>,
    listeners: RefCell<Vec<EventListener>>,
    ready: Cell<bool>,
    early: RefCell<Vec<(ToWorker, Option<web_sys::Blob>)>>,
    session: Cell<u32>,
    slots: RefCell<BTreeMap<u32, Slot>>,
    next_slot: Cell<u32>,
    /// Questions of this turn, to be sent at its end.
    outbox: RefCell<Vec<(u32, u32, Query)>>,
    on_message: Rc<dyn Fn(ToPage)>,
}

/// A place to ask from; gives it up when dropped.
pub struct Asked {
    bridge: Rc<Bridge>,
    slot: u32,
}

impl Asked {
    /// Asks; the answer comes to the slot's callback unless a newer question overtakes it.
    pub fn ask(&self, query: Query) {
        self.bridge.ask(self.slot, query);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.bridge.slots.borrow_mut().remove(&self.slot);
    }
}

impl Bridge {
    /// A bridge with a Worker that is starting. Everything but answers goes to `on_message`.
    pub fn start(on_message: impl Fn(ToPage) + 'static) -> Rc<Self> {
        let bridge = Rc::new(Self {
            worker: RefCell::new(None),
            listeners: RefCell::new(vec![]),
            ready: Cell::new(false),
            early: RefCell::new(vec![]),
            session: Cell::new(0),
            slots: RefCell::new(BTreeMap::new()),
            next_slot: Cell::new(0),
            outbox: RefCell::new(vec![]),
            on_message: Rc::new(on_message),
        });
        bridge.restart();
        bridge
    }

    /// Ends the Worker, if there is one, and starts another, which knows nothing yet.
    pub fn restart(self: &Rc<Self>) {
        if let Some(old) = self.worker.borrow_mut().take() {
            old.terminate();
        }
        self.listeners.borrow_mut().clear();
        self.ready.set(false);
        self.early.borrow_mut().clear();
        self.forget_questions();
        if let Err(error) = self.spawn() {
            let why = format!("The engine's Worker could not be started: {}", words(&error));
            (self.on_message)(ToPage::Panicked { why });
        }
    }

    fn spawn(self: &Rc<Self>) -> Result<(), JsValue> {
        let options = web_sys::WorkerOptions::new();
        options.set_type(web_sys::WorkerType::Module);
        let worker = web_sys::Worker::new_with_options("worker.js", &options)?;
        let weak = Rc::downgrade(self);
        let on_message = EventListener::new(&worker, "message", move |event| {
            if let (Some(bridge), Some(event)) = (weak.upgrade(), event.dyn_ref::<web_sys::MessageEvent>()) {
                bridge.received(&event.data());
            }
        });
        let weak = Rc::downgrade(self);
        let on_error = EventListener::new(&worker, "error", move |event| {
            let Some(bridge) = weak.upgrade() else { return };
            let message = event.dyn_ref::<web_sys::ErrorEvent>().map(web_sys::ErrorEvent::message).unwrap_or_default();
            bridge.died(format!(
                "The engine stopped: {}",
                if message.is_empty() { "its script could not be loaded." } else { &message }
            ));
        });
        let start = Object::new();
        Reflect::set(&start, &"js".into(), &IMPORT_META.with(ImportMeta::url).into())?;
        Reflect::set(&start, &"module".into(), &wasm_bindgen::module())?;
        worker.post_message(&start)?;
        *self.listeners.borrow_mut() = vec![on_message, on_error];
        *self.worker.borrow_mut() = Some(worker);
        Ok(())
    }

    /// Reads a source from now on; returns the number of the new session.
    pub fn open(&self, opening: Opening, file: Option<&web_sys::Blob>) -> u32 {
        let session = self.session.get() + 1;
        self.session.set(session);
        self.forget_questions();
        self.send(ToWorker::Open { session, opening }, file);
        session
    }

    /// Forgets what is open.
    pub fn close(&self) {
        self.session.set(self.session.get() + 1);
        self.forget_questions();
        self.send(ToWorker::Close, None);
    }

    /// Reads no further.
    pub fn stop(&self) {
        self.send(ToWorker::Stop, None);
    }

    /// A place to ask from.
    pub fn slot(self: &Rc<Self>, answered: impl Fn(Rc<Answer>) + 'static) -> Asked {
        let slot = self.next_slot.get();
        self.next_slot.set(slot + 1);
        let entry = Slot { answered: Rc::new(answered), under_way: None, waiting: None, numbers: 0 };
        self.slots.borrow_mut().insert(slot, entry);
        Asked { bridge: self.clone(), slot }
    }

    /// Views that are drawn together ask in one turn; what they ask leaves together, the shortest answer first.
    fn ask(self: &Rc<Self>, slot: u32, query: Query) {
        let number = {
            let mut slots = self.slots.borrow_mut();
            let Some(entry) = slots.get_mut(&slot) else { return };
            if entry.under_way.is_some() {
                entry.waiting = Some(query);
                return;
            }
            entry.numbers += 1;
            entry.under_way = Some(entry.numbers);
            entry.numbers
        };
        let mut outbox = self.outbox.borrow_mut();
        if outbox.is_empty() {
            let weak = Rc::downgrade(self);
            spawn_local(async move {
                if let Some(bridge) = weak.upgrade() {
                    bridge.send_outbox();
                }
            });
        }
        outbox.push((slot, number, query));
    }

    fn send_outbox(&self) {
        let mut questions = self.outbox.take();
        sort::by_key(&mut questions, |(.., query)| rank(query));
        for (slot, number, query) in questions {
            self.send(ToWorker::Ask { session: self.session.get(), slot, number, query }, None);
        }
    }

    fn answered(self: &Rc<Self>, slot: u32, number: u32, answer: Answer) {
        let (callback, waiting) = {
            let mut slots = self.slots.borrow_mut();
            let Some(entry) = slots.get_mut(&slot).filter(|s| s.under_way == Some(number)) else { return };
            entry.under_way = None;
            (entry.answered.clone(), entry.waiting.take())
        };
        if let Some(query) = waiting {
            self.ask(slot, query);
        }
        callback(Rc::new(answer));
    }

    /// What was asked of the old session will not be answered.
    fn forget_questions(&self) {
        self.outbox.borrow_mut().clear();
        for slot in self.slots.borrow_mut().values_mut() {
            slot.under_way = None;
            slot.waiting = None;
        }
    }

    fn received(self: &Rc<Self>, data: &JsValue) {
        let message = match unpack::<ToPage>(data) {
            Ok((message, _)) => message,
            Err(why) => return self.died(format!("The engine sent {why}.")),
        };
        match message {
            ToPage::Ready => {
                self.ready.set(true);
                for (message, file) in self.early.take() {
                    self.send(message, file.as_ref());
                }
            }
            ToPage::Panicked { why } => self.died(why),
            ToPage::Answer { session, slot, number, answer } => {
                if session == self.session.get() {
                    self.answered(slot, number, *answer);
                }
            }
            ToPage::Progress { session, .. } | ToPage::Link { session, .. } | ToPage::Trouble { session, .. } => {
                if session == self.session.get() {
                    (self.on_message)(message);
                }
            }
        }
    }

    fn died(&self, why: String) {
        if let Some(worker) = self.worker.borrow_mut().take() {
            worker.terminate();
        }
        self.ready.set(false);
        self.forget_questions();
        (self.on_message)(ToPage::Panicked { why });
    }

    fn send(&self, message: ToWorker, file: Option<&web_sys::Blob>) {
        if !self.ready.get() {
            self.early.borrow_mut().push((message, file.cloned()));
            return;
        }
        let worker = self.worker.borrow();
        let Some(worker) = worker.as_ref() else { return };
        let sent = pack(&message, file).and_then(|(value, transfer)| worker.post_message_with_transfer(&value, &transfer));
        if let Err(error) = sent {
            let why = format!("The engine could not be reached: {}", words(&error));
            (self.on_message)(ToPage::Panicked { why });
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.borrow_mut().take() {
            worker.terminate();
        }
    }
}

/// Which questions go first: what the rules found, then what needs packets to be read again, then pictures of all there is.
fn rank(query: &Query) -> u8 {
    match query {
        Query::Findings => 0,
        Query::Overview | Query::Locate { .. } | Query::FilterHelp { .. } => 1,
        Query::Timeline { .. } | Query::Course { .. } => 3,
        _ => 2,
    }
}

/// A JavaScript error in words.
fn words(error: &JsValue) -> String {
    error.dyn_ref::<js_sys::Error>().map_or_else(|| format!("{error:?}"), |e| String::from(e.message()))
}
