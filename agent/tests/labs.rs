//! Every lab, run and recorded from both ends by the real command, and what Dropscope finds in the log.
//!
//! One table says what must be found, and what the log must hold for it: the counters that moved and the packets that the
//! kernel dropped, by reason. Labs are mostly waiting, so a few run side by side; each has namespaces of its own. They need
//! root; without it this says so in one line and passes, except where `CI` is set.

mod common;

use common::can_run;
use dropscope_core::counters::Counters;
use dropscope_core::log::Decoder;
use dropscope_core::log::block::KernelDrop;
use dropscope_core::log::record::Record;
use dropscope_labs::LABS;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Labs that run at the same time: enough for two processors, since each sleeps most of its few seconds.
const AT_ONCE: usize = 4;

/// What one lab must lead to.
struct Expected {
    lab: &'static str,
    /// Rule, severity, confidence, and words that its sentence must hold, separated by ` … `.
    findings: &'static [(&'static str, &'static str, &'static str, &'static str)],
    /// Namespace (`srv` the service, `cli` the client, `rtr` between them), counter, and words of the object it belongs to.
    counters: &'static [(&'static str, &'static str, &'static str)],
    /// Namespace, reason, place in the kernel, and interface of packets that the kernel dropped; `-` for no interface.
    drops: &'static [(&'static str, &'static str, &'static str, &'static str)],
}

/// Nothing else may be found above a note. What counters and drops there are was first seen with other tools, on Linux 6.18.
const EXPECTED: &[Expected] = &[
    Expected {
        lab: "mtu-100",
        findings: &[(
            "interface_mtu",
            "critical",
            "proved",
            "eth0 of … has an MTU of 100 and drops bytes 1 to 74 that 192.168.0.2: … in packets of 126 bytes",
        )],
        counters: &[
            ("srv", "link.rx_dropped", "eth0"),
            ("rtr", "link.tx_dropped", "veth-c"),
            ("cli", "nstat.TcpRetransSegs", ""),
            ("cli", "nstat.TcpExtTCPTimeouts", ""),
            ("srv", "nstat.TcpPassiveOpens", ""),
        ],
        drops: &[("rtr", "NOT_SPECIFIED", "__dev_forward_skb2", "veth-c"), ("cli", "NO_SOCKET", "tcp_v4_rcv", "eth0")],
    },
    Expected {
        lab: "random-drop",
        findings: &[
            (
                "firewall_drop",
                "",
                "proved",
                "Rule 1 of INPUT (table filter, iptables-nft) in … --probability 0.29999999981 -j DROP",
            ),
            (
                "firewall_drop",
                "",
                "proved",
                "Rule 1 of OUTPUT (table filter, iptables-nft) in … --probability 0.29999999981 -j DROP",
            ),
        ],
        counters: &[("srv", "firewall.rule.packets", "")],
        drops: &[("srv", "NETFILTER_DROP", "nft_do_chain", "eth0"), ("srv", "NETFILTER_DROP", "nft_do_chain", "-")],
    },
    Expected {
        lab: "random-drop-legacy",
        findings: &[
            ("firewall_drop", "", "proved", "Rule 1 of INPUT (table filter, iptables-legacy) in … -j DROP"),
            ("firewall_drop", "", "proved", "Rule 1 of OUTPUT (table filter, iptables-legacy) in … -j DROP"),
        ],
        counters: &[("srv", "firewall.rule.packets", "")],
        drops: &[("srv", "NETFILTER_DROP", "nf_hook_slow", "eth0"), ("srv", "NETFILTER_DROP", "nf_hook_slow", "-")],
    },
    Expected {
        lab: "healthy",
        findings: &[],
        counters: &[("cli", "nstat.TcpActiveOpens", ""), ("srv", "nstat.TcpPassiveOpens", "")],
        drops: &[("cli", "NO_SOCKET", "tcp_v4_rcv", "eth0")],
    },
    Expected {
        lab: "nft-drop",
        findings: &[
            ("firewall_drop", "", "proved", "Rule 1 of input (table inet filter, nftables) in … `tcp dport 80 … counter drop"),
            (
                "firewall_drop",
                "",
                "strong",
                "Rule 1 of output (table inet filter, nftables) in … has no counter, and netfilter dropped … no counting rule \
                 accounts for: `tcp sport 80",
            ),
        ],
        counters: &[("srv", "firewall.rule.packets", "")],
        drops: &[("srv", "NETFILTER_DROP", "nft_do_chain", "eth0"), ("srv", "NETFILTER_DROP", "nft_do_chain", "-")],
    },
    Expected {
        lab: "conntrack-full",
        findings: &[(
            "conntrack_full",
            "critical",
            "strong",
            "-rtr is full: 20 of 20 entries in use, … dropped for want of an entry",
        )],
        counters: &[
            ("rtr", "conntrack.drop", ""),
            ("rtr", "conntrack.count", ""),
            ("cli", "nstat.TcpActiveOpens", ""),
            ("srv", "nstat.TcpPassiveOpens", ""),
        ],
        drops: &[("rtr", "NETFILTER_DROP", "nf_hook_slow", "ens0")],
    },
    Expected {
        lab: "accept-queue-overflow",
        findings: &[("accept_queue_overflow", "critical", "strong", "The accept queue of 172.17.0.2:80 on … overflowed")],
        counters: &[
            ("srv", "nstat.TcpExtListenOverflows", ""),
            ("srv", "nstat.TcpExtListenDrops", ""),
            ("cli", "nstat.TcpExtTCPSynRetrans", ""),
        ],
        drops: &[],
    },
    Expected {
        lab: "syn-dropped",
        findings: &[(
            "firewall_drop",
            "critical",
            "proved",
            "Rule 1 of INPUT … dropped … (100 %): … SYN -j DROP`; 1 connection attempt got no answer",
        )],
        counters: &[("srv", "firewall.rule.packets", ""), ("cli", "nstat.TcpExtTCPSynRetrans", "")],
        drops: &[("srv", "NETFILTER_DROP", "nft_do_chain", "eth0")],
    },
    Expected {
        lab: "rejected",
        findings: &[(
            "rejected",
            "",
            "strong",
            "port unreachable (ICMP 3/3): rule 1 of INPUT (table filter, iptables-nft) in … -j REJECT --reject-with icmp-port-unreachable",
        )],
        counters: &[
            ("srv", "firewall.rule.packets", ""),
            ("srv", "nstat.IcmpOutDestUnreachs", ""),
            ("cli", "nstat.IcmpInDestUnreachs", ""),
        ],
        drops: &[("srv", "NETFILTER_DROP", "nft_do_chain", "eth0")],
    },
    Expected {
        lab: "refused",
        findings: &[(
            "refused",
            "critical",
            "strong",
            "172.17.0.2:81 refused 4 connections of 192.168.0.2: nothing listens on the port",
        )],
        counters: &[("srv", "nstat.TcpOutRsts", ""), ("cli", "nstat.TcpAttemptFails", "")],
        drops: &[("srv", "NO_SOCKET", "tcp_v4_rcv", "eth0")],
    },
    Expected {
        lab: "pmtud-black-hole",
        findings: &[(
            "pmtud_black_hole",
            "critical",
            "strong",
            "Packets of 1500 bytes from 10.77.1.1 to 10.77.2.1 vanish on the path while smaller ones pass, and no ICMP error says so",
        )],
        counters: &[
            ("rtr", "firewall.rule.packets", ""),
            ("rtr", "nstat.IpFragFails", ""),
            ("srv", "nstat.TcpExtTCPTimeouts", ""),
            ("srv", "nstat.TcpRetransSegs", ""),
        ],
        drops: &[("rtr", "PKT_TOO_BIG", "ip_forward", "sside"), ("rtr", "NETFILTER_DROP", "nft_do_chain", "-")],
    },
    Expected {
        lab: "pmtud-ok",
        findings: &[],
        counters: &[
            ("rtr", "nstat.IpFragFails", ""),
            ("rtr", "nstat.IcmpOutDestUnreachs", ""),
            ("srv", "nstat.IcmpInDestUnreachs", ""),
        ],
        drops: &[("rtr", "PKT_TOO_BIG", "ip_forward", "sside")],
    },
    Expected {
        lab: "queue-drop",
        findings: &[("queue_drop", "warning", "strong", "The queue of ens0 on … (tbf) dropped … on their way out")],
        counters: &[
            ("rtr", "qdisc.drops", "tbf"),
            ("rtr", "qdisc.overlimits", "tbf"),
            ("srv", "nstat.TcpRetransSegs", ""),
            ("srv", "nstat.TcpExtTCPFastRetrans", ""),
        ],
        drops: &[("rtr", "QDISC_DROP", "__dev_queue_xmit", "ens0")],
    },
    Expected {
        lab: "udp-receive-buffer",
        findings: &[(
            "udp_receive_buffer",
            "critical",
            "proved",
            "The receive buffer of 172.17.0.2:5353 on … was full for … datagrams of 200 (",
        )],
        counters: &[("srv", "nstat.UdpRcvbufErrors", ""), ("srv", "nstat.UdpInErrors", ""), ("cli", "nstat.UdpOutDatagrams", "")],
        drops: &[("srv", "SOCKET_RCVBUFF", "udp_queue_rcv_one_skb", "eth0")],
    },
    Expected {
        lab: "zero-window",
        findings: &[("zero_window", "warning", "strong", "192.168.0.2 announced a full receive buffer … 172.17.0.2 had to wait")],
        counters: &[("cli", "nstat.TcpExtTCPToZeroWindowAdv", ""), ("srv", "nstat.TcpExtTCPWinProbe", "")],
        drops: &[("cli", "TCP_OLD_SEQUENCE", "tcp_validate_incoming", "-")],
    },
];

/// A lab's log and what the command says about it.
struct Ran {
    folder: PathBuf,
    answer: Value,
    text: String,
    log: Log,
}

/// What stands in a log, by the end of a namespace's name: `srv`, `cli`, `rtr`.
#[derive(Default)]
struct Log {
    counters: Counters,
    drops: Vec<KernelDrop>,
    /// Packets by capture interface.
    packets: BTreeMap<u32, u64>,
    /// Where each capture interface stands.
    interfaces: Vec<u64>,
}

impl Ran {
    fn run(lab: &str, folder: &Path) -> Result<Self, String> {
        let folder = folder.join(lab);
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        command(&folder, &["lab", lab, "-o", "lab.pcapng"])?;
        Self::read(folder)
    }

    /// What is said of the file `lab.pcapng` in a folder.
    fn read(folder: PathBuf) -> Result<Self, String> {
        let answer = command(&folder, &["check", "--json", "lab.pcapng"])?;
        let answer = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        let text = command(&folder, &["check", "lab.pcapng"])?;
        let log = Log::read(&std::fs::read(folder.join("lab.pcapng")).map_err(|error| error.to_string())?);
        Ok(Self { folder, answer, text, log })
    }

    fn findings(&self) -> &[Value] {
        self.answer["findings"].as_array().map_or(&[], Vec::as_slice)
    }

    fn finding(&self, rule: &str, words: &str) -> Option<&Value> {
        let holds =
            |finding: &Value| finding["sentence"].as_str().is_some_and(|text| words.split(" … ").all(|w| text.contains(w)));
        self.findings().iter().find(|finding| finding["rule"] == rule && holds(finding))
    }

    /// What is missing, or too much, in full sentences.
    fn troubles(&self, expected: &Expected) -> Vec<String> {
        let mut troubles = Vec::new();
        for (rule, severity, confidence, words) in expected.findings {
            match self.finding(rule, words) {
                None => troubles.push(format!("no {rule} with `{words}`")),
                Some(finding) if finding["confidence"] != *confidence => {
                    troubles.push(format!(
                        "{rule} is not {confidence} but {}: {}",
                        finding["confidence"], finding["confidence_reason"]
                    ));
                }
                Some(finding) if !severity.is_empty() && finding["severity"] != *severity => {
                    troubles.push(format!("{rule} is not {severity} but {}", finding["severity"]));
                }
                Some(_) => {}
            }
        }
        let named = |finding: &&Value| {
            let is_it =
                |(rule, _, _, words): &(&str, &str, &str, &str)| self.finding(rule, words).is_some_and(|one| one == *finding);
            expected.findings.iter().any(is_it)
        };
        let loud = self.findings().iter().filter(|finding| finding["severity"] != "note" && !named(finding));
        troubles.extend(loud.map(|finding| format!("nobody expected: {} {}", finding["severity"], finding["sentence"])));
        for (place, key, object) in expected.counters {
            if !self.log.moved(place, key, object) {
                troubles.push(format!("{key} {object} in {place} did not move"));
            }
        }
        for (place, reason, symbol, interface) in expected.drops {
            if !self.log.drops.iter().any(|drop| self.log.is(drop, place, reason, symbol, interface)) {
                troubles.push(format!("no drop {reason} at {symbol} of {interface} in {place}"));
            }
        }
        if self.log.interfaces.len() != 2 || self.log.packets.len() != 2 {
            troubles.push(format!("packets come from {:?}, not from both ends", self.log.packets));
        }
        troubles
    }
}

impl Log {
    fn read(bytes: &[u8]) -> Self {
        let mut log = Self::default();
        let mut decoder = Decoder::new();
        let mut take = |record: Record<'_>| match record {
            Record::Interface(interface) => log.interfaces.extend(interface.watched().map(|at| at.netns.0)),
            Record::Packet(packet) => *log.packets.entry(packet.interface.0).or_default() += 1,
            Record::Catalogue(catalogue) => log.counters.describe(catalogue),
            Record::Snapshot(snapshot) => log.counters.record(&snapshot),
            Record::Host(host) => log.counters.learn_host(*host),
            Record::RuleSet(rules) => log.counters.learn_rules(*rules),
            Record::KernelDrop(drop) => log.drops.push(*drop),
            _ => {}
        };
        decoder.push(bytes, &mut take);
        decoder.finish(&mut take).expect("a lab's log is whole");
        log
    }

    /// Whether this is the namespace of that place.
    fn is_place(&self, netns: u64, place: &str) -> bool {
        let namespace = self.counters.namespace(dropscope_core::ids::NetnsId(netns));
        namespace.is_some_and(|namespace| namespace.name.ends_with(&format!("-{place}")))
    }

    fn moved(&self, place: &str, key: &str, object: &str) -> bool {
        self.counters.of_key(key).any(|(_, series)| {
            let counter = &series.counter;
            let names = [counter.ifname.as_deref(), counter.object.as_deref()];
            let is_it = object.is_empty() || names.iter().flatten().any(|name| name.contains(object));
            let points = series.points();
            is_it
                && counter.netns.is_some_and(|netns| self.is_place(netns, place))
                && points.iter().any(|point| point.value != points[0].value)
        })
    }

    fn is(&self, drop: &KernelDrop, place: &str, reason: &str, symbol: &str, interface: &str) -> bool {
        let ifname = if drop.ifname.is_empty() { "-" } else { &drop.ifname };
        // A drop in a namespace that is watched through a veth's other end has the namespace's number all the same.
        let is_symbol = drop.place.split('+').next() == Some(symbol);
        self.is_place(drop.netns, place) && drop.reason == reason && is_symbol && ifname == interface
    }
}

/// Runs `dropscope`; what it printed, or why it failed.
fn command(folder: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_dropscope")).args(args).current_dir(folder).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("dropscope {args:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn every_lab_stands_in_the_table() {
    let names: Vec<&str> = EXPECTED.iter().map(|expected| expected.lab).collect();
    let labs: Vec<&str> = LABS.iter().map(|lab| lab.name).collect();
    assert_eq!(names, labs);
    for (lab, expected) in LABS.iter().zip(EXPECTED) {
        let rules: Vec<&str> = expected.findings.iter().map(|(rule, ..)| *rule).collect();
        assert!(rules.iter().all(|rule| lab.causes.contains(rule)), "{}: {rules:?} of {:?}", lab.name, lab.causes);
    }
}

#[test]
fn every_lab_is_found_by_its_rule_and_recorded_from_both_ends() {
    if !can_run("every_lab_is_found_by_its_rule_and_recorded_from_both_ends") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the logs");
    let waiting = Mutex::new(EXPECTED.iter().rev().collect::<Vec<_>>());
    let troubles = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(expected) = { waiting.lock().expect("nothing panics there").pop() } {
                    let found = match Ran::run(expected.lab, folder.path()) {
                        Ok(ran) => [ran.troubles(expected), more(&ran, expected.lab)].concat(),
                        Err(error) => vec![error],
                    };
                    let found = found.into_iter().map(|trouble| format!("{}: {trouble}", expected.lab));
                    troubles.lock().expect("nothing panics there").extend(found);
                }
            });
        }
    });
    let troubles = troubles.into_inner().expect("nothing panics there");
    assert!(troubles.is_empty(), "{troubles:#?}");
}

/// What some labs must show beyond the table.
fn more(ran: &Ran, lab: &str) -> Vec<String> {
    match lab {
        "random-drop" | "random-drop-legacy" => hits_are_kernel_drops(ran),
        "mtu-100" => the_lost_request_is_shown(ran),
        "syn-dropped" => packets_alone_tell_the_unanswered_syn(ran),
        _ => Vec::new(),
    }
}

/// At least 95 % of the rules' hits are there as kernel drops with the right addresses and ports.
fn hits_are_kernel_drops(ran: &Ran) -> Vec<String> {
    let log = &ran.log;
    let hits: u64 = log
        .counters
        .of_key("firewall.rule.packets")
        .map(|(_, series)| series.last().unwrap_or(0) - series.points().first().map_or(0, |point| point.value))
        .sum();
    let is_right = |drop: &&KernelDrop| {
        let ends = ends(&drop.bytes);
        let (server, client) = ([172, 17, 0, 2], [192, 168, 0, 2]);
        log.is_place(drop.netns, "srv")
            && drop.reason == "NETFILTER_DROP"
            && ends.is_some_and(|(from, from_port, to, to_port)| {
                (from, to, to_port) == (client, server, 80) || (from, from_port, to) == (server, 80, client)
            })
    };
    let right = log.drops.iter().filter(is_right).count() as u64;
    if hits > 0 && right * 100 >= hits * 95 { Vec::new() } else { vec![format!("{right} of {hits} hits are told as drops")] }
}

/// The finding says what was lost, on the terminal and in JSON, and points to the drops that have the packet's first bytes.
fn the_lost_request_is_shown(ran: &Ran) -> Vec<String> {
    let mut troubles = Vec::new();
    let lost = ran.log.drops.iter().filter(|drop| ran.log.is_place(drop.netns, "rtr") && drop.ifname == "veth-c");
    let lost: Vec<_> = lost.filter(|drop| ends(&drop.bytes).is_some_and(|(.., port)| port == 80)).collect();
    // IP and TCP with timestamps are 52 bytes; the request behind them lies in a page fragment.
    let is_whole =
        |drop: &&KernelDrop| drop.len == 126 && drop.bytes.len() == 126 && drop.bytes[52..].starts_with(b"GET / HTTP/1.1");
    if lost.is_empty() || !lost.iter().all(is_whole) {
        troubles.push(format!("the drops do not carry the request's first bytes: {lost:?}"));
    }
    let finding = ran.finding("interface_mtu", "").cloned().unwrap_or_default();
    for (whose, text) in [("JSON", finding["why"].as_str().unwrap_or("")), ("the terminal", &ran.text)] {
        if !text.replace('\n', " ").contains("GET / HTTP/1.1") {
            troubles.push(format!("{whose} does not show what was lost: {text}"));
        }
    }
    let evidence = finding["evidence"].as_array().cloned().unwrap_or_default();
    if !evidence.iter().any(|anchor| anchor.as_str().is_some_and(|text| text.starts_with('d'))) {
        troubles.push(format!("no drop among the evidence: {evidence:?}"));
    }
    troubles
}

/// Without what the host told, the same packets still say that nobody answered, though not why.
fn packets_alone_tell_the_unanswered_syn(ran: &Ran) -> Vec<String> {
    // How many there are in four seconds is the kernel's choice (net.ipv4.tcp_syn_linear_timeouts) and curl's: as many as were dropped.
    let count = ran.log.drops.iter().filter(|drop| ran.log.is(drop, "srv", "NETFILTER_DROP", "nft_do_chain", "eth0")).count();
    let by_rule = format!("dropped {count} packets of {count} (100 %)");
    if count < 2 || ran.finding("firewall_drop", &by_rule).is_none() {
        return vec![format!("no firewall_drop with `{by_rule}`")];
    }
    let alone_words = format!("172.17.0.2:80 did not answer {count} SYNs from 192.168.0.2");
    let alone = ran.folder.join("alone");
    let mut editcap = Command::new("editcap");
    editcap.arg(ran.folder.join("lab.pcapng")).arg(alone.join("lab.pcapng"));
    let copied = std::fs::create_dir(&alone).and_then(|()| editcap.output());
    if !copied.as_ref().is_ok_and(|output| output.status.success()) {
        return vec![format!("editcap (of Wireshark) cannot copy the packets: {copied:?}")];
    }
    match Ran::read(alone) {
        Ok(ran) if ran.finding("syn_unanswered", &alone_words).is_some() => Vec::new(),
        Ok(ran) => vec![format!("packets alone do not tell the unanswered SYN: {:?}", ran.findings())],
        Err(error) => vec![error],
    }
}

/// Source and destination address and port of an IPv4 packet of TCP.
fn ends(bytes: &[u8]) -> Option<([u8; 4], u16, [u8; 4], u16)> {
    let header = usize::from(*bytes.first()? & 15) * 4;
    let port = |at: usize| Some(u16::from_be_bytes(*bytes.get(header + at..)?.first_chunk()?));
    Some((*bytes.get(12..)?.first_chunk()?, port(0)?, *bytes.get(16..)?.first_chunk()?, port(2)?))
}
