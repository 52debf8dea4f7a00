//! What the spool remembers of the server it is sent to, so that a restarted agent goes on with the same capture.

use super::Address;
use super::address::is_token;
use dropscope_review::{CaptureId, Folder};
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

    /// Whether its id and token are such as can be sent back: a server may answer anything, and what cannot be sent would be
    /// tried for ever.
    pub(super) fn is_usable(&self) -> bool {
        CaptureId::parse(&self.capture).is_some() && is_token(&self.token)
    }

    /// What is remembered in a spool of this server.
    pub(crate) fn read(folder: &Folder, server: &Address) -> Option<Self> {
        let saved: Self = serde_json::from_slice(&folder.read(NAME, LARGEST).ok()?).ok()?;
        (saved.server == server.to_string() && saved.is_usable()).then_some(saved)
    }

    pub(super) fn write(&self, folder: &Folder) -> io::Result<()> {
        folder.replace_file(NAME, &serde_json::to_vec(self).map_err(io::Error::other)?)
    }

    pub(super) fn remove(folder: &Folder) {
        // One that is not there is what is wanted.
        let _ = folder.remove_file(NAME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_or_a_token_that_cannot_be_sent_back_is_not_kept() {
        let server = "http://10.0.0.5/".parse::<Address>().unwrap();
        let saved = |capture: &str, token: &str| Saved::new(&server, capture.into(), token.into());
        assert!(saved("0123456789ab", "abc").is_usable());
        for (capture, token) in
            [("", "abc"), ("../../x", "abc"), ("a b", "abc"), ("0123456789ab", "a\r\nb"), ("0123456789ab", "")]
        {
            assert!(!saved(capture, token).is_usable(), "{capture:?} {token:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder.path()).unwrap();
        saved("0123456789ab", "abc").write(&folder).unwrap();
        assert_eq!(Saved::read(&folder, &server), Some(saved("0123456789ab", "abc")));
        saved("x\ny", "abc").write(&folder).unwrap();
        assert_eq!(Saved::read(&folder, &server), None, "one that an older agent kept");
    }
}
