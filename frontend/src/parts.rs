//! The parts of the page's WebAssembly that load on demand: the one list of them, and the one way to them.
//!
//! A part is a table of functions. What only these functions reach is not in the first download; the build splits it off
//! (`xtask/tools`, by the feature `parts`). Page and Worker each load a part for themselves, once. Without the feature, as in
//! tests, everything is in one module and every part is there at once.

use crate::view::later::{self, Views};
use dropscope_core::log::Unpacker;
use dropscope_core::query::{ByteSource, Engine, Query};
use gloo::timers::callback::Timeout;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use wasm_bindgen_futures::spawn_local;

/// What the engine answers beyond the questions that show a log for the first time: filters, single packets, conversations,
/// counters.
pub struct Answers {
    /// [`Engine::ask_further`], with the answer written for [`Views::read`].
    pub ask_further: fn(&mut Engine, &Query, &mut dyn ByteSource) -> Vec<u8>,
}

/// What reads logs that are compressed, or hold records of our own, and judges the hosts these are about.
pub struct Logs {
    /// [`Unpacker::learn`] and [`Engine::learn`].
    pub teach: fn(&mut Unpacker, &mut Engine),
}

fn teach(unpacker: &mut Unpacker, engine: &mut Engine) {
    unpacker.learn();
    engine.learn();
}

fn ask_further(engine: &mut Engine, query: &Query, source: &mut dyn ByteSource) -> Vec<u8> {
    borsh::to_vec(&engine.ask_further(query, source)).expect("plain data, written to memory")
}

/// Declares parts: `NAME: Table = function(table)`, where `function` is by what the part is called in the build.
macro_rules! parts {
    ($($(#[$about:meta])* $NAME:ident: $Table:ty = $function:ident($table:expr);)*) => {$(
        $(#[$about])*
        pub static $NAME: Part<$Table> = {
            #[cfg(feature = "parts")]
            #[wasm_split_helpers::wasm_split($function, fallible)]
            fn $function() -> Result<&'static $Table, Unloaded> {
                static TABLE: $Table = $table;
                Ok(&TABLE)
            }
            #[cfg(not(feature = "parts"))]
            async fn $function() -> Result<&'static $Table, Unloaded> {
                static TABLE: $Table = $table;
                Ok(&TABLE)
            }
            Part { table: OnceLock::new(), fetch: || Box::pin($function()) }
        };
    )*};
}

parts! {
    /// See [`Answers`].
    ANSWERS: Answers = answers(Answers { ask_further });
    /// See [`Logs`].
    LOGS: Logs = logs(Logs { teach });
    /// See [`Views`].
    VIEWS: Views = views(later::TABLE);
}

/// A part: a table of functions.
pub struct Part<T: 'static> {
    table: OnceLock<&'static T>,
    fetch: fn() -> Fetch<T>,
}

type Fetch<T> = Pin<Box<dyn Future<Output = Result<&'static T, Unloaded>>>>;

impl<T> Part<T> {
    /// The part, if it has been loaded.
    pub fn get(&self) -> Option<&'static T> {
        self.table.get().copied()
    }

    /// The part; loads it first where need be. After a failure the next call tries again.
    pub async fn load(&self) -> Result<&'static T, Unloaded> {
        if let Some(table) = self.get() {
            return Ok(table);
        }
        let table = (self.fetch)().await?;
        Ok(self.table.get_or_init(|| table))
    }
}

/// When the first findings have been shown this long, all parts are loaded, in milliseconds.
const SETTLED_MS: u32 = 1_000;

/// To be called by the page when it shows its first findings: loads its parts in the background, so that a click need not wait.
/// What cannot be loaded then is tried again when it is wanted.
pub fn load_of_page() {
    Timeout::new(SETTLED_MS, || {
        spawn_local(async {
            let _ = VIEWS.load().await;
        })
    })
    .forget();
}

/// The same for the engine, in its Worker.
pub fn load_of_engine() {
    let load = async {
        let _ = ANSWERS.load().await;
        let _ = LOGS.load().await;
    };
    Timeout::new(SETTLED_MS, || spawn_local(load)).forget();
}

/// A part could not be loaded: the server is gone, or has another version of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unloaded;

impl Unloaded {
    /// What went wrong.
    pub const WHAT: &str = "A part of the engine could not be loaded.";
    /// What to do about it.
    pub const WHAT_TO_DO: &str =
        "See whether the server of this page can be reached, then ask again; if it has been updated meanwhile, reload the page.";
}

impl fmt::Display for Unloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Self::WHAT, Self::WHAT_TO_DO)
    }
}

#[cfg(feature = "parts")]
impl From<wasm_split_helpers::SplitLoaderError> for Unloaded {
    fn from(_: wasm_split_helpers::SplitLoaderError) -> Self {
        Self
    }
}

#[cfg(feature = "parts")]
#[wasm_bindgen::prelude::wasm_bindgen(raw_module = "./snippets/parts/link.js")]
extern "C" {
    fn attach(exports: &wasm_bindgen::JsValue);
}

/// Gives the parts this module's memory and functions; to be called before anything else.
pub fn prepare() {
    #[cfg(feature = "parts")]
    attach(&wasm_bindgen::exports());
}
