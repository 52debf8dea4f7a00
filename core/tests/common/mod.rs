//! A log with one record of every kind, and records as text.
#![allow(dead_code, reason = "each test binary uses its part")]

use dropscope_core::ids::NetnsId;
use dropscope_core::log::block::{
    Backend, Catalogue, Chain, Clock, Counter, CounterKind, FirewallRule, Host, InterfaceFacts, KernelDrop, Mark, Namespace,
    Payload, Probe, Route, RuleSet, Snapshot, Station, Unit, Verdict,
};
use dropscope_core::log::record::{End, FileFormat, Interface, Record, Section, Statistics, Watched};
use dropscope_core::log::{Decoder, Encoder, PacketToWrite};
use dropscope_core::time::Timestamp;
use std::fmt::Write;

/// The moment the log begins: 2023-11-14 22:13:20 UTC.
pub(crate) const BEGIN_NS: i64 = 1_700_000_000_000_000_000;
const NETNS: u64 = 4_026_531_840;

/// Two interfaces, three packets, statistics, and a record of each kind of ours between them.
pub(crate) fn one_of_each() -> Vec<u8> {
    let mut log = Vec::new();
    let section = Section {
        format: FileFormat::PcapNg,
        hardware: Some("x86_64".into()),
        os: Some("Linux 6.18".into()),
        application: Some("Dropscope 0.1.0".into()),
        comments: vec!["made by a test".into()],
    };
    let mut encoder = Encoder::begin(&section, &mut log);
    record(&encoder, &host(), &mut log);
    let eth0 = encoder.interface(&interface("eth0", 1, 262_144), &mut log);
    let tun0 = encoder.interface(&interface("tun0", 101, 28), &mut log);
    let clock = Clock { realtime_ns: BEGIN_NS, monotonic_ns: 5_000, boottime_ns: 6_000, error_ns: 70 };
    record(&encoder, &clock, &mut log);
    record(&encoder, &catalogue(), &mut log);
    record(&encoder, &rules(), &mut log);
    let snapshot = |at, full, values| Snapshot { at_ns: BEGIN_NS + at, took_ns: 120_000, full, values };
    record(&encoder, &snapshot(0, true, vec![(1, 0), (2, 17)]), &mut log);
    let first = PacketToWrite { interface: eth0, time: time(1), wire_len: 60, data: &[0; 60], ..PacketToWrite::default() };
    encoder.packet(&first, &mut log);
    let dropped = KernelDrop {
        at_ns: BEGIN_NS + 2,
        reason: "PKT_TOO_BIG".into(),
        place: "ip_forward+0x3e8".into(),
        netns: NETNS,
        ifindex: 2,
        ifname: "eth0".into(),
        mtu: 100,
        ether_type: 0x0800,
        len: 131,
        gso_size: 0,
        bytes: vec![0x45, 0, 0, 131],
        skipped: 3,
    };
    record(&encoder, &dropped, &mut log);
    let second = PacketToWrite {
        interface: tun0,
        time: time(999_999_999),
        wire_len: 1500,
        data: &[0x45; 28],
        flags: Some(1),
        drop_count: Some(7),
        comment: Some("first fragment"),
    };
    encoder.packet(&second, &mut log);
    record(&encoder, &snapshot(1_000_000_000, false, vec![(1, 4)]), &mut log);
    let probe = Probe {
        at_ns: BEGIN_NS + 5,
        kind: "syn".into(),
        target: "172.17.0.2:80".into(),
        sent: 2,
        answered: 1,
        rtt_ns: vec![310_000],
        summary: "One of two SYNs to 172.17.0.2:80 was answered.".into(),
    };
    record(&encoder, &probe, &mut log);
    let third = PacketToWrite { interface: eth0, time: time(1_000_000_001), ..first };
    encoder.packet(&PacketToWrite { data: &[1; 61], wire_len: 61, ..third }, &mut log);
    let mark = Mark {
        at_ns: BEGIN_NS + 9,
        kind: "recording_stopped".into(),
        text: "The recording was stopped.".into(),
        netns: Some(NETNS),
        ifindex: None,
    };
    record(&encoder, &mark, &mut log);
    let statistics = Statistics {
        interface: tun0,
        time: time(2_000_000_000),
        received: Some(9),
        if_dropped: None,
        os_dropped: Some(7),
        delivered: Some(1),
    };
    encoder.statistics(&statistics, &mut log);
    log
}

/// A moment after the log's begin.
pub(crate) fn time(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(BEGIN_NS + nanos)
}

pub(crate) fn interface(name: &str, link_type: u32, snaplen: u32) -> Interface {
    Interface {
        link_type,
        snaplen,
        name: Some(name.into()),
        filter: Some("port 80".into()),
        comments: vec![Watched { netns: NetnsId(NETNS), ifindex: 2 }.comment()],
        ..Interface::default()
    }
}

pub(crate) fn record(encoder: &Encoder, payload: &impl Payload, log: &mut Vec<u8>) {
    encoder.record(payload, log).expect("a small record fits a block");
}

fn host() -> Host {
    let eth0 = InterfaceFacts {
        ifindex: 2,
        name: "eth0".into(),
        kind: "veth".into(),
        mtu: 100,
        operstate: "up".into(),
        flags: 0x1043,
        mac: "d2:4d:72:aa:3a:5c".into(),
        addresses: vec!["172.17.0.2/16".into()],
        peer_ifindex: Some(7),
        peer_netns: Some(1),
        hard_header_len: Some(14),
        ..InterfaceFacts::default()
    };
    let route = Route { destination: "default".into(), gateway: Some("172.17.0.1".into()), ifindex: Some(2), ..Route::default() };
    let namespace = Namespace {
        netns: NETNS,
        name: "web-1".into(),
        interfaces: vec![eth0],
        routes: vec![route],
        sysctls: vec![("net.ipv4.tcp_mtu_probing".into(), "0".into())],
        ..Namespace::default()
    };
    Host {
        at_ns: BEGIN_NS,
        boot_id: "8c5f".into(),
        hostname: "web-1".into(),
        kernel: "6.18.0".into(),
        machine: "x86_64".into(),
        agent: "Dropscope 0.1.0".into(),
        cpus: 2,
        namespaces: vec![namespace],
        limits: vec!["Kernel drops cannot be seen without BPF.".into()],
    }
}

fn catalogue() -> Catalogue {
    let counter = |id, key: &str, kind, station| Counter {
        id,
        key: key.into(),
        unit: Unit::Packets,
        kind,
        kernel_name: "rx_dropped".into(),
        source: "rtnetlink IFLA_STATS64".into(),
        netns: Some(NETNS),
        ifindex: Some(2),
        ifname: Some("eth0".into()),
        station,
        ..Counter::default()
    };
    Catalogue {
        counters: vec![
            counter(1, "link.rx_dropped", CounterKind::Monotonic, Some(Station::Device)),
            counter(2, "conntrack.count", CounterKind::Gauge, None),
        ],
    }
}

fn rules() -> RuleSet {
    let rule = FirewallRule {
        id: "filter/INPUT/1a2b#0".into(),
        text: "-A INPUT -p tcp -m statistic --mode random --probability 0.3 -j DROP".into(),
        position: 1,
        verdict: Verdict::Drop,
        counted: true,
        probability: Some(0.3),
        handle: None,
    };
    let chain = Chain {
        table: "filter".into(),
        name: "INPUT".into(),
        hook: Some("input".into()),
        policy: Some(Verdict::Accept),
        rules: vec![rule],
        policy_id: Some("filter/INPUT/policy".into()),
    };
    RuleSet { at_ns: BEGIN_NS, netns: NETNS, backend: Backend::IptablesLegacy, chains: vec![chain], after_ns: None }
}

/// Every record of a log in one line each, and how it ended, when its bytes arrive in the pieces that `cut` makes.
pub(crate) fn told<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut text = String::new();
    let mut line = |record: Record<'_>| writeln!(text, "{record:?}").expect("a string takes all");
    let mut decoder = Decoder::new();
    for piece in pieces {
        decoder.push(piece, &mut line);
    }
    let end = decoder.finish(&mut line);
    text + &ended(end) + "\n"
}

fn ended(end: Result<(), End>) -> String {
    end.map_or_else(|end| end.to_string(), |()| "the log is whole".into())
}

/// What a tool printed; `None` where it is not installed, which CI does not put up with.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> Option<String> {
    match std::process::Command::new(name).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).expect("its output is UTF-8"))
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{name} is needed in CI: {error}");
            // Past the test harness, which swallows what a passing test prints.
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("SKIPPED {test}: {name} is not installed\n").as_bytes(),
            );
            None
        }
    }
}
