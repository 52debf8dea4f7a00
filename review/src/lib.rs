//! The server side of review: captures kept in a folder, links to them, tokens, and the HTTP interface of docs/api.md.
//!
//! It promises: bytes are handed out as they stand on disk; a viewer never costs whoever writes the capture anything, since
//! each is read from the file at its own offset; nothing is readable without a token; nobody's browser can be made to use
//! this server for another site (Host and Origin are checked). It knows nothing of packets: what a capture means is worked
//! out where it is looked at. Nothing below its folder is believed: links are not followed there, other users' files not read.

mod api;
mod block;
mod caller;
mod capture;
mod connection;
mod download;
mod error;
mod files;
mod folder;
mod follow;
mod guard;
mod lock;
mod name;
mod push;
mod seats;
mod store;
mod token;
mod tokens;
mod upload;

pub use api::{Limits, Review};
pub use caller::Rights;
pub use capture::{Capture, CaptureId, Format, Growth};
pub use connection::{Connection, Standing};
pub use folder::{Entry, Folder};
pub use guard::Guard;
pub use store::{LOG, Reserved, Store, open_named};
pub use token::{Token, TokenHash};
