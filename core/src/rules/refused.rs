//! `refused`: a connection attempt is answered with RST.
//!
//! **What.** A host on which nothing listens on the port answers SYN with RST,ACK (sequence number 0, acknowledging the SYN). A
//! firewall that rejects with `tcp-reset` sends the same.
//!
//! **When.** RST,ACK that answers a SYN. If a REJECT rule with tcp-reset matches and its hits rose, that rule is named.
//!
//! **Near misses.** RST after a SYN-ACK (the client or a later fault). A scan: one note for all ports.
//!
//! **Sources.** RFC 9293 section 3.10.7.1; DIAGNOSIS H2; the lab `rst-closed`.

use super::draft::{Draft, evidence, packet, reason};
use super::firewall_drop;
use super::group::{self, Group};
use super::host;
use super::{Explained, Outcome, View, say};
use crate::command::{Arg, Command};
use crate::dissect::Protocol;
use crate::finding::{Confidence, Finding, Picture, Severity};
use crate::flow::Flow;
use crate::ids::Direction;

const SLUG: &str = "refused";

/// Judges every connection attempt.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let attempts: Vec<&Flow> =
        view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp && flow.handshake.syn.is_some()).collect();
    let refused: Vec<&Flow> =
        attempts.iter().filter(|flow| flow.handshake.refused.is_some() && !explained.has(flow.id)).copied().collect();
    match (attempts.is_empty(), refused.is_empty()) {
        (true, _) => return Outcome::cannot_tell("No connection attempt was captured."),
        (_, true) => {
            return Outcome::clear(format!("{}, none refused.", say::count(attempts.len() as u64, "connection attempt")));
        }
        _ => {}
    }
    let mut outcome = Outcome::default();
    outcome.explains.flows.extend(refused.iter().map(|flow| flow.id));
    for group in group::by_service(refused) {
        let opened = attempts.iter().filter(|flow| flow.server == group.flows[0].server && flow.handshake.ack.is_some()).count();
        outcome.findings.push(finding(view, &group, opened as u64));
    }
    outcome
}

fn finding(view: &View<'_>, group: &Group<'_>, opened: u64) -> Finding {
    let first = group.flows[0];
    let attempts = group.flows.len() as u64;
    let anchors = || group.flows.iter().flat_map(|flow| [flow.handshake.refused, flow.handshake.syn]).flatten().map(packet);
    let rule = firewall_drop::rejecting(view, first, "tcp-reset");
    let severity = match (group.scan, opened, attempts) {
        (true, ..) => Severity::Note,
        (false, 0, 2..) => Severity::Critical,
        _ => Severity::Warning,
    };
    let cause = match &rule {
        Some(rule) => format!("{} rejects them: `{}`", rule.name, rule.text),
        None if opened > 0 => "at other times it accepts: the service was down, or its port taken over".to_owned(),
        None => "nothing listens on the port, or a firewall rejects with RST".to_owned(),
    };
    let mut reasons = vec![reason(
        format!(
            "Each SYN was answered with RST,ACK that acknowledges it, as a host answers for a port on which nothing listens: {}.",
            say::count(attempts, "time")
        ),
        anchors(),
    )];
    if let Some(rule) = &rule {
        reasons.push(reason(format!("The rule takes part: {}.", rule.shown), rule.anchors.clone()));
    }
    let port = first.server.port;
    let here = host::captured_at(view, first).filter(|_| host::inbound(view, first) == Some(Direction::AToB));
    let sockets = Command::new("ss").args(["-lnt"]).arg(Arg::concat(["sport = :".into(), port.into()]));
    let sockets = sockets.effect(format!("Shows whether anything listens on port {port}."));
    let sockets = host::on(view, first.server.address, sockets);
    Draft {
        rule: SLUG,
        identity: packet(first.handshake.refused.unwrap_or(first.first)),
        severity,
        confidence: Confidence::Strong,
        sentence: format!("{} refused {} of {}: {cause}.", say::capital(&group.name), say::count(attempts, "connection"), group.clients()),
        span: group.span(),
        count: attempts,
        evidence: evidence(anchors()),
        reasons,
        confidence_reason: match (&rule, here.is_some()) {
            (Some(_), _) => "The answer is in the capture, and a rule that sends it counted hits at the same time.".into(),
            (None, true) => "The answer is in the capture; no rule that rejects with tcp-reset was found here.".into(),
            (None, false) => "The answer is in the capture; who sent it, the host or a firewall before it, is told by its TTL.".into(),
        },
        rival: "A firewall on the way that answers in the host's name: its RST often bears another TTL than the host's other packets.".into(),
        confirm: rule.iter().flat_map(|rule| rule.confirm.clone()).chain([sockets]).collect(),
        fix: rule.and_then(|rule| rule.fix),
        questions: Vec::new(),
        picture: Some(Picture::Ladder { flow: first.id }),
        subject: group.subject.clone(),
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    const ATTEMPT: &str = "14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.81: Flags [S], seq 1, win 512, length 0
14:40:01.1 IP 10.0.0.1.81 > 10.0.0.2.5: Flags [R.], seq 0, ack 2, win 0, length 0
";

    #[test]
    fn a_closed_port_is_found() {
        check(
            "refused",
            &format!("date 2021-06-01\n{ATTEMPT}"),
            "warning strong: 10.0.0.1:81 refused 1 connection of 10.0.0.2: nothing listens on the port, or a firewall rejects with RST.",
        );
    }

    #[test]
    fn a_rule_that_resets_is_told_apart_from_a_closed_port() {
        check(
            "refused",
            &format!(
                "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 1500 address 10.0.0.1/24
14:40:00 rules iptables-nft
  filter INPUT input ACCEPT
  -A INPUT -p tcp -m tcp --dport 81 -j REJECT --reject-with tcp-reset
14:40:00 counters
  firewall.rule.packets INPUT 1 0
{ATTEMPT}14:40:05 counters
  firewall.rule.packets INPUT 1 1
"
            ),
            "warning strong: 10.0.0.1:81 refused 1 connection of 10.0.0.2: rule 1 of INPUT (table filter, iptables-nft) in web-1 rejects them: \
             `-A INPUT -p tcp -m tcp --dport 81 -j REJECT --reject-with tcp-reset`.",
        );
    }

    #[test]
    fn a_reset_after_the_answer_is_no_refusal() {
        check(
            "refused",
            "date 2021-06-01
14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.81: Flags [S], seq 1, win 512, length 0
14:40:01.1 IP 10.0.0.1.81 > 10.0.0.2.5: Flags [S.], seq 9, ack 2, win 512, length 0
14:40:01.2 IP 10.0.0.2.5 > 10.0.0.1.81: Flags [R], seq 2, win 0, length 0
",
            "clear: 1 connection attempt, none refused.",
        );
    }
}
