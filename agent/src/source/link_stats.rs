//! Interface counters and MTU (rtnetlink, `struct rtnl_link_stats64`), and marks when an interface comes, goes or changes.

use super::interfaces::Interfaces;
use super::link::{self, Link, STATS64, Stats};
use super::netlink::Socket;
use super::sample::{Family, Name, Reading};
use super::{SECOND, Sample, Scene, Scope, Source, SourceError, SourceKind};
use dropscope_core::log::block::{CounterKind, Station, Unit};
use nix::sys::socket::SockProtocol;
use std::borrow::Cow;
use std::sync::Arc;

pub(super) const KIND: SourceKind = SourceKind {
    name: "link_stats",
    about: "MTU, state and all counters of each interface, as `ip -s link` shows them",
    scope: Scope::Namespace,
    interval: SECOND,
    open: |scene| Ok(Box::new(LinkStats::open(scene)?)),
};

const fn family(unit: Unit, kind: CounterKind) -> Family {
    Family { unit, kind, source: "rtnetlink IFLA_STATS64", station: Some(Station::Device) }
}
static PACKETS: Family = family(Unit::Packets, CounterKind::Monotonic);
static BYTES: Family = family(Unit::Bytes, CounterKind::Monotonic);
static COUNT: Family = family(Unit::Count, CounterKind::Monotonic);
static MTU: Family =
    Family { unit: Unit::Bytes, kind: CounterKind::Gauge, source: "rtnetlink IFLA_MTU", station: Some(Station::Device) };

const KEYS: [&str; 25] = [
    "link.rx_packets",
    "link.tx_packets",
    "link.rx_bytes",
    "link.tx_bytes",
    "link.rx_errors",
    "link.tx_errors",
    "link.rx_dropped",
    "link.tx_dropped",
    "link.multicast",
    "link.collisions",
    "link.rx_length_errors",
    "link.rx_over_errors",
    "link.rx_crc_errors",
    "link.rx_frame_errors",
    "link.rx_fifo_errors",
    "link.rx_missed_errors",
    "link.tx_aborted_errors",
    "link.tx_carrier_errors",
    "link.tx_fifo_errors",
    "link.tx_heartbeat_errors",
    "link.tx_window_errors",
    "link.rx_compressed",
    "link.tx_compressed",
    "link.rx_nohandler",
    "link.rx_otherhost_dropped",
];

struct LinkStats {
    requests: Socket,
    interfaces: Interfaces,
    netns: u64,
    before: Vec<Link>,
    /// Of the interfaces that `before` holds.
    generation: u64,
}

impl LinkStats {
    fn open(scene: &Scene<'_>) -> Result<Self, SourceError> {
        let open = || Ok((Socket::open(SockProtocol::NetlinkRoute)?, Interfaces::open()?));
        let (requests, interfaces) = open().map_err(|error| failed(&error))?;
        Ok(Self { requests, interfaces, netns: scene.target.netns.0, before: Vec::new(), generation: 0 })
    }
}

fn failed(error: &std::io::Error) -> SourceError {
    SourceError::from_io("interface counters", "CAP_NET_ADMIN", error)
}

impl Source for LinkStats {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        let stats = match link::stats(&mut self.requests) {
            // Before Linux 4.7 only the whole description has them.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                link::read(&mut self.requests).map(|links| links.into_iter().map(|link| (link.ifindex, link.stats)).collect())
            }
            other => other,
        };
        let stats: Vec<(u32, Stats)> = stats.map_err(|error| failed(&error))?;
        let interfaces = self.interfaces.now().map_err(|error| failed(&error))?;
        for (ifindex, stats) in &stats {
            if let Some(link) = interfaces.link(*ifindex) {
                read(link, stats, self.netns, out);
            }
        }
        if self.generation != interfaces.generation() {
            if self.generation != 0 {
                for (kind, text, ifindex) in changes(&self.before, interfaces.links()) {
                    out.mark(kind, text, Some(self.netns), Some(ifindex));
                }
            }
            self.generation = interfaces.generation();
            self.before = interfaces.links().to_vec();
        }
        Ok(())
    }
}

fn read(link: &Link, stats: &Stats, netns: u64, out: &mut Sample) {
    let mut push = |key: &'static str, family, kernel_name: &'static str, value| {
        let name = Name { key: Cow::Borrowed(key), netns: Some(netns), ifindex: Some(link.ifindex), ..Name::default() };
        out.readings.push(Reading { name, family, kernel_name: kernel_name.into(), ifname: Some(Arc::clone(&link.name)), value });
    };
    push("link.mtu", &MTU, "mtu", u64::from(link.mtu));
    for ((&kernel_name, key), &value) in STATS64.iter().zip(KEYS).zip(stats) {
        let family = match kernel_name {
            "rx_bytes" | "tx_bytes" => &BYTES,
            "collisions" | "tx_carrier_errors" | "tx_heartbeat_errors" => &COUNT,
            _ => &PACKETS,
        };
        push(key, family, kernel_name, value);
    }
}

/// What changed between two readings: kind of mark, sentence, interface.
fn changes(before: &[Link], after: &[Link]) -> Vec<(&'static str, String, u32)> {
    let known = |links: &[Link], ifindex| links.iter().find(|link| link.ifindex == ifindex).cloned();
    let mut changes = Vec::new();
    for link in after {
        let (name, ifindex) = (&link.name, link.ifindex);
        let Some(old) = known(before, ifindex) else {
            let text = format!("The interface {name} appeared, with MTU {}.", link.mtu);
            changes.push(("interface_appeared", text, ifindex));
            continue;
        };
        if old.mtu != link.mtu {
            changes.push(("mtu_changed", format!("The MTU of {name} changed from {} to {}.", old.mtu, link.mtu), ifindex));
        }
        if old.name != link.name {
            changes.push(("note", format!("The interface {} is now called {name}.", old.name), ifindex));
        }
        match (is_up(&old), is_up(link)) {
            (true, false) => changes.push(("interface_down", format!("The interface {name} went down."), ifindex)),
            (false, true) => changes.push(("interface_up", format!("The interface {name} came up."), ifindex)),
            _ => {}
        }
    }
    for old in before.iter().filter(|old| known(after, old.ifindex).is_none()) {
        changes.push(("interface_vanished", format!("The interface {} vanished.", old.name), old.ifindex));
    }
    changes
}

/// Up by the administrator's will and with a carrier: IFF_UP and IFF_RUNNING.
fn is_up(link: &Link) -> bool {
    let both = (libc::IFF_UP | libc::IFF_RUNNING) as u32;
    link.flags & both == both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_the_kernels_names() {
        for (key, name) in KEYS.iter().zip(STATS64) {
            assert_eq!(key.strip_prefix("link."), Some(name));
        }
    }

    #[test]
    fn what_happened_to_interfaces_is_told_in_a_sentence_each() {
        let link = |ifindex, name: &str, mtu, flags| Link { ifindex, name: name.into(), mtu, flags, ..Link::default() };
        let before = [link(1, "lo", 65536, 0x49), link(2, "eth0", 1500, 0x43), link(3, "old", 1500, 0x43)];
        let after = [link(1, "lo", 65536, 0x49), link(2, "eth0", 100, 0x3), link(4, "new", 1400, 0x43)];
        let told: Vec<_> = changes(&before, &after).into_iter().map(|(kind, text, n)| format!("{n} {kind}: {text}")).collect();
        assert_eq!(
            told,
            [
                "2 mtu_changed: The MTU of eth0 changed from 1500 to 100.",
                "2 interface_down: The interface eth0 went down.",
                "4 interface_appeared: The interface new appeared, with MTU 1400.",
                "3 interface_vanished: The interface old vanished.",
            ]
        );
        assert!(changes(&after, &after).is_empty());
    }
}
