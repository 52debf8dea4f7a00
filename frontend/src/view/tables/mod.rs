//! The views that are tables: conversations, counters, kernel drops, notes.

mod conversations;
mod counters;
mod drops;
mod notes;

pub use conversations::Conversations;
pub use counters::Counters;
pub use drops::Drops;
pub use notes::Notes;
