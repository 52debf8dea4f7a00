//! The commands of every finding, run as a reader copies them, in the lab that the finding is about.
//!
//! Each lab is recorded by the real command while it stands; then each command that confirms a finding goes to a shell word for
//! word, and after those each fix that stays in the lab's namespaces. All must end as they should, and print what the finding says.
//! Needs root; without it this says so in one line and passes, except where `CI` is set.

mod common;

use common::typed::typed;
use common::{Dropscope, can_run};
use dropscope_labs::{LABS, Lab, Running};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Labs that run at the same time: each sleeps most of its few seconds.
const AT_ONCE: usize = 4;

/// What a command must print, where more than its status tells whether it confirms the finding.
struct Prints {
    rule: &'static str,
    /// Words of the command.
    line: &'static str,
    /// Words that one line of what it prints must hold, its blanks being one space each; none may, after `!`. `COUNT` is what the
    /// finding counted.
    words: &'static str,
    /// The status it ends with.
    status: i32,
}

const fn prints(rule: &'static str, line: &'static str, words: &'static str) -> Prints {
    Prints { rule, line, words, status: 0 }
}

/// By rule and words of the command. Each must be met in some lab.
const PRINTS: &[Prints] = &[
    prints("interface_mtu", "ip -s link show dev eth0", "eth0@ … mtu 100 "),
    prints("interface_mtu", "ping -M do -c 3 -s 76 172.17.0.2", " 3 received"),
    Prints { rule: "interface_mtu", line: "-s 77 172.17.0.2", words: " 0 received", status: 1 },
    prints("firewall_drop", "-nvL INPUT --line-numbers", "1 COUNT … DROP"),
    prints("firewall_drop", "-nvL OUTPUT --line-numbers", "1 … DROP"),
    prints("firewall_drop", "nft -a list chain inet filter input", "counter packets COUNT … drop … # handle"),
    prints("firewall_drop", "nft -a list chain inet filter output", "drop … # handle"),
    prints("rejected", "iptables-nft -nvL INPUT", "COUNT … REJECT … reject-with icmp-port-unreachable"),
    prints("refused", "ss -lnt 'sport = :81'", "!LISTEN"),
    prints("conntrack_full", "sysctl", "net.netfilter.nf_conntrack_max = 20"),
    prints("conntrack_full", "conntrack -S", " drop="),
    prints("accept_queue_overflow", "ss -lnt", "LISTEN 2 1 0.0.0.0:80"),
    prints("queue_drop", "tc -s qdisc show dev ens0", "dropped … overlimits"),
    prints("udp_receive_buffer", "ss -uanm", "skmem: … ,dCOUNT)"),
    prints("path_mtu", "tracepath -n 10.77.2.1", "Resume: pmtu 600"),
    prints("pmtud_black_hole", "ping -M do -c 3 -s", "3 received"),
    Prints { rule: "pmtud_black_hole", line: "-s 1472", words: " 0 received", status: 1 },
];

/// A lab that was recorded and still stands.
struct Recorded {
    running: Running,
    findings: Vec<Value>,
}

impl Recorded {
    fn new(name: &str, folder: &Path) -> Result<Self, String> {
        let prefix = format!("c{}{}", std::process::id(), name.bytes().map(u32::from).sum::<u32>());
        let mut running = Lab::named(name).and_then(|lab| lab.start(&prefix)).map_err(|error| format!("{error:#}"))?;
        let log = folder.join(format!("{name}.pcapng")).to_string_lossy().into_owned();
        let net = running.net();
        let captures = [&net.server, &net.client].map(|end| format!("{}/eth0", end.name()));
        let mut args = vec!["record", "-i", &captures[0], "-i", &captures[1], "-o", &log];
        for namespace in [&net.server, &net.between, &net.client] {
            args.extend(["--netns", namespace.name()]);
        }
        let mut dropscope = Dropscope::start(folder, &args);
        dropscope.hear("recording ");
        running.load().map_err(|error| format!("{error:#}"))?;
        if !dropscope.end().success() {
            return Err(format!("record: {:?}", dropscope.heard));
        }
        let answer = Command::new(env!("CARGO_BIN_EXE_dropscope")).args(["check", "--json", &log]).output();
        let answer = answer.map_err(|error| error.to_string())?.stdout;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        Ok(Self { running, findings: answer["findings"].as_array().cloned().unwrap_or_default() })
    }

    /// Each finding with a command of this kind.
    fn commands<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a Value, &'a str)> {
        let lines = move |finding: &'a Value| finding[kind].as_array().into_iter().flatten().filter_map(Value::as_str);
        self.findings.iter().flat_map(move |finding| lines(finding).map(move |line| (finding, line)))
    }

    /// Whether a command runs in a namespace of the lab: one that changes the host is not for a test.
    fn is_inside(&self, line: &str) -> bool {
        let net = self.running.net();
        [&net.server, &net.client, &net.between].iter().any(|one| line.contains(&format!("ip netns exec {} ", one.name())))
    }
}

/// What is wrong with the commands of one lab's findings, and which of [`PRINTS`] were looked at.
fn troubles(lab: &str, folder: &Path) -> Result<(Vec<String>, BTreeSet<usize>), String> {
    let recorded = Recorded::new(lab, folder)?;
    let (mut troubles, mut seen, mut looked_at) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (finding, line) in recorded.commands("confirm") {
        if !recorded.is_inside(line) {
            troubles.push(format!("`{line}` does not say in which namespace"));
        }
        let is_it = |(_, one): &(usize, &Prints)| finding["rule"] == one.rule && line.contains(one.line);
        // The most particular one stands last.
        let expected = PRINTS.iter().enumerate().rfind(is_it);
        looked_at.extend(expected.map(|(at, _)| at));
        if seen.insert(line) {
            troubles.extend(trouble(line, finding, expected.map(|(_, one)| one)));
        }
    }
    let fixes: BTreeSet<&str> = recorded.commands("fix").map(|(_, line)| line).filter(|line| recorded.is_inside(line)).collect();
    for line in fixes {
        let ran = typed(line);
        // What the kernel was built without is no fault of the command.
        if ran.status != Some(0) && !ran.text.contains("Specified qdisc kind is unknown") {
            troubles.push(format!("`{line}` ended with {:?}: {}", ran.status, ran.text));
        }
    }
    Ok((troubles, looked_at))
}

/// What is wrong with a command that confirms a finding.
fn trouble(line: &str, finding: &Value, expected: Option<&Prints>) -> Option<String> {
    let ran = typed(line);
    let status = expected.map_or(0, |one| one.status);
    if ran.status != Some(status) {
        return Some(format!("`{line}` ended with {:?}: {}", ran.status, ran.text));
    }
    let expected = expected?;
    let (is_wanted, words) = expected.words.strip_prefix('!').map_or((true, expected.words), |words| (false, words));
    let count = finding["count"].as_u64()?;
    let holds = |text: &str| printed(text, words, count);
    (ran.text.lines().any(holds) != is_wanted).then(|| format!("`{line}` should print `{words}`: {is_wanted}; {}", ran.text))
}

/// Whether a line holds these words, `COUNT` being a number that is at least this: what was on its way may have come since.
fn printed(text: &str, words: &str, count: u64) -> bool {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let numbers =
        text.split(|c: char| !c.is_ascii_digit()).filter(|digits| digits.parse().is_ok_and(|number: u64| number >= count));
    let holds = |words: &str| words.split(" … ").all(|word| text.contains(word));
    holds(words) || numbers.into_iter().any(|number| holds(&words.replace("COUNT", number)))
}

#[test]
fn every_command_of_every_lab_runs_in_that_lab() {
    if !can_run("every_command_of_every_lab_runs_in_that_lab") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the logs");
    let waiting = Mutex::new(LABS.iter().rev().collect::<Vec<_>>());
    let all = Mutex::new((Vec::new(), BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(lab) = { waiting.lock().expect("nothing panics there").pop() } {
                    let (found, seen) = troubles(lab.name, folder.path()).unwrap_or_else(|error| (vec![error], BTreeSet::new()));
                    let mut all = all.lock().expect("nothing panics there");
                    all.0.extend(found.into_iter().map(|trouble| format!("{}: {trouble}", lab.name)));
                    all.1.extend(seen);
                }
            });
        }
    });
    let (mut all, seen) = all.into_inner().expect("nothing panics there");
    let unmet = PRINTS.iter().enumerate().filter(|(at, _)| !seen.contains(at));
    all.extend(unmet.map(|(_, one)| format!("no lab's {} has a command with `{}`", one.rule, one.line)));
    assert!(all.is_empty(), "{all:#?}");
}

/// What `check` finds in a capture.
fn findings(capture: &Path) -> Vec<Value> {
    let answer = Command::new(env!("CARGO_BIN_EXE_dropscope")).args(["check", "--json"]).arg(capture).output().expect("it runs");
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap_or_else(|error| panic!("{capture:?}: {error}"));
    answer["findings"].as_array().cloned().unwrap_or_default()
}

/// The captures that rules are judged by.
fn judged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/judge").join(name)
}

/// How many packets of a capture tcpdump prints with a filter.
fn tcpdump(capture: &Path, filter: &str) -> usize {
    let file = File::open(capture).expect("it is there");
    // From standard input: it gives up root before it opens a file, and the checkout may be its owner's alone.
    let output = Command::new("tcpdump").args(["-n", "-r", "-", filter]).stdin(file).output().expect("tcpdump is installed");
    assert!(output.status.success(), "{filter}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout.iter().filter(|byte| **byte == b'\n').count()
}

#[test]
fn every_filter_for_tcpdump_shows_packets_of_its_finding() {
    let mut filters = 0;
    for entry in std::fs::read_dir(judged("")).expect("the folder is there") {
        let capture = entry.expect("it can be listed").path();
        if capture.extension().is_none_or(|extension| extension != "pcap") {
            continue;
        }
        for finding in findings(&capture) {
            for argv in finding["confirm_argv"].as_array().into_iter().flatten().filter(|argv| argv[0] == "tcpdump") {
                let filter = argv[4].as_str().expect("tcpdump -n -i any FILTER");
                let shown = tcpdump(&capture, filter) as u64;
                let least = if finding["rule"] == "syn_unanswered" { finding["count"].as_u64().unwrap_or(1) } else { 1 };
                assert!(shown >= least, "{capture:?}: `{filter}` shows {shown} packets of {least}");
                filters += 1;
            }
        }
    }
    assert!(filters > 3, "only {filters} filters");
}

#[test]
fn commands_about_ipv6_are_those_of_ipv6() {
    let capture = judged("v6-syn-unanswered.pcap");
    let found = findings(&capture);
    let watch = "tcpdump -n -i any 'ip6 and tcp and ip6[53] & 0x02 != 0 and host 2001:db8:2::20'";
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["confirm"], serde_json::json!([watch]));
    // The four SYNs that nobody answered.
    assert_eq!(tcpdump(&capture, "ip6 and tcp and ip6[53] & 0x02 != 0 and host 2001:db8:2::20"), 4);
    if can_run("commands_about_ipv6_are_those_of_ipv6") {
        let ran = typed(watch);
        assert_eq!(ran.status, Some(0), "{}", ran.text);
    }
}
