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

#[test]
fn every_other_lab_runs() {
    for (name, word) in [
        ("nft-drop", "packets transmitted"),
        ("accept-queue-overflow", "6 connections begun"),
        ("queue-drop", "http=200"),
        ("udp-receive-buffer", "200 datagrams sent"),
        ("zero-window", "after four seconds"),
        ("conntrack-full", "40 tries"),
    ] {
        check(name, &[word]);
    }
}

#[test]
fn an_unknown_lab_is_named_with_those_there_are() {
    let error = Lab::named("mtu-99").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("mtu-99") && LABS.iter().all(|lab| error.contains(lab.name)), "{error}");
}
