//! What the calls know of the connection they come by, and what whoever accepted it learns from them.
//!
//! The server that accepts connections puts an `Arc<Connection>` into the extensions of each request. Where there is none (a
//! test that calls the router itself), the checks that need it are left out.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};

/// How much a connection is trusted, by the best token that it has presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// No valid token yet.
    Anonymous,
    /// A reader's token.
    Reader,
    /// The owner's token, or an agent's.
    Trusted,
}

/// One accepted connection.
#[derive(Debug)]
pub struct Connection {
    local: IpAddr,
    standing: AtomicU8,
}

impl Connection {
    /// A connection that was accepted at the address `local`.
    pub fn new(local: IpAddr) -> Self {
        Self { local: local.to_canonical(), standing: AtomicU8::new(Standing::Anonymous as u8) }
    }

    /// This server's address, as the client reached it.
    pub fn local(&self) -> IpAddr {
        self.local
    }

    /// How much it is trusted.
    pub fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Relaxed) {
            0 => Standing::Anonymous,
            1 => Standing::Reader,
            _ => Standing::Trusted,
        }
    }

    /// Records that a valid token was presented. A connection never loses what it had.
    pub fn raise(&self, standing: Standing) {
        self.standing.fetch_max(standing as u8, Ordering::Relaxed);
    }
}
