//! Fields of our own: kernel drops, findings, copies, judgements.

use super::{Field, Known, Subject, field};
use crate::filter::value::{Type, Value};
use crate::log::block::KernelDrop;
use crate::store::{Facts, Judged};

/// The fields.
pub(super) static FIELDS: &[Field] = &[
    changing("drop", Type::Presence, "the kernel dropped this packet (Dropscope)", |s, out| {
        dropped(s, out, |_, out| out(Value::Present(&[])))
    }),
    changing("drop.reason", Type::Text, "why the kernel dropped it, NETFILTER_DROP (Dropscope)", |s, out| {
        dropped(s, out, |drop, out| out(Value::Text(&drop.reason)))
    }),
    changing("drop.place", Type::Text, "where in its code the kernel dropped it (Dropscope)", |s, out| {
        dropped(s, out, |drop, out| out(Value::Text(&drop.place)))
    }),
    changing("finding", Type::Presence, "a finding names the packet or its conversation (Dropscope)", |s, out| {
        found(s).for_each(|_| out(Value::Present(&[])));
        Known::Yes
    }),
    changing("finding.rule", Type::Text, "rule of a finding that names the packet or its conversation (Dropscope)", |s, out| {
        found(s).for_each(|finding| out(Value::Text(&finding.rule)));
        Known::Yes
    }),
    changing("finding.id", Type::Text, "a finding that names the packet or its conversation (Dropscope)", |s, out| {
        found(s).for_each(|finding| out(Value::Text(finding.id.as_str())));
        Known::Yes
    }),
    changing("finding.severity", Type::Text, "note, warning or critical (Dropscope)", |s, out| {
        found(s).for_each(|finding| out(Value::Text(&finding.severity.to_string())));
        Known::Yes
    }),
    field("copy", Type::Presence, "the same packet was captured before, at another tap (Dropscope)", |s, out| {
        if s.row.facts.has(Facts::COPY) {
            out(Value::Present(&[]));
        }
        Known::Yes
    }),
    changing(
        "judgement",
        Type::Text,
        "what we hold a TCP segment to be, beside Wireshark's label: lost_after_tap (Dropscope)",
        |s, out| judged(s, |judged| out(Value::Text(judged.verdict.slug()))),
    ),
    changing("judgement.cause", Type::Text, "what made the sender send again: timeout, fast, rack, … (Dropscope)", |s, out| {
        judged(s, |judged| judged.cause.into_iter().for_each(|cause| out(Value::Text(cause.slug()))))
    }),
    changing("judgement.tail_loss", Type::Presence, "the end of what had been sent was lost (Dropscope)", |s, out| {
        judged(s, |judged| {
            if judged.tail {
                out(Value::Present(&[]));
            }
        })
    }),
];

fn judged(s: &Subject<'_>, give: impl FnOnce(Judged)) -> Known {
    if let Some(judged) = s.row.judged {
        give(judged);
    }
    Known::Yes
}

const fn changing(name: &'static str, kind: Type, about: &'static str, get: super::Get) -> Field {
    Field { changes: true, ..field(name, kind, about, get) }
}

fn found<'a>(s: &Subject<'a>) -> impl Iterator<Item = &'a crate::finding::Finding> + use<'a> {
    let of_flow = s.row.flow.map_or(&[][..], |(flow, _)| s.named.of_flow(flow));
    let of_packet = s.named.of_packet(s.no);
    let findings = s.findings;
    let again = move |place: &&u32| !of_packet.contains(place);
    of_packet.iter().chain(of_flow.iter().filter(again)).filter_map(move |place| findings.get(*place as usize))
}

type Out<'o> = &'o mut dyn FnMut(Value<'_>);

fn dropped(s: &Subject<'_>, out: Out<'_>, give: fn(&KernelDrop, Out<'_>)) -> Known {
    let none_of_flow = s.row.flow.is_none_or(|(flow, _)| s.drops.of_flow(flow).is_empty());
    if s.drops.kept().is_empty() || (none_of_flow && s.plain() && s.row.flow.is_some()) {
        return Known::Yes;
    }
    match s.read() {
        Ok(read) => {
            if let Some(drop) = s.drops.of_packet(read.packet, s.row.time).and_then(|no| s.drops.get(no)) {
                give(drop, out);
            }
            Known::Yes
        }
        Err(known) => known,
    }
}
