//! A listener that never accepts: its queue of accepted connections is full. No drop event at all, only counters.

use crate::Lab;
use anyhow::Result;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

pub(super) const LAB: Lab = Lab {
    name: "accept-queue-overflow",
    about: "the service on port 80 does not accept connections and its queue of one is full",
    causes: &["accept_queue_overflow"],
    build: |net| net.docker(),
    fault: |net| {
        let listener = net.server.enter(|| {
            let listener = nix::sys::socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
            nix::sys::socket::bind(listener.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, 80))?;
            nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(1)?)?;
            Ok(listener)
        })?;
        net.keep.push(Box::new(listener));
        Ok(())
    },
    load: |net| {
        let [a, b, c, d] = net.server_address.octets();
        net.client.enter(|| {
            let begun: Result<Vec<OwnedFd>> = (0..6)
                .map(|_| {
                    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
                    let client = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
                    // In progress is what a non-blocking connect answers.
                    let _ = connect(client.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 80));
                    Ok(client)
                })
                .collect();
            let begun = begun?;
            // Long enough for the first SYN retransmissions, at 1 s and 3 s.
            std::thread::sleep(Duration::from_millis(3500));
            Ok(format!("{} connections begun\n", begun.len()))
        })
    },
};
