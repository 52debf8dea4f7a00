//! Where an anchor lies.

use super::engine::Knowledge;
use super::{Answer, Located};
use crate::anchor::{Anchor, Place};
use crate::ids::{FlowId, PacketNo};
use crate::time::{Span, Timestamp};

/// Answers `Query::Locate`.
pub(super) fn locate(known: &Knowledge<'_>, anchor: &Anchor) -> Answer {
    match located(known, &anchor.place) {
        Some(located) => Answer::Located(located),
        None => Answer::Refused { why: format!("{anchor} names nothing in this log, as far as it has been read.") },
    }
}

fn located(known: &Knowledge<'_>, place: &Place) -> Option<Located> {
    let recording = known.recording;
    let counters = &recording.counters;
    Some(match place {
        Place::Packet(no) => {
            let row = recording.store.get(*no)?;
            Located {
                span: recording.store.time(*no).map(Span::at),
                packet: Some(*no),
                flow: row.flow.map(|(flow, _)| flow),
                text: format!("packet {no}"),
            }
        }
        Place::Flow(id) => {
            let flow = recording.flows.get(*id)?;
            let text = format!("{} → {}", flow.client, flow.server);
            Located { span: Some(flow.span()), packet: Some(flow.first.no), flow: Some(*id), text }
        }
        Place::Bytes { flow: id, direction, first, last } => {
            let flow = recording.flows.get(*id)?;
            let hole = flow.side(*direction).holes.iter().find(|hole| hole.first <= *last && *first <= hole.last);
            let bytes = if first == last { format!("byte {first}") } else { format!("bytes {first}–{last}") };
            // Bytes that were never seen lie before the packet that showed it; others somewhere in the conversation.
            let (span, packet) = match hole {
                Some(hole) => (Span::at(hole.noticed.at), hole.noticed.no),
                None => (flow.span(), flow.first.no),
            };
            let text = format!("{bytes} from {}", flow.sender(*direction));
            Located { span: Some(span), packet: Some(packet), flow: Some(*id), text }
        }
        Place::Counter { counter, span } => {
            let series = counters.get(*counter)?;
            let change = series.grown(*span).map_or_else(|| "was reset".to_owned(), |delta| format!("{delta:+}"));
            Located {
                span: Some(*span),
                packet: before(known, span.end),
                flow: None,
                text: format!("{} {change}", known.counter_title(series)),
            }
        }
        Place::FirewallRule { netns, rule: id } => {
            let (chain, rule, removed) = known.rule(*netns, id)?;
            let gone = if removed.is_some() { ", since deleted" } else { "" };
            let changed = counters
                .of_rule("firewall.rule.packets", *netns, id)
                .and_then(|(_, series)| series.changed_within(counters.span()?));
            Located {
                span: changed.or(counters.span()),
                packet: changed.and_then(|span| before(known, span.end)),
                flow: None,
                text: format!("{} {} rule {}: {}{gone}", chain.table, chain.name, rule.position, rule.text),
            }
        }
        Place::KernelDrop(no) => {
            let drop = recording.drops.get(*no)?;
            let at = Timestamp::from_nanos(drop.at_ns);
            let flow: Option<FlowId> = recording.drops.flow(*no);
            let reason = super::drops::reason_name(&drop.reason);
            Located { span: Some(Span::at(at)), packet: before(known, at), flow, text: format!("kernel drop {no}, {reason}") }
        }
        Place::Interface { netns, ifindex } => {
            let interface = counters.interface(*netns, *ifindex)?;
            let text = format!("{} of {}", interface.name, known.netns_name(*netns));
            Located { span: recording.span, packet: None, flow: None, text }
        }
        Place::Span(span) => {
            Located { span: Some(*span), packet: before(known, span.start), flow: None, text: format!("{}", span.length()) }
        }
    })
}

/// The last packet at or before a time, in order of arrival.
fn before(known: &Knowledge<'_>, at: Timestamp) -> Option<PacketNo> {
    known.recording.store.last_until(at)
}
