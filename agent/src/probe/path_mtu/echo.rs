//! Echo requests of every size, and what becomes of them.

use super::{Found, LARGEST, PATIENCE, SMALLEST, Seen, wire};
use crate::probe::socket::{forbid_fragments, receive, report_errors, tell_fragments};
use crate::probe::syn::wait;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, getsockopt,
    recvmsg, send, socket, sockopt,
};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// A size that stays without an answer is tried so often: packets are lost for other reasons too.
const TRIES: u16 = 3;

/// A socket for echo requests.
pub(super) struct Echo {
    fd: OwnedFd,
    host: IpAddr,
    /// What tells our replies from others, where the kernel does not.
    identifier: Option<u16>,
    sequence: u16,
    deadline: Instant,
    found: Found,
}

impl Echo {
    pub(super) fn open(host: IpAddr, timeout: Duration) -> io::Result<Self> {
        let (family, protocol) = match host {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let open = |kind| socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol);
        let (fd, identifier) = match open(SockType::Raw) {
            Ok(fd) => (fd, Some(std::process::id() as u16)),
            Err(_) => {
                let fd = open(SockType::Datagram).map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::PermissionDenied,
                        "echo requests need CAP_NET_RAW, or net.ipv4.ping_group_range",
                    )
                })?;
                (fd, None)
            }
        };
        connect(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((host, 0))))?;
        forbid_fragments(&fd, host)?;
        report_errors(&fd, host)?;
        // Linux before 4.10 does not know it; the way back then stays unknown.
        let _ = tell_fragments(&fd, host);
        // A size takes up to three tries, and there are 16 halvings.
        let deadline = Instant::now() + timeout * 4;
        Ok(Self { fd, host, identifier, sequence: 0, deadline, found: Found::default() })
    }

    pub(super) fn search(mut self) -> io::Result<Found> {
        if self.try_size(SMALLEST)? != Seen::Passed {
            return Ok(self.found);
        }
        let (mut passes, mut beyond, mut why) = (SMALLEST, LARGEST + 1, None);
        while passes + 1 < beyond && Instant::now() < self.deadline {
            let size = match why {
                Some(Seen::Refused(_, mtu)) if mtu as usize + 1 == beyond => mtu as usize,
                _ => passes + (beyond - passes) / 2,
            };
            match self.try_size(size)? {
                Seen::Passed => passes = size,
                // Routers say so once a second only: that what it names passes is enough, and nothing beyond is asked for.
                Seen::Refused(by, mtu) if (passes..size).contains(&(mtu as usize)) => {
                    (beyond, why) = (mtu as usize + 1, Some(Seen::Refused(by, mtu)));
                }
                other => (beyond, why) = (size, Some(other)),
            }
        }
        (self.found.passes, self.found.beyond) = (passes, Some((beyond, why)));
        Ok(self.found)
    }

    fn try_size(&mut self, size: usize) -> io::Result<Seen> {
        for _ in 0..TRIES {
            self.sequence += 1;
            // A report about an earlier packet would be taken for this one's.
            let _ = self.report();
            let _ = getsockopt(&self.fd, sockopt::SocketError);
            let began = Instant::now();
            let message = wire::echo_request(self.host, self.identifier.unwrap_or(0), self.sequence, size);
            match send(self.fd.as_raw_fd(), &message, MsgFlags::empty()) {
                Ok(_) => self.found.sent += 1,
                Err(Errno::EMSGSIZE) => return Ok(self.report().unwrap_or(Seen::TooLargeHere)),
                Err(error) => return Err(error.into()),
            }
            let usual = Duration::from_nanos(self.found.rtt.iter().copied().max().unwrap_or(0));
            if let Some(seen) = self.hear(began, began + PATIENCE + usual * 3)? {
                return Ok(seen);
            }
        }
        Ok(Seen::Silence)
    }

    /// What comes for the last request until `end`.
    fn hear(&mut self, began: Instant, end: Instant) -> io::Result<Option<Seen>> {
        let mut buffer = vec![0; LARGEST + 1];
        while Instant::now() < end {
            wait(&[&self.fd], PollFlags::POLLIN, end)?;
            if let Some(seen) = self.report() {
                return Ok(Some(seen));
            }
            while let Ok((length, fragment)) = receive(&self.fd, &mut buffer) {
                let packet = &buffer[..length];
                // A raw socket of IPv4 hands out the header, too.
                let has_header = self.identifier.is_some() && self.host.is_ipv4();
                let message = if has_header { wire::payload_of_ipv4(packet) } else { Some(packet) };
                let reply = message.and_then(|message| wire::echo_reply(self.host, message, self.identifier));
                if reply == Some(self.sequence) {
                    self.found.rtt.push(began.elapsed().as_nanos() as u64);
                    self.found.fragment = self.found.fragment.max(fragment);
                    return Ok(Some(Seen::Passed));
                }
            }
        }
        Ok(None)
    }

    /// What the error queue says of a packet that was too large.
    fn report(&self) -> Option<Seen> {
        let mut seen = None;
        let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let mut data = [0; 64];
        loop {
            let mut parts = [IoSliceMut::new(&mut data)];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let Ok(message) = recvmsg::<SockaddrStorage>(self.fd.as_raw_fd(), &mut parts, Some(&mut space), flags) else {
                return seen;
            };
            for control in message.cmsgs().into_iter().flatten() {
                let (error, from) = match control {
                    ControlMessageOwned::Ipv4RecvErr(error, from) => {
                        (error, from.map(|from| IpAddr::from(Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)))))
                    }
                    ControlMessageOwned::Ipv6RecvErr(error, from) => {
                        (error, from.map(|from| IpAddr::from(Ipv6Addr::from(from.sin6_addr.s6_addr))))
                    }
                    _ => continue,
                };
                if error.ee_errno != libc::EMSGSIZE as u32 {
                    continue;
                }
                seen = match (error.ee_origin, from) {
                    (libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6, Some(from)) => Some(Seen::Refused(from, error.ee_info)),
                    _ => Some(Seen::TooLargeHere),
                };
            }
        }
    }
}
