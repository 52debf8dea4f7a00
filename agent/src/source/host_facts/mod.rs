//! Facts about a namespace that packets and counters are judged against: interfaces with addresses and offload features,
//! routes, neighbours, learnt path MTUs, sysctls. Said at the start and whenever one changed.
//!
//! Interfaces, addresses and routes are read again when the kernel tells of a change, and every ten readings in case it could
//! not; neighbours and path MTUs, which it does not tell of cheaply, at every reading.

mod features;
mod rtnetlink;
mod sysctl;

pub(super) use rtnetlink::namespace_ids;

use super::link::{self, Link};
use super::netlink::Socket;
use super::{SECOND, Sample, Scene, Scope, Source, SourceError, SourceKind, Target};
use dropscope_core::log::block::{InterfaceFacts, Namespace};
use nix::sys::socket::SockProtocol;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(super) const KIND: SourceKind = SourceKind {
    name: "host_facts",
    about: "addresses, routes, neighbours, path MTUs, offload features and sysctls",
    scope: Scope::Namespace,
    interval: SECOND,
    open: |scene| Ok(Box::new(HostFacts::open(scene)?)),
};

/// Everything is read again after so many readings, told or not: sysctls change without a word.
const ALL_EVERY: u32 = 10;
/// Tables longer than this (a router with a full routing table) are cut, and that is told.
const MOST_ENTRIES: usize = 2_000;

struct HostFacts {
    requests: Socket,
    changes: Socket,
    /// `None` before Linux 4.20.
    strict: Option<Socket>,
    features: Option<features::Ethtool>,
    target: Target,
    watched: Vec<Target>,
    facts: Namespace,
    readings: u32,
    cost: Duration,
}

impl HostFacts {
    fn open(scene: &Scene<'_>) -> Result<Self, SourceError> {
        let groups = libc::RTMGRP_LINK
            | libc::RTMGRP_IPV4_IFADDR
            | libc::RTMGRP_IPV6_IFADDR
            | libc::RTMGRP_IPV4_ROUTE
            | libc::RTMGRP_IPV6_ROUTE;
        Ok(Self {
            requests: Socket::open(SockProtocol::NetlinkRoute).map_err(|error| failed(&error))?,
            changes: Socket::listen(SockProtocol::NetlinkRoute, groups as u32).map_err(|error| failed(&error))?,
            strict: Socket::open(SockProtocol::NetlinkRoute).ok().filter(Socket::set_strict),
            features: features::Ethtool::open().ok(),
            target: scene.target.clone(),
            watched: scene.watched.to_vec(),
            facts: Namespace::default(),
            readings: 0,
            cost: Duration::ZERO,
        })
    }

    fn read_all(&mut self, out: &mut Sample) -> std::io::Result<Namespace> {
        let links = link::read(&mut self.requests)?;
        let mut addresses = rtnetlink::addresses(&mut self.requests)?;
        let mut features = self.features.as_mut().and_then(|ethtool| ethtool.read().ok()).unwrap_or_default();
        let namespaces = namespace_ids(&mut self.requests, self.watched.iter().chain(&Target::all_named()));
        let interface = |link: Link| interface_facts(link, &mut addresses, &mut features, &namespaces);
        let mut namespace = Namespace {
            netns: self.target.netns.0,
            name: self.target.name.clone(),
            entry: Some(self.target.entry),
            pid: self.target.pid,
            path: self.target.path.clone(),
            interfaces: links.into_iter().map(interface).collect(),
            routes: rtnetlink::routes(&mut self.requests)?,
            sysctls: sysctl::read(),
            ..Namespace::default()
        };
        if namespace.routes.len() > MOST_ENTRIES {
            out.limits
                .push(format!("host_facts: in {}, only the first {MOST_ENTRIES} of more routes are recorded.", self.target.name));
            namespace.routes.truncate(MOST_ENTRIES);
        }
        Ok(namespace)
    }
}

fn failed(error: &std::io::Error) -> SourceError {
    SourceError::from_io("interfaces and routes", "CAP_NET_ADMIN", error)
}

impl Source for HostFacts {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        let began = Instant::now();
        let is_changed = self.changes.was_told();
        let mut facts = if is_changed || self.readings.is_multiple_of(ALL_EVERY) {
            self.read_all(out).map_err(|error| failed(&error))?
        } else {
            self.facts.clone()
        };
        self.readings += 1;
        facts.neighbours = rtnetlink::neighbours(&mut self.requests, MOST_ENTRIES).map_err(|error| failed(&error))?;
        if let Some(strict) = &mut self.strict {
            facts.path_mtus = rtnetlink::path_mtus(strict, MOST_ENTRIES).map_err(|error| failed(&error))?;
        }
        if facts != self.facts {
            out.namespace = Some(Box::new(facts.clone()));
            self.facts = facts;
        }
        self.cost = began.elapsed();
        Ok(())
    }

    /// On a router with a large routing table, reading it takes a fiftieth of the time at most.
    fn interval(&self, standard: Duration) -> Duration {
        standard.max(self.cost * 50)
    }
}

fn interface_facts(
    link: Link,
    addresses: &mut BTreeMap<u32, Vec<String>>,
    features: &mut BTreeMap<u32, Vec<String>>,
    namespaces: &BTreeMap<u32, u64>,
) -> InterfaceFacts {
    InterfaceFacts {
        ifindex: link.ifindex,
        name: link.name.to_string(),
        kind: link.kind,
        mtu: link.mtu,
        operstate: link::operstate(link.operstate).into(),
        flags: link.flags,
        mac: rtnetlink::mac_text(&link.mac),
        addresses: addresses.remove(&link.ifindex).unwrap_or_default(),
        peer_ifindex: link.peer.filter(|peer| *peer != 0),
        peer_netns: link.peer_nsid.map(|id| namespaces.get(&id).copied().unwrap_or(0)),
        master: link.master,
        gso_max_size: link.gso_max_size,
        features: features.remove(&link.ifindex).unwrap_or_default(),
        hard_header_len: hard_header_len(link.hardware_type),
    }
}

/// The length of the link-layer header by the interface's ARPHRD_ type; `None` for types with a varying one.
fn hard_header_len(hardware_type: u16) -> Option<u32> {
    match hardware_type {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Some(14),
        libc::ARPHRD_NONE | libc::ARPHRD_TUNNEL | libc::ARPHRD_TUNNEL6 | libc::ARPHRD_SIT | libc::ARPHRD_IPGRE => Some(0),
        _ => None,
    }
}
