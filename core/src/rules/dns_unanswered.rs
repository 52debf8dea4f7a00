//! `dns_unanswered`: a DNS question had to be asked again, since no answer had come.
//!
//! **What.** A question or its answer is lost (UDP), or the server does not answer. A resolver waits, 5 s in glibc, before it asks again, and whatever needed the
//! name waits with it. A known cause in containers: A and AAAA are sent together from one port, their two entries race in
//! conntrack, and one question is dropped.
//!
//! **When.** The same client asks the same server the same question again, 0.9 s or more after the one before and within 30 s, and no answer to it was
//! captured between. Reported once per server.
//!
//! **Near misses.** A question that was answered and is asked again. A repeat within a second is another program's. A question asked
//! once at the end of a capture, or in a capture of one direction, proves nothing. Large answers whose fragments are lost:
//! `fragments_lost`. Over TCP.
//!
//! **Sources.** resolv.conf(5) (timeout 5 s, single-request-reopen); RFC 1035 section 4.2.1; kubernetes#56903, weave#3287; DIAGNOSIS C3.

use super::draft::{Draft, Fix, evidence, packet, reason};
use super::{Explained, Outcome, View, fragments_lost, host, say};
use crate::command::{Arg, Command};
use crate::exchange::Missed;
use crate::finding::{Confidence, Finding, Severity, Subject};
use crate::flow::Endpoint;
use crate::sort;
use crate::time::Span;
use std::collections::BTreeMap;

const SLUG: &str = "dns_unanswered";

/// Of more servers those with most questions are reported.
const MOST: usize = 6;

/// Judges every question.
pub(super) fn judge(view: &View<'_>, _: &Explained) -> Outcome {
    let dns = &view.exchanges.dns;
    let mut servers: BTreeMap<Endpoint, Vec<Missed>> = BTreeMap::new();
    let lossy = fragments_lost::lossy(view);
    for missed in dns.missed() {
        if !lossy.contains_key(&(missed.server.address, missed.client.address)) {
            servers.entry(missed.server).or_default().push(missed);
        }
    }
    if servers.is_empty() {
        return match (dns.questions, dns.answers) {
            (0, _) => Outcome::cannot_tell("No DNS question over UDP was captured."),
            (n, 0) => Outcome::cannot_tell(format!(
                "None of {} was asked again, and no answer was captured.",
                say::count(n, "DNS question")
            )),
            (n, _) => Outcome::clear(format!("{}, none asked again for want of an answer.", say::count(n, "DNS question"))),
        };
    }
    let mut servers: Vec<_> = servers.into_iter().collect();
    sort::by_key(&mut servers, |(_, missed)| (std::cmp::Reverse(missed.len()), missed[0].first.no));
    let findings = servers.iter().take(MOST).map(|(server, missed)| finding(view, *server, missed)).collect();
    Outcome { findings, ..Outcome::default() }
}

fn finding(view: &View<'_>, server: Endpoint, missed: &[Missed]) -> Finding {
    let first = missed[0];
    let count = missed.len() as u64;
    let never = missed.iter().filter(|missed| missed.answered.is_none()).count() as u64;
    let twins = missed.iter().filter(|missed| missed.twin_answered).count() as u64;
    let clients = sort::set(missed.iter().map(|missed| missed.client.address));
    let wait = missed.iter().map(|missed| missed.answered.unwrap_or(missed.again).at - missed.first.at).max().unwrap_or_default();
    let anchors =
        || missed.iter().flat_map(|missed| [Some(missed.first), Some(missed.again), missed.answered]).flatten().map(packet);
    let who = match clients.first() {
        Some(only) if clients.len() == 1 => only.to_string(),
        _ => say::count(clients.len() as u64, "client"),
    };
    let mut reasons = vec![reason(
        format!(
            "Packet {} asks, packet {} asks the same {} later, and no answer was captured between; a client that has its answer does not ask again so soon.",
            first.first.no,
            first.again.no,
            first.again.at - first.first.at
        ),
        [packet(first.first), packet(first.again)],
    )];
    // Of two questions sent together only one is lost, each time: what treats the second as it treats the first does not do that.
    let is_race = twins * 2 > count;
    if is_race {
        reasons.push(reason(
            format!(
                "{} of {} were sent together with another question from the same port (A and AAAA) that was answered at once: the server is up.",
                say::number(twins),
                say::number(count)
            ),
            missed.iter().filter(|missed| missed.twin_answered).map(|missed| packet(missed.first)),
        ));
    }
    if never > 0 {
        reasons.push(reason(format!("{} had no answer at all while the capture lasted.", say::number(never)), []));
    }
    let span = missed.iter().map(|missed| Span::new(missed.first.at, missed.again.at));
    Draft {
        rule: SLUG,
        identity: packet(first.first),
        severity: if never == count && count > 1 { Severity::Critical } else { Severity::Warning },
        confidence: Confidence::Strong,
        sentence: format!(
            "{server} did not answer {} of {who} in time: {} asked again, and the longest wait was {wait}.",
            say::count(count, "DNS question"),
            if count == 1 { "it was" } else { "each was" }
        ),
        span: span.reduce(Span::union).unwrap_or(Span::at(first.first.at)),
        count,
        evidence: evidence(anchors()),
        reasons,
        confidence_reason: "The client asked again, so it had no answer; the capture does not show whether the question or the answer was lost.".into(),
        rival: if is_race {
            "The conntrack race of two questions from one port, in which one is dropped: `insert_failed` would rise on the node. Or a server that answers A late and AAAA at \
             once."
                .into()
        } else {
            "A server that was too slow: its answer would come after the second question, and be for the first.".into()
        },
        confirm: vec![if is_race {
            Command::new("conntrack").args(["-S"]).effect("On the node that does the NAT: shows whether `insert_failed` rises.")
        } else {
            host::on(
                view,
                first.client.address,
                Command::new("dig")
                    .arg(Arg::concat(["@".into(), server.address.into()]))
                    .args(["+tries=1", "+time=2", ".", "NS"])
                    .effect("Asks once, and shows how long the answer takes."),
            )
        }],
        fix: is_race.then(|| {
            Fix::Say("`options single-request-reopen` in resolv.conf sends the two from two ports; a DNS cache on the node spares them the NAT.".into())
        }),
        questions: Vec::new(),
        picture: None,
        subject: Subject::Service { server: server.to_string(), transport: "udp".into() },
    }
    .finding()
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    const PAIR: &str = "date 2021-06-01
14:40:01.000 IP 10.0.0.2.40000 > 10.0.0.53.53: 7+ A? api.example.
14:40:01.001 IP 10.0.0.2.40000 > 10.0.0.53.53: 8+ AAAA? api.example.
14:40:01.002 IP 10.0.0.53.53 > 10.0.0.2.40000: 8 q: AAAA? api.example.
";
    const AGAIN: &str = "14:40:06.000 IP 10.0.0.2.40000 > 10.0.0.53.53: 7+ A? api.example.
14:40:06.001 IP 10.0.0.53.53 > 10.0.0.2.40000: 7 q: A? api.example.
";

    #[test]
    fn a_question_that_is_asked_again_had_no_answer() {
        check(
            "dns_unanswered",
            &format!("{PAIR}{AGAIN}"),
            "warning strong: 10.0.0.53:53 did not answer 1 DNS question of 10.0.0.2 in time: it was asked again, and the longest wait was 5.00 s.",
        );
    }

    #[test]
    fn an_answered_question_may_be_asked_again_and_one_at_the_end_waits() {
        let answer = "14:40:01.003 IP 10.0.0.53.53 > 10.0.0.2.40000: 7 q: A? API.example.
";
        check(
            "dns_unanswered",
            &format!("{PAIR}{answer}{AGAIN}"),
            "clear: 3 DNS questions, none asked again for want of an answer.",
        );
        check("dns_unanswered", PAIR, "clear: 2 DNS questions, none asked again for want of an answer.");
        let soon = AGAIN.replace("14:40:06.000", "14:40:01.400").replace("14:40:06.001", "14:40:01.401");
        check("dns_unanswered", &format!("{PAIR}{soon}"), "clear: 3 DNS questions, none asked again for want of an answer.");
    }

    #[test]
    fn a_capture_of_one_direction_cannot_tell() {
        let questions: String = PAIR.lines().filter(|line| !line.contains(" q: ")).map(|line| format!("{line}\n")).collect();
        check("dns_unanswered", &questions, "cannot tell: None of 2 DNS questions was asked again, and no answer was captured.");
    }
}
