//! Packets by libpcap, from one interface of one namespace, handed on in batches.
//!
//! The handle is opened on a thread inside the namespace and stays tied to it. Reading waits on libpcap's descriptor rather
//! than in libpcap, so that it can be stopped at once and asks for the capture's own statistics on a quiet interface too.
//! A packet is copied once, from the ring into the block it will be in the log. Blocks go on in batches. When the recorder falls behind, this thread waits for it and the kernel's ring (16 MiB unless told otherwise) takes the burst; what the ring cannot hold the kernel counts, and
//! that count is the only place where a packet can be lost.

mod batch;
mod libpcap;

pub use batch::Batch;

use super::clock::realtime_ns;
use super::netns::{NetnsError, Target};
use super::{Event, Pace, Sender};
use batch::Pool;
use dropscope_core::ids::NetnsId;
use libpcap::{Handle, Options, Refusal, Stat};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::TrySendError;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// After so long without a full block the kernel hands on what it has: the delay a viewer sees at low rates. Measured: 200 ms
/// save nothing at 10,000 packets a second, where blocks are full sooner.
const BLOCK_TIMEOUT_MS: i32 = 100;
/// A packet shows itself only when its block is full or that timeout has passed, up to twice as it began with the block or in
/// the middle of it: a capture that is stopped goes on for so long, or its last packets would be missing.
const LAST_BLOCK: Duration = Duration::from_millis(2 * BLOCK_TIMEOUT_MS as u64 + 50);
/// Packets that are taken from the ring at once. Each may be as long as the snaplen, so this bounds how far a batch grows beyond
/// being full.
const MOST_AT_ONCE: usize = 64;
/// DLT_LINUX_SLL2.
const LINUX_SLL2: i32 = 276;
/// How often the capture's own counts are told.
const STATISTICS_EVERY: Duration = Duration::from_secs(1);

/// What to capture.
#[derive(Clone, Debug)]
pub struct CaptureSettings {
    /// The interface's name, or `any` for all of the namespace.
    pub interface: String,
    /// Bytes kept of each packet at most.
    pub snaplen: u32,
    /// A filter in pcap's language (pcap-filter(7)); empty for every packet.
    pub filter: String,
    /// Size of the kernel's ring in bytes. Measured: 2 MB lose bursts of 1.4 kB packets from 100,000 a second on, 16 MB do not.
    pub ring_bytes: u32,
    /// Whether packets for other hosts are asked for too, as tcpdump does.
    pub promiscuous: bool,
    /// A TCP port to leave out: the agent's own, when it serves viewers in the captured namespace. Every packet shown would
    /// otherwise cause another one.
    pub leave_out_port: Option<u16>,
    /// A TCP connection to leave out for the same reason: that to the server a recording is sent to.
    pub leave_out_server: Option<std::net::SocketAddr>,
}

impl CaptureSettings {
    /// The standard settings for an interface.
    pub fn of(interface: &str) -> Self {
        Self {
            interface: interface.into(),
            snaplen: 262_144,
            filter: String::new(),
            ring_bytes: 16 << 20,
            promiscuous: true,
            leave_out_port: None,
            leave_out_server: None,
        }
    }

    /// The filter that is set: the user's, without the agent's own port.
    pub fn whole_filter(&self) -> String {
        let own = self.leave_out_port.map(|port| format!("not tcp port {port}"));
        let server = self.leave_out_server.map(|server| format!("not (host {} and tcp port {})", server.ip(), server.port()));
        let left_out = own.into_iter().chain(server).collect::<Vec<_>>().join(" and ");
        match (left_out.as_str(), self.filter.trim()) {
            ("", filter) => filter.into(),
            (_, "") => left_out,
            (_, filter) => format!("({filter}) and {left_out}"),
        }
    }
}

/// A capture that is open: its interface can be described, and packets already wait in its ring.
pub struct Capture {
    /// Its number, which its batches bear.
    pub id: u32,
    /// Its namespace.
    pub netns: NetnsId,
    /// The kernel's number of its interface; 0 for `any`.
    pub ifindex: u32,
    /// Its interface's name.
    pub interface: String,
    /// LINKTYPE_ value of its packets.
    pub link_type: u32,
    /// Bytes kept of each packet at most.
    pub snaplen: u32,
    /// The filter that is set; empty for none.
    pub filter: String,
    handle: Handle,
    mac: Option<[u8; 6]>,
}

/// What a capture counted of itself since it began (pcap_stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureStatistics {
    /// Which capture.
    pub capture: u32,
    /// When they were read, nanoseconds since the Unix epoch.
    pub at_ns: i64,
    /// Packets that passed the filter, lost ones included.
    pub received: u64,
    /// Packets lost because the ring was full: `isb_osdrop`.
    pub dropped: u64,
    /// Packets lost by the interface: `isb_ifdrop`.
    pub if_dropped: u64,
    /// Packets handed to the recorder: `isb_usrdeliv`.
    pub delivered: u64,
}

/// Why a capture cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The namespace cannot be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// libpcap refused.
    #[error("cannot capture on {interface} in {netns}: {why}")]
    Open {
        /// The interface.
        interface: String,
        /// The namespace's name.
        netns: String,
        /// libpcap's answer, with what to do about it.
        why: String,
    },
    /// A right is missing.
    #[error("capturing on {interface} in {netns} needs root or CAP_NET_RAW")]
    Denied {
        /// The interface.
        interface: String,
        /// The namespace's name.
        netns: String,
    },
    /// The filter is wrong.
    #[error("the filter `{filter}` is not understood: {why}")]
    Filter {
        /// The filter.
        filter: String,
        /// libpcap's answer.
        why: String,
    },
}

impl Capture {
    /// Opens a capture; packets are collected from here on.
    pub fn open(id: u32, target: &Target, settings: &CaptureSettings) -> Result<Self, CaptureError> {
        target.run(|| Self::open_here(id, target, settings))?
    }

    fn open_here(id: u32, target: &Target, settings: &CaptureSettings) -> Result<Self, CaptureError> {
        let interface = settings.interface.as_str();
        let refused = |refusal: Refusal| {
            let (interface, netns) = (interface.to_owned(), target.name.clone());
            match refusal {
                Refusal::Denied => CaptureError::Denied { interface, netns },
                refusal => CaptureError::Open { interface, netns, why: why_refused(&refusal) },
            }
        };
        let options = Options {
            snaplen: settings.snaplen.min(i32::MAX as u32) as i32,
            ring_bytes: settings.ring_bytes.min(i32::MAX as u32) as i32,
            promiscuous: settings.promiscuous && interface != "any",
            timeout_ms: BLOCK_TIMEOUT_MS,
        };
        let mut handle = Handle::open(interface, &options).map_err(refused)?;
        if interface == "any" {
            // SLL2 says which interface each packet was seen on; libpcap before 1.10 has only SLL.
            let _ = handle.set_datalink(LINUX_SLL2);
        }
        let filter = settings.whole_filter();
        if !filter.is_empty() {
            let wrong = |refusal: Refusal| CaptureError::Filter { filter: filter.clone(), why: refusal.to_string() };
            handle.set_filter(&filter).map_err(wrong)?;
        }
        Ok(Self {
            id,
            netns: target.netns,
            ifindex: nix::net::if_::if_nametoindex(interface).unwrap_or(0),
            interface: interface.into(),
            link_type: link_type_from_dlt(handle.datalink()),
            snaplen: settings.snaplen,
            filter,
            mac: mac_of(interface),
            handle,
        })
    }

    /// Starts handing packets on, until [`Running::stop`] or the receiver is gone.
    pub fn start(self, to: Sender, pace: Pace) -> std::io::Result<Running> {
        let (stop, stopped) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map(|(read, write)| (write, read))?;
        let name = format!("cap-{}", self.interface);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let (capture, interface) = (self.id, self.interface.clone());
            let mut onward = Onward::new(capture, to, pace);
            let ended = self.read_until(&stopped, &mut onward);
            // What an error left unsent; if the receiver is gone, nobody misses it.
            let _ = onward.send();
            if let Err(why) = ended {
                let why = format!("The capture on {interface} ended: {why}.");
                let _ = onward.to.send(Event::CaptureEnded { capture, at_ns: realtime_ns(), why });
            }
        })?;
        Ok(Running { stop: Some(stop), thread: Some(thread) })
    }

    fn read_until(mut self, stopped: &OwnedFd, onward: &mut Onward) -> Result<(), String> {
        let mut counted = Counted::default();
        let mut statistics_at = Instant::now();
        let mut ends_at: Option<Instant> = None;
        loop {
            let next = ends_at.map_or(statistics_at, |end| end.min(statistics_at));
            let mut fds = [PollFd::new(self.handle.as_fd(), PollFlags::POLLIN), PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
            // Once it is to end, the closed pipe would wake it over and over.
            let watched = if ends_at.is_none() { 2 } else { 1 };
            match nix::poll::poll(&mut fds[..watched], until(next)) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.to_string()),
            }
            if ends_at.is_none() && fds[1].any().unwrap_or(true) {
                ends_at = Some(Instant::now() + LAST_BLOCK);
            }
            let has_packets = fds[0].any().unwrap_or(true);
            let now = Instant::now();
            let is_over = ends_at.is_some_and(|end| end <= now);
            if (has_packets || is_over) && self.take(onward, &mut counted)?.is_break() {
                return Ok(());
            }
            if is_over || now >= statistics_at {
                statistics_at = now + STATISTICS_EVERY;
                let statistics = counted.with(&self.handle.stats().map_err(|error| error.to_string())?, self.id);
                if onward.to.send(Event::Capture(statistics)).is_err() || is_over {
                    return Ok(());
                }
            }
        }
    }

    /// Takes what lies in the ring. Breaks when nobody takes it any more.
    fn take(&mut self, onward: &mut Onward, counted: &mut Counted) -> Result<ControlFlow<()>, String> {
        let mac = self.mac;
        loop {
            let batch = &mut onward.batch;
            let before = batch.len();
            let read = self.handle.dispatch(MOST_AT_ONCE, |packet| batch.push(packet, mac.as_ref()));
            let taken = batch.len() - before;
            counted.delivered += taken as u64;
            if batch.is_full() && onward.send().is_break() {
                return Ok(ControlFlow::Break(()));
            }
            read.map_err(|error| error.to_string())?;
            if taken < MOST_AT_ONCE {
                return Ok(onward.send());
            }
        }
    }
}

/// How long to wait for a moment, in poll's milliseconds: rounded up, or it would be woken over and over in the last of them.
fn until(moment: Instant) -> PollTimeout {
    let micros = moment.saturating_duration_since(Instant::now()).as_micros();
    PollTimeout::try_from(micros.div_ceil(1000)).unwrap_or(PollTimeout::MAX)
}

/// The way to the recorder, with the batch that is being filled.
struct Onward {
    batch: Batch,
    pool: Pool,
    to: Sender,
    pace: Pace,
}

impl Onward {
    fn new(capture: u32, to: Sender, pace: Pace) -> Self {
        let pool = Pool::default();
        Self { batch: pool.take(capture), pool, to, pace }
    }

    /// Hands the batch on. Breaks when nobody takes it any more.
    fn send(&mut self) -> ControlFlow<()> {
        if self.batch.is_empty() {
            return ControlFlow::Continue(());
        }
        let next = self.pool.take(self.batch.capture);
        let batch = std::mem::replace(&mut self.batch, next);
        let wakes = self.pace.hand_on(batch.bytes());
        let sent = self.to.try_send(Event::Packets(batch)).or_else(|error| match error {
            TrySendError::Full(event) => {
                self.pace.wake();
                self.to.send(event).map_err(drop)
            }
            TrySendError::Disconnected(_) => Err(()),
        });
        if wakes {
            self.pace.wake();
        }
        if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// A capture that is handing packets on.
#[derive(Debug)]
pub struct Running {
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Ends it, after what was captured so far was handed on. The receiver must still be taking events.
    pub fn stop(mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// libpcap's counts are 32 bits wide and wrap; these do not.
#[derive(Default)]
struct Counted {
    delivered: u64,
    received: u64,
    dropped: u64,
    if_dropped: u64,
}

impl Counted {
    fn with(&mut self, stat: &Stat, capture: u32) -> CaptureStatistics {
        let widen = |wide: &mut u64, narrow: u32| *wide += u64::from(narrow.wrapping_sub(*wide as u32));
        widen(&mut self.received, stat.received);
        widen(&mut self.dropped, stat.dropped);
        widen(&mut self.if_dropped, stat.if_dropped);
        CaptureStatistics {
            capture,
            at_ns: realtime_ns(),
            received: self.received,
            dropped: self.dropped,
            if_dropped: self.if_dropped,
            delivered: self.delivered,
        }
    }
}

/// DLT_ values of live captures that differ from their LINKTYPE_ on Linux: <https://www.tcpdump.org/linktypes.html>.
fn link_type_from_dlt(dlt: i32) -> u32 {
    match dlt {
        12 => 101, // DLT_RAW
        other => other.unsigned_abs(),
    }
}

fn why_refused(refusal: &Refusal) -> String {
    match (refusal, nix::net::if_::if_nameindex()) {
        (Refusal::NoSuchDevice, Ok(there)) => {
            let names: Vec<_> = there.iter().map(|one| one.name().to_string_lossy().into_owned()).collect();
            format!("there is no such interface; there are {} and any", names.join(", "))
        }
        _ => refusal.to_string(),
    }
}

fn mac_of(interface: &str) -> Option<[u8; 6]> {
    let addresses = nix::ifaddrs::getifaddrs().ok()?;
    let link = |one: nix::ifaddrs::InterfaceAddress| one.address?.as_link_addr()?.addr();
    addresses.filter(|one| one.interface_name == interface).find_map(link).filter(|mac| *mac != [0; 6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_own_port_is_left_out_of_any_filter() {
        let filter = |text: &str, port| {
            CaptureSettings { filter: text.into(), leave_out_port: port, ..CaptureSettings::of("lo") }.whole_filter()
        };
        assert_eq!(filter("port 80 or icmp", Some(8080)), "(port 80 or icmp) and not tcp port 8080");
        assert_eq!(filter(" ", Some(8080)), "not tcp port 8080");
        assert_eq!(filter("port 80", None), "port 80");
        let server = Some("[2001:db8::1]:443".parse().expect("an address"));
        let pushing = CaptureSettings { leave_out_server: server, ..CaptureSettings::of("lo") };
        assert_eq!(pushing.whole_filter(), "not (host 2001:db8::1 and tcp port 443)");
    }

    #[test]
    fn counts_go_on_when_libpcaps_wrap() {
        let mut counted = Counted::default();
        let stat = |received| Stat { received, dropped: 0, if_dropped: 0 };
        assert_eq!(counted.with(&stat(u32::MAX), 0).received, u64::from(u32::MAX));
        assert_eq!(counted.with(&stat(4), 0).received, (1 << 32) + 4);
    }
}
