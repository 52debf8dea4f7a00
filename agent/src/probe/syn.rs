//! A series of SYNs: how many are answered, how fast, and which answers came only after a retransmission.
//!
//! With CAP_NET_RAW, single SYNs are sent by hand and never again, so that each one that is lost shows; an answer that comes a
//! second late was retransmitted by the peer. Without it, whole connections are opened; their SYNs the kernel retransmits after
//! 1, 3 and 7 s (RFC 6298 section 2), and the time tells how often it did.

use super::wire::{self, Answer};
use super::{Outcome, milliseconds, text};
use dropscope_core::log::block::Probe;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, getsockopt, recv, send, socket, sockopt,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// An answer that takes longer was preceded by a retransmission: the first comes after a second, clocks being a little coarse.
const RETRANSMITTED: [Duration; 3] = [Duration::from_millis(950), Duration::from_millis(2900), Duration::from_millis(6800)];

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// How many.
    pub(super) count: u32,
    /// Between two.
    pub(super) interval: Duration,
    /// How long the last may take.
    pub(super) timeout: Duration,
}

/// What became of one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Refused,
    /// An ICMP error, in words.
    Unreachable(String),
    Failed(String),
}

#[derive(Debug, Default)]
struct Try {
    sent: Option<Instant>,
    fate: Option<(Duration, Fate)>,
    /// Answers after the first.
    duplicates: u32,
}

/// Sends a series and says what came back.
pub(super) fn series(target: SocketAddr, settings: &Settings) -> Outcome {
    let at_ns = crate::source::clock::realtime_ns();
    let mut mss = None;
    let (kind, tries) = match raw(target, settings, &mut mss) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => ("connect", whole_connections(target, settings)),
        other => ("syn", other),
    };
    match tries {
        Ok(tries) => judge(at_ns, kind, target, &tries, mss),
        Err(error) => {
            let summary = format!("{target} cannot be probed: {error}.");
            let probe = Probe { at_ns, kind: kind.into(), target: target.to_string(), summary, ..Probe::default() };
            Outcome { probe, is_fine: false, details: json!({ "error": error.to_string() }) }
        }
    }
}

fn judge(at_ns: i64, kind: &str, target: SocketAddr, tries: &[Try], mss: Option<u16>) -> Outcome {
    let fates = || tries.iter().filter_map(|one| one.fate.as_ref());
    let opened = || fates().filter(|(_, fate)| *fate == Fate::Open);
    let rtt_ns: Vec<u64> = opened().map(|(time, _)| time.as_nanos() as u64).collect();
    let answered = rtt_ns.len() as u32;
    let refused = fates().filter(|(_, fate)| *fate == Fate::Refused).count() as u32;
    let sent = tries.len() as u32;
    let lost = tries.iter().filter(|one| one.fate.is_none()).count() as u32;
    let late: Vec<usize> = RETRANSMITTED.iter().map(|least| opened().filter(|(time, _)| time >= least).count()).collect();
    let duplicates: u32 = tries.iter().map(|one| one.duplicates).sum();
    let mut errors: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, fate) in fates() {
        if let Fate::Unreachable(why) | Fate::Failed(why) = fate {
            *errors.entry(why).or_default() += 1;
        }
    }
    let what = if kind == "syn" { "SYNs" } else { "connections" };
    let mut parts = Vec::new();
    if answered > 0 || (refused == 0 && errors.is_empty()) {
        parts.push(format!("{answered} of {sent} {what} to {target} were answered"));
    } else {
        parts.push(format!("none of {sent} {what} to {target} was accepted"));
    }
    if lost > 0 {
        parts.push(format!("{lost} lost ({:.0} %)", f64::from(lost) * 100.0 / f64::from(sent)));
    }
    if refused > 0 {
        let by =
            if kind == "syn" { "RST: nobody listens on the port" } else { "nobody listens on the port, or a firewall says so" };
        parts.push(format!("{refused} refused ({by})"));
    }
    parts.extend(errors.iter().map(|(why, count)| format!("{count} rejected ({why})")));
    if late[0] > 0 {
        let whose = if kind == "syn" { "the peer's answer" } else { "SYN or answer" };
        parts.push(format!("{} answered only after {whose} was retransmitted", late[0]));
    }
    let mut summary = parts.join(", ");
    if kind == "connect" {
        summary.push_str(" (whole connections: single SYNs need CAP_NET_RAW)");
    }
    if let Some(times) = Times::of(&rtt_ns) {
        summary.push_str(&format!("; {}", times.text()));
    }
    if let Some(mss) = mss {
        summary.push_str(&format!("; the peer takes segments of {mss} bytes (MSS)"));
    }
    summary.push('.');
    let details = json!({
        "lost": lost, "refused": refused, "rejected": errors, "duplicates": duplicates, "mss": mss,
        "retransmitted": { "once_or_more": late[0], "twice_or_more": late[1], "three_times_or_more": late[2] },
    });
    let probe = Probe { at_ns, kind: kind.into(), target: target.to_string(), sent, answered, rtt_ns, summary };
    Outcome { probe, is_fine: answered == sent && late[0] == 0, details }
}

/// By hand: one SYN each, from a port of its own.
fn raw(target: SocketAddr, settings: &Settings, mss: &mut Option<u16>) -> io::Result<Vec<Try>> {
    let (family, icmp) = match target.ip() {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let tcp = raw_socket(family, SockProtocol::Tcp)?;
    let errors = raw_socket(family, icmp)?;
    let source = own_address(target)?;
    // The kernel hands on what comes from the peer alone; raw sockets have no ports.
    connect(tcp.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(target.ip(), 0)))?;
    if target.is_ipv6() {
        set_checksum_offset(&tcp)?;
    }
    let mut tries: Vec<Try> = (0..settings.count).map(|_| Try::default()).collect();
    let random = RandomState::new().hash_one(target);
    let (first_port, sequence) = (33_000 + (random % 20_000) as u16, (random >> 32) as u32);
    let began = Instant::now();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let sent = tries.iter().filter(|one| one.sent.is_some()).count();
        let next = began + settings.interval * sent as u32;
        if sent < tries.len() && Instant::now() >= next {
            let port = first_port.wrapping_add(sent as u16);
            let segment = wire::syn((source, port), (target.ip(), target.port()), sequence);
            tries[sent].sent = Some(Instant::now());
            if let Err(error) = send(tcp.as_raw_fd(), &segment, MsgFlags::empty()) {
                tries[sent].fate = Some((Duration::ZERO, Fate::Failed(io::Error::from(error).to_string())));
            }
            continue;
        }
        let end = began + settings.interval * settings.count.saturating_sub(1) + settings.timeout;
        let is_over = sent == tries.len() && (tries.iter().all(|one| one.fate.is_some()) || Instant::now() >= end);
        if is_over {
            return Ok(tries);
        }
        wait(&[&tcp, &errors], PollFlags::POLLIN, if sent < tries.len() { next } else { end })?;
        while let Ok(length) = recv(tcp.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            let packet = &buffer[..length];
            let segment = if target.is_ipv4() { wire::payload_of_ipv4(packet) } else { Some(packet) };
            let Some((from, to, acknowledged, answer)) = segment.and_then(wire::answer) else { continue };
            let Some(one) = tries.get_mut(usize::from(to.wrapping_sub(first_port))) else { continue };
            let Some(at) = one.sent.filter(|_| from == target.port() && acknowledged == sequence.wrapping_add(1)) else {
                continue;
            };
            let fate = match answer {
                Answer::Open(told) => {
                    *mss = mss.or(told);
                    Fate::Open
                }
                Answer::Refused => Fate::Refused,
            };
            match &one.fate {
                None => one.fate = Some((at.elapsed(), fate)),
                Some(_) => one.duplicates += 1,
            }
        }
        while let Ok(length) = recv(errors.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            let packet = &buffer[..length];
            let message = if target.is_ipv4() { wire::payload_of_ipv4(packet) } else { Some(packet) };
            let Some((_, code, from, to)) = message.and_then(|message| wire::error_about_tcp(message, target.is_ipv4())) else {
                continue;
            };
            let one = tries.get_mut(usize::from(from.wrapping_sub(first_port))).filter(|_| to == target.port());
            if let Some(one) = one
                && let (Some(at), None) = (one.sent, &one.fate)
            {
                one.fate = Some((at.elapsed(), Fate::Unreachable(reason(code, target.is_ipv4()).to_owned())));
            }
        }
    }
}

/// ICMP's codes of an unreachable destination: RFC 792, RFC 1812 section 5.2.7.1, RFC 4443 section 3.1.
fn reason(code: u8, is_ipv4: bool) -> &'static str {
    match (is_ipv4, code) {
        (true, 0) | (false, 0) => "ICMP: no route to the network",
        (true, 1) | (false, 3) => "ICMP: the host cannot be reached",
        (true, 3) | (false, 4) => "ICMP: port unreachable, which for TCP is a firewall's word",
        (true, 9 | 10 | 13) | (false, 1) => "ICMP: administratively prohibited",
        _ => "ICMP: destination unreachable",
    }
}

/// Whole connections, which need no rights.
fn whole_connections(target: SocketAddr, settings: &Settings) -> io::Result<Vec<Try>> {
    let family = if target.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let mut tries: Vec<Try> = (0..settings.count).map(|_| Try::default()).collect();
    let mut sockets: Vec<OwnedFd> = Vec::new();
    let began = Instant::now();
    loop {
        let sent = sockets.len();
        let next = began + settings.interval * sent as u32;
        if sent < tries.len() && Instant::now() >= next {
            let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, SockProtocol::Tcp)?;
            tries[sent].sent = Some(Instant::now());
            match connect(fd.as_raw_fd(), &SockaddrStorage::from(target)) {
                Ok(()) | Err(Errno::EINPROGRESS) => {}
                Err(error) => tries[sent].fate = Some((Duration::ZERO, fate_of(error))),
            }
            sockets.push(fd);
            continue;
        }
        let end = began + settings.interval * settings.count.saturating_sub(1) + settings.timeout;
        if sent == tries.len() && (tries.iter().all(|one| one.fate.is_some()) || Instant::now() >= end) {
            return Ok(tries);
        }
        let open: Vec<usize> = (0..sent).filter(|at| tries[*at].fate.is_none()).collect();
        let fds: Vec<&OwnedFd> = open.iter().map(|at| &sockets[*at]).collect();
        let ready = wait(&fds, PollFlags::POLLOUT, if sent < tries.len() { next } else { end })?;
        for (at, _) in open.into_iter().zip(ready).filter(|(_, is_ready)| *is_ready) {
            let time = tries[at].sent.map_or(Duration::ZERO, |sent| sent.elapsed());
            let fate = match getsockopt(&sockets[at], sockopt::SocketError)? {
                0 => Fate::Open,
                error => fate_of(Errno::from_raw(error)),
            };
            tries[at].fate = Some((time, fate));
        }
    }
}

fn fate_of(error: Errno) -> Fate {
    match error {
        Errno::ECONNREFUSED => Fate::Refused,
        Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EACCES => Fate::Unreachable(io::Error::from(error).to_string()),
        other => Fate::Failed(io::Error::from(other).to_string()),
    }
}

fn raw_socket(family: AddressFamily, protocol: SockProtocol) -> io::Result<OwnedFd> {
    Ok(socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?)
}

/// The address packets to `target` are sent from: what a connected datagram socket has, which sends nothing.
pub(super) fn own_address(target: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

/// Has the kernel fill in TCP's checksum, which lies 16 bytes in.
fn set_checksum_offset(socket: &OwnedFd) -> io::Result<()> {
    super::socket::set_number(socket, libc::IPPROTO_IPV6, libc::IPV6_CHECKSUM, 16)
}

/// Waits until one is ready or `until`; which ones are.
pub(super) fn wait(fds: &[&OwnedFd], flags: PollFlags, until: Instant) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::new(fd.as_fd(), flags)).collect();
    // Rounded up, or the last millisecond would be waited for in a busy loop.
    let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    match nix::poll::poll(&mut polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
        Ok(_) => Ok(polled.iter().map(|fd| fd.any().unwrap_or(true)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; fds.len()]),
        Err(error) => Err(error.into()),
    }
}

/// Round-trip times, summed up.
pub(super) struct Times {
    sorted: Vec<Duration>,
}

impl Times {
    /// `None` where nothing was answered.
    pub(super) fn of(rtt_ns: &[u64]) -> Option<Self> {
        let mut sorted: Vec<_> = rtt_ns.iter().map(|ns| Duration::from_nanos(*ns)).collect();
        sorted.sort();
        (!sorted.is_empty()).then_some(Self { sorted })
    }

    /// The smallest time that so many percent do not exceed (nearest rank).
    fn percentile(&self, percent: usize) -> Duration {
        self.sorted[(self.sorted.len() * percent).div_ceil(100).max(1) - 1]
    }

    fn average(&self) -> Duration {
        self.sorted.iter().sum::<Duration>() / self.sorted.len() as u32
    }

    fn text(&self) -> String {
        let (min, max) = (self.percentile(0), self.percentile(100));
        let (avg, p95) = (self.average(), self.percentile(95));
        format!("RTT min {}, avg {}, p95 {}, max {}", text(min), text(avg), text(p95), text(max))
    }

    pub(super) fn json(&self) -> Value {
        let at = |percent| milliseconds(self.percentile(percent));
        json!({ "min": at(0), "avg": milliseconds(self.average()), "p50": at(50), "p95": at(95), "p99": at(99), "max": at(100) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = Times::of(&(1..=20).map(|n| n * 1_000_000).collect::<Vec<_>>()).unwrap();
        assert_eq!(times.json(), json!({ "min": 1.0, "avg": 10.5, "p50": 10.0, "p95": 19.0, "p99": 20.0, "max": 20.0 }));
        assert!(Times::of(&[]).is_none());
    }

    #[test]
    fn loss_refusal_and_lateness_are_told_apart() {
        let target = "10.0.0.1:80".parse().unwrap();
        let one = |fate: Option<(u64, Fate)>| Try {
            sent: Some(Instant::now()),
            fate: fate.map(|(ms, fate)| (Duration::from_millis(ms), fate)),
            duplicates: 0,
        };
        let told = |tries: &[Try], mss| judge(0, "syn", target, tries, mss).probe.summary;
        let mixed = [one(Some((10, Fate::Open))), one(Some((1016, Fate::Open))), one(None), one(Some((2, Fate::Open)))];
        assert_eq!(
            told(&mixed, Some(256)),
            "3 of 4 SYNs to 10.0.0.1:80 were answered, 1 lost (25 %), 1 answered only after the peer's answer was retransmitted; RTT min 2.0 ms, avg 343 ms, p95 1.02 s, max 1.02 s; the peer takes segments of 256 bytes (MSS)."
        );
        assert_eq!(
            told(&[one(Some((1, Fate::Refused)))], None),
            "none of 1 SYNs to 10.0.0.1:80 was accepted, 1 refused (RST: nobody listens on the port)."
        );
        assert_eq!(told(&[one(None), one(None)], None), "0 of 2 SYNs to 10.0.0.1:80 were answered, 2 lost (100 %).");
        assert!(judge(0, "syn", target, &[one(Some((1, Fate::Open)))], None).is_fine);
        assert!(!judge(0, "syn", target, &[one(Some((1000, Fate::Open)))], None).is_fine, "late is not fine");
    }
}
