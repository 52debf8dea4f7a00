//! What is told of dropped packets on hosts that allow more or less, each way for real: what the host lacks is taken away in a
//! mount namespace or by capabilities.
//!
//! These need root; without it each says so in one line and passes, except where `CI` is set.

mod common;

use common::{Dropscope, can_run, run};
use dropscope_agent::source::Target;
use dropscope_core::counters::Counters;
use dropscope_core::log::Decoder;
use dropscope_core::log::block::KernelDrop;
use dropscope_core::log::record::Record;
use dropscope_labs::Lab;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// What the client of [`Scene`] sends, of which nothing arrives.
const REQUEST: &str = "GET /lost HTTP/1.1\r\nHost: nowhere.example\r\n\r\n";

/// A namespace whose firewall drops the data of every TCP connection and datagrams to port 9, and a folder that everybody
/// reaches, with the command in it.
struct Scene {
    namespace: common::Namespace,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(test: &str) -> Self {
        let namespace = common::Namespace::new(test);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("it is ours");
        common::copy_command(folder.path());
        for rule in ["-p tcp --dport 80 --tcp-flags PSH PSH -j DROP", "-p udp --dport 9 -j DROP"] {
            let words = ["netns", "exec", &namespace.0, "iptables-nft", "-A", "INPUT"].into_iter().chain(rule.split(' '));
            run(Command::new("ip").args(words));
        }
        Self { namespace, folder }
    }

    /// Records while `traffic` happens, with the mounts of `before`; what it said, and the log.
    fn record(&self, before: &str, wrapper: &str, args: &str, traffic: impl FnOnce()) -> (String, Log) {
        let log = self.folder.path().join("a.pcapng");
        let _ = std::fs::remove_file(&log);
        let (folder, netns) = (self.folder.path().display(), &self.namespace.0);
        let line = format!("{before} exec {wrapper} {folder}/dropscope record -i lo -o {} {args}", log.display());
        let inside = ["netns", "exec", netns, "sh", "-e", "-c", &line];
        // This makes a mount namespace, too, which ends with the command.
        let mut dropscope = Dropscope::start_by(Command::new("ip").args(inside), self.folder.path());
        dropscope.hear("and nothing else.");
        traffic();
        assert!(dropscope.end().success(), "{:?}", dropscope.heard);
        (dropscope.heard.join("\n"), Log::read(&log))
    }

    /// Opens a connection and sends a request into it, which is dropped.
    fn lose_a_request(&self) {
        let here = Target::resolve(&self.namespace.0).expect("the namespace is there");
        let work = || {
            let listener = TcpListener::bind("127.0.0.1:80").expect("nobody else is in there");
            let mut stream = TcpStream::connect("127.0.0.1:80").expect("it listens");
            stream.write_all(REQUEST.as_bytes()).expect("it is buffered");
            // Only now is its other end closed.
            drop(listener);
        };
        here.run(work).expect("the namespace can be entered");
    }
}

/// What a log says of dropped packets.
#[derive(Default)]
struct Log {
    drops: Vec<KernelDrop>,
    counters: Counters,
}

impl Log {
    fn read(path: &std::path::Path) -> Self {
        let mut log = Self::default();
        let mut decoder = Decoder::new();
        let mut take = |record: Record<'_>| match record {
            Record::KernelDrop(drop) => log.drops.push(*drop),
            Record::Catalogue(catalogue) => log.counters.describe(catalogue),
            Record::Snapshot(snapshot) => log.counters.record(&snapshot),
            _ => {}
        };
        decoder.push(&std::fs::read(path).expect("the log"), &mut take);
        decoder.finish(&mut take).expect("the log is whole");
        log
    }

    /// The firewall's drops, each as `reason place namespace interface bytes`, with `-` for what is not told.
    fn told(&self) -> Vec<String> {
        let or = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let one = |drop: &KernelDrop| {
            let place = or(drop.place.split('+').next().unwrap_or_default());
            let bytes = match drop.bytes.get(52..) {
                None => "no bytes".to_owned(),
                Some([]) => "headers".to_owned(),
                Some(data) => String::from_utf8_lossy(data).lines().next().unwrap_or_default().to_owned(),
            };
            let netns = if drop.netns == 0 { "host" } else { "namespace" };
            format!("{} {place} {netns} {} {bytes}", or(&drop.reason), or(&drop.ifname))
        };
        let mut told: Vec<_> = self.drops.iter().filter(|drop| drop.reason.starts_with("NETFILTER")).map(one).collect();
        told.sort();
        told.dedup();
        told
    }

    /// How many the firewall dropped, as was counted without records.
    fn counted(&self) -> u64 {
        let of_firewall = |object: &str| object.starts_with("NETFILTER_DROP");
        let series = self.counters.of_key("drop.count").map(|(_, series)| series);
        series.filter(|one| one.counter.object.as_deref().is_some_and(of_firewall)).filter_map(|one| one.last()).sum()
    }
}

/// Hides the kernel's type information.
const NO_TYPES: &str = "mount -t tmpfs none /sys/kernel/btf;";
/// Shows tracefs, as most hosts do.
const TRACEFS: &str = "mount -t tracefs none /sys/kernel/tracing;";

/// Mounts, the command that takes rights away, arguments, words that are said of what is not seen, and what is told.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], &'a [&'a str]);

#[test]
fn each_host_is_told_what_it_allows_and_what_is_then_not_seen() {
    if !can_run("each_host_is_told_what_it_allows_and_what_is_then_not_seen") {
        return;
    }
    let whole = "NETFILTER_DROP nft_do_chain namespace lo GET /lost HTTP/1.1";
    let headers = "NETFILTER_DROP nft_do_chain namespace lo headers";
    let bare = "NETFILTER_DROP nft_do_chain host - no bytes";
    let nobody = |capabilities: &str| {
        let sets = format!("--inh-caps=-all,{capabilities} --ambient-caps=-all,{capabilities}");
        format!("setpriv --reuid=65534 --regid=65534 --clear-groups {sets}")
    };
    let all = nobody("+net_raw,+net_admin,+bpf,+perfmon,+syslog,+dac_read_search");
    let no_symbols = nobody("+net_raw,+net_admin,+bpf,+perfmon");
    let no_bpf = nobody("+net_raw,+net_admin,+perfmon,+syslog,+dac_read_search");
    let tracefs_alone = [TRACEFS, NO_TYPES].concat();
    let cases: &[Case<'_>] = &[
        ("", "", "", &[], &[whole]),
        ("", &all, "", &[], &[whole]),
        (
            "",
            &no_symbols,
            "",
            &["the place of a drop cannot be told without CAP_SYSLOG"],
            &["NETFILTER_DROP - namespace lo GET /lost HTTP/1.1"],
        ),
        ("", "", "--kernel-drops raw", &["only the headers are told", "--kernel-drops asks for it"], &[headers]),
        (TRACEFS, "", "--kernel-drops tracepoint", &["of the whole host", "--kernel-drops asks for it"], &[bare]),
        (&tracefs_alone, "", "", &["of the whole host", "no type information (/sys/kernel/btf/vmlinux"], &[bare]),
        (TRACEFS, &no_bpf, "", &["of the whole host", "eBPF takes CAP_BPF and CAP_PERFMON"], &[bare]),
        (NO_TYPES, "", "", &["no type information", "tracefs is not mounted"], &[]),
        (NO_TYPES, "", "--kernel-drops btf", &["cannot be read here: this kernel has no type information"], &[]),
        (TRACEFS, &nobody("+net_raw"), "", &["cannot be read without CAP_BPF and CAP_PERFMON"], &[]),
    ];
    let scene = Scene::new("ways");
    for (before, wrapper, args, words, expected) in cases {
        let case = format!("{before} {wrapper} {args}");
        let (said, log) = scene.record(before, wrapper, args, || scene.lose_a_request());
        let limits: Vec<_> = said.lines().filter(|line| line.contains("not recorded: kernel_drops")).collect();
        for word in *words {
            assert!(limits.iter().any(|line| line.contains(word)), "{case}: no `{word}` in {said}");
        }
        assert_eq!(words.is_empty(), limits.is_empty(), "{case}: {said}");
        assert_eq!(log.told(), *expected, "{case}: {:#?}", log.drops);
        assert_eq!(log.counted() > 0, !expected.is_empty(), "{case}");
    }
}

#[test]
fn what_comes_too_fast_is_counted_to_the_last_one() {
    if !can_run("what_comes_too_fast_is_counted_to_the_last_one") {
        return;
    }
    let scene = Scene::new("fast");
    for (before, args) in [("", "--kernel-drops btf"), ("", "--kernel-drops raw"), (TRACEFS, "--kernel-drops tracepoint")] {
        let here = Target::resolve(&scene.namespace.0).expect("the namespace is there");
        let mut sent = 0;
        let flood = || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is up");
            // What was skipped in one second is told in the next, by the processor that skipped it: it stays the same one.
            let mut processor = nix::sched::CpuSet::new();
            processor.set(0).expect("there is a first one");
            nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &processor).expect("a thread may choose among its own");
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(2500) {
                socket.send_to(b"to be dropped", "127.0.0.1:9").expect("the firewall drops in silence");
                sent += 1;
            }
        };
        let (_, log) = scene.record(before, "", args, || here.run(flood).expect("the namespace can be entered"));
        let told = log.drops.iter().filter(|drop| drop.reason == "NETFILTER_DROP").count() as u64;
        let skipped: u64 = log.drops.iter().map(|drop| drop.skipped).sum();
        assert!(skipped > 0 && told > 0 && told < sent, "{args}: {told} told and {skipped} skipped of {sent}");
        if args.ends_with("tracepoint") {
            // Other tests drop packets, too; what found no room in the buffer is skipped, not counted.
            assert!(log.counted() + skipped >= sent, "{args}: {} counted, {skipped} skipped of {sent}", log.counted());
        } else {
            assert_eq!(log.counted(), sent, "{args}");
            assert!(told + skipped <= sent, "{args}: {told} told and {skipped} skipped of {sent}");
        }
    }
}

#[test]
fn the_lost_request_is_shown_whichever_end_was_recorded() {
    if !can_run("the_lost_request_is_shown_whichever_end_was_recorded") {
        return;
    }
    for place in ["server", "between"] {
        let mut lab = Lab::named("mtu-100").expect("a lab").start(&format!("kd{}", &place[..3])).expect("root makes labs");
        let netns = if place == "server" { &lab.net().server } else { &lab.net().between };
        let folder = tempfile::tempdir().expect("a folder");
        let log: PathBuf = folder.path().join("a.pcapng");
        let netns = netns.name().to_owned();
        let mut dropscope = Dropscope::start(folder.path(), &["record", "--netns", &netns, "-o", "a.pcapng", "tcp"]);
        dropscope.hear("and nothing else.");
        lab.load().expect("the lab's traffic");
        assert!(dropscope.end().success(), "{:?}", dropscope.heard);
        let whole = |drop: &KernelDrop| drop.ifname == "veth-c" && drop.bytes.windows(14).any(|part| part == b"GET / HTTP/1.1");
        let drops = Log::read(&log).drops;
        assert!(drops.iter().any(whole), "{place}: {drops:#?}");
        let output = Command::new(env!("CARGO_BIN_EXE_dropscope")).args(["check", "--json"]).arg(&log).output().expect("it runs");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let findings = answer["findings"].as_array().cloned().unwrap_or_default();
        let finding = findings.iter().find(|finding| finding["rule"] == "interface_mtu");
        let why = finding.and_then(|finding| finding["why"].as_str()).unwrap_or_default();
        assert!(why.contains("began with `GET / HTTP/1.1"), "{place}: {findings:#?}");
        assert_eq!(finding.map(|finding| &finding["confidence"]), Some(&"proved".into()), "{place}");
    }
}
