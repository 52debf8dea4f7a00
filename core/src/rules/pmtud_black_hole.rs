//! `pmtud_black_hole`: large packets vanish on the path, and the ICMP error that should say so does not arrive.
//!
//! **What.** A router that cannot forward a packet with Don't Fragment drops it and answers "fragmentation needed" (ICMP 3/4) or
//! "packet too big" (ICMPv6 2) with the MTU that fits. When a firewall drops that answer, the sender repeats the same large packet
//! for ever, while small ones pass: the connection opens and hangs.
//!
//! **When.** Seen from the sender's side: a segment sent three times or more with Don't Fragment and never acknowledged, that is
//! larger than any packet that was acknowledged from the one host to the other, in this conversation or another. ICMP that arrived and
//! was not obeyed is told apart, and so is ICMP about a conversation that does not exist: a firewall rewrites ports and
//! leaves the quote as it was, so the sender's host cannot tell which connection is meant (RFC 5508 section 4 asks for both).
//! A rule that drops ICMP and whose hits rose makes it strong.
//!
//! **Near misses.** A packet as large was acknowledged: the path carries it, and this is plain loss. Many small packets add up to more
//! bytes, which proves nothing. ICMP arrived and smaller segments followed: path MTU discovery works. The receiver's own
//! interface is too small: `interface_mtu`.
//!
//! **Sources.** RFC 2923 section 2.1, RFC 1191, RFC 8201, RFC 4821 section 7.7; falling-sky/source#141 (the quoted port); DIAGNOSIS
//! M3, M4; the labs `pmtud-blackhole` and `pmtud-ok`.

use super::commands;
use super::draft::{Draft, Fix, packet, reason};
use super::firewall_drop;
use super::group::{self, PathGroup};
use super::host;
use super::{Explained, Outcome, View, say};
use crate::anchor::Place;
use crate::command::Command;
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Question, Reason, Severity};
use crate::flow::{Flow, IcmpError, StrayError, Stuck};
use crate::ids::{Direction, NetnsId};
use std::collections::BTreeMap;
use std::net::IpAddr;

const SLUG: &str = "pmtud_black_hole";

/// Smaller packets than this fit any link that IPv4 hosts must cope with (RFC 791: 576 bytes of datagram).
const LARGE: u32 = 577;

/// Judges every TCP conversation.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let tcp = || view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp && flow.handshake.ack.is_some());
    let passed = tcp().filter(|flow| flow.sides.iter().any(|side| side.largest_acked() >= LARGE)).count() as u64;
    let vain = tcp().flat_map(|flow| &flow.sides).filter(|side| side.stuck.is_some_and(|stuck| stuck.ip_len >= LARGE)).count();
    let carried = Carried::of(view);
    let swallowed = |flow: &Flow, direction| swallowed(flow, direction, &carried);
    let hits: Vec<(&Flow, Direction)> = tcp()
        .filter(|flow| !explained.has(flow.id))
        .flat_map(|flow| [Direction::AToB, Direction::BToA].map(|direction| (flow, direction)))
        .filter(|(flow, direction)| swallowed(flow, *direction).is_some())
        .collect();
    if hits.is_empty() {
        return match (passed, vain) {
            (0, 0) => Outcome::cannot_tell("No connection carried packets large enough to meet a path's MTU."),
            (0, _) => Outcome::clear("No large packet was sent three times in vain on a path that carries smaller ones."),
            (n, _) => Outcome::clear(format!("Large packets got through on {}.", say::count(n, "connection"))),
        };
    }
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(hits.iter().map(|(flow, _)| flow.id));
    let groups = group::by_path(hits, |flow, direction| swallowed(flow, direction).map_or(0, |stuck| stuck.sent.into()));
    outcome.findings.extend(groups.iter().map(|group| finding(view, group, &carried)));
    outcome
}

/// The largest packet that is known to have passed, by sender and receiver.
struct Carried(BTreeMap<(IpAddr, IpAddr), u32>);

impl Carried {
    /// Among the paths on which anything large is stuck.
    fn of(view: &View<'_>) -> Self {
        let ends = |flow: &Flow, direction: Direction| (flow.sender(direction).address, flow.sender(direction.reverse()).address);
        let sides = || {
            let tcp = view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp);
            tcp.flat_map(|flow| [Direction::AToB, Direction::BToA].map(|direction| (flow, direction)))
        };
        let stuck = sides().filter(|(flow, direction)| flow.side(*direction).stuck.is_some());
        let mut largest: BTreeMap<_, u32> = stuck.map(|(flow, direction)| (ends(flow, direction), 0)).collect();
        if !largest.is_empty() {
            for (flow, direction) in sides() {
                if let Some(largest) = largest.get_mut(&ends(flow, direction)) {
                    *largest = (*largest).max(flow.side(direction).largest_acked());
                }
            }
        }
        Self(largest)
    }

    fn between(&self, flow: &Flow, direction: Direction) -> u32 {
        let ends = (flow.sender(direction).address, flow.sender(direction.reverse()).address);
        self.0.get(&ends).copied().unwrap_or(0)
    }
}

/// The large segment that never gets through.
fn swallowed(flow: &Flow, direction: Direction, carried: &Carried) -> Option<Stuck> {
    let side = flow.side(direction);
    let stuck = side.stuck.filter(|stuck| stuck.sent >= 3 && stuck.ip_len >= LARGE)?;
    let v6 = flow.server.address.is_ipv6();
    let carried = carried.between(flow, direction) >= stuck.ip_len;
    (!carried && (side.dont_fragment || v6)).then_some(stuck)
}

fn told_mtu(flow: &Flow, direction: Direction) -> Option<&IcmpError> {
    flow.icmp_errors.iter().find(|error| error.about == direction && error.is_too_big())
}

/// Errors that say so of packets between the same hosts, but of no conversation that there is.
fn misdirected<'a>(view: &View<'a>, flow: &Flow, direction: Direction) -> Vec<&'a StrayError> {
    let (from, to) = (flow.sender(direction).address, flow.sender(direction.reverse()).address);
    let is_it = |stray: &&StrayError| stray.error.is_too_big() && stray.src.address == from && stray.dst.address == to;
    view.flows.stray_errors().iter().filter(is_it).collect()
}

fn finding(view: &View<'_>, group: &PathGroup<'_>, carried: &Carried) -> Finding {
    let swallowed = |flow: &Flow, direction| swallowed(flow, direction, carried);
    let (flow, direction) = group.hits[0];
    let stuck = swallowed(flow, direction).expect("only conversations with such a segment are grouped");
    let icmp = told_mtu(flow, direction);
    let misdirected = misdirected(view, flow, direction);
    let passed =
        flow.side(direction).sizes().into_iter().map(|(size, _)| size).filter(|size| *size < stuck.ip_len).max().unwrap_or(0);
    let segments: u64 =
        group.hits.iter().filter_map(|(flow, direction)| swallowed(flow, *direction)).map(|s| u64::from(s.sent)).sum();
    let anchors = [packet(stuck.first_sent), packet(stuck.last_sent)];
    let mut reasons = vec![
        reason(
            "The handshake is fine, and small packets pass in both directions.",
            [flow.handshake.syn, flow.handshake.ack].into_iter().flatten().map(packet),
        ),
        reason(
            format!(
                "{} of {} were sent {} within {} in packets of {} bytes with Don't Fragment, and never acknowledged; the largest that did pass has \
                 {passed}.",
                say::capital(&say::bytes(stuck.first, stuck.last)),
                flow.sender(direction),
                say::count(stuck.sent.into(), "time"),
                stuck.last_sent.at - stuck.first_sent.at,
                stuck.ip_len
            ),
            anchors.clone(),
        ),
    ];
    match icmp {
        None if !misdirected.is_empty() => reasons.push(misdirected_reason(flow, direction, &misdirected)),
        None => reasons.push(reason(
            "No ICMP \"fragmentation needed\" about this conversation arrived, so the sender goes on with the same size.",
            [],
        )),
        Some(error) => reasons.push(reason(
            format!(
                "{} said with ICMP that at most {} bytes fit, and the sender did not obey.",
                error.from,
                error.mtu.unwrap_or(0)
            ),
            [packet(error.seen)],
        )),
    }
    // A router of ours that could not forward, and says so in its counters.
    let failed = view.counters.namespaces().find_map(|namespace| {
        let netns = NetnsId(namespace.netns);
        let whole = host::recorded(view)?;
        let grown = |key| host::namespace_growth(view, key, netns, whole);
        Some((namespace.name.clone(), grown("nstat.IpFragFails").or_else(|| grown("nstat.Ip6FragFails"))?))
    });
    if let Some((name, growth)) = &failed {
        let text = format!("{name} could not forward {} for their size (FragFails).", say::count(growth.by, "packet"));
        reasons.push(reason(text, [growth.anchor()]));
    }
    let rule = firewall_drop::dropping_icmp(view);
    if let Some(rule) = &rule {
        let text = format!("{} drops ICMP, and {}: `{}`.", say::capital(&rule.name), rule.shown, rule.text);
        reasons.push(reason(text, rule.anchors.clone()));
    }
    let sure = failed.is_some() || rule.is_some() || !misdirected.is_empty() || stuck.sent >= 4 && icmp.is_none();
    let (sender, receiver) = (flow.sender(direction).address, flow.sender(direction.reverse()).address);
    // Not tracepath: here it would wait three seconds for each of thirty hops, and show the MTU of the sender's own link.
    let probe = |ip_len, effect| commands::ping(view, sender, receiver, ip_len, effect);
    let small = probe(passed, "Probes the path with packets of a size that passed: they are answered.");
    let large = probe(
        stuck.ip_len,
        "Probes the path with packets of this size, which routers may not fragment: none is answered, so the status of `ping` is 1.",
    );
    Draft {
        rule: SLUG,
        identity: packet(stuck.first_sent),
        severity: Severity::Critical,
        confidence: if sure { Confidence::Strong } else { Confidence::Possible },
        sentence: format!(
            "Packets of {} bytes from {} to {} vanish on the path while smaller ones pass, and {}: {} sent in vain.",
            stuck.ip_len,
            group.from,
            group.to,
            match (icmp, misdirected.as_slice()) {
                (Some(_), _) => "the sender does not obey the ICMP error".to_owned(),
                (None, []) => "no ICMP error says so".to_owned(),
                (None, errors) => format!(
                    "{} that says so names port {}, which no connection uses",
                    match errors.len() {
                        1 => "the ICMP error".to_owned(),
                        n => format!("each of {n} ICMP errors"),
                    },
                    errors[0].src.port
                ),
            },
            say::count(segments, "segment")
        ),
        span: group.span(),
        count: group.hits.len() as u64,
        evidence: anchors
            .into_iter()
            .chain(misdirected.iter().take(3).map(|stray| packet(stray.error.seen)))
            .chain(group.hits.iter().take(12).map(|(flow, _)| Place::Flow(flow.id).into()))
            .collect(),
        reasons,
        confidence_reason: if sure {
            "Size alone tells what passes from what does not, and the sender was not told. A probe with two sizes would show the path's MTU.".into()
        } else {
            "Few large packets were sent: plain loss could have hit just them.".into()
        },
        rival: "Plain loss that happened to hit the large packets only; small data would then be lost as well. Or the receiver's own interface \
                 has a small MTU: its receive drops would rise."
            .into(),
        confirm: small.into_iter().chain(large).collect(),
        fix: rule.and_then(|rule| rule.fix).or_else(|| {
            Some(if misdirected.is_empty() {
                let_errors_in(view, sender).into()
            } else {
                Fix::Say(
                    "Have the firewall that rewrites ports rewrite those that ICMP errors quote, too. Until then a smaller `mtu` of the route, or \
                     TCPMSS clamping, avoids the large packets."
                        .into(),
                )
            })
        }),
        questions: vec![Question {
            question: "Why does the connection open and then hang?".into(),
            answer: "The handshake and small requests fit any link. The first full-sized packet does not, and nobody tells the sender to make it \
                     smaller."
                .into(),
        }],
        picture: Some(Picture::SizeRuler {
            mtu: icmp.and_then(|error| error.mtu).unwrap_or(passed),
            limit: None,
            passed: flow.side(direction).sizes().into_iter().filter(|(size, _)| *size < stuck.ip_len).collect(),
            vanished: vec![(stuck.ip_len, stuck.sent)],
        }),
        subject: group.subject(),
    }
    .finding()
}

fn misdirected_reason(flow: &Flow, direction: Direction, errors: &[&StrayError]) -> Reason {
    let first = errors[0];
    let fits = first.error.mtu.map(|mtu| format!(" that at most {mtu} bytes fit,")).unwrap_or_default();
    reason(
        format!(
            "{} said with ICMP{fits} but the packet it quotes comes from port {}; the connection here has port {}. The sender cannot tell which \
             connection is meant and goes on with the same size: a device on the path rewrites ports and leaves the quoted ones as they were.",
            first.error.from,
            first.src.port,
            flow.sender(direction).port
        ),
        errors.iter().map(|stray| packet(stray.error.seen)),
    )
}

/// Accepts the ICMP errors that the sender of large packets is to get.
fn let_errors_in(view: &View<'_>, sender: IpAddr) -> Command {
    let command = if sender.is_ipv4() {
        Command::new("iptables").args(["-I", "INPUT", "-p", "icmp", "--icmp-type", "fragmentation-needed", "-j", "ACCEPT"])
    } else {
        Command::new("ip6tables").args(["-I", "INPUT", "-p", "icmpv6", "--icmpv6-type", "packet-too-big", "-j", "ACCEPT"])
    };
    let command = command.effect(
        "Lets the ICMP errors in that say what fits; firewalls between the two must forward them, too. Until then a smaller `mtu` of the route, \
         or TCPMSS clamping, avoids the large packets.",
    );
    host::on(view, sender, command)
}

#[cfg(test)]
mod tests {
    use crate::rules::case::{OPEN, check};

    const REQUEST: &str = "14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:75, ack 1, win 512, length 74
14:40:01.004 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 75, win 512, length 0
";
    const LARGE: &str = "IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1:1461, ack 75, win 512, length 1460";

    fn sent(times: &[&str]) -> String {
        times.iter().map(|time| format!("14:40:0{time} {LARGE}\n")).collect()
    }

    #[test]
    fn a_large_segment_sent_in_vain_is_a_black_hole() {
        check(
            "pmtud_black_hole",
            &format!("{OPEN}{REQUEST}{}", sent(&["1.005", "1.300", "1.900", "3.100", "5.500"])),
            "critical strong: Packets of 1500 bytes from 10.0.0.1 to 10.0.0.2 vanish on the path while smaller ones pass, and no ICMP error says so: 5 \
             segments sent in vain.",
        );
    }

    #[test]
    fn discovery_that_works_is_silent() {
        check(
            "pmtud_black_hole",
            &format!(
                "{OPEN}{REQUEST}{}14:40:01.006 IP 10.0.0.9 > 10.0.0.1: ICMP 3/4 quoting 6 mtu 600
14:40:01.007 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1:561, ack 75, win 512, length 560
14:40:01.008 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 75, ack 561, win 512, length 0
",
                sent(&["1.005"])
            ),
            "clear: Large packets got through on 1 connection.",
        );
    }

    #[test]
    fn many_small_packets_do_not_show_that_a_large_one_passes() {
        let small: String = (0..30)
            .map(|n| {
                let (first, after) = (1 + n * 60, 61 + n * 60);
                format!(
                    "14:40:01.1{n:02} IP 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq {first}:{after}, ack 75, win 512, length 60
14:40:01.1{n:02}5 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 75, ack {after}, win 512, length 0
"
                )
            })
            .collect();
        let large = sent(&["2.005", "2.300", "2.900", "4.100"]).replace("seq 1:1461", "seq 1801:3261");
        check(
            "pmtud_black_hole",
            &format!("{OPEN}{REQUEST}{small}{large}"),
            "critical strong: Packets of 1500 bytes from 10.0.0.1 to 10.0.0.2 vanish on the path while smaller ones pass, and no ICMP error says so: 4 \
             segments sent in vain.",
        );
    }

    #[test]
    fn a_packet_as_large_that_was_acknowledged_shows_that_the_path_carries_it() {
        let acked = format!(
            "14:40:01.005 {LARGE}\n14:40:01.006 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 75, ack 1461, win 512, length 0\n"
        );
        let vain = sent(&["2.005", "2.300", "2.900", "4.100"])
            .replace("seq 1:1461", "seq 1461:2361")
            .replace("length 1460", "length 900");
        check("pmtud_black_hole", &format!("{OPEN}{REQUEST}{acked}{vain}"), "clear: Large packets got through on 1 connection.");
        // In another connection of the same hosts.
        let other = format!("{OPEN}{REQUEST}{acked}").replace("10.0.0.2.5", "10.0.0.2.6");
        let rest = format!("{OPEN}{REQUEST}{}", sent(&["2.005", "2.300", "2.900", "4.100"]));
        let rest = rest.lines().skip(1).collect::<Vec<_>>().join("\n").replace("14:40:01.0", "14:40:01.1");
        check("pmtud_black_hole", &format!("{other}{rest}\n"), "clear: Large packets got through on 1 connection.");
    }
}
