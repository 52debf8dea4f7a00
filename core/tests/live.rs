//! What the rules say of real recordings in which something changes, or a host drops where a lab does not.
//!
//! `data/live/README.md` says what they are.

#[cfg(target_arch = "wasm32")]
#[macro_use]
extern crate dropscope_wasm_test;
#[macro_use]
mod kept;

use dropscope_core::anchor::{Anchor, Place};
use dropscope_core::finding::{Finding, Severity};
use dropscope_core::log::block::KernelDrop;
use dropscope_core::log::record::Record;
use dropscope_core::log::{Decoder, Unpacker};
use dropscope_core::query::Engine;
use dropscope_core::rules::Judgement;
use dropscope_core::time::{Span, Timestamp};

const ALL: [&str; 8] =
    ["bare_reject", "forward_policy", "inserted", "native_policy", "no_neighbour", "no_route", "policy_set_back", "vmap"];

fn log(name: &str) -> Vec<u8> {
    let mut log = Vec::new();
    let mut unpacker = Unpacker::new(1 << 24);
    unpacker.push(kept::file(&format!("live/{name}.pcapng.gz")), |bytes| log.extend_from_slice(bytes)).expect("it is gzip");
    unpacker.finish(|bytes| log.extend_from_slice(bytes)).expect("it is whole");
    log
}

fn judged(name: &str) -> Engine {
    let mut engine = Engine::new();
    engine.push(&log(name));
    engine.finish();
    engine
}

/// Everything above a note.
fn loud(judgement: &Judgement) -> Vec<&Finding> {
    judgement.findings.iter().filter(|finding| finding.severity > Severity::Note).collect()
}

/// What is above a note, as `severity confidence rule: sentence`, without the namespaces' names.
fn told(name: &str) -> Vec<String> {
    let engine = judged(name);
    let one = |f: &&Finding| format!("{} {} {}: {}", f.severity, f.confidence, f.rule, f.sentence);
    let words = |text: String| {
        text.split(' ').map(|word| if word.starts_with("ds1") { "HOST" } else { word }).collect::<Vec<_>>().join(" ")
    };
    loud(engine.findings()).iter().map(one).map(words).collect()
}

fn checked(name: &str, rule: &str) -> String {
    judged(name).findings().checked.iter().filter(|checked| checked.rule == rule).map(|checked| checked.why.clone()).collect()
}

#[test]
fn a_rule_that_came_meanwhile_is_measured_from_its_first_moment_and_by_its_own_time() {
    let engine = judged("inserted");
    let [finding] = loud(engine.findings())[..] else { panic!("{:#?}", engine.findings()) };
    assert_eq!(
        told("inserted"),
        [
            "warning proved firewall_drop: Rule 1 of INPUT (table filter, iptables-nft) in HOST dropped 53 packets: `-A INPUT -m statistic \
          --mode random --probability 0.29999999981 -j DROP`."
        ]
    );
    let reasons: Vec<&str> = finding.reasons.iter().map(|reason| reason.text.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "It came while the log was written and had 53 hits within 5.01 s.",
            "While it was read it hit 43 of the 153 matching packets received, 28.1 %; the rule says 30 %, which lies in the 95 % interval \
             of what was seen, 21.6 % to 35.7 %.",
            "Meanwhile the host's IP layer received 153 packets and delivered 110: 43 vanished between the two, where INPUT stands, about \
             as many as this rule hit.",
            "The kernel recorded 53 drops with the reason NETFILTER_DROP at `nft_do_chain+0x46f` for packets that this rule matches.",
        ]
    );
}

#[test]
fn a_verdict_map_that_drops_is_named() {
    assert_eq!(
        told("vmap"),
        [
            "critical strong firewall_drop: Rule 1 of in (table inet f, nftables) in HOST looks its verdict up in a map, so its counter would \
          not tell what it drops, and netfilter dropped 8 packets that it matches and no counting rule accounts for: `tcp dport vmap { 80 : \
          drop, 443 : accept }`."
        ]
    );
}

#[test]
fn the_policy_of_a_native_chain_is_named() {
    assert_eq!(
        told("native_policy"),
        [
            "critical strong firewall_drop: The DROP policy of in (table inet f, nftables) in HOST has no counter, and netfilter dropped 8 \
          packets that no counting rule accounts for: `policy drop`."
        ]
    );
}

#[test]
fn a_bare_reject_is_named_and_the_firewall_is_not_called_innocent() {
    assert_eq!(
        told("bare_reject"),
        [
            "critical strong rejected: 10.77.0.1 rejected 4 connection attempts of 10.77.0.2 to 10.77.0.1:80 with port unreachable (ICMP \
          3/3): rule 2 of in (table inet f, nftables) in HOST rejects them: `reject`."
        ]
    );
    let why = "The firewall has no rule and no policy that drops in silence; what netfilter dropped has a cause that is told elsewhere.";
    assert_eq!(checked("bare_reject", "firewall_drop"), why);
}

#[test]
fn a_policy_that_takes_all_that_was_to_be_forwarded_is_no_note() {
    assert_eq!(
        told("forward_policy"),
        [
            "warning proved firewall_drop: The DROP policy of FORWARD (table filter, iptables-nft) in HOST dropped 12 packets of 12 (100 %): \
          `-P FORWARD DROP`."
        ]
    );
}

/// Its counter goes on under the next policy, from zero, and what that one accepts is not counted to it.
#[test]
fn a_policy_that_was_set_back_has_what_it_took_and_no_more() {
    assert_eq!(
        told("policy_set_back"),
        [
            "warning proved firewall_drop: The DROP policy of FORWARD (table filter, iptables-nft) in HOST dropped 18 packets of 18 (100 %): \
          `-P FORWARD DROP`."
        ]
    );
    let engine = judged("policy_set_back");
    let [finding] = loud(engine.findings())[..] else { panic!("{:#?}", engine.findings()) };
    let rose = "Its hits rose by 18, from 0 to 18, within 3.72 s. Another policy took its place while the log was written.";
    assert_eq!(finding.reasons[0].text, rose);
    assert!(finding.fix.is_empty(), "it is mended already: {:?}", finding.fix);
}

#[test]
fn rules_that_changed_say_when_they_were_last_found_otherwise() {
    let mut read = Vec::new();
    Decoder::new().push(&log("policy_set_back"), |record| {
        if let Record::RuleSet(rules) = record {
            read.push((rules.at_ns, rules.after_ns));
        }
    });
    let [(began, None), (at, Some(after))] = read[..] else { panic!("{read:?}") };
    assert!(began < after && after < at && at - after < 1_500_000_000, "{read:?}");
}

#[test]
fn a_socket_that_cannot_answer_has_no_full_queue() {
    for name in ["no_route", "no_neighbour"] {
        let engine = judged(name);
        let advice = format!("{:?}", engine.findings().findings);
        assert!(!advice.contains("somaxconn"), "{name}: {advice}");
        let why = checked(name, "accept_queue_overflow");
        assert!(
            why.starts_with("No accept queue was full: TcpExtListenOverflows did not rise. TcpExtListenDrops rose by"),
            "{name}: {why}"
        );
    }
}

/// The packets and kernel drops among the evidence lie in the finding's own time.
#[test]
fn evidence_lies_within_its_findings_time() {
    for name in ALL {
        let log = log(name);
        let (mut packets, mut drops) = (Vec::new(), Vec::<KernelDrop>::new());
        Decoder::new().push(&log, |record| match record {
            Record::Packet(packet) => packets.push(packet.time.expect("it has a time")),
            Record::KernelDrop(drop) => drops.push(*drop),
            _ => {}
        });
        let at = |anchor: &Anchor| match anchor.place {
            Place::Packet(no) => packets.get(no.0 as usize - 1).copied(),
            Place::KernelDrop(no) => drops.get(no.0 as usize - 1).map(|drop| Timestamp::from_nanos(drop.at_ns)),
            _ => None,
        };
        let engine = judged(name);
        for finding in &engine.findings().findings {
            let Span { start, end } = finding.span;
            let outside: Vec<_> = finding.evidence.iter().filter_map(at).filter(|at| *at < start || *at > end).collect();
            assert!(outside.is_empty(), "{name}: {}: {outside:?} outside {start:?} to {end:?}", finding.sentence);
        }
    }
}

/// Whatever netfilter dropped, nobody says that nothing drops.
#[test]
fn no_firewall_is_innocent_while_its_drops_stand_in_the_log() {
    for name in ["bare_reject", "native_policy", "vmap"] {
        let why = checked(name, "firewall_drop");
        assert!(!why.contains("no rule and no policy that drops.") && !why.contains("no packet was dropped"), "{name}: {why}");
    }
}
