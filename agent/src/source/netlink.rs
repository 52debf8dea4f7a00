//! A small netlink: requests out, messages and attributes in.
//!
//! It knows the envelope (RFC 3549: header, multipart, error, DONE) and attributes, and nothing of what they mean. A socket
//! belongs to the namespace of the thread that opened it.

// One socket option has no safe wrapper.
#![allow(unsafe_code)]

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

const HEADER: usize = 16;
const DONE: u16 = libc::NLMSG_DONE as u16;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
/// A dump is asked for again so often when the table changed under it.
const DUMP_TRIES: usize = 3;

/// A netlink socket.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket that is asked and answers.
    pub(super) fn open(protocol: SockProtocol) -> io::Result<Self> {
        Self::listen(protocol, 0)
    }

    /// A socket that is also told of changes in the groups of `groups` (bits of `RTMGRP_…`).
    pub(super) fn listen(protocol: SockProtocol, groups: u32) -> io::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        // ctnetlink answers some requests as the first part of many and never sends the end: do not wait for it for ever.
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(2))?;
        Ok(Self { fd, sequence: 0, buffer: vec![0; 1 << 16] })
    }

    /// Makes the kernel take the fixed part of dump requests seriously (NETLINK_GET_STRICT_CHK, Linux 4.20); whether it does.
    pub(super) fn set_strict(&self) -> bool {
        let on: libc::c_int = 1;
        // SAFETY: the option takes an int, and `on` is one that lives through the call.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_NETLINK,
                libc::NETLINK_GET_STRICT_CHK,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        result == 0
    }

    /// Asks for a whole table; `each` gets type and body of every message. After an interruption (the table changed while it
    /// was read) everything is asked for again, and `restart` is called before.
    pub(super) fn dump<S>(
        &mut self,
        request: &Request,
        mut restart: impl FnMut() -> S,
        mut each: impl FnMut(&mut S, u16, &[u8]),
    ) -> io::Result<S> {
        for last_try in (0..DUMP_TRIES).map(|n| n + 1 == DUMP_TRIES) {
            let mut state = restart();
            let consistent = self.exchange(request, libc::NLM_F_DUMP, |kind, body| each(&mut state, kind, body))?;
            // What was read at the last try is still nearly right: counters of all but a few entries.
            if consistent || last_try {
                return Ok(state);
            }
        }
        unreachable!("the last try returns")
    }

    /// Asks for one thing; `each` gets its answer.
    pub(super) fn ask(&mut self, request: &Request, each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.exchange(request, 0, each).map(drop)
    }

    /// Whether anything was told since the last time (listening sockets only). Never waits.
    pub(super) fn was_told(&mut self) -> bool {
        let mut told = false;
        loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(_) => told = true,
                // The kernel had more to tell than fits the socket: something did change.
                Err(nix::errno::Errno::ENOBUFS) => told = true,
                Err(_) => return told,
            }
        }
    }

    fn exchange(&mut self, request: &Request, flags: i32, mut each: impl FnMut(u16, &[u8])) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let is_dump = flags & libc::NLM_F_DUMP != 0;
        send(self.fd.as_raw_fd(), &request.bytes(libc::NLM_F_REQUEST | flags, self.sequence), MsgFlags::empty())?;
        let mut consistent = true;
        loop {
            let n = recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            let mut rest = &self.buffer[..n];
            let mut answered = false;
            while let Some(message) = Message::split(&mut rest) {
                if message.sequence != self.sequence {
                    continue;
                }
                consistent &= i32::from(message.flags) & libc::NLM_F_DUMP_INTR == 0;
                match message.kind {
                    DONE => return Ok(consistent),
                    ERROR => {
                        return match message.body.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
                            Some(0) => Ok(consistent),
                            Some(code) => Err(io::Error::from_raw_os_error(-code)),
                            None => Err(io::Error::from(io::ErrorKind::InvalidData)),
                        };
                    }
                    kind => {
                        each(kind, message.body);
                        answered = true;
                    }
                }
            }
            if answered && !is_dump {
                return Ok(consistent);
            }
        }
    }
}

/// A request: its type, fixed part and attributes.
#[derive(Debug)]
pub(super) struct Request {
    kind: u16,
    body: Vec<u8>,
}

impl Request {
    /// A request of `kind` with its family's fixed part, already padded to four bytes.
    pub(super) fn new(kind: u16, fixed: &[u8]) -> Self {
        Self { kind, body: fixed.to_vec() }
    }

    /// With an attribute.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.body.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
        self.body.extend_from_slice(&kind.to_ne_bytes());
        self.body.extend_from_slice(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    /// The fixed part and the attributes.
    #[cfg(test)]
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    fn bytes(&self, flags: i32, sequence: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend_from_slice(&((HEADER + self.body.len()) as u32).to_ne_bytes());
        bytes.extend_from_slice(&self.kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags as u16).to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes the first message off `rest`; `None` at its end or where a length is impossible.
    fn split(rest: &mut &'a [u8]) -> Option<Self> {
        let length = u32_at(rest, 0)? as usize;
        let body = rest.get(HEADER..length)?;
        let (kind, flags, sequence) = (u16_at(rest, 4)?, u16_at(rest, 6)?, u32_at(rest, 8)?);
        *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Self { kind, flags, sequence, body })
    }
}

/// The attributes in `bytes`: type, without the flags for nesting and byte order, and value. Stops where a length is impossible.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u16_at(bytes, 0)? as usize;
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The attribute of one type.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A string attribute, without its final zero.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// A number in the host's byte order.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A number in the host's byte order.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A number in the host's byte order.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A number in network byte order.
pub(super) fn be32(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*value.first_chunk()?))
}

/// A number in network byte order.
pub(super) fn be64(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*value.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_up_to_the_first_impossible_length() {
        let request = Request::new(0, &[]).with(3, b"eth0\0").with(4, &100u32.to_ne_bytes());
        let read: Vec<_> = attributes(&request.body).map(|(kind, value)| (kind, value.len())).collect();
        assert_eq!(read, [(3, 5), (4, 4)]);
        assert_eq!(text(attribute(&request.body, 3).expect("it was put there")), "eth0");
        for cut in 0..request.body.len() {
            assert!(attributes(&request.body[..cut]).count() <= 1, "cut at {cut}");
        }
        assert_eq!(attributes(&[1, 0, 3, 0, 9, 9, 9, 9]).count(), 0, "shorter than its own header");
    }

    #[test]
    fn a_message_with_an_impossible_length_ends_reading() {
        let bytes = Request::new(18, &[0; 16]).bytes(0x301, 7);
        let mut rest = bytes.as_slice();
        let message = Message::split(&mut rest).expect("a whole message");
        assert_eq!((message.kind, message.flags, message.sequence, message.body.len()), (18, 0x301, 7, 16));
        assert!(Message::split(&mut rest).is_none());
        let mut lying = bytes.clone();
        lying[0] = 200;
        assert!(Message::split(&mut lying.as_slice()).is_none());
    }
}
