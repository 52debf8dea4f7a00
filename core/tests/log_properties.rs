//! What holds for every log: the cut does not matter, what was written is read, a cut or broken log keeps what came before,
//! and another implementation reads and writes the same.

#![cfg(not(target_arch = "wasm32"))]

mod common;

use common::{BEGIN_NS, interface, told};
use dropscope_core::ids::InterfaceId;
use dropscope_core::log::block::{
    Backend, Catalogue, Chain, Clock, Counter, CounterKind, Entry, FirewallRule, Host, InterfaceFacts, KernelDrop, Mark,
    Namespace, Neighbour, PathMtu, Probe, Route, RuleSet, Snapshot, Station, Unit, Verdict,
};
use dropscope_core::log::record::{End, FileFormat, Record, Section, Statistics};
use dropscope_core::log::{Decoder, Encoder, PacketToWrite};
use dropscope_core::time::Timestamp;
use pcap_file::pcapng::{Block, PcapNgReader};
use proptest::prelude::*;

/// A thing to write.
#[derive(Clone, Debug)]
enum Item {
    Interface { link_type: u16, snaplen: u32 },
    Packet { time: i64, wire_len: u32, data: Vec<u8>, flags: Option<u32>, drop_count: Option<u64>, comment: Option<String> },
    Statistics { received: Option<u64>, os_dropped: Option<u64> },
    Clock(Clock),
    Snapshot(Snapshot),
    Mark(Mark),
    Host(Host),
    Catalogue(Catalogue),
    RuleSet(RuleSet),
    KernelDrop(KernelDrop),
    Probe(Probe),
}

fn item() -> impl Strategy<Value = Item> {
    let packet = (
        0..i64::MAX,
        0..i32::MAX as u32,
        prop::collection::vec(any::<u8>(), 0..90),
        any::<Option<u32>>(),
        any::<Option<u64>>(),
        prop::option::of("[^\0]{0,12}"),
    );
    prop_oneof![
        1 => (1_u16..2, any::<u32>()).prop_map(|(link_type, snaplen)| Item::Interface { link_type, snaplen }),
        6 => packet.prop_map(|(time, wire_len, data, flags, drop_count, comment)| {
            Item::Packet { time, wire_len, data, flags, drop_count, comment }
        }),
        1 => any::<(Option<u64>, Option<u64>)>().prop_map(|(received, os_dropped)| Item::Statistics { received, os_dropped }),
        1 => any::<(i64, i64, i64, u64)>().prop_map(|(realtime_ns, monotonic_ns, boottime_ns, error_ns)| {
            Item::Clock(Clock { realtime_ns, monotonic_ns, boottime_ns, error_ns })
        }),
        1 => any::<(i64, u64, bool, Vec<(u32, u64)>)>().prop_map(|(at_ns, took_ns, full, values)| {
            Item::Snapshot(Snapshot { at_ns, took_ns, full, values })
        }),
        1 => any::<(i64, String, Option<u64>)>().prop_map(|(at_ns, text, netns)| {
            Item::Mark(Mark { at_ns, kind: "note".into(), text, netns, ifindex: None })
        }),
        1 => material().prop_map(|m| Item::Host(host(m))),
        1 => material().prop_map(|m| Item::Catalogue(Catalogue { counters: vec![counter(m.clone()), counter(m)] })),
        1 => material().prop_map(|m| Item::RuleSet(rules(m))),
        1 => material().prop_map(|Material { numbers: n, texts: [reason, place, ifname, ..], bytes, .. }| {
            Item::KernelDrop(KernelDrop {
                at_ns: n[0] as i64,
                reason,
                place,
                netns: n[1],
                ifindex: n[2] as u32,
                ifname,
                mtu: n[3] as u32,
                ether_type: n[3] as u16,
                len: n[4] as u32,
                gso_size: n[5] as u32,
                bytes,
                skipped: n[5],
            })
        }),
        1 => material().prop_map(|Material { numbers: n, texts: [kind, target, summary, _], .. }| {
            let (at_ns, sent, answered) = (n[0] as i64, n[1] as u32, n[2] as u32);
            Item::Probe(Probe { at_ns, kind, target, sent, answered, rtt_ns: n.to_vec(), summary })
        }),
    ]
}

/// What larger records are made of.
#[derive(Clone, Debug)]
struct Material {
    numbers: [u64; 6],
    texts: [String; 4],
    bytes: Vec<u8>,
    maybe: Option<u64>,
}

fn material() -> impl Strategy<Value = Material> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    any::<([u64; 6], [String; 4], Option<u64>)>()
        .prop_flat_map(move |(numbers, texts, maybe)| (Just((numbers, texts, maybe)), bytes.clone()))
        .prop_map(|((numbers, texts, maybe), bytes)| Material { numbers, texts, bytes, maybe })
}

fn host(Material { numbers: n, texts: [a, b, c, d], maybe, .. }: Material) -> Host {
    let small = maybe.map(|n| n as u32);
    let interface = InterfaceFacts {
        ifindex: n[0] as u32,
        name: a.clone(),
        kind: b.clone(),
        mtu: n[1] as u32,
        addresses: vec![c.clone(), d.clone()],
        peer_ifindex: small,
        peer_netns: maybe,
        features: vec![b.clone()],
        ..InterfaceFacts::default()
    };
    let namespace = Namespace {
        netns: n[2],
        name: c.clone(),
        interfaces: vec![interface.clone(), interface],
        routes: vec![Route { destination: d.clone(), gateway: maybe.map(|_| a.clone()), mtu: small, ..Route::default() }],
        sysctls: vec![(a.clone(), b.clone())],
        neighbours: vec![Neighbour { address: c.clone(), ifindex: n[3] as u32, mac: maybe.map(|_| d.clone()), state: a.clone() }],
        path_mtus: vec![PathMtu { destination: b.clone(), mtu: n[4] as u32, ifindex: small }],
        entry: maybe.map(|_| Entry::File),
        pid: small,
        path: maybe.map(|_| d.clone()),
    };
    let (at_ns, cpus) = (n[5] as i64, n[5] as u32);
    let (boot_id, hostname, kernel, machine) = (a.clone(), b.clone(), c.clone(), d.clone());
    Host { at_ns, boot_id, hostname, kernel, machine, agent: a, cpus, namespaces: vec![namespace], limits: vec![b, c, d] }
}

fn counter(Material { numbers: n, texts: [key, kernel_name, source, object], maybe, .. }: Material) -> Counter {
    use {Station as S, Unit as U};
    let small = maybe.map(|n| n as u32);
    Counter {
        id: n[0] as u32,
        key,
        unit: [U::Count, U::Packets, U::Bytes, U::Segments, U::Entries, U::Nanoseconds][n[1] as usize % 6],
        kind: [CounterKind::Monotonic, CounterKind::Gauge][n[2] as usize % 2],
        kernel_name,
        source,
        netns: maybe,
        ifindex: small,
        ifname: maybe.map(|_| object.clone()),
        rule: maybe.map(|_| object.clone()),
        cpu: small,
        object: Some(object),
        station: maybe.map(|n| [S::Device, S::Backlog, S::Qdisc, S::Conntrack, S::Ip, S::Socket, S::Capture][n as usize % 7]),
    }
}

fn rules(Material { numbers: n, texts: [a, b, c, d], maybe, .. }: Material) -> RuleSet {
    let verdict = |n: u64| [Verdict::Accept, Verdict::Drop, Verdict::Reject, Verdict::Other][n as usize % 4];
    let rule = FirewallRule {
        id: a.clone(),
        text: b.clone(),
        position: n[0] as u32,
        verdict: verdict(n[1]),
        counted: n[1] & 4 != 0,
        probability: maybe.map(|n| n as f64 / 7.0),
        handle: maybe,
    };
    let chain = Chain {
        table: a.clone(),
        name: b,
        hook: maybe.map(|_| c.clone()),
        policy: maybe.map(verdict),
        rules: vec![rule.clone(), rule],
        policy_id: maybe.map(|_| d),
    };
    let backend = [Backend::IptablesNft, Backend::IptablesLegacy, Backend::Nftables][n[2] as usize % 3];
    RuleSet { at_ns: n[3] as i64, netns: n[4], backend, chains: vec![chain.clone(), chain], after_ns: maybe.map(|n| n as i64) }
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(item(), 0..24).prop_map(|mut items| {
        items.insert(0, Item::Interface { link_type: 1, snaplen: 0 });
        items
    })
}

/// The log of these items, and each of its records as [`told`] would tell it.
fn written(items: &[Item]) -> (Vec<u8>, Vec<String>) {
    let mut log = Vec::new();
    let section = Section { format: FileFormat::PcapNg, application: Some("a test".into()), ..Section::default() };
    let mut encoder = Encoder::begin(&section, &mut log);
    let mut lines = vec![format!("{:?}", Record::Section(section))];
    let mut packets = 0;
    let mut interfaces = 0;
    for item in items {
        let begins_at = log.len() as u64;
        lines.push(match item {
            Item::Interface { link_type, snaplen } => {
                let mut interface = interface("eth0", u32::from(*link_type), *snaplen);
                interface.id = encoder.interface(&interface, &mut log);
                interface.number = interface.id.0;
                interfaces += 1;
                format!("{:?}", Record::Interface(interface))
            }
            Item::Packet { time, wire_len, data, flags, drop_count, comment } => {
                packets += 1;
                let to_write = PacketToWrite {
                    interface: InterfaceId(interfaces - 1),
                    time: Timestamp::from_nanos(*time),
                    wire_len: *wire_len,
                    data,
                    flags: *flags,
                    drop_count: *drop_count,
                    comment: comment.as_deref(),
                };
                encoder.packet(&to_write, &mut log);
                let record = dropscope_core::log::record::PacketRecord {
                    no: dropscope_core::ids::PacketNo(packets),
                    interface: to_write.interface,
                    link_type: 1,
                    time: Some(to_write.time),
                    wire_len: *wire_len,
                    offset: begins_at + 28,
                    data,
                    flags: *flags,
                    drop_count: *drop_count,
                    comments: comment.iter().cloned().collect(),
                };
                format!("{:?}", Record::Packet(record))
            }
            Item::Statistics { received, os_dropped } => {
                let statistics = Statistics {
                    interface: InterfaceId(0),
                    time: Timestamp::from_nanos(BEGIN_NS),
                    received: *received,
                    os_dropped: *os_dropped,
                    ..Statistics::default()
                };
                encoder.statistics(&statistics, &mut log);
                format!("{:?}", Record::Statistics(statistics))
            }
            Item::Clock(clock) => {
                common::record(&encoder, clock, &mut log);
                format!("{:?}", Record::Clock(clock.clone()))
            }
            Item::Snapshot(snapshot) => {
                common::record(&encoder, snapshot, &mut log);
                format!("{:?}", Record::Snapshot(snapshot.clone()))
            }
            Item::Mark(mark) => {
                common::record(&encoder, mark, &mut log);
                format!("{:?}", Record::Mark(mark.clone()))
            }
            Item::Host(host) => {
                common::record(&encoder, host, &mut log);
                format!("{:?}", Record::Host(Box::new(host.clone())))
            }
            Item::Catalogue(catalogue) => {
                common::record(&encoder, catalogue, &mut log);
                format!("{:?}", Record::Catalogue(catalogue.clone()))
            }
            Item::RuleSet(rules) => {
                common::record(&encoder, rules, &mut log);
                format!("{:?}", Record::RuleSet(Box::new(rules.clone())))
            }
            Item::KernelDrop(drop) => {
                common::record(&encoder, drop, &mut log);
                format!("{:?}", Record::KernelDrop(Box::new(drop.clone())))
            }
            Item::Probe(probe) => {
                common::record(&encoder, probe, &mut log);
                format!("{:?}", Record::Probe(Box::new(probe.clone())))
            }
        });
    }
    (log, lines)
}

/// `log` cut into pieces of these lengths, over and over.
fn pieces<'a>(log: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = log;
    lengths.iter().cycle().map_while(move |&length| {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(length.clamp(1, rest.len()));
        rest = after;
        Some(piece)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_written_is_read_however_it_is_cut(items in items(), lengths in prop::collection::vec(1_usize..300, 1..6)) {
        let (log, mut lines) = written(&items);
        lines.push("the log is whole\n".into());
        prop_assert_eq!(told([&log[..]]), lines.join("\n"));
        prop_assert_eq!(told(pieces(&log, &lengths)), lines.join("\n"));
    }

    #[test]
    fn a_log_that_is_cut_short_gives_what_came_before(items in items(), cut in any::<prop::sample::Index>()) {
        let (log, lines) = written(&items);
        let cut = cut.index(log.len());
        let text = told([&log[..cut]]);
        let (records, end) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
        prop_assert!(lines.join("\n").starts_with(records));
        let ends_well = end.starts_with("the file ends inside a record at byte ") || end == "the log is whole";
        // Fewer than the four bytes of a magic number do not tell what the file is.
        prop_assert!(ends_well || cut < 4, "{}", end);
    }

    #[test]
    fn pcap_file_reads_the_same_packets(items in items()) {
        let (log, _) = written(&items);
        let mut reader = PcapNgReader::new(&log[..]).expect("its section header is read");
        let mut theirs = Vec::new();
        while let Some(block) = reader.next_block() {
            let (block, _) = block.expect("the block is valid");
            if let Block::EnhancedPacket(packet) = block {
                theirs.push((packet.interface_id, packet.timestamp.as_nanos(), packet.original_len, packet.data.to_vec()));
            }
        }
        let mut ours = Vec::new();
        let mut decoder = Decoder::new();
        decoder.push(&log, |record| {
            if let Record::Packet(packet) = record {
                let nanos = packet.time.expect("it has a time").nanos();
                ours.push((packet.interface.0, nanos as u128, packet.wire_len, packet.data.to_vec()));
            }
        });
        prop_assert_eq!(decoder.finish(|_| {}), Ok(()));
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn a_broken_log_gives_the_records_before_the_damage(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        lengths in prop::collection::vec(1_usize..200, 1..4),
        file in 0_usize..KEPT.len(),
    ) {
        let whole = kept(KEPT[file]);
        let mut broken = whole.clone();
        for (place, byte) in changes {
            let place = place.index(broken.len());
            broken[place] = byte;
        }
        let first_change = whole.iter().zip(&broken).take_while(|(a, b)| a == b).count();
        let before = told([&whole[..first_change]]);
        let intact = before.trim_end().rsplit_once('\n').map_or("", |(records, _)| records);
        let text = told([&broken[..]]);
        // The variants of pcap are told apart by its first three packets, so damage there may change how all are read.
        if broken.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) && whole.starts_with(&[0x0a]) {
            prop_assert!(text.starts_with(intact), "{}\n--\n{}", intact, text);
        }
        prop_assert_eq!(told(pieces(&broken, &lengths)), text);
    }
}

/// Kept files that the mutations start from.
const KEPT: [&str; 3] = ["version-1.pcapng", "mtu-100-srv.pcap", "nft-drop-cli.pcap"];

fn kept(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn an_end_is_known_as_soon_as_it_is_met() {
    let (mut log, _) = written(&[Item::Interface { link_type: 1, snaplen: 0 }]);
    let broken_at = log.len() as u64;
    log.extend_from_slice(&[6, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let mut decoder = Decoder::new();
    decoder.push(&log, |_| {});
    assert!(matches!(decoder.end(), Some(End::Damaged { at, packets: 0, .. }) if *at == broken_at));
    decoder.push(&log, |record| panic!("nothing follows the end, not {record:?}"));
    assert_eq!(decoder.bytes_read(), 2 * log.len() as u64);
}
