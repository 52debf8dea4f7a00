//! The eBPF programs at the tracepoint (`bpf/droptrace.bpf.c`), and what they hand over.
//!
//! They are loaded from objects kept in the repository; building needs no clang.

use super::event::{self, Counted, DropEvent, KEY_SIZE};
use super::perf::{self, Record, Ring};
use crate::source::netlink::u32_at;
use aya::maps::{HashMap, Map, MapData, PerCpuHashMap, RingBuf};
use aya::programs::{BtfTracePoint, RawTracePoint};
use aya::{Btf, Ebpf, EbpfLoader};
use std::error::Error;
use std::os::fd::AsFd as _;

static BTF_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/droptrace.bpf.o"));
static RAW_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/droptrace_raw.bpf.o"));

/// Which of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Tells a packet's bytes wherever they lie, by perf buffers.
    Btf,
    /// Tells those of its linear part, by a ring of eBPF's own.
    Raw,
}

/// A program at work.
pub(super) struct Program {
    events: Events,
    counts: PerCpuHashMap<MapData, [u8; KEY_SIZE], u64>,
    watched: HashMap<MapData, [u8; 8], u8>,
    /// Keeps the program attached.
    _program: Ebpf,
}

enum Events {
    Perf {
        rings: Vec<Ring>,
        /// Forgets its rings when it goes.
        _map: MapData,
    },
    Ring(RingBuf<MapData>),
}

impl Program {
    /// Loads and attaches it, for a tracepoint with so many arguments: packet, place, then reason and receiving socket.
    pub(super) fn load(kind: Kind, arguments: usize) -> Result<Self, Box<dyn Error>> {
        let btf = Btf::from_sys_fs()?;
        let (has_reason, has_rx_sk) = (u8::from(arguments >= 3), u8::from(arguments >= 4));
        let mut program = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("HAS_REASON", &has_reason, true)
            .override_global("HAS_RX_SK", &has_rx_sk, true)
            .override_global("FILTER", &1u8, true)
            .load(match kind {
                Kind::Btf => BTF_OBJECT,
                Kind::Raw => RAW_OBJECT,
            })?;
        let droptrace = program.program_mut("droptrace").expect("the objects in the repository have this program");
        match kind {
            Kind::Btf => {
                let droptrace: &mut BtfTracePoint = droptrace.try_into()?;
                droptrace.load("kfree_skb", &btf)?;
                droptrace.attach()?;
            }
            Kind::Raw => {
                let droptrace: &mut RawTracePoint = droptrace.try_into()?;
                droptrace.load()?;
                droptrace.attach("kfree_skb")?;
            }
        }
        let mut map = |name| program.take_map(name).expect("the objects in the repository have this map");
        let events = match map("events") {
            Map::PerfEventArray(map) => {
                // eBPF is allowed when this is refused: that it is, is not what `EPERM` would say.
                let refused = |error| format!("perf buffers are refused (kernel.perf_event_paranoid): {error}");
                let rings = perf::on_each_processor(Ring::of_programs).map_err(refused)?;
                rings.iter().try_for_each(|ring| ring.put_into(map.fd().as_fd()))?;
                Events::Perf { rings, _map: map }
            }
            map => Events::Ring(RingBuf::try_from(map)?),
        };
        let (counts, watched) = (PerCpuHashMap::try_from(map("counts"))?, HashMap::try_from(map("watched"))?);
        Ok(Self { events, counts, watched, _program: program })
    }

    /// Has drops reported of a namespace, or of one interface of it.
    pub(super) fn watch(&mut self, netns: u64, ifindex: u32) -> Result<(), Box<dyn Error>> {
        Ok(self.watched.insert(event::place_key(netns, ifindex), 1, 0)?)
    }

    /// Takes what was dropped since.
    pub(super) fn read(&mut self, mut take: impl FnMut(DropEvent)) {
        match &mut self.events {
            Events::Ring(ring) => {
                while let Some(item) = ring.next() {
                    DropEvent::parse(&item).into_iter().for_each(&mut take);
                }
            }
            Events::Perf { rings, .. } => {
                for ring in rings {
                    ring.read(|record| match record {
                        Record::Sample(sample) => DropEvent::parse(data(sample)).into_iter().for_each(&mut take),
                        // The program counts what found no room, and says so with the next one.
                        Record::Lost(_) => {}
                    });
                }
            }
        }
    }

    /// How many were dropped in all, of each kind.
    pub(super) fn counts(&self) -> Result<Vec<(Counted, u64)>, Box<dyn Error>> {
        let mut counts = Vec::new();
        for entry in self.counts.iter() {
            let (key, values) = entry?;
            counts.extend(Counted::parse(&key).map(|counted| (counted, values.iter().sum::<u64>())));
        }
        Ok(counts)
    }
}

/// The data of a sample that begins with its size.
fn data(sample: &[u8]) -> &[u8] {
    let size = u32_at(sample, 0).unwrap_or(0) as usize;
    sample.get(4..4 + size).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Target;
    use nix::sys::socket::{setsockopt, sockopt};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    /// TCP drops a keep-alive probe, whose sequence number is old, when the device is off it and no socket owns it yet.
    #[test]
    fn what_has_neither_device_nor_socket_is_in_the_namespace_it_was_routed_in() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("what_has_neither_device_nor_socket_is_in_the_namespace_it_was_routed_in: skipped, eBPF needs root");
            return;
        }
        let here = Target::host().expect("the own namespace").netns.0;
        for kind in [Kind::Btf, Kind::Raw] {
            // As on a kernel that does not tell the receiver.
            let mut program = Program::load(kind, 3).expect("root may load it");
            program.watch(here, 0).expect("there is room");
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let stream = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
            setsockopt(&stream, sockopt::TcpKeepIdle, &1).expect("it is TCP");
            setsockopt(&stream, sockopt::KeepAlive, &true).expect("it is TCP");
            let ports = [&stream.local_addr(), &stream.peer_addr()].map(|end| end.as_ref().expect("it is connected").port());
            let ports: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
            let (mut found, began) = (None, Instant::now());
            while found.is_none() && began.elapsed() < Duration::from_secs(20) {
                program.read(|event| {
                    if event.bytes.get(20..24) == Some(&ports) {
                        found = Some((u64::from(event.netns), event.ifindex));
                    }
                });
                std::thread::yield_now();
            }
            assert_eq!(found, Some((here, 0)), "{kind:?}");
        }
    }
}
