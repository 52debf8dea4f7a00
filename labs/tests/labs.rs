//! Each lab does what it says, on this machine's kernel, and leaves nothing behind.
//!
//! Needs root. Where it is missing the tests say so and pass, except under CI, where they fail.

use dropscope_labs::{LABS, Lab, Running};
use std::io::Write;

/// `None`, said in one line, where labs cannot run.
fn start(name: &str) -> Option<Running> {
    if !dropscope_labs::is_root() {
        assert!(std::env::var_os("CI").is_none(), "labs need root, and CI must have it");
        let _ = writeln!(std::io::stderr(), "SKIPPED lab {name}: needs root");
        return None;
    }
    let prefix = format!("t{}{}", std::process::id(), name.bytes().map(u32::from).sum::<u32>());
    Some(Lab::named(name).and_then(|lab| lab.start(&prefix)).unwrap_or_else(|error| panic!("{error:#}")))
}

/// Runs the lab's load once; what its tools printed must hold each of `words`.
fn check(name: &str, words: &[&str]) {
    let Some(mut running) = start(name) else { return };
    let told = running.load().unwrap_or_else(|error| panic!("{error:#}"));
    for word in words {
        assert!(told.contains(word), "`{word}` is missing in what {name} printed:\n{told}");
    }
    let namespaces = [&running.net().server, &running.net().client, &running.net().between].map(|n| n.name().to_owned());
    drop(running);
    for name in namespaces {
        assert!(!std::path::Path::new("/run/netns").join(&name).exists(), "{name} was left behind");
    }
}

#[test]
fn in_mtu_100_syn_probes_are_answered_and_requests_are_not() {
    check("mtu-100", &["0% packet loss", "http=000"]);
}

#[test]
fn in_random_drop_probes_go_missing() {
    for name in ["random-drop", "random-drop-legacy"] {
        check(name, &["15 packets transmitted", "curl:"]);
    }
}

#[test]
fn in_healthy_everything_is_answered() {
    check("healthy", &["0% packet loss", "http=200", "bytes=200000"]);
}

#[test]
fn in_syn_dropped_nothing_connects() {
    check("syn-dropped", &["http=000 connect=0.000000"]);
}

#[test]
fn in_refused_the_host_says_so() {
    check("refused", &["curl: (7)", "flags=RA"]);
}

#[test]
fn in_the_black_hole_small_answers_pass_and_large_ones_do_not() {
    check("pmtud-black-hole", &["http=200"]);
}

#[test]
fn with_icmp_working_large_answers_pass() {
    check("pmtud-ok", &["bytes=200000"]);
}

#[test]
fn in_rejected_the_client_is_told_at_once() {
    check("rejected", &["http=000"]);
}

/// What a tool prints in the lab's namespaces once its load has run, on a line that holds `word`: the numbers behind it.
fn counted(name: &str, program: &str, args: &[&str], word: &str) -> Vec<u64> {
    let Some(mut running) = start(name) else { return vec![1] };
    running.load().unwrap_or_else(|error| panic!("{error:#}"));
    let net = running.net();
    let mut numbers = Vec::new();
    for namespace in [&net.server, &net.client, &net.between] {
        let text = namespace.run(program, args).unwrap_or_else(|error| panic!("{error:#}"));
        for (at, _) in text.match_indices(word) {
            let digits = text[at + word.len()..].trim_start_matches([' ', '=']).split(|c: char| !c.is_ascii_digit()).next();
            numbers.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
        }
    }
    numbers
}

/// Each lab's fault as the kernel itself counts it.
#[test]
fn the_kernel_counts_what_each_lab_loses() {
    for (name, program, args, word) in [
        ("nft-drop", "nft", &["list", "ruleset"][..], "counter packets"),
        ("accept-queue-overflow", "nstat", &["-asz"], "TcpExtListenOverflows"),
        ("queue-drop", "tc", &["-s", "qdisc"], "dropped"),
        ("udp-receive-buffer", "nstat", &["-asz"], "UdpRcvbufErrors"),
        ("zero-window", "nstat", &["-asz"], "TcpExtTCPToZeroWindowAdv"),
        ("conntrack-full", "conntrack", &["-S"], " drop="),
    ] {
        let numbers = counted(name, program, args, word);
        assert!(numbers.iter().sum::<u64>() > 0, "{name}: `{word}` of {program} is {numbers:?}");
    }
}

#[test]
fn an_unknown_lab_is_named_with_those_there_are() {
    let error = Lab::named("mtu-99").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("mtu-99") && LABS.iter().all(|lab| error.contains(lab.name)), "{error}");
}
