//! `fragments_lost`: datagrams of which only some fragments arrive.
//!
//! **What.** An answer too large for one packet comes in fragments, and a firewall or NAT drops those that have no ports: the first arrives,
//! the others never, and the whole is lost after 30 s (`IpReasmFails`). Large DNS answers (DNSSEC, EDNS 4096) suffer most.
//!
//! **When.** Two or more datagrams from one host to another of which the first fragment was captured and others not; and the receiver shows
//! that it misses them: it asks the same DNS question again after such an answer, or reports "fragment reassembly time exceeded" with ICMP.
//!
//! **Near misses.** A capture filter on a port keeps no fragment but the first: nobody misses anything, so nothing is reported. Fragments
//! under way at the end of the capture.
//!
//! **Sources.** RFC 791 section 3.2, RFC 8900; RFC 792 and RFC 4443 (time exceeded, code 1); DIAGNOSIS M6; check-soa#10.

use super::draft::{Draft, Fix, evidence, packet, reason};
use super::{Explained, Outcome, View, commands, host, say};
use crate::dissect::Protocol;
use crate::exchange::Incomplete;
use crate::finding::{Confidence, Finding, Severity, Subject};
use crate::flow::Seen;
use crate::time::Span;
use std::collections::BTreeMap;
use std::net::IpAddr;

const SLUG: &str = "fragments_lost";

/// Of more pairs of hosts the first are reported.
const MOST: usize = 6;

/// Datagrams from one host to another of which fragments are missing.
type Lost<'a> = BTreeMap<(IpAddr, IpAddr), Vec<&'a Incomplete>>;

/// Judges every datagram in fragments.
pub(super) fn judge(view: &View<'_>, _: &Explained) -> Outcome {
    let lost = lost(view);
    let (whole, count) = (view.exchanges.fragments.whole, lost.values().map(Vec::len).sum::<usize>() as u64);
    let found = lossy(view);
    if found.is_empty() {
        return match (whole, count) {
            (0, 0) => Outcome::cannot_tell("No fragment was captured."),
            (_, 0) => Outcome::clear(format!("Of {} in fragments each became whole.", say::count(whole, "datagram"))),
            _ => Outcome::cannot_tell(format!(
                "Of {} fragments are missing in the capture, and nothing shows that their receiver misses them.",
                say::count(count, "datagram")
            )),
        };
    }
    let findings = found.iter().take(MOST).map(|(ends, signs)| finding(view, *ends, &lost[ends], signs)).collect();
    Outcome { findings, ..Outcome::default() }
}

fn lost<'a>(view: &View<'a>) -> Lost<'a> {
    let mut lost = Lost::new();
    for one in view.exchanges.fragments.incomplete(view.watermark).filter(|one| one.has_beginning) {
        lost.entry((one.src, one.dst)).or_default().push(one);
    }
    lost
}

/// Pairs of hosts, sender and receiver, between which datagrams lose fragments and the receiver misses them: what shows that it does.
pub(super) fn lossy(view: &View<'_>) -> BTreeMap<(IpAddr, IpAddr), Vec<Seen>> {
    let mut pairs: BTreeMap<(IpAddr, IpAddr), Vec<Seen>> =
        lost(view).into_iter().filter(|(_, lost)| lost.len() >= 2).map(|(ends, _)| (ends, Vec::new())).collect();
    if pairs.is_empty() {
        return pairs;
    }
    // Questions that it repeats, and ICMP errors that it sends.
    for missed in view.exchanges.dns.missed() {
        if let Some(signs) = pairs.get_mut(&(missed.server.address, missed.client.address)) {
            signs.push(missed.again);
        }
    }
    let known = view.flows.iter().flat_map(|flow| &flow.icmp_errors);
    for error in known.chain(view.flows.stray_errors().iter().map(|stray| &stray.error)) {
        if matches!((error.protocol, error.kind, error.code), (Protocol::Icmp, 11, 1) | (Protocol::Icmpv6, 3, 1)) {
            pairs.iter_mut().filter(|((_, to), _)| *to == error.from).for_each(|(_, signs)| signs.push(error.seen));
        }
    }
    pairs.retain(|_, signs| !signs.is_empty());
    pairs
}

fn finding(view: &View<'_>, (from, to): (IpAddr, IpAddr), lost: &[&Incomplete], signs: &[Seen]) -> Finding {
    let count = lost.len() as u64;
    let bytes = lost.iter().map(|one| one.bytes).max().unwrap_or(0);
    let firsts = || lost.iter().map(|one| packet(one.seen));
    let span = lost.iter().map(|one| Span::at(one.seen.at)).reduce(Span::union);
    Draft {
        rule: SLUG,
        identity: packet(lost[0].seen),
        severity: Severity::Warning,
        confidence: Confidence::Strong,
        sentence: format!(
            "Fragments of {} from {from} to {to} never arrive, so the datagrams are lost, and the receiver misses them.",
            say::count(count, "datagram")
        ),
        span: span.unwrap_or(Span::at(lost[0].seen.at)),
        count,
        evidence: evidence(firsts().chain(signs.iter().map(|seen| packet(*seen)))),
        reasons: vec![
            reason(
                format!(
                    "Each says that more fragments follow; {} at most of a datagram came, and {} in fragments became whole in this capture.",
                    say::count(bytes.into(), "byte"),
                    say::count(view.exchanges.fragments.whole, "datagram")
                ),
                firsts(),
            ),
            reason(
                format!("{to} showed {} that it had no answer: by the same question again, or by ICMP.", say::count(signs.len() as u64, "time")),
                signs.iter().map(|seen| packet(*seen)),
            ),
        ],
        confidence_reason: "What is missing in the capture is missing at the receiver, too, as it shows.".into(),
        rival: "A capture filter that keeps only packets with ports: then the receiver would have the answer, and not ask again.".into(),
        confirm: vec![host::on(
            view,
            to,
            commands::watch_between(from, to).effect("Shows whether fragments without ports arrive: `tcpdump` writes them without a port."),
        )],
        fix: Some(Fix::Say(
            "Let fragments pass the firewall on the way, or ask for answers that fit one packet: an EDNS buffer of 1,232 bytes (`edns-udp-size`, `max-udp-size`), beyond which \
             DNS goes over TCP."
                .into(),
        )),
        questions: Vec::new(),
        picture: None,
        subject: Subject::Path { from: from.to_string(), to: to.to_string() },
    }
    .finding()
}
