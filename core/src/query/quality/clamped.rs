//! `mss_clamped`: SYNs whose MSS is another at the next capture point: something between rewrites it.
//!
//! Routers and firewalls in front of a smaller MTU lower the MSS in passing (`TCPMSS --clamp-mss-to-pmtu`), so that nobody has to
//! find the path's MTU. That is no fault; but it tells where the path narrows, and that sizes here are not what the ends chose.

use super::super::engine::Knowledge;
use crate::dissect::{Packet, TcpFlags, Transport};
use crate::flow::{FlowTable, Observed};
use crate::ids::InterfaceId;
use crate::rules::say;
use crate::store::Row;

/// See [`super::Passing`].
#[derive(Debug, Default)]
pub(super) struct Passing {
    segments: u64,
    first: Option<First>,
}

/// The first SYN that was seen changed.
#[derive(Debug)]
struct First {
    sender: String,
    /// Where it was captured first and again, with its MSS there.
    before: (InterfaceId, u16),
    after: (InterfaceId, u16),
}

impl Passing {
    #[inline]
    pub(super) fn note(&mut self, packet: &Packet<'_>, seen: &Observed, row: &Row, flows: &FlowTable) {
        let Transport::Tcp(segment) = &packet.transport else { return };
        if segment.flags.has(TcpFlags::SYN) {
            self.note_syn(segment.options.mss, seen, row, flows);
        }
    }

    fn note_syn(&mut self, mss: Option<u16>, seen: &Observed, row: &Row, flows: &FlowTable) {
        let Some((flow, direction)) = row.flow.and_then(|(id, direction)| Some((flows.get(id)?, direction))) else { return };
        // What counts for the conversation is what its first SYN said.
        let (Some(mss), Some(before)) = (mss, flow.side(direction).mss) else { return };
        if mss == before || row.interface == flow.interface || seen.seq != Some(0) {
            return;
        }
        self.segments += 1;
        self.first.get_or_insert_with(|| First {
            sender: flow.sender(direction).to_string(),
            before: (flow.interface, before),
            after: (row.interface, mss),
        });
    }
}

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let passing = &known.passing.clamped;
    let Some(First { sender, before, after }) = &passing.first else { return Vec::new() };
    let name = |id| known.recording.interface_name(id);
    vec![format!(
        "The MSS of {} is another at the next capture point: {sender} announces {} on {} and {} on {}. Something between rewrites it (MSS \
         clamping), as routers do in front of a smaller MTU: no fault by itself, but the sizes are not those the ends chose.",
        say::count(passing.segments, "SYN"),
        say::number(before.1.into()),
        name(before.0),
        say::number(after.1.into()),
        name(after.0)
    )]
}

#[cfg(test)]
mod tests {
    use super::super::case::of_log;
    use crate::log::record::{Interface, Section};
    use crate::log::{Encoder, PacketToWrite};
    use crate::rules::OPEN;
    use crate::script::{Script, Scripted};

    /// A handshake at two interfaces, at the second of which the SYNs say this.
    fn at_two(first: &str, second: &str) -> String {
        let mut log = Vec::new();
        let mut encoder = Encoder::begin(&Section::default(), &mut log);
        let points = [("eth0", first), ("tun0", second)].map(|(name, mss)| {
            let interface = Interface { name: Some(name.into()), ..Interface::default() };
            let script = Script::parse(&OPEN.replace("mss 1460", mss)).expect("a script");
            (encoder.interface(&interface, &mut log), script.records)
        });
        for place in 0..points[0].1.len() {
            for (interface, records) in &points {
                let Scripted::Packet { time, frame, wire_len } = &records[place] else { continue };
                let packet =
                    PacketToWrite { interface: *interface, time: *time, wire_len: *wire_len, data: frame, ..Default::default() };
                encoder.packet(&packet, &mut log);
            }
        }
        of_log("mss_clamped", &log)
    }

    #[test]
    fn another_mss_at_the_next_interface_was_rewritten_on_the_way() {
        assert_eq!(
            at_two("mss 1460", "mss 1380"),
            "The MSS of 2 SYNs is another at the next capture point: 10.0.0.2:5 announces 1,460 on eth0 and 1,380 on tun0. Something between \
             rewrites it (MSS clamping), as routers do in front of a smaller MTU: no fault by itself, but the sizes are not those the ends chose."
        );
        assert_eq!(at_two("mss 1460", "mss 1460"), "");
    }
}
