//! Dropscope's core: bytes of a capture in, findings and answers out.
//!
//! Everything here is a pure function of the log's bytes. There is no I/O, no clock, no thread and no JavaScript in this
//! crate, so the same code runs in the browser's Worker, in `dropscope check` and in the tests, and gives the same result.
//!
//! A module imports only from modules to its left:
//! `text, time, ids, anchor, command, finding → log → dissect → flow, counters, drops → store → recording → rules → filter, timeline → query`.

#[cfg(all(test, target_arch = "wasm32"))]
#[macro_use]
extern crate dropscope_wasm_test;

pub mod filter;
pub mod query;
pub mod rules;
pub mod timeline;

pub use dropscope_packets::{
    anchor, command, counters, dissect, drops, exchange, finding, flow, ids, log, recording, reference, script, sort, store,
    text, time,
};
