//! Every packet the kernel freed as dropped: reason, place, namespace, interface and first bytes, by the tracepoint
//! `skb:kfree_skb`.
//!
//! Drops are counted exactly by reason, place, namespace and interface (`drop.count`); of each processor at most 1,000 a second
//! are recorded one by one, and a record says how many were skipped before it. Only drops of watched namespaces are taken, and
//! of the other ends of their veth pairs: a packet too long for a veth is charged to the sender's end, in another namespace.
//!
//! How much is told depends on the host. The first of these that works is used ([`Tracing`]), and what is then not seen is said:
//! - an eBPF program that knows the packet's type: everything (Linux 5.5, type information in `/sys/kernel/btf/vmlinux`);
//! - an eBPF program without perf buffers: of a packet's bytes mostly the headers alone (Linux 5.8);
//! - the tracepoint without eBPF ([`tracepoint`]): time, reason, place and protocol, of the whole host.
//!
//! Linux before 5.17 gives no reason, and without the right to read kernel symbols there is no place.
//!
//! Not seen here, since the kernel does not free them as dropped: overflow of a listen queue, a full ring of a network card.

mod btf;
mod event;
mod perf;
mod program;
mod symbols;
mod tracepoint;
mod ways;

use super::netlink::Socket;
use super::sample::{Family, Name, Reading};
use super::{Capability, Sample, Scene, Scope, Source, SourceError, SourceKind, Target};
use dropscope_core::log::block::{CounterKind, KernelDrop, Station, Unit};
use event::{Counted, DropEvent};
use nix::sys::socket::SockProtocol;
use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use symbols::Symbols;
use ways::{Traced, Tracer};

pub use ways::Tracing;

pub(super) const KIND: SourceKind = SourceKind {
    name: "kernel_drops",
    about: "each packet the kernel dropped, with reason, place and first bytes (eBPF)",
    scope: Scope::Host,
    // Nobody is woken by a drop, which would cost 14 times as much: buffers are emptied by the clock. So often while there are
    // many drops, a twelfth as often while there are few.
    interval: Duration::from_millis(20),
    open: |scene| Ok(Box::new(KernelDrops::open(scene)?)),
};

const WHAT: &str = "packets the kernel dropped";
/// So many in one reading are many.
const MANY: usize = 100;
/// How many times longer buffers wait while there are few: half of what a second may bring fits in them, whatever its length.
const QUIET: u32 = 12;
const COUNTS_EVERY: Duration = Duration::from_secs(1);
/// Counts are told again so often even if nothing was dropped, as counters are that are still there.
const COUNTS_AGAIN: Duration = Duration::from_secs(60);
const PEERS_EVERY: Duration = Duration::from_secs(10);

static COUNT: Family =
    Family { unit: Unit::Packets, kind: CounterKind::Monotonic, source: "tracepoint skb:kfree_skb", station: None };
static FIREWALL: Family = Family { station: Some(Station::Firewall), ..COUNT };

struct KernelDrops {
    tracer: Tracer,
    reasons: HashMap<u32, String>,
    symbols: Symbols,
    targets: Vec<(Target, Socket)>,
    /// Counters that were told before; a new one is told from zero.
    told: HashSet<Counted>,
    /// Whether the last reading found many drops.
    is_busy: bool,
    /// When one last found any.
    found_at: Instant,
    counts_due: Instant,
    peers_due: Instant,
}

impl KernelDrops {
    fn open(scene: &Scene<'_>) -> Result<Self, SourceError> {
        let Traced { tracer, reasons, limits } = ways::trace(scene.tracing)?;
        limits.into_iter().for_each(|limit| scene.limit(limit));
        let symbols = Symbols::parse(&std::fs::read_to_string(symbols::PATH).unwrap_or_default());
        if symbols.is_empty() {
            scene.limit("kernel_drops: the place of a drop cannot be told without CAP_SYSLOG (kernel.kptr_restrict).".into());
        }
        let mut drops = Self {
            tracer,
            reasons,
            symbols,
            targets: Vec::new(),
            told: HashSet::new(),
            is_busy: false,
            found_at: Instant::now(),
            counts_due: Instant::now(),
            peers_due: Instant::now(),
        };
        for target in scene.watched {
            // A namespace that cannot be entered is told by those who read it.
            if let Ok(Ok(socket)) = target.run(|| Socket::open(SockProtocol::NetlinkRoute)) {
                drops.targets.push((target.clone(), socket));
            }
            drops.watch(target.netns.0, 0)?;
        }
        drops.watch_peers()?;
        Ok(drops)
    }

    fn watch(&mut self, netns: u64, ifindex: u32) -> Result<(), SourceError> {
        match &mut self.tracer {
            Tracer::Program(program) => program.watch(netns, ifindex).map_err(|error| failed(error.as_ref())),
            Tracer::Tracepoint(_) => Ok(()),
        }
    }

    /// Watches the other ends of the watched namespaces' interfaces, where they lie in other namespaces.
    fn watch_peers(&mut self) -> Result<(), SourceError> {
        let candidates = Target::all_named();
        let mut peers = Vec::new();
        for (_, socket) in &mut self.targets {
            let ids = super::host_facts::namespace_ids(socket, &candidates);
            for link in super::link::read(socket).unwrap_or_default() {
                if let (Some(peer), Some(netns)) = (link.peer, link.peer_nsid.and_then(|id| ids.get(&id))) {
                    peers.push((*netns, peer));
                }
            }
        }
        peers.into_iter().try_for_each(|(netns, ifindex)| self.watch(netns, ifindex))
    }

    fn read_counts(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        let counts = match &self.tracer {
            Tracer::Program(program) => program.counts().map_err(|error| failed(error.as_ref()))?,
            Tracer::Tracepoint(tracepoint) => tracepoint.counts(),
        };
        for (counted, value) in counts {
            let reason = reason_name(&self.reasons, counted.reason);
            let family = if reason.starts_with("NETFILTER") { &FIREWALL } else { &COUNT };
            let object: Arc<str> = format!("{reason} {}", self.symbols.place(counted.location)).trim().into();
            let name = Name {
                key: "drop.count".into(),
                netns: Some(counted.netns.into()).filter(|netns| *netns != 0),
                ifindex: Some(counted.ifindex).filter(|ifindex| *ifindex != 0),
                object: Some(object),
                ..Name::default()
            };
            let reading = Reading { name, family, kernel_name: reason.into(), ifname: None, value };
            if self.told.insert(counted) {
                out.readings.push(Reading { value: 0, ..reading.clone() });
            }
            out.readings.push(reading);
        }
        Ok(())
    }
}

fn failed(error: &dyn Error) -> SourceError {
    SourceError::Failed { what: WHAT.into(), why: error.to_string() }
}

/// A reason's name; empty where the kernel gives none. Reasons of subsystems (upper 16 bits) have no name in this enum.
fn reason_name(reasons: &HashMap<u32, String>, reason: u32) -> String {
    match reasons.get(&reason) {
        Some(name) => name.clone(),
        None if reason == 0 => String::new(),
        None => format!("{reason:#x}"),
    }
}

impl Source for KernelDrops {
    fn name(&self) -> &'static str {
        KIND.name
    }

    /// Before Linux 5.19, maps of a loaded program too are only read with the right to load one, where
    /// kernel.unprivileged_bpf_disabled is set.
    fn keeps(&self) -> Vec<Capability> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut parts = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if version < (5, 19) && matches!(self.tracer, Tracer::Program(_)) { vec![Capability::CAP_BPF] } else { Vec::new() }
    }

    fn interval(&self, standard: Duration) -> Duration {
        if self.is_busy { standard } else { standard * QUIET }
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        let clock = super::clock::read();
        let realtime_of_monotonic = clock.realtime_ns - clock.monotonic_ns;
        let (reasons, symbols, before) = (&self.reasons, &mut self.symbols, out.drops.len());
        let take = |event: DropEvent| {
            out.drops.push(KernelDrop {
                at_ns: event.monotonic_ns + realtime_of_monotonic,
                reason: reason_name(reasons, event.reason),
                place: symbols.place(event.location).to_owned(),
                netns: event.netns.into(),
                ifindex: event.ifindex,
                ifname: event.ifname,
                mtu: event.mtu,
                ether_type: event.ether_type,
                len: event.len,
                gso_size: event.gso_size.into(),
                bytes: event.bytes,
                skipped: event.skipped,
            });
        };
        match &mut self.tracer {
            Tracer::Program(program) => program.read(take),
            Tracer::Tracepoint(tracepoint) => tracepoint.read(take),
        }
        // Each processor has its own buffer.
        out.drops[before..].sort_by_key(|drop| drop.at_ns);
        let found = out.drops.len() - before;
        // Without a program in the kernel every drop of the host lies in the buffers, those beyond what a second may bring, too.
        self.is_busy = found >= MANY || matches!(self.tracer, Tracer::Tracepoint(_));
        let now = Instant::now();
        if found > 0 {
            self.found_at = now;
            self.counts_due = self.counts_due.min(now + COUNTS_EVERY);
        }
        if now >= self.counts_due || out.is_last {
            // Without drops none of them rises. What a processor skips it skips after some that it told, within a second.
            let may_rise = now.duration_since(self.found_at) < 2 * COUNTS_EVERY;
            self.counts_due = now + if may_rise { COUNTS_EVERY } else { COUNTS_AGAIN };
            self.read_counts(out)?;
        }
        if now >= self.peers_due {
            self.peers_due = now + PEERS_EVERY;
            self.watch_peers()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_without_a_name_is_told_by_its_number() {
        let reasons = HashMap::from([(8, "NETFILTER_DROP".to_owned())]);
        assert_eq!(reason_name(&reasons, 8), "NETFILTER_DROP");
        assert_eq!(reason_name(&reasons, 0x2_0001), "0x20001");
        assert_eq!(reason_name(&HashMap::new(), 0), "");
    }
}
