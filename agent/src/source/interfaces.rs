//! The interfaces of a namespace, kept: read again only when the kernel tells of a change, since a host may have hundreds and
//! several sources need their names once a second.

use super::link::{self, Link};
use super::netlink::Socket;
use nix::sys::socket::SockProtocol;
use std::io;

/// The interfaces as they were when the kernel last told of a change.
pub(super) struct Interfaces {
    requests: Socket,
    changes: Socket,
    links: Vec<Link>,
    /// How often they were read; 0 before the first time.
    generation: u64,
}

impl Interfaces {
    /// Those of the calling thread's namespace. Nothing is read yet.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            requests: Socket::open(SockProtocol::NetlinkRoute)?,
            changes: Socket::listen(SockProtocol::NetlinkRoute, libc::RTMGRP_LINK as u32)?,
            links: Vec::new(),
            generation: 0,
        })
    }

    /// Those that are there now.
    pub(super) fn now(&mut self) -> io::Result<&Self> {
        // Told first, then read: what changes in between is told again.
        if self.changes.was_told() || self.generation == 0 {
            self.links = link::read(&mut self.requests)?;
            self.generation += 1;
        }
        Ok(self)
    }

    /// By number. Their counters are those of an earlier moment.
    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Differs when they were read again.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// One of them.
    pub(super) fn link(&self, ifindex: u32) -> Option<&Link> {
        let at = self.links.binary_search_by_key(&ifindex, |link| link.ifindex).ok()?;
        Some(&self.links[at])
    }
}
