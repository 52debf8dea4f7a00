//! Sockets that tell of loss (inet_diag): accept queues of listening ones, drops of UDP ones, and TCP connections in trouble:
//! those that retransmitted, or whose segments are smaller than any sound path makes them.
//!
//! A connection is followed from its first trouble to its end; healthy ones are only counted by state. At most
//! [`MOST_FOLLOWED`] sockets are ever followed in a namespace, so that a busy host does not fill the log.
//!
//! The first reading may load the kernel's diagnosis modules (tcp_diag, udp_diag), as `ss` does.

mod in_use;
mod inet_diag;

use super::netlink::Socket;
use super::sample::{Family, Name};
use super::{SECOND, Sample, Scene, Scope, Source, SourceError, SourceKind};
use dropscope_core::log::block::{CounterKind, Station, Unit};
use in_use::InUse;
use inet_diag::{InetSocket, LISTEN, Protocol, STATES};
use nix::sys::socket::SockProtocol;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const KIND: SourceKind = SourceKind {
    name: "sockets",
    about: "accept queues, UDP receive drops and TCP connections that retransmit, as `ss -tuni` shows them",
    scope: Scope::Namespace,
    interval: SECOND,
    open: |scene| Ok(Box::new(Sockets::open(scene)?)),
};

/// Sockets that are followed one by one in a namespace, over the agent's life.
const MOST_FOLLOWED: usize = 1_000;
/// Sockets of one protocol and family that are looked at in one reading.
const MOST_READ: usize = 50_000;
/// RFC 9293 section 3.7.1: the segment size every IPv4 host takes. A smaller one is nobody's choice but an MTU's.
const DEFAULT_MSS: u32 = 536;

const fn family(unit: Unit, kind: CounterKind) -> Family {
    Family { unit, kind, source: "inet_diag", station: Some(Station::Socket) }
}
static ENTRIES: Family = family(Unit::Entries, CounterKind::Gauge);
static SEGMENTS: Family = family(Unit::Segments, CounterKind::Monotonic);
static SEGMENTS_NOW: Family = family(Unit::Segments, CounterKind::Gauge);
static BYTES: Family = family(Unit::Bytes, CounterKind::Gauge);
static PACKETS: Family = family(Unit::Packets, CounterKind::Monotonic);
static TIME: Family = family(Unit::Nanoseconds, CounterKind::Gauge);

struct Sockets {
    socket: Socket,
    in_use: InUse,
    netns: u64,
    netns_name: String,
    followed: HashSet<Arc<str>>,
    limits: HashSet<&'static str>,
    cost: Duration,
}

impl Sockets {
    fn open(scene: &Scene<'_>) -> Result<Self, SourceError> {
        Ok(Self {
            socket: Socket::open(SockProtocol::NetlinkSockDiag).map_err(|error| failed(&error))?,
            in_use: InUse::open(),
            netns: scene.target.netns.0,
            netns_name: scene.target.name.clone(),
            followed: HashSet::new(),
            limits: HashSet::new(),
            cost: Duration::ZERO,
        })
    }

    fn limit(&mut self, what: &'static str, out: &mut Sample) {
        if self.limits.insert(what) {
            out.limits.push(format!("sockets: in {}, {what}.", self.netns_name));
        }
    }

    /// Whether a socket is followed; one that is not yet will be, if there is room.
    fn follow(&mut self, object: &Arc<str>, out: &mut Sample) -> bool {
        if self.followed.contains(object) {
            return true;
        }
        if self.followed.len() >= MOST_FOLLOWED {
            self.limit("more than 1,000 sockets were in trouble; later ones are only counted together", out);
            return false;
        }
        self.followed.insert(Arc::clone(object))
    }

    fn tell(&mut self, socket: &InetSocket, out: &mut Sample) {
        let object: Arc<str> = describe(socket).into();
        let is_wanted = match (socket.protocol, socket.state) {
            (Protocol::Tcp, LISTEN) => true,
            // One that waits is told before it drops, so that its first drops are a rise and not where its series begins.
            (Protocol::Udp, _) => socket.drops > 0 || (socket.remote.port() == 0 && self.followed.len() < MOST_FOLLOWED / 4),
            (Protocol::Tcp, _) => is_in_trouble(socket),
        };
        if !(self.followed.contains(&object) || is_wanted && self.follow(&object, out)) {
            return;
        }
        for (key, kernel_name, family, value) in values(socket) {
            let name = Name { key: key.into(), netns: Some(self.netns), object: Some(Arc::clone(&object)), ..Name::default() };
            out.read(family, name, kernel_name, value);
        }
    }
}

fn failed(error: &std::io::Error) -> SourceError {
    SourceError::from_io("sockets", "CAP_NET_ADMIN", error)
}

/// `tcp 0.0.0.0:80` for a socket that waits, `tcp 172.17.0.2:80 192.168.0.2:45760` for a connection.
fn describe(socket: &InetSocket) -> String {
    let protocol = match socket.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    match socket.remote.port() {
        0 => format!("{protocol} {}", socket.local),
        _ => format!("{protocol} {} {}", socket.local, socket.remote),
    }
}

fn is_in_trouble(socket: &InetSocket) -> bool {
    socket.tcp.is_some_and(|tcp| tcp.retransmits > 0 || tcp.total_retrans > 0 || (tcp.snd_mss > 0 && tcp.snd_mss < DEFAULT_MSS))
}

type Value = (&'static str, &'static str, &'static Family, u64);

fn values(socket: &InetSocket) -> Vec<Value> {
    let word = u64::from;
    match (socket.protocol, socket.state, socket.tcp) {
        (Protocol::Tcp, LISTEN, _) => vec![
            ("socket.accept_queue", "Recv-Q", &ENTRIES, word(socket.receive_queue)),
            ("socket.accept_queue_max", "Send-Q", &ENTRIES, word(socket.send_queue)),
            ("socket.drops", "sk_drops", &PACKETS, word(socket.drops)),
        ],
        (Protocol::Udp, ..) => vec![
            ("socket.receive_queue", "Recv-Q", &BYTES, word(socket.receive_queue)),
            ("socket.drops", "sk_drops", &PACKETS, word(socket.drops)),
        ],
        (Protocol::Tcp, _, Some(tcp)) => vec![
            ("socket.retransmits", "tcpi_total_retrans", &SEGMENTS, word(tcp.total_retrans)),
            ("socket.retransmits_now", "tcpi_retransmits", &SEGMENTS_NOW, tcp.retransmits.into()),
            ("socket.unacked", "tcpi_unacked", &SEGMENTS_NOW, word(tcp.unacked)),
            ("socket.snd_mss", "tcpi_snd_mss", &BYTES, word(tcp.snd_mss)),
            ("socket.pmtu", "tcpi_pmtu", &BYTES, word(tcp.pmtu)),
            ("socket.rtt", "tcpi_rtt", &TIME, word(tcp.rtt) * 1_000),
            ("socket.snd_cwnd", "tcpi_snd_cwnd", &SEGMENTS_NOW, word(tcp.snd_cwnd)),
            ("socket.drops", "sk_drops", &PACKETS, word(socket.drops)),
        ],
        (Protocol::Tcp, ..) => Vec::new(),
    }
}

impl Source for Sockets {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        let began = Instant::now();
        // Every state is told, so that a state nobody is in any more goes back to zero.
        let mut states: BTreeMap<&str, u64> =
            STATES[1..].iter().filter(|state| **state != "time_wait").map(|state| (*state, 0)).collect();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            if !self.in_use.any(protocol) {
                continue;
            }
            let (sockets, there) = inet_diag::read(&mut self.socket, protocol, MOST_READ).map_err(|error| failed(&error))?;
            if there > sockets.len() {
                self.limit("only the first 50,000 sockets of each family are looked at", out);
            }
            for socket in &sockets {
                if protocol == Protocol::Tcp {
                    *states.entry(STATES.get(usize::from(socket.state)).unwrap_or(&"unknown")).or_default() += 1;
                }
                self.tell(socket, out);
            }
        }
        for (state, number) in states {
            let name =
                Name { key: "socket.tcp_states".into(), netns: Some(self.netns), object: Some(state.into()), ..Name::default() };
            out.read(&ENTRIES, name, state, number);
        }
        self.cost = began.elapsed();
        Ok(())
    }

    /// With very many sockets, reading takes a fiftieth of the time at most.
    fn interval(&self, standard: Duration) -> Duration {
        standard.max(self.cost * 50)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inet_diag::TcpInfo;

    fn connection(tcp: TcpInfo) -> InetSocket {
        let address = |text: &str| text.parse().expect("an address");
        InetSocket {
            protocol: Protocol::Tcp,
            state: 1,
            local: address("172.17.0.2:80"),
            remote: address("192.168.0.2:45760"),
            receive_queue: 0,
            send_queue: 0,
            drops: 0,
            tcp: Some(tcp),
        }
    }

    #[test]
    fn a_connection_is_in_trouble_once_it_retransmitted_or_its_segments_are_tiny() {
        let sound = TcpInfo { snd_mss: 1448, pmtu: 1500, ..TcpInfo::default() };
        for (tcp, expected) in [
            (sound, false),
            (TcpInfo { total_retrans: 1, ..sound }, true),
            (TcpInfo { retransmits: 2, ..sound }, true),
            (TcpInfo { snd_mss: 48, pmtu: 100, ..sound }, true),
            (TcpInfo { snd_mss: 536, ..sound }, false),
        ] {
            assert_eq!(is_in_trouble(&connection(tcp)), expected, "{tcp:?}");
        }
    }

    #[test]
    fn a_socket_is_named_by_its_ends() {
        let mut socket = connection(TcpInfo::default());
        assert_eq!(describe(&socket), "tcp 172.17.0.2:80 192.168.0.2:45760");
        socket.remote = "0.0.0.0:0".parse().expect("an address");
        assert_eq!(describe(&socket), "tcp 172.17.0.2:80");
    }
}
