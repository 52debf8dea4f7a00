//! What the spool remembers of the server it is sent to, so that a restarted agent goes on with the same capture.

use super::Address;
use dropscope_review::Folder;
use serde::{Deserialize, Serialize};
use std::io;

/// Its file in the spool, and how many bytes it holds at most.
const NAME: &str = "push.json";
const LARGEST: u64 = 64 << 10;

/// `push.json` in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    server: String,
    /// The capture's id there.
    pub(super) capture: String,
    /// The token that lets it be sent.
    pub(super) token: String,
    /// The segments that may be there in part.
    pub(crate) acknowledged: u64,
    pub(crate) sending: u64,
}

impl Saved {
    pub(super) fn new(server: &Address, capture: String, token: String) -> Self {
        Self { server: server.to_string(), capture, token, acknowledged: 0, sending: 0 }
    }

    /// What is remembered in a spool of this server.
    pub(crate) fn read(folder: &Folder, server: &Address) -> Option<Self> {
        let saved: Self = serde_json::from_slice(&folder.read(NAME, LARGEST).ok()?).ok()?;
        (saved.server == server.to_string()).then_some(saved)
    }

    pub(super) fn write(&self, folder: &Folder) -> io::Result<()> {
        folder.replace_file(NAME, &serde_json::to_vec(self).map_err(io::Error::other)?)
    }

    pub(super) fn remove(folder: &Folder) {
        // One that is not there is what is wanted.
        let _ = folder.remove_file(NAME);
    }
}
