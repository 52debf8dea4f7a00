//! Fuzz targets: what must hold for any bytes, written down once.
//!
//! Each target is a function of its input that panics where something does not hold. `cargo xtask fuzz` runs it under libFuzzer,
//! and the test beside this crate runs it over the kept inputs in `corpus/`, so every fault that was found stays found.
//!
//! Three things are asked of all: no panic, no hang (libFuzzer's `-timeout`), and no more memory at any moment than a bound that
//! is stated as a number of bytes for each byte of the input ([`memory`]): nothing may be allocated by a span of time or by a
//! length that the input merely claims.

mod blocks;
mod decoder;
mod dissection;
mod engine;
mod filter;
mod flow;
mod memory;
mod paths;

pub use blocks::blocks;
pub use decoder::decoder;
pub use dissection::dissection;
pub use engine::engine;
pub use filter::filter;
pub use flow::flow;
pub use paths::paths;

/// A target: its name, which is that of its folder in `corpus/`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("decoder", decoder),
    ("dissection", dissection),
    ("flow", flow),
    ("paths", paths),
    ("filter", filter),
    ("blocks", blocks),
    ("engine", engine),
];

/// `bytes` cut into pieces whose lengths two halves of a byte choose: short and long ones in turn.
fn pieces(bytes: &[u8], cut: u8) -> impl Iterator<Item = &[u8]> {
    let lengths = [1 + usize::from(cut & 0x0f), 1 + usize::from(cut >> 4) * 37];
    let mut rest = bytes;
    lengths.into_iter().cycle().map_while(move |length| {
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
