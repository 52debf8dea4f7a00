//! Questions the page asks the engine, and the answers: plain data, the only types that cross to a user interface.
//!
//! A question is complete in itself and its answer is bounded, so that nothing in the page knows whether the engine is a Web
//! Worker here or a process elsewhere.

mod answer;
mod ask;
pub mod packets_json;

pub use answer::*;
pub use ask::*;
