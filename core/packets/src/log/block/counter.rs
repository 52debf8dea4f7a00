//! Counters that describe themselves, and their values.

use super::codec::known_or_default;
use borsh::{BorshDeserialize, BorshSerialize};
use minicbor::{Decode, Encode};

/// Descriptions of counters, each said once before its first value. More may follow later in the log.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Catalogue {
    /// The counters.
    #[n(0)]
    #[cbor(default)]
    pub counters: Vec<Counter>,
}

/// One counter.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(map)]
pub struct Counter {
    /// Its number in this log.
    #[n(0)]
    #[cbor(default)]
    pub id: u32,
    /// What is counted, the same name on every host: `link.rx_dropped`, `snmp.TcpRetransSegs`, `firewall.rule.packets`,
    /// `conntrack.count`. `Counters` joins on it together with the fields below.
    #[n(1)]
    #[cbor(default)]
    pub key: String,
    /// In what it counts.
    #[n(2)]
    #[cbor(default, decode_with = "known_or_default")]
    pub unit: Unit,
    /// Whether it only grows.
    #[n(3)]
    #[cbor(default, decode_with = "known_or_default")]
    pub kind: CounterKind,
    /// The kernel's own name, as its tools print it: `rx_dropped`, `TcpExtListenOverflows`.
    #[n(4)]
    #[cbor(default)]
    pub kernel_name: String,
    /// Where it was read: `rtnetlink IFLA_STATS64`, `/proc/net/netstat`.
    #[n(5)]
    #[cbor(default)]
    pub source: String,
    /// The namespace it counts in; `None` for the whole host.
    #[n(6)]
    pub netns: Option<u64>,
    /// The interface it counts on.
    #[n(7)]
    pub ifindex: Option<u32>,
    /// The interface's name at that time.
    #[n(8)]
    pub ifname: Option<String>,
    /// The firewall rule it belongs to (`FirewallRule::id`).
    #[n(9)]
    pub rule: Option<String>,
    /// The processor it belongs to.
    #[n(10)]
    pub cpu: Option<u32>,
    /// Anything else that tells it from its like: a qdisc's kind and handle, a chain, a drop reason and place.
    #[n(11)]
    pub object: Option<String>,
    /// At which station of a packet's path it counts.
    #[n(12)]
    #[cbor(default, decode_with = "known_or_default")]
    pub station: Option<Station>,
}

/// In what a counter counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(index_only)]
pub enum Unit {
    /// A plain number; also a unit that this version does not know.
    #[n(0)]
    #[default]
    Count,
    /// Frames or packets as the station sees them (after GRO on receive, before TSO on send).
    #[n(1)]
    Packets,
    /// Bytes.
    #[n(2)]
    Bytes,
    /// TCP segments.
    #[n(3)]
    Segments,
    /// Table entries.
    #[n(4)]
    Entries,
    /// Nanoseconds.
    #[n(5)]
    Nanoseconds,
}

/// Whether a counter only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(index_only)]
pub enum CounterKind {
    /// Only grows; a smaller value means it was reset, and a new epoch begins.
    #[n(0)]
    Monotonic,
    /// Goes up and down; also a kind that this version does not know, from which no growth may be concluded.
    #[n(1)]
    #[default]
    Gauge,
}

/// The stations of a packet's path through a host, in receive order and then send order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(index_only)]
pub enum Station {
    /// The device's own queues and checks.
    #[n(0)]
    Device,
    /// The per-CPU backlog (softnet).
    #[n(1)]
    Backlog,
    /// Traffic control.
    #[n(2)]
    Qdisc,
    /// Firewall rules.
    #[n(3)]
    Firewall,
    /// Connection tracking.
    #[n(4)]
    Conntrack,
    /// IP input, routing and forwarding.
    #[n(5)]
    Ip,
    /// TCP, UDP, ICMP.
    #[n(6)]
    Transport,
    /// Sockets and their queues.
    #[n(7)]
    Socket,
    /// The capture itself.
    #[n(8)]
    Capture,
}

/// Values of counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Snapshot {
    /// When reading began, nanoseconds since the Unix epoch.
    #[n(0)]
    #[cbor(default)]
    pub at_ns: i64,
    /// How long reading took, in nanoseconds: values are uncertain in time by this much.
    #[n(1)]
    #[cbor(default)]
    pub took_ns: u64,
    /// Whether every counter's value is here; otherwise only those that changed since the snapshot before.
    #[n(2)]
    #[cbor(default)]
    pub full: bool,
    /// Counter number and value.
    #[n(3)]
    #[cbor(default)]
    pub values: Vec<(u32, u64)>,
}
