//! `#[test]` in WebAssembly: the same word, in the same place, for what the browser's test runner runs.
//!
//! A crate that says `#[macro_use] extern crate dropscope_wasm_test;` for wasm32 has its ordinary tests run there, for names
//! that come in this way stand before those of the standard library.

pub use wasm_bindgen_test::wasm_bindgen_test as test;
