//! The lower half of Dropscope's core: what every byte of a capture passes through.
//!
//! A crate of its own, since the page builds this half for speed and the upper half (rules, filter, queries), which runs seldom,
//! for size. Nobody names it but `dropscope_core`, which passes everything on.

#[cfg(all(test, target_arch = "wasm32"))]
#[macro_use]
extern crate dropscope_wasm_test;

pub mod anchor;
pub mod command;
pub mod counters;
pub mod dissect;
pub mod drops;
pub mod exchange;
pub mod finding;
pub mod flow;
pub mod ids;
pub mod log;
pub mod recording;
pub mod reference;
pub mod script;
pub mod sort;
pub mod store;
pub mod text;
pub mod time;
