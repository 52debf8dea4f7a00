//! `interface_drops`: a network interface counted packets as dropped or broken.
//!
//! **What.** `RX-DRP` of `netstat -i` mixes unknown protocols, wrong VLANs, too large packets and want of memory, so it is never
//! proof of one cause; `rx_missed` means that the receive ring was full before any capture could see the packet; errors are
//! damaged frames (cable, optics, duplex).
//!
//! **When.** One of an interface's drop or error counters rose while the log was written, and `interface_mtu` does not account for
//! it. A handful of receive drops is a note: every host drops some broadcasts of protocols it does not speak.
//!
//! **Near misses.** Counters that stand high but did not rise. `lo`.
//!
//! **Sources.** `struct rtnl_link_stats64` (include/uapi/linux/if_link.h) says what each counter means; DIAGNOSIS N1, N4.

use super::commands;
use super::draft::{Draft, Fix, reason};
use super::host::{self, Growth, Watched};
use super::{Explained, Outcome, View, say};
use crate::command::{Command, IfName};
use crate::finding::{Confidence, Severity, Subject};
use crate::time::Span;

const SLUG: &str = "interface_drops";
/// What it says where no host says anything.
const UNRECORDED: &str = "No interface counters were recorded.";

/// Counter, what people call it, and what its rising means.
const COUNTERS: &[(&str, &str, &str)] = &[
    ("link.rx_missed_errors", "missed", "the receive ring was full, before any capture could see them"),
    ("link.rx_fifo_errors", "RX-OVR", "the device's receive buffer overflowed"),
    ("link.rx_over_errors", "overrun", "the device's receive buffer overflowed"),
    ("link.rx_crc_errors", "CRC", "frames arrived damaged: cable, optics or duplex"),
    ("link.rx_errors", "RX-ERR", "frames arrived damaged or malformed"),
    ("link.rx_nohandler", "no handler", "an inactive device received them"),
    (
        "link.rx_dropped",
        "RX-DRP",
        "unknown protocol, wrong VLAN, larger than the MTU, or no memory: the counter does not tell which",
    ),
    ("link.tx_dropped", "TX-DRP", "the device or the other end of its virtual link refused them"),
    ("link.tx_errors", "TX-ERR", "they could not be sent: carrier lost, or the device failed"),
];

/// Below this, receive drops are everyday noise.
const NOISE: u64 = 10;

/// Judges each interface.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let Some(whole) = host::recorded(view) else {
        return Outcome::cannot_tell(UNRECORDED);
    };
    let mut outcome = Outcome::default();
    let (mut looked, mut quiet) = (0u64, Vec::new());
    for namespace in view.counters.namespaces() {
        for facts in namespace.interfaces.iter().filter(|interface| interface.name != "lo") {
            let interface = Watched { namespace, facts };
            let peer = facts.peer_ifindex.map(|ifindex| (facts.peer_netns.unwrap_or(namespace.netns), ifindex));
            let known = |key: (u64, u32)| explained.interfaces.contains(&key);
            if known((namespace.netns, facts.ifindex)) || peer.is_some_and(known) {
                continue;
            }
            looked += 1;
            let mut grown: Vec<_> = COUNTERS
                .iter()
                .filter_map(|(key, name, means)| Some((*name, *means, interface.grown(view, key, whole)?)))
                .collect();
            // The total also counts what its parts count.
            if grown.iter().any(|(name, ..)| matches!(*name, "CRC" | "RX-OVR" | "missed")) {
                grown.retain(|(name, ..)| *name != "RX-ERR");
            }
            match grown.is_empty() {
                true => quiet.push(interface.name()),
                false => outcome.findings.push(finding(view, interface, &grown, whole)),
            }
        }
    }
    if !quiet.is_empty() {
        let why = format!("No drop and no error on {} while the log was written.", say::list(&quiet, 4));
        outcome.quiet = Some((crate::finding::Quiet::Clear, why));
    } else if looked == 0 && outcome.findings.is_empty() && explained.interfaces.is_empty() {
        return Outcome::cannot_tell(UNRECORDED);
    }
    outcome
}

fn finding(view: &View<'_>, interface: Watched<'_>, grown: &[(&str, &str, Growth)], whole: Span) -> crate::finding::Finding {
    let name = interface.facts.name.clone();
    let total: u64 = grown.iter().map(|(_, _, growth)| growth.by).sum();
    let passed: u64 =
        ["link.rx_packets", "link.tx_packets"].iter().filter_map(|key| interface.grown(view, key, whole)).map(|g| g.by).sum();
    let only_noise = total < NOISE && grown.iter().all(|(name, ..)| matches!(*name, "RX-DRP" | "no handler"));
    let severity = if only_noise || total * 1_000 < passed { Severity::Note } else { Severity::Warning };
    let parts: Vec<String> = grown.iter().map(|(name, _, growth)| format!("{name} +{}", say::number(growth.by))).collect();
    let about = |build: &dyn Fn(IfName) -> Command| commands::about_interface(Some(interface.namespace), &name, build);
    let show = |name| {
        let command = Command::new("ip").args(["-s", "-s", "link", "show", "dev"]).arg(name);
        command.effect("Shows the counters in detail.")
    };
    let driver = |name| Command::new("ethtool").args(["-S"]).arg(name).effect("Shows the driver's own counters, which say more.");
    let enlarge = |name| {
        let command = Command::new("ethtool").args(["-G"]).arg(name).args(["rx", "4096"]);
        command.effect("Makes the receive ring larger; on most drivers the link goes down for a moment.")
    };
    Draft {
        rule: SLUG,
        subject: Subject::Interface { netns: interface.netns(), ifindex: interface.facts.ifindex, name: name.clone() },
        identity: interface.anchor(),
        severity,
        confidence: Confidence::Possible,
        sentence: format!(
            "{} lost {} while {} passed: {}.",
            interface.name(),
            say::count(total, "packet"),
            say::number(passed),
            say::list(&parts, 4)
        ),
        span: grown.iter().map(|(_, _, growth)| growth.span).reduce(Span::union).unwrap_or(whole),
        count: total,
        evidence: grown.iter().map(|(_, _, growth)| growth.anchor()).chain([interface.anchor()]).collect(),
        reasons: grown
            .iter()
            .map(|(name, means, growth)| {
                let (by, from, to) = (say::number(growth.by), say::number(growth.from), say::number(growth.to));
                reason(format!("{name} rose by {by}, from {from} to {to}: {means}."), [growth.anchor()])
            })
            .collect(),
        confidence_reason:
            "The interface counts the loss for certain, but not why, nor whose packets they were. Kernel drop records name \
             place and reason."
                .into(),
        rival: "Packets that nobody waits for: broadcasts, or protocols that this host does not speak.".into(),
        confirm: [about(&show), about(&driver)].into_iter().flatten().collect(),
        fix: grown.iter().any(|(name, ..)| matches!(*name, "missed" | "RX-OVR" | "overrun")).then(|| {
            about(&enlarge).map_or_else(|| Fix::Say(format!("A larger receive ring. {}", commands::UNTYPEABLE)), Fix::Run)
        }),
        questions: Vec::new(),
        picture: None,
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    const HOST: &str = "date 2021-06-01
namespace 7 web-1
interface 2 eth0 hardware mtu 1500 address 10.0.0.1/24
14:40:00 counters
  link.rx_packets eth0 1000
  link.rx_dropped eth0 5
  link.rx_missed_errors eth0 0
";

    #[test]
    fn a_full_ring_is_told_apart_from_plain_drops() {
        check(
            "interface_drops",
            &format!("{HOST}14:40:09 counters\n  link.rx_packets eth0 3000\n  link.rx_missed_errors eth0 120\n"),
            "warning possible: eth0 of web-1 lost 120 packets while 2,000 passed: missed +120.",
        );
    }

    #[test]
    fn a_few_receive_drops_are_a_note_and_old_ones_are_nothing() {
        check(
            "interface_drops",
            &format!("{HOST}14:40:09 counters\n  link.rx_packets eth0 1100\n  link.rx_dropped eth0 8\n"),
            "note possible: eth0 of web-1 lost 3 packets while 100 passed: RX-DRP +3.",
        );
        check(
            "interface_drops",
            &format!("{HOST}14:40:09 counters\n  link.rx_packets eth0 1100\n"),
            "clear: No drop and no error on eth0 of web-1 while the log was written.",
        );
    }
}
