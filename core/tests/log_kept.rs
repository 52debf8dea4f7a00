//! Logs of every format version open, now and later.

#[cfg(target_arch = "wasm32")]
#[macro_use]
extern crate dropscope_wasm_test;

mod common;

use common::told;

/// `data/version-1.pcapng` was written by the encoder of 0.1.0 (`common::one_of_each`). It is never written again: this test
/// is what "old logs open" means.
#[test]
fn a_log_of_version_1_opens() {
    let log = include_bytes!("data/version-1.pcapng");
    let expected = include_str!("data/version-1.txt");
    assert_eq!(without_empty_fields(&told([&log[..]])), expected);
}

/// A record's text without the fields that say nothing, so that a new field leaves the text of an old log alone.
fn without_empty_fields(text: &str) -> String {
    text.lines().map(|line| line.split(", ").fold(String::new(), add_field) + "\n").collect()
}

fn add_field(line: String, field: &str) -> String {
    // What stands behind the last field of a record closes the record.
    let told = field.trim_end_matches([' ', '}', ')', ']']);
    let told = if told.ends_with('[') { &field[..=told.len()] } else { told };
    let closing = &field[told.len()..];
    let value = told.rsplit_once(": ").map(|(_, value)| value);
    if line.is_empty() {
        field.to_owned()
    } else if matches!(value, Some("None" | "[]" | "\"\"" | "0" | "false")) {
        line + closing
    } else {
        line + ", " + field
    }
}
