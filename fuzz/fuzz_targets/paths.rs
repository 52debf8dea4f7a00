//! libFuzzer's program for [`dropscope_fuzz::paths`].
#![no_main]
#![allow(unsafe_code, missing_docs, reason = "what the macro makes")]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dropscope_fuzz::paths(input));
