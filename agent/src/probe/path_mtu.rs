//! The largest packet that passes: echo requests that must not be fragmented, by halving.
//!
//! What is too long is refused by a router that says so (ICMP "fragmentation needed", RFC 1191), or vanishes without a word: a
//! black hole. The replies come back as large, and the kernel says whether they came in fragments: that is what can be known of
//! the way back. IPv4 only.

use super::socket::{receive, set_number, tcp_info, tell_fragments};
use super::syn::wait;
use super::{Outcome, wire};
use dropscope_core::log::block::Probe;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrStorage, connect,
    getsockopt, recvmsg, send, socket, sockopt,
};
use serde_json::json;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// Every IPv4 path passes so much (RFC 791).
const SMALLEST: usize = 68;
/// No packet is larger.
const LARGEST: usize = 65_535;
/// A size that stays without an answer is tried so often: packets are lost for other reasons too.
const TRIES: u16 = 3;
/// How long a reply is waited for, beyond three round trips.
const PATIENCE: Duration = Duration::from_millis(250);

/// What happened to one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Passed,
    /// Larger than the own interface takes.
    TooLargeHere,
    /// A router said how large packets may be.
    Refused(Ipv4Addr, u32),
    Silence,
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    /// The largest size that was answered.
    passes: usize,
    /// The smallest that was not, and what became of it.
    beyond: Option<(usize, Option<Seen>)>,
    rtt: Vec<u64>,
    sent: u32,
    /// The largest fragment of a reply that came in fragments.
    fragment: Option<u32>,
}

/// Finds the path MTU to the host of `target`.
pub(super) fn search(target: SocketAddr, timeout: Duration) -> Outcome {
    let at_ns = crate::source::clock::realtime_ns();
    let found = match target {
        SocketAddr::V4(target) => Echo::open(*target.ip(), timeout).and_then(Echo::search),
        SocketAddr::V6(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "only paths of IPv4 are probed")),
    };
    let host = target.ip();
    let mut probe = Probe { at_ns, kind: "pmtu".into(), target: host.to_string(), ..Probe::default() };
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            probe.summary = format!("The path MTU to {host} cannot be probed: {error}.");
            return Outcome { probe, is_fine: false, details: json!({ "error": error.to_string() }) };
        }
    };
    let (mut summary, verdict) = found.sentence(host);
    let mss = segment_size(target, timeout.min(Duration::from_secs(1)));
    if let Some(mss) = mss {
        summary.push_str(&format!(" Its TCP is sent segments of {mss} bytes."));
    }
    (probe.sent, probe.answered, probe.summary) = (found.sent, found.rtt.len() as u32, summary);
    let refused = match found.beyond {
        Some((_, Some(Seen::Refused(by, mtu)))) => json!({ "by": by, "mtu": mtu }),
        _ => json!(null),
    };
    let details = json!({
        "verdict": verdict, "mtu": Some(found.passes).filter(|size| *size > 0), "refused": refused,
        "first_size_lost": found.beyond.map(|(size, _)| size), "back_in_fragments_of": found.fragment, "mss": mss,
    });
    probe.rtt_ns = found.rtt;
    Outcome { probe, is_fine: matches!(verdict, "whole" | "refused"), details }
}

impl Found {
    /// The result in words, and in one.
    fn sentence(&self, host: std::net::IpAddr) -> (String, &'static str) {
        let size = self.passes;
        let back = match self.fragment {
            Some(fragment) => format!(" Replies came back in fragments of up to {fragment} bytes: the way back takes no more."),
            None => " Replies came back as large, in one piece.".to_owned(),
        };
        match self.beyond {
            _ if size == 0 => (
                format!("{host} answers no echo request, not even of {SMALLEST} bytes, so the path MTU cannot be told."),
                "unanswered",
            ),
            None | Some((_, None | Some(Seen::Passed))) => {
                (format!("Packets of up to {size} bytes pass to {host}: no packet is larger.{back}"), "whole")
            }
            Some((_, Some(Seen::TooLargeHere))) => {
                (format!("Packets of up to {size} bytes pass to {host}, as many as the own interface takes.{back}"), "whole")
            }
            Some((_, Some(Seen::Refused(by, mtu)))) => (
                format!(
                    "Packets of up to {size} bytes pass to {host}; larger ones are refused by {by}, which says so (MTU {mtu}).{back}"
                ),
                "refused",
            ),
            Some((beyond, Some(Seen::Silence))) => (
                format!(
                    "Packets of up to {size} bytes pass to {host}; from {beyond} bytes on they vanish and nobody says so: a path MTU \
                     black hole.{back}"
                ),
                "black_hole",
            ),
        }
    }
}

/// The segments TCP sends to the target, which its MSS and the path bound; `None` where it does not connect.
fn segment_size(target: SocketAddr, timeout: Duration) -> Option<u32> {
    let stream = TcpStream::connect_timeout(&target, timeout).ok()?;
    tcp_info(&stream).ok().map(|info| info.tcpi_snd_mss)
}

/// A socket for echo requests.
struct Echo {
    fd: OwnedFd,
    /// What tells our replies from others, where the kernel does not.
    identifier: Option<u16>,
    sequence: u16,
    deadline: Instant,
    found: Found,
}

impl Echo {
    fn open(host: Ipv4Addr, timeout: Duration) -> io::Result<Self> {
        let open = |kind| socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp);
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
        set_number(&fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
        set_number(&fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
        // Linux before 4.10 does not know it; the way back then stays unknown.
        let _ = tell_fragments(&fd);
        // A size takes up to three tries, and there are 16 halvings.
        let deadline = Instant::now() + timeout * 4;
        Ok(Self { fd, identifier, sequence: 0, deadline, found: Found::default() })
    }

    fn search(mut self) -> io::Result<Found> {
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
            let message = wire::echo_request(self.identifier.unwrap_or(0), self.sequence, size);
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
                let message = if self.identifier.is_some() { wire::payload_of_ipv4(packet) } else { Some(packet) };
                if message.and_then(|message| wire::echo_reply(message, self.identifier)) == Some(self.sequence) {
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
        let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in);
        let mut data = [0; 64];
        loop {
            let mut parts = [IoSliceMut::new(&mut data)];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let Ok(message) = recvmsg::<SockaddrIn>(self.fd.as_raw_fd(), &mut parts, Some(&mut space), flags) else {
                return seen;
            };
            for control in message.cmsgs().into_iter().flatten() {
                let ControlMessageOwned::Ipv4RecvErr(error, from) = control else { continue };
                if error.ee_errno != libc::EMSGSIZE as u32 {
                    continue;
                }
                seen = match (error.ee_origin, from) {
                    (libc::SO_EE_ORIGIN_ICMP, Some(from)) => {
                        Some(Seen::Refused(Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)), error.ee_info))
                    }
                    _ => Some(Seen::TooLargeHere),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_black_hole_is_told_from_a_refusal() {
        let host = std::net::IpAddr::from([10, 0, 0, 9]);
        let router = Ipv4Addr::new(10, 0, 0, 1);
        let cases = [
            (0, None, None, "10.0.0.9 answers no echo request, not even of 68 bytes", "unanswered"),
            (
                1500,
                Some((1501, Some(Seen::TooLargeHere))),
                None,
                "as many as the own interface takes. Replies came back as large",
                "whole",
            ),
            (
                600,
                Some((601, Some(Seen::Refused(router, 600)))),
                None,
                "refused by 10.0.0.1, which says so (MTU 600).",
                "refused",
            ),
            (604, Some((605, Some(Seen::Silence))), None, "from 605 bytes on they vanish and nobody says so", "black_hole"),
            (1500, Some((1501, Some(Seen::TooLargeHere))), Some(600), "in fragments of up to 600 bytes", "whole"),
        ];
        for (passes, beyond, fragment, words, verdict) in cases {
            let (text, told) = Found { passes, beyond, fragment, ..Found::default() }.sentence(host);
            assert!(text.contains(words) && told == verdict, "{told}: {text}");
        }
    }
}
