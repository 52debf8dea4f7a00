//! Facts about a watched host: what the counters and packets have to be judged against.

use super::codec::known_or_default;
use borsh::{BorshDeserialize, BorshSerialize};
use minicbor::{Decode, Encode};

/// A host. A later record of the same `boot_id` replaces the namespaces it names.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(map)]
pub struct Host {
    /// When it was read, nanoseconds since the Unix epoch.
    #[n(0)]
    #[cbor(default)]
    pub at_ns: i64,
    /// `/proc/sys/kernel/random/boot_id`.
    #[n(1)]
    #[cbor(default)]
    pub boot_id: String,
    /// `uname -n`.
    #[n(2)]
    #[cbor(default)]
    pub hostname: String,
    /// `uname -r`.
    #[n(3)]
    #[cbor(default)]
    pub kernel: String,
    /// `uname -m`.
    #[n(4)]
    #[cbor(default)]
    pub machine: String,
    /// The agent's name and version.
    #[n(5)]
    #[cbor(default)]
    pub agent: String,
    /// Processors online.
    #[n(6)]
    #[cbor(default)]
    pub cpus: u32,
    /// The namespaces that are watched.
    #[n(7)]
    #[cbor(default)]
    pub namespaces: Vec<Namespace>,
    /// What the agent could not read, and why: full sentences.
    #[n(8)]
    #[cbor(default)]
    pub limits: Vec<String>,
}

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(map)]
pub struct Namespace {
    /// The inode of its `/proc/PID/ns/net`.
    #[n(0)]
    #[cbor(default)]
    pub netns: u64,
    /// What the user calls it: `web-1`, `host`, `pid 4711`.
    #[n(1)]
    #[cbor(default)]
    pub name: String,
    /// Its interfaces.
    #[n(2)]
    #[cbor(default)]
    pub interfaces: Vec<InterfaceFacts>,
    /// Its routes.
    #[n(3)]
    #[cbor(default)]
    pub routes: Vec<Route>,
    /// sysctls that matter, by name (`net.ipv4.tcp_mtu_probing`) and value.
    #[n(4)]
    #[cbor(default)]
    pub sysctls: Vec<(String, String)>,
    /// Neighbours (ARP, neighbour discovery) it knows or failed to find.
    #[n(5)]
    #[cbor(default)]
    pub neighbours: Vec<Neighbour>,
    /// Path MTUs it learnt from "fragmentation needed" and "packet too big".
    #[n(6)]
    #[cbor(default)]
    pub path_mtus: Vec<PathMtu>,
    /// By what the agent found it, so that a command can be run in it.
    #[n(7)]
    #[cbor(default, decode_with = "known_or_default")]
    pub entry: Option<Entry>,
    /// The process by which it was found, as its host numbers it.
    #[n(8)]
    pub pid: Option<u32>,
    /// The file by which it was found: an absolute path.
    #[n(9)]
    pub path: Option<String>,
}

/// By what a namespace was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(index_only)]
pub enum Entry {
    /// It is the one in which the agent was started.
    #[n(0)]
    Own,
    /// By its name, which `ip netns` lists.
    #[n(1)]
    Named,
    /// By a process.
    #[n(2)]
    Process,
    /// By a container, of which `pid` is a process.
    #[n(3)]
    Container,
    /// By the file that keeps it.
    #[n(4)]
    File,
}

/// An entry of the neighbour cache.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(map)]
pub struct Neighbour {
    /// The neighbour's IP address.
    #[n(0)]
    #[cbor(default)]
    pub address: String,
    /// The interface it is on.
    #[n(1)]
    #[cbor(default)]
    pub ifindex: u32,
    /// Its link-layer address; `None` while it is not known.
    #[n(2)]
    pub mac: Option<String>,
    /// `valid`, `permanent`, `incomplete` (asked, no answer yet) or `failed` (no answer: packets to it are dropped).
    #[n(3)]
    #[cbor(default)]
    pub state: String,
}

/// A path MTU that was learnt: an exception to a route.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(map)]
pub struct PathMtu {
    /// The destination it holds for.
    #[n(0)]
    #[cbor(default)]
    pub destination: String,
    /// In bytes.
    #[n(1)]
    #[cbor(default)]
    pub mtu: u32,
    /// The interface towards it.
    #[n(2)]
    pub ifindex: Option<u32>,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(map)]
pub struct InterfaceFacts {
    /// The kernel's number for it.
    #[n(0)]
    #[cbor(default)]
    pub ifindex: u32,
    /// `eth0`.
    #[n(1)]
    #[cbor(default)]
    pub name: String,
    /// IFLA_INFO_KIND: `veth`, `bridge`, `vxlan`; empty for hardware.
    #[n(2)]
    #[cbor(default)]
    pub kind: String,
    /// Largest IP packet it sends, in bytes.
    #[n(3)]
    #[cbor(default)]
    pub mtu: u32,
    /// `up`, `down`, `lowerlayerdown`, …
    #[n(4)]
    #[cbor(default)]
    pub operstate: String,
    /// IFF_ flags.
    #[n(5)]
    #[cbor(default)]
    pub flags: u32,
    /// `d2:4d:72:aa:3a:5c`.
    #[n(6)]
    #[cbor(default)]
    pub mac: String,
    /// Addresses with prefix length, `172.17.0.2/16`.
    #[n(7)]
    #[cbor(default)]
    pub addresses: Vec<String>,
    /// The other end of a veth pair, or the device beneath (IFLA_LINK): its number in `peer_netns`.
    #[n(8)]
    pub peer_ifindex: Option<u32>,
    /// The namespace `peer_ifindex` counts in; absent for this one, 0 for another one that could not be told.
    #[n(9)]
    pub peer_netns: Option<u64>,
    /// The bridge or bond it belongs to.
    #[n(10)]
    pub master: Option<u32>,
    /// Largest segment handed over before splitting, in bytes.
    #[n(11)]
    pub gso_max_size: Option<u32>,
    /// Offload features that are on, `tx-checksumming`, `generic-receive-offload`, as `ethtool -k` names them.
    #[n(12)]
    #[cbor(default)]
    pub features: Vec<String>,
    /// Length of the link-layer header: 14 for Ethernet, 0 for tunnels that carry plain IP.
    #[n(13)]
    pub hard_header_len: Option<u32>,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(map)]
pub struct Route {
    /// `default` or a prefix.
    #[n(0)]
    #[cbor(default)]
    pub destination: String,
    /// The next hop, where there is one.
    #[n(1)]
    pub gateway: Option<String>,
    /// The interface it leaves by.
    #[n(2)]
    pub ifindex: Option<u32>,
    /// RTAX_MTU, where it is set.
    #[n(3)]
    pub mtu: Option<u32>,
    /// RTAX_ADVMSS, where it is set.
    #[n(4)]
    pub advmss: Option<u32>,
}
