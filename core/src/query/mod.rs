//! Questions the page asks the engine, and the answers: plain data, the only types that cross to a user interface.
//!
//! A question is complete in itself and its answer is bounded, so that nothing in the page knows whether the engine is a Web
//! Worker here or a process elsewhere.

mod answer;
mod ask;
mod chips;
mod counters;
mod course;
mod drops;
mod engine;
mod field_lines;
mod flows;
mod help;
mod judged;
mod ladder;
mod locate;
pub mod medium;
mod names;
mod offload;
mod overview;
mod packet;
mod packet_lines;
pub mod packets_json;
mod quality;
mod reader;
pub mod report;
mod rows;
mod scan;
mod tracks;

pub use crate::recording::{Batch, Parser};
pub use answer::*;
pub use ask::*;
pub use engine::Engine;
pub use field_lines::{Chosen, FieldLines};
pub use packet_lines::{PacketLines, Survey, Surveyed};
pub use quality::is_known_mark;
pub use reader::ByteSource;
