//! The finding where only the sending end was watched, or nobody but the capture.

use super::link_drops::{self, SizedDrop};
use super::victim::{Loss, Victim};
use super::{MIN_ADVERTISED_MSS, SLUG, told};
use crate::anchor::{Anchor, Place};
use crate::command::Command;
use crate::finding::{Confidence, Finding, FindingId, Picture, Reason, Severity, Subject};
use crate::flow::Stuck;
use crate::ids::NetnsId;
use crate::rules::host;
use crate::rules::{View, say};
use crate::time::Span;
use std::net::IpAddr;

/// The finding where the receiver was not watched: by packets alone it is weaker; the kernel's drops, `drops`, prove it.
pub(super) fn finding(view: &View<'_>, receiver: IpAddr, victims: &[Victim<'_>], drops: &[SizedDrop<'_>]) -> Finding {
    let first = victims.iter().min_by_key(|victim| victim.order()).expect("a receiver is listed with its first victim");
    let span = victims.iter().map(|v| v.flow.span()).reduce(Span::union).unwrap_or(first.flow.span());
    let subject = Subject::Host { address: receiver.to_string() };
    let sender = first.flow.sender(first.direction);
    let mss = first.flow.side(first.direction.reverse()).mss.unwrap_or(MIN_ADVERTISED_MSS);
    let announced = u32::from(mss) + if receiver.is_ipv4() { 40 } else { 60 };
    // A virtual link lets 4 bytes more through than its MTU: what it dropped exceeds even that.
    let smallest = drops.iter().map(|(.., size)| size.saturating_sub(5)).min();
    let most = smallest.map_or(announced, |bound| if mss <= MIN_ADVERTISED_MSS { bound.min(announced) } else { bound });
    let link = drops.first().map(|(_, drop, _)| {
        let namespace = view.counters.namespace(NetnsId(drop.netns));
        let place = namespace.map(|namespace| format!(" of {}", namespace.name)).unwrap_or_default();
        format!("{}{place}", drop.ifname)
    });
    let others = match victims.len() as u64 - 1 {
        0 => String::new(),
        n => format!(", and so in {} in all", say::count(n + 1, "conversation")),
    };
    let (what, size) = match first.loss {
        Loss::Hole(hole, carrier) => (
            format!("{} of {sender} did not reach it, in a packet of {carrier} bytes", say::bytes(hole.first, hole.last)),
            Some(carrier),
        ),
        Loss::Stuck(Stuck { first, last, ip_len, sent, .. }) => (
            format!(
                "{} of {sender} were sent {} in packets of {ip_len} bytes without an answer",
                say::bytes(first, last),
                say::count(sent.into(), "time")
            ),
            Some(ip_len),
        ),
        Loss::Silence => (format!("{sender} connected to it, and no data followed"), None),
    };
    let mut reasons = vec![told::handshake(first.flow)];
    reasons.extend(first.reason());
    if let Some(size) = size {
        let largest = victims.iter().map(|v| v.flow.side(v.direction).largest_ip).max().unwrap_or(0);
        let text = match first.loss {
            Loss::Stuck(Stuck { .. }) => format!("Each of these packets had {size} bytes of IP; the handshake's were smaller."),
            _ => format!("The packet that carried them had {size} bytes of IP; the largest that did arrive had {largest}."),
        };
        reasons.push(Reason { text, anchors: Vec::new() });
    }
    reasons.extend(link_drops::reason(drops));
    reasons.extend(told::mss_reason(first, None, announced).filter(|_| mss <= MIN_ADVERTISED_MSS));
    let mut evidence: Vec<Anchor> = first.evidence();
    evidence.extend(link_drops::anchors(drops));
    evidence.extend(victims.iter().skip(1).take(15).flat_map(Victim::evidence));
    let identity = Anchor::from(Place::Flow(victims[0].flow.id));
    let vanished = size.map(|size| vec![(size, 1)]).unwrap_or_default();
    let passed =
        first.flow.side(first.direction).sizes().into_iter().filter(|(bytes, _)| size.is_none_or(|s| *bytes < s)).collect();
    Finding {
        id: FindingId::new(SLUG, &subject, &identity),
        rule: SLUG.into(),
        severity: if size.is_some() { Severity::Critical } else { Severity::Warning },
        confidence: if link.is_some() { Confidence::Proved } else { Confidence::Possible },
        sentence: match &link {
            Some(link) => format!(
                "The other end of {link}, towards {receiver}, has an MTU of {most} or less, and what is larger is dropped: {what}{others}."
            ),
            None => {
                format!("The interface of {receiver} probably has an MTU of {most} or less and drops what is larger: {what}{others}.")
            }
        },
        span,
        count: victims.len() as u64,
        evidence,
        reasons,
        confidence_reason: match drops {
            [] => "This rests on packets alone: no interface's MTU and no drop counters were recorded. `dropscope live` on the \
                   receiving host, or the command below, would settle it."
                .into(),
            drops => link_drops::proof(drops),
        },
        rival: match &link {
            Some(link) => format!(
                "The other end of {link} being down: the kernel drops at the same place then, whatever the size. The small packets that \
                 passed meanwhile speak against it."
            ),
            None => "A path MTU black hole between the two hosts, or a firewall that inspects data: both also let the handshake pass. The \
                     receiving interface's drop counter tells them apart."
                .into(),
        },
        confirm: vec![host::on(
            view,
            receiver,
            Command::new("ip").args(["-s", "link"]).effect("Shows each interface's MTU, and under RX the column `dropped`."),
        )],
        fix: Vec::new(),
        advice: Some(format!("On {receiver}, a larger MTU for the interface whose MTU is too small: it then lets larger packets in.")),
        questions: told::questions(first, most, "the interface"),
        picture: (!vanished.is_empty()).then_some(Picture::SizeRuler { mtu: most.min(size.unwrap_or(most)), limit: None, passed, vanished }),
        subject,
    }
}
