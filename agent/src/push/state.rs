//! What the spool remembers of the server it is sent to, so that a restarted agent goes on with the same capture.

use super::Address;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

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
    pub(crate) fn read(folder: &Path, server: &Address) -> Option<Self> {
        let saved: Self = serde_json::from_slice(&std::fs::read(folder.join("push.json")).ok()?).ok()?;
        (saved.server == server.to_string()).then_some(saved)
    }

    /// Writes it beside itself first and then into its place. It holds a token: it is nobody else's business.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let new = folder.join("push.json.new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        io::Write::write_all(&mut file, &serde_json::to_vec(self).map_err(io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(new, folder.join("push.json"))
    }

    pub(super) fn remove(folder: &Path) {
        // One that is not there is what is wanted.
        let _ = std::fs::remove_file(folder.join("push.json"));
    }
}
