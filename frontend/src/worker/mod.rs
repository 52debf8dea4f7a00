//! The engine's own thread, and the bridge to it.
//!
//! The page never parses: bytes go to the Worker as `File`s and Blobs, questions and answers cross as Borsh in a transferred
//! buffer. A panic in the Worker kills the Worker and not the page, which says so and offers to start it again.
//!
//! ```text
//!  page                                  Worker
//!  Bridge ── ToWorker + File ──────────▶ host ── slices ──▶ Engine
//!    ▲                                    │ ◀── the Blob as a stream, or WebSocket messages kept as Blobs
//!    └──── ToPage (progress, answers) ────┘
//! ```

pub mod bridge;
pub mod host;
pub mod message;
pub mod read;
mod socket;
pub mod spool;

pub use bridge::{Asked, Bridge};
pub use host::run;
pub use message::{Opening, ToPage, ToWorker};
