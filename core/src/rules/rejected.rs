//! `rejected`: packets are answered with an ICMP error: a firewall's refusal, no route, no such host, no such port.
//!
//! **What.** Routers and hosts say with ICMP why they do not deliver. "Port unreachable" about a *TCP* SYN comes from a firewall
//! (`REJECT`'s default): a host without a listener answers with RST. "Administratively prohibited" is policy.
//!
//! **When.** ICMP type 3 codes 0, 1, 2, 3, 9, 10, 13, or ICMPv6 type 1, that quotes a packet of a conversation. Fragmentation needed
//! (3/4) and packet too big are no rejection: see `pmtud_black_hole`.
//!
//! **Near misses.** Time exceeded. An error about a conversation that goes on undisturbed is still told, as a note; so is a client
//! that has closed its port when an answer comes late, or a second time, as resolvers do that ask two servers.
//!
//! **Sources.** RFC 792, RFC 1812 section 5.2.7.1, RFC 4443 section 3.1; DIAGNOSIS H3; the lab `reject-icmp`.

use super::commands;
use super::draft::{Draft, evidence, packet, reason};
use super::firewall_drop;
use super::host;
use super::{Explained, Outcome, View, say};
use crate::command::{Arg, Command};
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Severity, Subject};
use crate::flow::{Flow, IcmpError};
use crate::ids::Direction;
use crate::sort;
use crate::time::Span;
use std::collections::BTreeMap;
use std::net::IpAddr;

const SLUG: &str = "rejected";

/// More targets than this are told together.
const MOST_TARGETS: usize = 3;

/// Of more groups, those with most errors.
const MOST: usize = 8;

/// Judges every ICMP error about a conversation.
pub(super) fn judge(view: &View<'_>, _: &Explained) -> Outcome {
    let mut groups: BTreeMap<Key, Errors<'_>> = BTreeMap::new();
    let mut errors = 0u64;
    for flow in view.flows.iter().filter(|flow| flow.icmp_error_count > 0) {
        for error in &flow.icmp_errors {
            errors += 1;
            if meaning(error).is_some() {
                let target = flow.sender(error.about.reverse());
                groups.entry((error.from, target.to_string(), error.kind, error.code)).or_default().push((flow, error));
            }
        }
    }
    let mut groups = folded(groups);
    if groups.is_empty() {
        return Outcome::clear(match errors {
            0 => "No ICMP error about any conversation.".to_owned(),
            n => format!("{} about conversations, none a rejection.", say::count(n, "ICMP error")),
        });
    }
    let mut outcome = Outcome::default();
    sort::by_key(&mut groups, |(_, errors)| (std::cmp::Reverse(errors.len()), errors[0].1.seen.no));
    let more = groups.split_off(groups.len().min(MOST));
    for ((from, target, ..), errors) in &groups {
        outcome.findings.push(finding(view, *from, target, errors));
    }
    if !more.is_empty() {
        let rest: u64 = more.iter().map(|(_, errors)| errors.len() as u64).sum();
        let why = format!(
            "{} about {} are not told one by one.",
            say::count(rest, "more ICMP error"),
            say::count(more.len() as u64, "other target")
        );
        outcome.quiet = Some((crate::finding::Quiet::CannotTell, why));
    }
    let all = groups.iter().chain(&more).flat_map(|(_, errors)| errors);
    outcome.explains.flows.extend(all.map(|(flow, _)| flow.id));
    outcome
}

/// A sender of errors, a target, and type and code.
type Key = (IpAddr, String, u8, u8);

/// Errors with the conversations they are about.
type Errors<'a> = Vec<(&'a Flow, &'a IcmpError)>;

/// Many targets that one sender of errors rejects with one code are one cause: a scan meets a firewall, or a route is missing.
fn folded<'a>(groups: BTreeMap<Key, Errors<'a>>) -> Vec<(Key, Errors<'a>)> {
    let mut targets: BTreeMap<(IpAddr, u8, u8), usize> = BTreeMap::new();
    for (from, _, kind, code) in groups.keys() {
        *targets.entry((*from, *kind, *code)).or_default() += 1;
    }
    let mut folded: BTreeMap<Key, Errors<'a>> = BTreeMap::new();
    for ((from, target, kind, code), errors) in groups {
        let same = targets[&(from, kind, code)];
        let target = if same > MOST_TARGETS { say::count(same as u64, "target") } else { target };
        folded.entry((from, target, kind, code)).or_default().extend(errors);
    }
    folded.values_mut().for_each(|errors| sort::by_key(errors, |(_, error)| error.seen.no));
    folded.into_iter().collect()
}

/// What an error says, and whether a firewall's policy says it.
fn meaning(error: &IcmpError) -> Option<(&'static str, bool)> {
    Some(match (error.protocol, error.kind, error.code) {
        (Protocol::Icmp, 3, 0) => ("network unreachable", false),
        (Protocol::Icmp, 3, 1) => ("host unreachable", false),
        (Protocol::Icmp, 3, 2) => ("protocol unreachable", false),
        (Protocol::Icmp, 3, 3) => ("port unreachable", false),
        (Protocol::Icmp, 3, 9) => ("network administratively prohibited", true),
        (Protocol::Icmp, 3, 10) => ("host administratively prohibited", true),
        (Protocol::Icmp, 3, 13) => ("communication administratively prohibited", true),
        (Protocol::Icmpv6, 1, 0) => ("no route to destination", false),
        (Protocol::Icmpv6, 1, 1) => ("communication administratively prohibited", true),
        (Protocol::Icmpv6, 1, 2) => ("beyond scope of source address", false),
        (Protocol::Icmpv6, 1, 3) => ("address unreachable", false),
        (Protocol::Icmpv6, 1, 4) => ("port unreachable", false),
        (Protocol::Icmpv6, 1, 5) => ("source address failed policy", true),
        (Protocol::Icmpv6, 1, 6) => ("reject route to destination", true),
        _ => return None,
    })
}

/// Whether a datagram answers one of whoever rejects it.
fn is_answer(flow: &Flow, error: &IcmpError) -> bool {
    let asked = error.about.reverse();
    flow.transport == Protocol::Udp
        && asked == Direction::AToB
        && flow.side(asked).packets > 0
        && flow.client.address == error.from
}

fn finding(view: &View<'_>, from: IpAddr, target: &str, errors: &[(&Flow, &IcmpError)]) -> Finding {
    let (flow, error) = errors[0];
    let (words, policy) = meaning(error).expect("only errors with a meaning are grouped");
    let count: u64 = errors.len() as u64;
    let tcp = flow.transport == Protocol::Tcp;
    let port = matches!((error.protocol, error.kind, error.code), (Protocol::Icmp, 3, 3) | (Protocol::Icmpv6, 1, 4));
    let firewall = policy || (tcp && port);
    let rule = if firewall { firewall_drop::rejecting(view, flow, "icmp") } else { None };
    let sender = flow.sender(error.about).address;
    let late = port && errors.iter().all(|(flow, error)| is_answer(flow, error));
    let asked = match flow.transport {
        _ if late => "answers",
        Protocol::Tcp => "connection attempts",
        Protocol::Udp => "datagrams",
        Protocol::Icmp | Protocol::Icmpv6 => "pings",
        _ => "packets",
    };
    let cause = match (&rule, firewall, port) {
        (Some(rule), ..) => format!("{} rejects them: `{}`", rule.name, rule.text),
        (None, true, true) => "a firewall rule rejects them, since a host without a listener would answer with RST".to_owned(),
        (None, true, false) => "a firewall's policy forbids them".to_owned(),
        (None, false, true) if late => "it had closed the port before they came".to_owned(),
        (None, false, true) => "nothing listens on the port".to_owned(),
        (None, false, false) => "it knows no way there, or the host does not answer".to_owned(),
    };
    let anchors = || errors.iter().map(|(_, error)| packet(error.seen));
    let code = format!("ICMP{} {}/{}", if error.protocol == Protocol::Icmpv6 { "v6" } else { "" }, error.kind, error.code);
    let mut reasons = vec![reason(
        format!("{from} answered with {words} ({code}) and quoted the packet: {}.", say::count(count, "time")),
        anchors(),
    )];
    if tcp && port {
        reasons.push(reason(
            "A host on which nothing listens answers a SYN with RST, never with ICMP port unreachable: this is REJECT's default.",
            [],
        ));
    }
    if let Some(rule) = &rule {
        reasons.push(reason(format!("The rule takes part: {}.", rule.shown), rule.anchors.clone()));
    }
    let went_on = flow.handshake.ack.is_some();
    let severity = match (tcp, firewall, went_on) {
        (_, _, true) => Severity::Note,
        _ if late => Severity::Note,
        (true, ..) | (false, true, _) => {
            if count >= 2 && tcp {
                Severity::Critical
            } else {
                Severity::Warning
            }
        }
        _ => Severity::Warning,
    };
    let transport = format!("{:?}", flow.transport).to_ascii_lowercase();
    let subject = match flow.transport {
        Protocol::Tcp | Protocol::Udp if !target.ends_with(" targets") => {
            Subject::Service { server: target.to_owned(), transport }
        }
        _ => Subject::Path { from: sender.to_string(), to: target.to_owned() },
    };
    Draft {
        rule: SLUG,
        identity: packet(error.seen),
        severity,
        confidence: if firewall && rule.is_none() && !policy { Confidence::Possible } else { Confidence::Strong },
        sentence: format!("{from} rejected {} of {sender} to {target} with {words} ({code}): {cause}.", match count { 1 => format!("1 of the {asked}"), n => format!("{} {asked}", say::number(n)) }),
        span: errors.iter().map(|(flow, error)| Span::new(flow.first.at, error.seen.at)).reduce(Span::union).unwrap_or(flow.span()),
        count,
        evidence: evidence(anchors().chain(errors.iter().map(|(flow, _)| packet(flow.first)))),
        reasons,
        confidence_reason: match (&rule, firewall) {
            (Some(_), _) => "The error is in the capture, and a rule that sends it counted hits at the same time.".into(),
            (None, true) => "The error is in the capture; which rule sent it was not recorded.".into(),
            (None, false) => "The error names its reason itself.".into(),
        },
        rival: "A forged ICMP error: it would quote a packet that was never sent, or a sequence number outside the window (RFC 5927).".into(),
        confirm: match &rule {
            Some(rule) => rule.confirm.clone(),
            None => confirm(view, from, flow, error, firewall),
        },
        fix: rule.and_then(|rule| rule.fix),
        questions: Vec::new(),
        picture: None,
        subject,
    }
    .finding()
}

/// What shows why `from` rejects packets of this conversation, where no log says which rule does.
fn confirm(view: &View<'_>, from: IpAddr, flow: &Flow, error: &IcmpError, firewall: bool) -> Vec<Command> {
    let target = flow.sender(error.about.reverse());
    let sockets = match flow.transport {
        Protocol::Tcp => Some("-lnt"),
        Protocol::Udp => Some("-lnu"),
        _ => None,
    };
    let commands = match sockets {
        _ if firewall => {
            commands::firewall(from).map(|command| command.effect("Shows the rules, with the hits of those that reject.")).into()
        }
        Some(sockets) if target.address == from => vec![
            Command::new("ss")
                .args([sockets])
                .arg(Arg::concat(["sport = :".into(), target.port.into()]))
                .effect(format!("Shows whether anything listens on port {}.", target.port)),
        ],
        _ => vec![
            Command::new("ip")
                .args(["route", "get"])
                .arg(target.address)
                .effect("Shows the way it takes there, or that it has none."),
        ],
    };
    commands.into_iter().map(|command| host::on(view, from, command)).collect()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    #[test]
    fn port_unreachable_about_a_syn_is_a_firewalls_word_and_its_rule_is_named() {
        let packets = "14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:01.1 IP 10.0.0.1 > 10.0.0.2: ICMP 3/3 quoting 1
";
        check(
            "rejected",
            &format!("date 2021-06-01\n{packets}"),
            "warning possible: 10.0.0.1 rejected 1 of the connection attempts of 10.0.0.2 to 10.0.0.1:80 with port unreachable (ICMP 3/3): a firewall \
             rule rejects them, since a host without a listener would answer with RST.",
        );
        check(
            "rejected",
            &format!(
                "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 1500 address 10.0.0.1/24
14:40:00 rules iptables-nft
  filter INPUT input ACCEPT
  -A INPUT -p tcp -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
14:40:00 counters
  firewall.rule.packets INPUT 1 0
{packets}14:40:05 counters
  firewall.rule.packets INPUT 1 1
"
            ),
            "warning strong: 10.0.0.1 rejected 1 of the connection attempts of 10.0.0.2 to 10.0.0.1:80 with port unreachable (ICMP 3/3): rule 1 of \
             INPUT (table filter, iptables-nft) in web-1 rejects them: `-A INPUT -p tcp -m tcp --dport 80 -j REJECT --reject-with \
             icmp-port-unreachable`.",
        );
    }

    #[test]
    fn a_datagram_to_a_closed_port_is_no_firewalls_work() {
        check(
            "rejected",
            "date 2021-06-01
14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.53: UDP, length 30
14:40:01.1 IP 10.0.0.1 > 10.0.0.2: ICMP 3/3 quoting 1
",
            "warning strong: 10.0.0.1 rejected 1 of the datagrams of 10.0.0.2 to 10.0.0.1:53 with port unreachable (ICMP 3/3): nothing listens on the \
             port.",
        );
    }

    #[test]
    fn an_answer_that_nobody_waits_for_any_more_is_a_note() {
        check(
            "rejected",
            "date 2021-06-01
14:40:01.0 IP 10.0.0.2.5353 > 10.0.0.1.53: UDP, length 30
14:40:07.0 IP 10.0.0.1.53 > 10.0.0.2.5353: UDP, length 90
14:40:07.1 IP 10.0.0.2 > 10.0.0.1: ICMP 3/3 quoting 2
",
            "note strong: 10.0.0.2 rejected 1 of the answers of 10.0.0.1 to 10.0.0.2:5353 with port unreachable (ICMP 3/3): it had closed the port \
             before they came.",
        );
    }

    #[test]
    fn a_ping_that_a_gateway_refuses_is_told_as_what_the_error_says() {
        let ping = "date 2021-06-01
14:40:01.0 IP 10.0.0.2 > 10.1.0.1: ICMP echo request, id 7, seq 1, length 64
";
        check(
            "rejected",
            &format!("{ping}14:40:01.1 IP 10.0.0.9 > 10.0.0.2: ICMP 3/1 quoting 1\n"),
            "warning strong: 10.0.0.9 rejected 1 of the pings of 10.0.0.2 to 10.1.0.1 with host unreachable (ICMP 3/1): it knows no way there, or the \
             host does not answer.",
        );
        check(
            "rejected",
            &format!("{ping}14:40:01.1 IP 10.0.0.9 > 10.0.0.2: ICMP 3/10 quoting 1\n"),
            "warning strong: 10.0.0.9 rejected 1 of the pings of 10.0.0.2 to 10.1.0.1 with host administratively prohibited (ICMP 3/10): a \
             firewall's policy forbids them.",
        );
        check(
            "rejected",
            &format!("{ping}14:40:01.1 IP 10.1.0.1 > 10.0.0.2: ICMP echo reply, id 7, seq 1, length 64\n"),
            "clear: No ICMP error about any conversation.",
        );
    }

    #[test]
    fn fragmentation_needed_is_no_rejection() {
        check(
            "rejected",
            "date 2021-06-01
14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 5, ack 1, win 512, length 1400
14:40:01.1 IP 10.0.0.9 > 10.0.0.2: ICMP 3/4 quoting 1 mtu 600
",
            "clear: 1 ICMP error about conversations, none a rejection.",
        );
    }
}
