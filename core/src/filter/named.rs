//! Which findings name which packets and conversations.

use crate::anchor::Place;
use crate::finding::{Finding, Severity, Subject};
use crate::ids::{FlowId, PacketNo};
use std::collections::BTreeMap;

/// An index over findings: their places in the list, by what they name.
#[derive(Clone, Debug, Default)]
pub struct Named {
    packets: BTreeMap<PacketNo, Vec<u32>>,
    flows: BTreeMap<FlowId, Vec<u32>>,
}

impl Named {
    /// The index of a list of findings.
    pub fn new(findings: &[Finding]) -> Self {
        let mut named = Self::default();
        for (place, finding) in (0_u32..).zip(findings) {
            let reasons = finding.reasons.iter().flat_map(|reason| &reason.anchors);
            for anchor in finding.evidence.iter().chain(reasons) {
                match anchor.place {
                    Place::Packet(no) => add(&mut named.packets, no, place),
                    Place::Flow(flow) | Place::Bytes { flow, .. } => add(&mut named.flows, flow, place),
                    _ => {}
                }
            }
            if let Subject::Flow { flow, .. } = finding.subject {
                add(&mut named.flows, flow, place);
            }
        }
        named
    }

    /// The findings that name this packet itself.
    pub fn of_packet(&self, no: PacketNo) -> &[u32] {
        self.packets.get(&no).map_or(&[], Vec::as_slice)
    }

    /// The findings that are about this conversation, or name bytes of it.
    pub fn of_flow(&self, flow: FlowId) -> &[u32] {
        self.flows.get(&flow).map_or(&[], Vec::as_slice)
    }

    /// The loudest finding about a conversation.
    pub fn severity(&self, flow: FlowId, findings: &[Finding]) -> Option<Severity> {
        self.of_flow(flow).iter().filter_map(|place| findings.get(*place as usize)).map(|finding| finding.severity).max()
    }
}

fn add<K: Ord>(map: &mut BTreeMap<K, Vec<u32>>, key: K, place: u32) {
    let places = map.entry(key).or_default();
    if places.last() != Some(&place) {
        places.push(place);
    }
}
