//! Every packet the kernel freed as dropped: reason, place, namespace, interface and first bytes, by the tracepoint
//! `skb:kfree_skb` and a small eBPF program (`bpf/droptrace.bpf.c`).
//!
//! Drops are counted exactly by reason, place, namespace and interface (`drop.count`); of each processor at most 1,000 a second
//! are recorded one by one, and a record says how many were skipped before it. Only drops of watched namespaces are taken, and
//! of the other ends of their veth pairs: a packet too long for a veth is charged to the sender's end, in another namespace.
//!
//! The program is loaded from an object kept in the repository; building needs no clang. What the kernel lacks is told:
//! - no eBPF or no type information (`/sys/kernel/btf/vmlinux`): no drops;
//! - Linux before 5.17: drops without a reason;
//! - no right to read kernel symbols: drops without a place.
//!
//! Not seen here, since the kernel does not free them as dropped: overflow of a listen queue, a full ring of a network card.

mod btf;
mod event;
mod symbols;

use super::netlink::Socket;
use super::sample::{Family, Name, Reading};
use super::{Capability, Sample, Scene, Scope, Source, SourceError, SourceKind, Target};
use aya::maps::{HashMap as BpfHashMap, MapData, PerCpuHashMap, RingBuf};
use aya::programs::RawTracePoint;
use aya::{Btf, Ebpf, EbpfLoader};
use dropscope_core::log::block::{CounterKind, KernelDrop, Station, Unit};
use event::{Counted, DropEvent, KEY_SIZE};
use nix::sys::socket::SockProtocol;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use symbols::Symbols;

pub(super) const KIND: SourceKind = SourceKind {
    name: "kernel_drops",
    about: "each packet the kernel dropped, with reason, place and first bytes (eBPF)",
    scope: Scope::Host,
    // The program wakes nobody, which would cost 14 times as much: its ring is emptied by the clock.
    interval: Duration::from_millis(20),
    open: |scene| Ok(Box::new(KernelDrops::open(scene)?)),
};

/// The compiled program: `bpf/droptrace.bpf.c` says how it is made.
static PROGRAM: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/droptrace.bpf.o"));

const WHAT: &str = "packets the kernel dropped";
const RIGHTS: &str = "CAP_BPF and CAP_PERFMON (or root)";
const COUNTS_EVERY: Duration = Duration::from_secs(1);
const PEERS_EVERY: Duration = Duration::from_secs(10);

static COUNT: Family =
    Family { unit: Unit::Packets, kind: CounterKind::Monotonic, source: "tracepoint skb:kfree_skb", station: None };
static FIREWALL: Family = Family { station: Some(Station::Firewall), ..COUNT };

struct KernelDrops {
    events: RingBuf<MapData>,
    counts: PerCpuHashMap<MapData, [u8; KEY_SIZE], u64>,
    watched: BpfHashMap<MapData, [u8; 8], u8>,
    reasons: HashMap<u32, String>,
    symbols: Symbols,
    targets: Vec<(Target, Socket)>,
    /// Counters that were told before; a new one is told from zero.
    told: HashSet<Counted>,
    limits: Vec<String>,
    counts_due: Instant,
    peers_due: Instant,
    /// Keeps the program attached.
    _program: Ebpf,
}

impl KernelDrops {
    fn open(scene: &Scene<'_>) -> Result<Self, SourceError> {
        let lacks = |why: String| SourceError::Unsupported { what: WHAT.into(), why };
        let mut limits = Vec::new();
        let types = std::fs::read(btf::PATH).map_err(|error| {
            lacks(format!(
                "{}: {error}; it takes Linux 5.8 or later, built with type information (CONFIG_DEBUG_INFO_BTF)",
                btf::PATH
            ))
        })?;
        let types = btf::parse(&types).ok_or_else(|| lacks(format!("{} holds no type information", btf::PATH)))?;
        let has_reason = types.tracepoint_arguments >= 3;
        if !has_reason {
            limits.push("kernel_drops: this kernel is older than Linux 5.17 and gives no reason for a drop.".into());
        }
        let symbols = Symbols::parse(&std::fs::read_to_string(symbols::PATH).unwrap_or_default());
        if symbols.is_empty() {
            limits.push("kernel_drops: the place of a drop cannot be told without CAP_SYSLOG (kernel.kptr_restrict).".into());
        }
        let mut program = load(has_reason, types.tracepoint_arguments >= 4).map_err(|error| refused(error.as_ref()))?;
        let map = |program: &mut Ebpf, name: &str| program.take_map(name).expect("the object in the repository has this map");
        let mut drops = Self {
            events: RingBuf::try_from(map(&mut program, "events")).map_err(|error| lacks(error.to_string()))?,
            counts: PerCpuHashMap::try_from(map(&mut program, "counts")).map_err(|error| lacks(error.to_string()))?,
            watched: BpfHashMap::try_from(map(&mut program, "watched")).map_err(|error| lacks(error.to_string()))?,
            reasons: types.reasons,
            symbols,
            targets: Vec::new(),
            told: HashSet::new(),
            limits,
            counts_due: Instant::now(),
            peers_due: Instant::now(),
            _program: program,
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
        let result = self.watched.insert(event::place_key(netns, ifindex), 1, 0);
        result.map_err(|error| SourceError::Failed { what: WHAT.into(), why: error.to_string() })
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
        let mut counts = Vec::new();
        for entry in self.counts.iter() {
            let (key, values) = entry.map_err(|error| SourceError::Failed { what: WHAT.into(), why: error.to_string() })?;
            counts.extend(Counted::parse(&key).map(|counted| (counted, values.iter().sum::<u64>())));
        }
        for (counted, value) in counts {
            let reason = reason_name(&self.reasons, counted.reason);
            let family = if reason.starts_with("NETFILTER") { &FIREWALL } else { &COUNT };
            let object: Arc<str> = format!("{reason} {}", self.symbols.place(counted.location)).trim().into();
            let name = Name {
                key: "drop.count".into(),
                netns: Some(counted.netns.into()),
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

/// Loads and attaches the program.
fn load(has_reason: bool, has_rx_sk: bool) -> Result<Ebpf, Box<dyn std::error::Error>> {
    let btf = Btf::from_sys_fs()?;
    let (has_reason, has_rx_sk) = (u8::from(has_reason), u8::from(has_rx_sk));
    let mut program = EbpfLoader::new()
        .btf(Some(&btf))
        .override_global("HAS_REASON", &has_reason, true)
        .override_global("HAS_RX_SK", &has_rx_sk, true)
        .override_global("FILTER", &1u8, true)
        .load(PROGRAM)?;
    let droptrace: &mut RawTracePoint =
        program.program_mut("droptrace").expect("the object in the repository has this program").try_into()?;
    droptrace.load()?;
    droptrace.attach("kfree_skb")?;
    Ok(program)
}

/// Tells a missing right from a kernel that cannot.
fn refused(error: &(dyn std::error::Error + 'static)) -> SourceError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut why = error.to_string();
    while let Some(error) = cause {
        let denied = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if matches!(denied, Some(libc::EPERM | libc::EACCES)) {
            return SourceError::Denied { what: WHAT.into(), need: RIGHTS };
        }
        why = error.to_string();
        cause = error.source();
    }
    SourceError::Unsupported { what: WHAT.into(), why: format!("the kernel refused the eBPF program: {}", last_line(&why)) }
}

/// The verifier explains itself over hundreds of lines; the last one is the reason.
fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or_default()
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
        if version < (5, 19) { vec![Capability::CAP_BPF] } else { Vec::new() }
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        out.limits.append(&mut self.limits);
        let clock = super::clock::read();
        let realtime_of_boot = clock.realtime_ns - clock.boottime_ns;
        while let Some(item) = self.events.next() {
            let Some(event) = DropEvent::parse(&item) else { continue };
            out.drops.push(KernelDrop {
                at_ns: event.boot_ns + realtime_of_boot,
                reason: reason_name(&self.reasons, event.reason),
                place: self.symbols.place(event.location).to_owned(),
                netns: event.netns.into(),
                ifindex: event.ifindex,
                ifname: event.ifname,
                mtu: event.mtu,
                ether_type: event.ether_type,
                len: event.len,
                gso_size: event.gso_size.into(),
                bytes: event.bytes.to_vec(),
                skipped: event.skipped,
            });
        }
        let now = Instant::now();
        if now >= self.counts_due || out.is_last {
            self.counts_due = now + COUNTS_EVERY;
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
