//! Tokens that are not a capture's: those that may begin pushes, and those that are no longer valid.

use crate::capture::CaptureId;
use crate::folder::Folder;
use crate::token::TokenHash;
use serde::{Deserialize, Serialize};
use std::io;

/// Revoked tokens that are remembered. An agent with an older one is told that it is unknown.
const MOST_GONE: usize = 4096;
const FILE: &str = "tokens.json";
/// Room for all of them, and for some ten thousand that may begin pushes.
const LARGEST: u64 = 4 << 20;

/// `tokens.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tokens {
    version: u32,
    push: Vec<Push>,
    gone: Vec<TokenHash>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Push {
    name: String,
    hash: TokenHash,
    created_ns: i64,
}

/// A token as the owner's list shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Listed {
    pub(crate) id: String,
    /// `push`, `agent` or `reader`.
    pub(crate) kind: &'static str,
    /// What it was called when it was made, or its capture.
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<CaptureId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_ns: Option<i64>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { version: 1, push: Vec::new(), gone: Vec::new() }
    }
}

impl Tokens {
    /// Those that are kept in a data folder; none where there is no such file yet.
    ///
    /// # Errors
    /// When the file cannot be read. To go on without it would bring revoked tokens back once it is written again.
    pub(crate) fn read(folder: &Folder) -> io::Result<Self> {
        match folder.read(FILE, LARGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            read => serde_json::from_slice(&read?).map_err(|error| io::Error::other(format!("tokens.json: {error}"))),
        }
    }

    pub(crate) fn write(&self, folder: &Folder) -> io::Result<()> {
        folder.replace_file(FILE, &serde_json::to_vec_pretty(self).map_err(io::Error::other)?)
    }

    pub(crate) fn may_push(&self, presented: &TokenHash) -> bool {
        self.push.iter().any(|one| one.hash.matches(presented))
    }

    pub(crate) fn is_gone(&self, presented: &TokenHash) -> bool {
        self.gone.iter().any(|one| one.matches(presented))
    }

    pub(crate) fn listed(&self) -> Vec<Listed> {
        let one = |one: &Push| Listed {
            id: one.hash.id(),
            kind: "push",
            name: one.name.clone(),
            capture: None,
            created_ns: Some(one.created_ns),
        };
        self.push.iter().map(one).collect()
    }

    /// With one more that may begin pushes.
    pub(crate) fn with(&self, name: &str, hash: TokenHash, created_ns: i64) -> Self {
        let mut more = self.clone();
        more.push.push(Push { name: name.to_owned(), hash, created_ns });
        more
    }

    /// Without one of them, which is gone from here on.
    pub(crate) fn without(&self, id: &str) -> Self {
        let found = self.push.iter().find(|one| one.hash.id() == id).map(|one| one.hash);
        let mut less = found.map_or_else(|| self.clone(), |hash| self.with_gone(hash));
        less.push.retain(|one| one.hash.id() != id);
        less
    }

    /// With one more that is no longer valid.
    pub(crate) fn with_gone(&self, hash: TokenHash) -> Self {
        let mut more = self.clone();
        more.gone.push(hash);
        let too_many = more.gone.len().saturating_sub(MOST_GONE);
        more.gone.drain(..too_many);
        more
    }
}
