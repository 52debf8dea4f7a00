//! Packets the kernel dropped, and the captured packets and conversations they were.
//!
//! A drop record carries the packet's first bytes from its network header on. That is enough to tell which captured packet it
//! was: the same addresses, ports, IP identification, sequence number and length. A tap sees a packet before the kernel drops
//! it on the way in, and after on the way out, so the captured packet may stand before or behind the drop, or nowhere.

mod benign;

pub use benign::benign;

use crate::dissect::{self, Packet, Protocol, Transport};
use crate::flow::{Endpoint, Flow};
use crate::ids::{DropNo, FlowId};
use crate::log::block::KernelDrop;
use crate::time::Timestamp;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The most drops that are kept; further ones are counted by reason alone.
const MOST_KEPT: usize = 200_000;
/// Bytes kept of each dropped packet.
const BYTES_KEPT: usize = 256;
/// LINKTYPE_RAW: a packet that begins with its IP header.
const LINKTYPE_RAW: u32 = 101;

/// What tells one packet from another, wherever it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    source: Endpoint,
    destination: Endpoint,
    protocol: Protocol,
    ip_id: Option<u32>,
    seq: Option<(u32, u32)>,
    total_len: u32,
}

impl Fingerprint {
    /// Of a dissected packet; `None` if it is not IP.
    pub fn of(packet: &Packet<'_>) -> Option<Self> {
        let ip = packet.ip?;
        let (source_port, destination_port) = packet.transport.ports().unwrap_or_default();
        let seq = match &packet.transport {
            Transport::Tcp(tcp) => Some((tcp.seq, tcp.ack)),
            Transport::Icmp(icmp) => icmp.echo.map(|(id, seq)| (u32::from(id), u32::from(seq))),
            _ => None,
        };
        Some(Self {
            source: Endpoint { address: ip.src, port: source_port },
            destination: Endpoint { address: ip.dst, port: destination_port },
            protocol: packet.transport.protocol().unwrap_or_default(),
            ip_id: ip.id,
            seq,
            total_len: ip.total_len,
        })
    }

    /// The conversation's ends in an order of their own, so that both directions agree.
    fn ends(&self) -> Ends {
        let (a, b) = (self.source, self.destination);
        Ends { low: a.min(b), high: a.max(b), protocol: self.protocol }
    }
}

/// The two ends of a conversation, whoever sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ends {
    low: Endpoint,
    high: Endpoint,
    protocol: Protocol,
}

/// The drops of a log.
#[derive(Debug, Default)]
pub struct Drops {
    kept: Vec<KernelDrop>,
    fingerprints: Vec<Option<Fingerprint>>,
    by_fingerprint: FxHashMap<Fingerprint, Vec<DropNo>>,
    by_ends: FxHashMap<Ends, Vec<DropNo>>,
    flows: BTreeMap<DropNo, FlowId>,
    of_flow: BTreeMap<FlowId, Vec<DropNo>>,
    /// Conversations that have been compared with the drops.
    flows_seen: usize,
    /// Drops that were compared with all of those.
    drops_seen: usize,
    skipped: u64,
    beyond: u64,
}

impl Drops {
    /// Takes the next drop.
    pub fn push(&mut self, mut drop: KernelDrop) {
        self.skipped = self.skipped.saturating_add(drop.skipped);
        if self.kept.len() >= MOST_KEPT {
            self.beyond += 1;
            return;
        }
        drop.bytes.truncate(BYTES_KEPT);
        drop.bytes.shrink_to_fit();
        let no = DropNo(self.kept.len() as u32 + 1);
        let fingerprint = Fingerprint::of(&dissected(&drop));
        if let Some(fingerprint) = fingerprint {
            self.by_fingerprint.entry(fingerprint).or_default().push(no);
            self.by_ends.entry(fingerprint.ends()).or_default().push(no);
        }
        self.fingerprints.push(fingerprint);
        self.kept.push(drop);
    }

    /// Joins drops to conversations, also to those that came after them.
    pub fn join<'a>(&mut self, flows: impl Iterator<Item = &'a Flow>) {
        if self.kept.is_empty() {
            return;
        }
        // New drops may belong to any conversation, old drops only to new ones.
        let skip = if self.drops_seen == self.kept.len() { self.flows_seen } else { 0 };
        let mut seen = skip;
        for flow in flows.skip(skip) {
            seen += 1;
            let (a, b) = (flow.client, flow.server);
            let ends = Ends { low: a.min(b), high: a.max(b), protocol: flow.transport };
            for no in self.by_ends.get(&ends).into_iter().flatten() {
                let at = self.kept.get(no.0 as usize - 1).map(|drop| Timestamp::from_nanos(drop.at_ns));
                // Of several conversations on the same ports the one that had begun counts; the first where none had.
                let begun = at.is_some_and(|at| flow.first.at <= at);
                match self.flows.get(no) {
                    Some(earlier) if !begun || *earlier == flow.id => continue,
                    Some(earlier) => {
                        if let Some(drops) = self.of_flow.get_mut(earlier) {
                            drops.retain(|other| other != no);
                        }
                    }
                    None => {}
                }
                self.flows.insert(*no, flow.id);
                self.of_flow.entry(flow.id).or_default().push(*no);
            }
        }
        self.flows_seen = seen;
        self.drops_seen = self.kept.len();
    }

    /// All that are kept, in order of arrival: the first is [`DropNo`] 1.
    pub fn kept(&self) -> &[KernelDrop] {
        &self.kept
    }

    /// One of them.
    pub fn get(&self, no: DropNo) -> Option<&KernelDrop> {
        self.kept.get((no.0 as usize).checked_sub(1)?)
    }

    /// What tells its packet from others.
    pub fn fingerprint(&self, no: DropNo) -> Option<&Fingerprint> {
        self.fingerprints.get((no.0 as usize).checked_sub(1)?)?.as_ref()
    }

    /// Its conversation.
    pub fn flow(&self, no: DropNo) -> Option<FlowId> {
        self.flows.get(&no).copied()
    }

    /// The drops of a conversation, by number.
    pub fn of_flow(&self, flow: FlowId) -> &[DropNo] {
        self.of_flow.get(&flow).map_or(&[], Vec::as_slice)
    }

    /// The drop that took this packet, the nearest in time if several look alike.
    pub fn of_packet(&self, packet: &Packet<'_>, at: Timestamp) -> Option<DropNo> {
        let alike = self.by_fingerprint.get(&Fingerprint::of(packet)?)?;
        let distance = |no: &DropNo| self.get(*no).map(|drop| drop.at_ns.abs_diff(at.nanos()));
        alike.iter().copied().min_by_key(distance)
    }

    /// Drops that were counted by the agent but not recorded.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Drops that were recorded but are more than are kept here.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }
}

/// The dropped packet's layers, as far as its first bytes go.
pub fn dissected(drop: &KernelDrop) -> Packet<'_> {
    dissect::dissect(LINKTYPE_RAW, &drop.bytes, drop.len)
}

/// The addresses of a dropped packet, for showing.
pub fn ends_of(packet: &Packet<'_>) -> Option<(IpAddr, IpAddr)> {
    packet.ip.map(|ip| (ip.src, ip.dst))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FlowTable;
    use crate::log::Decoder;
    use crate::log::record::Record;
    use crate::script::Script;

    /// The drops of a script, joined to its conversations, and for each captured packet the drop that took it.
    fn joined(script: &str) -> (Drops, Vec<Option<DropNo>>) {
        let script = Script::parse(&format!("date 2021-06-01\n{script}")).unwrap_or_else(|error| panic!("{error}"));
        let log = crate::reference::encode(&script);
        let (mut drops, mut flows, mut took) = (Drops::default(), FlowTable::default(), Vec::new());
        Decoder::new().push(&log, |record| match record {
            Record::KernelDrop(drop) => drops.push(*drop),
            Record::Packet(packet) => {
                let dissected = dissect::dissect(packet.link_type, packet.data, packet.wire_len);
                flows.observe(&dissected, packet.no, packet.time.unwrap_or_default(), packet.interface, packet.wire_len);
            }
            _ => {}
        });
        drops.join(flows.iter());
        Decoder::new().push(&log, |record| {
            if let Record::Packet(packet) = record {
                let dissected = dissect::dissect(packet.link_type, packet.data, packet.wire_len);
                took.push(drops.of_packet(&dissected, packet.time.unwrap_or_default()));
            }
        });
        (drops, took)
    }

    /// The script gives every packet an IP identification of its own, but 0 to a SYN/ACK, as Linux does: so it can be told twice.
    const ANSWER: &str = "IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 900, ack 101, win 512, options [mss 1460], length 0";
    /// The same packet, with the relative numbers tcpdump prints from the second on.
    const SAME_ANSWER: &str = "IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 0, ack 1, win 512, options [mss 1460], length 0";
    const SYN: &str = "IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 100, win 512, options [mss 1460], length 0";
    const NEXT_SYN: &str = "IP 10.0.0.2.6 > 10.0.0.1.80: Flags [S], seq 100, win 512, options [mss 1460], length 0";

    #[test]
    fn a_drop_is_joined_to_its_packet_and_its_conversation() {
        let (drops, took) = joined(&format!(
            "14:40:01.000 {SYN}\n14:40:01.1 {ANSWER}\n14:40:01.2 drop NETFILTER_DROP nft_do_chain+0x3e8 - {SAME_ANSWER}\n14:40:02.000 {NEXT_SYN}\n"
        ));
        assert_eq!(took, [None, Some(DropNo(1)), None]);
        assert_eq!(
            (drops.flow(DropNo(1)), drops.of_flow(FlowId(0)).len(), drops.of_flow(FlowId(1)).len()),
            (Some(FlowId(0)), 1, 0)
        );
        assert_eq!(drops.get(DropNo(1)).expect("it was kept").reason, "NETFILTER_DROP");
    }

    #[test]
    fn the_same_segment_sent_again_is_another_packet() {
        let (drops, took) = joined(&format!("14:40:01.000 {SYN}\n14:40:02.0 drop NETFILTER_DROP nf_hook_slow - {SYN}\n"));
        assert_eq!((took, drops.flow(DropNo(1))), (vec![None], Some(FlowId(0))));
    }

    #[test]
    fn a_drop_of_the_same_conversation_but_another_packet_is_joined_to_the_conversation_alone() {
        let other = SYN.replace("seq 100", "seq 101");
        let (drops, took) = joined(&format!("14:40:01.000 {SYN}\n14:40:01.1 drop NETFILTER_DROP nf_hook_slow - {other}\n"));
        assert_eq!((took, drops.flow(DropNo(1))), (vec![None], Some(FlowId(0))));
    }

    #[test]
    fn a_drop_of_nothing_that_was_captured_has_no_conversation() {
        let (drops, took) = joined(&format!("14:40:01.000 {SYN}\n14:40:01.1 drop NETFILTER_DROP nf_hook_slow - {NEXT_SYN}\n"));
        assert_eq!((took, drops.flow(DropNo(1)), drops.kept().len()), (vec![None], None, 1));
    }

    #[test]
    fn of_drops_that_look_alike_the_nearest_in_time_took_the_packet() {
        let drop = |at: &str| format!("{at} drop NETFILTER_DROP nf_hook_slow - {SAME_ANSWER}\n");
        let (_, took) = joined(&format!(
            "14:40:01.000 {ANSWER}\n{}{}14:40:04.000 {SAME_ANSWER}\n",
            drop("14:40:01.001"),
            drop("14:40:04.001")
        ));
        assert_eq!(took, [Some(DropNo(1)), Some(DropNo(2))]);
    }
}
