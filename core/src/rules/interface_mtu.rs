//! `interface_mtu`: a network interface drops what is larger than its MTU, and nobody tells the sender.
//!
//! **What.** A link does not fragment: a frame that exceeds the receiving device's MTU is dropped before its host sees it. Only
//! a router splits packets, or answers "fragmentation needed". So the handshake, whose packets are small, succeeds, and the
//! first request hangs. Virtual links check the *receiver's* MTU: a veth passes a packet only if its length is at most MTU +
//! link-layer header + 4 (room for a VLAN tag), or if it is a GSO packet (Linux `__is_skb_forwardable`, include/linux/netdevice.h);
//! else it counts `rx_dropped` on the receiving veth and `tx_dropped` on the sending one (drivers/net/veth.c).
//!
//! **When.** A conversation that comes in over a watched interface, in which bytes are missing that the peer misses too, and the
//! packet that carried them (headers of the sender's other segments + missing bytes) exceeds what the interface lets pass, while
//! all that arrived does not. Newer kernels hold the FIN back that would show the gap (measured on 6.18), so a handshake after
//! which no data at all arrives is enough when the interface's own MSS exceeds MTU - 40 and its receive drops rose meanwhile. The
//! same seen from the sender: a segment that is sent again and again, larger than the MTU of the watched interface it goes to.
//! From a capture alone: the receiver announced MSS 256, the smallest that Linux announces
//! (`net.ipv4.route.min_adv_mss`, net/ipv4/route.c `ipv4_default_advmss`), which betrays an MTU of 296 or less. Where only the
//! sending end of a virtual link was watched, the kernel's own drops there prove it, whatever the MSS.
//!
//! **Near misses.** The peer acknowledged the bytes (the capture missed them). Larger packets arrived on the same conversation. The
//! interface's receive drops were recorded and did not rise. The gap was filled later.
//!
//! **Length.** One argument with all its texts and cases; the texts are most of it.
//!
//! **Sources.** DIAGNOSIS M1, M2, M8; the lab `mtu-100`.

use super::host::{self, Growth, Watched};
use super::{Explained, Outcome, View, say};
use crate::anchor::{Anchor, Place};
use crate::dissect::Protocol;
use crate::finding::{Command, Confidence, Finding, FindingId, Picture, Question, Reason, Severity, Subject};
use crate::flow::{Flow, Hole, Seen};
use crate::ids::{Direction, DropNo, NetnsId};
use crate::log::block::KernelDrop;
use crate::sort;
use crate::time::{Nanos, Span};
use std::collections::BTreeMap;
use std::net::IpAddr;

const SLUG: &str = "interface_mtu";

/// The smallest MSS that Linux announces, whatever the MTU (`ip_rt_min_advmss`, net/ipv4/route.c).
const MIN_ADVERTISED_MSS: u16 = 256;

/// A client that has sent nothing yet is given this long before its silence means anything.
const SILENCE: Nanos = Nanos::from_millis(900);

/// A conversation whose data did not get through.
struct Victim<'a> {
    flow: &'a Flow,
    /// The direction in which data is lost.
    direction: Direction,
    loss: Loss,
}

/// What was lost of it.
#[derive(Clone, Copy)]
enum Loss {
    /// Bytes that a later packet showed to be missing; the size of the packet that carried them, in bytes of IP.
    Hole(Hole, u32),
    /// A segment sent again and again (seen at the sender's side of the interface): its bytes of IP and how often.
    Stuck { first: u64, last: u64, ip_len: u32, sent: u32, first_sent: Seen, last_sent: Seen },
    /// No data at all after the handshake.
    Silence,
}

/// Judges every interface of the watched hosts; without any, the capture alone.
pub(super) fn judge(view: &View<'_>, _: &Explained) -> Outcome {
    let mut by_interface: BTreeMap<(u64, u32), (Watched<'_>, Vec<Victim<'_>>)> = BTreeMap::new();
    let mut alone: BTreeMap<IpAddr, Vec<Victim<'_>>> = BTreeMap::new();
    let on_links = dropped_on_links(view);
    let mut largest_passed = 0;
    let mut opened = 0u64;
    for flow in view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp) {
        opened += u64::from(flow.handshake.ack.is_some());
        for direction in [Direction::AToB, Direction::BToA] {
            let receiver = flow.sender(direction.reverse()).address;
            largest_passed = largest_passed.max(flow.side(direction).largest_ip);
            match host::own(view, receiver) {
                Some(interface) => {
                    if let Some(victim) = lost_at(view, flow, direction, interface) {
                        let key = (interface.namespace.netns, interface.facts.ifindex);
                        by_interface.entry(key).or_insert_with(|| (interface, Vec::new())).1.push(victim);
                    }
                }
                None => {
                    if let Some(victim) = lost_by_capture(view, flow, direction, on_links.contains_key(&receiver)) {
                        alone.entry(receiver).or_default().push(victim);
                    }
                }
            }
        }
    }
    let mut outcome = Outcome::default();
    for (interface, victims) in by_interface.into_values() {
        let case = Case::at_interface(view, interface, victims);
        if let Some(case) = case {
            outcome.explains.interfaces.insert((interface.namespace.netns, interface.facts.ifindex));
            outcome.explains.flows.extend(case.victims.iter().map(|victim| victim.flow.id));
            outcome.findings.push(case.finding(view));
        }
    }
    for (receiver, victims) in alone {
        outcome.explains.flows.extend(victims.iter().map(|victim| victim.flow.id));
        let drops = on_links.get(&receiver).map_or(&[][..], Vec::as_slice);
        outcome.explains.interfaces.extend(drops.iter().map(|(_, drop, _)| (drop.netns, drop.ifindex)));
        outcome.findings.push(from_sending_side(view, receiver, &victims, drops));
    }
    if outcome.findings.is_empty() {
        return quiet(view, largest_passed, opened);
    }
    outcome
}

fn quiet(view: &View<'_>, largest_passed: u32, opened: u64) -> Outcome {
    let mut mtus: Vec<String> = Vec::new();
    for namespace in view.counters.namespaces() {
        let real = namespace.interfaces.iter().filter(|interface| interface.name != "lo");
        mtus.extend(real.map(|i| format!("{} of {} has {}", i.name, namespace.name, i.mtu)));
    }
    if mtus.is_empty() {
        return match opened {
            0 => Outcome::cannot_tell("No TCP connection was seen to open, and no interface's MTU was recorded."),
            _ => Outcome::clear(format!(
                "Nothing in the packets points to a small MTU: of {} no one lost what was too large. The MTUs themselves were \
                 not recorded.",
                say::count(opened, "opened connection")
            )),
        };
    }
    Outcome::clear(format!(
        "No data that an interface's MTU would have dropped is missing: {}; the largest packet seen had {} bytes.",
        say::list(&mtus, 4),
        say::number(largest_passed.into())
    ))
}

/// What a packet may have, in bytes of IP, to pass the interface: a virtual link lets 4 bytes more through.
fn limit(interface: Watched<'_>, mtu: u32) -> u32 {
    match interface.facts.kind.as_str() {
        "" => mtu,
        _ => mtu + 4,
    }
}

fn lost_at<'a>(view: &View<'_>, flow: &'a Flow, direction: Direction, interface: Watched<'_>) -> Option<Victim<'a>> {
    let mtu = interface.mtu_at(view, flow.last.at);
    let limit = limit(interface, mtu);
    let side = flow.side(direction);
    let receiver = flow.side(direction.reverse());
    let victim = |loss| Some(Victim { flow, direction, loss });

    // Seen where the packets still exist: on the sender, or on the host in front of a container.
    if let Some(stuck) = side.stuck.filter(|stuck| stuck.sent >= 2 && stuck.ip_len > limit) {
        let (first, last, ip_len, sent) = (stuck.first, stuck.last, stuck.ip_len, stuck.sent);
        return victim(Loss::Stuck { first, last, ip_len, sent, first_sent: stuck.first_sent, last_sent: stuck.last_sent });
    }
    // Larger packets got through: whatever is missing is missing for another reason.
    if side.largest_ip > limit {
        return None;
    }
    let hole = side.holes.iter().find(|hole| hole.filled.is_none() && hole.acked.is_none());
    if let (Some(hole), Some(headers)) = (hole, side.header_bytes) {
        let carrier = carrier(hole, headers, receiver.mss, flow);
        return if carrier > limit { victim(Loss::Hole(*hole, carrier)) } else { None };
    }
    let ack = flow.handshake.ack?;
    let reset = flow.sides.iter().any(|side| side.rst.is_some());
    let overhead = if flow.server.address.is_ipv4() { 40 } else { 60 };
    let may_send_too_much = receiver.mss.is_some_and(|mss| u32::from(mss) + overhead > limit);
    // What the receiver acknowledges has arrived, whatever this capture missed.
    let unseen = side.acked_to.unwrap_or(0) == 0 && side.holes.is_empty();
    let silent = unseen && side.payload_bytes == 0 && receiver.payload_bytes == 0 && !reset && view.watermark - ack.at >= SILENCE;
    (silent && direction == Direction::AToB && may_send_too_much).then_some(())?;
    victim(Loss::Silence)
}

/// Bytes of IP of the packet that carried the missing bytes: the sender's usual headers and what is missing, but no more than
/// the receiver's MSS allows in one segment (of a longer gap, each packet had that size).
fn carrier(hole: &Hole, headers: u32, mss: Option<u16>, flow: &Flow) -> u32 {
    let missing = u32::try_from(hole.last - hole.first + 1).unwrap_or(u32::MAX);
    let fixed = if flow.server.address.is_ipv4() { 40 } else { 60 };
    let largest = u32::from(mss.unwrap_or(536)) + fixed;
    headers.saturating_add(missing).min(largest.max(headers))
}

/// Packets that the kernel dropped where a virtual link compares their size with the MTU of its other end, by where they were
/// going, with their bytes of IP.
fn dropped_on_links<'a>(view: &View<'a>) -> BTreeMap<IpAddr, Vec<SizedDrop<'a>>> {
    let mut by_receiver: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (i, drop) in view.drops.iter().enumerate().filter(|(_, drop)| is_for_size(drop)) {
        if let (Some(receiver), Some(size)) = (destination(drop), ip_len(drop)) {
            by_receiver.entry(receiver).or_default().push((DropNo(i as u32 + 1), drop, size));
        }
    }
    by_receiver
}

/// A packet the kernel dropped, and its bytes of IP.
type SizedDrop<'a> = (DropNo, &'a KernelDrop, u32);

/// Whether the kernel dropped it where a virtual link compares sizes (`__dev_forward_skb2`, net/core/dev.c).
fn is_for_size(drop: &KernelDrop) -> bool {
    drop.place.starts_with("__dev_forward_skb")
}

/// What was lost on the way to a receiver that was not watched. What the kernel dropped on the way counts more than an MSS.
fn lost_by_capture<'a>(view: &View<'_>, flow: &'a Flow, direction: Direction, dropped: bool) -> Option<Victim<'a>> {
    let side = flow.side(direction);
    let receiver = flow.side(direction.reverse());
    receiver.mss.filter(|mss| dropped || *mss <= MIN_ADVERTISED_MSS)?;
    flow.handshake.ack?;
    let victim = |loss| Some(Victim { flow, direction, loss });
    if let Some(stuck) = side.stuck.filter(|stuck| stuck.sent >= 3) {
        let smaller_passed = flow.handshake.ack.is_some() && stuck.ip_len > 60;
        let (first, last, ip_len, sent) = (stuck.first, stuck.last, stuck.ip_len, stuck.sent);
        let loss = Loss::Stuck { first, last, ip_len, sent, first_sent: stuck.first_sent, last_sent: stuck.last_sent };
        return if smaller_passed { victim(loss) } else { None };
    }
    let hole = side.holes.iter().find(|hole| hole.filled.is_none() && hole.acked.is_none() && hole.missed_by_peer.is_some());
    if let (Some(hole), Some(headers)) = (hole, side.header_bytes) {
        let carrier = carrier(hole, headers, receiver.mss, flow);
        return if carrier > side.largest_ip { victim(Loss::Hole(*hole, carrier)) } else { None };
    }
    let ack = flow.handshake.ack?;
    let reset = flow.sides.iter().any(|side| side.rst.is_some());
    // What the receiver acknowledges has arrived, whatever this capture missed.
    let unseen = side.acked_to.unwrap_or(0) == 0 && side.holes.is_empty();
    let silent = unseen && side.payload_bytes == 0 && receiver.payload_bytes == 0 && !reset && view.watermark - ack.at >= SILENCE;
    (silent && direction == Direction::AToB).then_some(())?;
    victim(Loss::Silence)
}

/// All that speaks about one interface.
struct Case<'a> {
    interface: Watched<'a>,
    mtu: u32,
    victims: Vec<Victim<'a>>,
    /// `rx_dropped` of the interface rose.
    received_drops: Option<Growth>,
    /// `tx_dropped` of the other end of its veth pair rose.
    peer: Option<(Watched<'a>, Growth)>,
    /// Packets the kernel dropped on their way to it for their size.
    kernel_drops: Vec<SizedDrop<'a>>,
    /// Its receive drops were recorded.
    drops_recorded: bool,
}

impl<'a> Case<'a> {
    /// `None` when the evidence is not enough for a finding.
    fn at_interface(view: &View<'a>, interface: Watched<'a>, mut victims: Vec<Victim<'a>>) -> Option<Self> {
        sort::by_key(&mut victims, |victim| victim.order());
        let span = victims.iter().map(|v| v.flow.span()).reduce(Span::union)?;
        let bracket = view.counters.bracket(span).unwrap_or(span);
        let facts = interface.facts;
        let netns = interface.netns();
        let mtu = interface.mtu_at(view, span.end);
        let limit = limit(interface, mtu);
        let received_drops = interface.grown(view, "link.rx_dropped", bracket);
        let drops_recorded = view.counters.of_interface("link.rx_dropped", netns, facts.ifindex).is_some();
        let peer = facts.peer_ifindex.and_then(|ifindex| {
            let namespace = view.counters.namespace(facts.peer_netns.map_or(netns, NetnsId))?;
            let peer = Watched { namespace, facts: namespace.interfaces.iter().find(|i| i.ifindex == ifindex)? };
            Some((peer, peer.grown(view, "link.tx_dropped", bracket)?))
        });
        let kernel_drops: Vec<_> = view
            .drops
            .iter()
            .enumerate()
            .filter_map(|(i, drop)| {
                let size = ip_len(drop)?;
                let here = is_for_size(drop) && size > limit;
                let to = victims.iter().any(|victim| destination(drop) == Some(victim.receiver()));
                (here && to).then_some((DropNo(i as u32 + 1), drop, size))
            })
            .collect();
        // The host would have counted them; without that, the gap has another cause. Silence alone proves nothing either.
        let counted = received_drops.is_some() || peer.is_some() || !kernel_drops.is_empty();
        let measured = |victim: &Victim<'_>| !matches!(victim.loss, Loss::Silence);
        if !counted && (drops_recorded || !victims.iter().any(measured)) {
            return None;
        }
        Some(Self { interface, mtu, victims, received_drops, peer, kernel_drops, drops_recorded })
    }

    fn finding(&self, view: &View<'_>) -> Finding {
        let name = &self.interface.facts.name;
        let limit = limit(self.interface, self.mtu);
        let first = &self.victims[0];
        let span = self.victims.iter().map(|v| v.flow.span()).reduce(Span::union).unwrap_or(first.flow.span());
        let subject =
            Subject::Interface { netns: self.interface.netns(), ifindex: self.interface.facts.ifindex, name: name.clone() };
        let mut evidence = Vec::new();
        for victim in self.victims.iter().take(16) {
            evidence.extend(victim.evidence());
        }
        evidence.extend(self.received_drops.iter().map(Growth::anchor));
        evidence.extend(self.peer.iter().map(|(_, growth)| growth.anchor()));
        evidence.extend(anchors_of(&self.kernel_drops));
        evidence.push(self.interface.anchor());

        let confidence = if !self.kernel_drops.is_empty() {
            Confidence::Proved
        } else if self.received_drops.is_some() || self.peer.is_some() {
            Confidence::Strong
        } else {
            Confidence::Possible
        };
        let new_mtu = self.peer.as_ref().map(|(peer, _)| peer.facts.mtu).filter(|mtu| *mtu > self.mtu).unwrap_or(1500);
        let inside = host::run_inside(self.interface.namespace);
        let mut reasons = vec![handshake(first.flow)];
        reasons.extend(first.reason());
        reasons.extend(self.size_reason(limit));
        reasons.extend(self.counter_reasons());
        reasons.extend(kernel_reason(&self.kernel_drops));
        reasons.extend(mss_reason(first, Some(self.mtu), limit));
        if self.mtu < 1280 {
            let text = format!("An MTU below 1280 also switches IPv6 off on {name} (RFC 8200 section 5 asks for 1280).");
            reasons.push(Reason { text, anchors: vec![self.interface.anchor()] });
        }
        Finding {
            id: FindingId::new(SLUG, &subject, &self.interface.anchor()),
            rule: SLUG.into(),
            severity: Severity::Critical,
            confidence,
            sentence: self.sentence(),
            span,
            count: self.victims.len() as u64,
            evidence,
            reasons,
            confidence_reason: match confidence {
                Confidence::Proved => proof(&self.kernel_drops),
                Confidence::Strong => {
                    "What is missing, the size of the packet that carried it, and the interface's drop counter are \
                     independent observations, and they agree. Recording kernel drops (`dropscope live` as root) would prove it."
                        .into()
                }
                Confidence::Possible => format!(
                    "Sizes and MTU fit, but {name}'s drop counter was not recorded. `dropscope live` or `ip -s link show {name}` \
                     before and after a request would settle it."
                ),
            },
            rival: format!(
                "A loss before this host that happens to hit only packets above {limit} bytes (a path MTU black hole). It would leave \
                 {name}'s receive drops unchanged; a packet of {limit} bytes more or less tells them apart: `ping -M do -s {}` \
                 towards this host is answered, `-s {}` is not.",
                limit.saturating_sub(28),
                limit.saturating_sub(27)
            ),
            confirm: vec![Command {
                line: format!("ip -s link show {name}"),
                effect: format!(
                    "Shows `mtu {}`, and under RX the column `dropped`, which rises with each lost packet.{inside}",
                    self.mtu
                ),
            }],
            fix: vec![Command {
                line: format!("ip link set {name} mtu {new_mtu}"),
                effect: format!(
                    "Lets packets of up to {new_mtu} bytes in from now on; connections that hang go on with their next retransmission. \
                     It lasts until the interface is made anew: also set the MTU where that happens (container network, netplan, \
                     systemd-networkd).{inside}"
                ),
            }],
            questions: questions(first, self.mtu, name),
            picture: Some(self.ruler(view, limit)),
            subject,
        }
    }

    fn sentence(&self) -> String {
        let first = &self.victims[0];
        let (name, mtu) = (self.interface.name(), self.mtu);
        let others = match self.victims.len() as u64 - 1 {
            0 => String::new(),
            n => format!(", and so in {}", say::count(n, "other conversation")),
        };
        let sender = first.flow.sender(first.direction);
        match first.loss {
            Loss::Hole(hole, carrier) => format!(
                "{name} has an MTU of {mtu} and dropped {} that {sender} sent: the packet that carried them had {carrier} bytes{others}.",
                say::bytes(hole.first, hole.last)
            ),
            Loss::Stuck { first, last, ip_len, sent, .. } => format!(
                "{name} has an MTU of {mtu} and drops {} that {sender} sent {} in packets of {ip_len} bytes{others}.",
                say::bytes(first, last),
                say::count(sent.into(), "time")
            ),
            Loss::Silence => format!(
                "{name} has an MTU of {mtu} and drops what is larger: {sender} opened a connection to {}, and not one byte of its data \
                 arrived while the interface dropped {} on receive{others}.",
                first.flow.sender(first.direction.reverse()),
                say::count(self.received_drops.map_or(self.kernel_drops.len() as u64, |growth| growth.by), "packet")
            ),
        }
    }

    /// Why those bytes could not pass.
    fn size_reason(&self, limit: u32) -> Option<Reason> {
        let first = &self.victims[0];
        let (name, mtu) = (&self.interface.facts.name, self.mtu);
        let spare = if limit > mtu { format!(" (a virtual link lets {limit} through, 4 for a VLAN tag)") } else { String::new() };
        let text = match first.loss {
            Loss::Hole(hole, carrier) => {
                let missing = hole.last - hole.first + 1;
                let headers = first.flow.side(first.direction).header_bytes?;
                let ip = if first.flow.server.address.is_ipv4() { 20 } else { 40 };
                if u64::from(headers) + missing == u64::from(carrier) {
                    format!(
                        "The packet that carried them was {ip} (IP) + {} (TCP with the options of its other segments) + {missing} (data) = \
                         {carrier} bytes, more than {name}'s MTU of {mtu}{spare}. Every packet that did arrive was smaller.",
                        headers - ip
                    )
                } else {
                    format!(
                        "They came in packets of up to {carrier} bytes, as the announced MSS allows, more than {name}'s MTU of {mtu}\
                         {spare}. Every packet that did arrive was smaller."
                    )
                }
            }
            Loss::Stuck { ip_len, .. } => {
                format!(
                    "Each of these packets has {ip_len} bytes of IP, more than {name}'s MTU of {mtu}{spare}; smaller ones pass."
                )
            }
            Loss::Silence => format!(
                "Everything that arrived on {name} had at most {} bytes of IP; its MTU is {mtu}{spare}.",
                self.victims.iter().map(|v| v.flow.side(v.direction).largest_ip).max().unwrap_or(0)
            ),
        };
        Some(Reason { text, anchors: vec![self.interface.anchor()] })
    }

    fn counter_reasons(&self) -> Vec<Reason> {
        let name = &self.interface.facts.name;
        let mut reasons = Vec::new();
        if let Some(growth) = &self.received_drops {
            let text = format!(
                "{name}'s receive drops (RX-DRP of `netstat -i`) rose meanwhile by {}, from {} to {}.",
                say::number(growth.by),
                say::number(growth.from),
                say::number(growth.to)
            );
            reasons.push(Reason { text, anchors: vec![growth.anchor()] });
        }
        if let Some((peer, growth)) = &self.peer {
            let text = format!(
                "{}, the other end of the same virtual link, counted {} as dropped on transmit at the same time: the packets vanish \
                 between the two, before {name} hands them to its host.",
                peer.name(),
                say::count(growth.by, "packet")
            );
            reasons.push(Reason { text, anchors: vec![growth.anchor(), peer.anchor()] });
        }
        if reasons.is_empty() && !self.drops_recorded {
            let text = format!("{name}'s drop counters were not recorded, so they can neither support nor refute this.");
            reasons.push(Reason { text, anchors: Vec::new() });
        }
        reasons
    }

    fn ruler(&self, view: &View<'_>, limit: u32) -> Picture {
        let mut passed: BTreeMap<u32, u32> = BTreeMap::new();
        let mut vanished: BTreeMap<u32, u32> = BTreeMap::new();
        let own = |flow: &Flow, direction: Direction| {
            let interface = host::own(view, flow.sender(direction.reverse()).address);
            interface.is_some_and(|i| i.netns() == self.interface.netns() && i.facts.ifindex == self.interface.facts.ifindex)
        };
        for flow in view.flows.iter() {
            for direction in [Direction::AToB, Direction::BToA] {
                if own(flow, direction) {
                    for (size, n) in flow.side(direction).sizes().iter().filter(|(size, _)| *size <= limit) {
                        *passed.entry(*size).or_default() += n;
                    }
                }
            }
        }
        for victim in &self.victims {
            match victim.loss {
                Loss::Hole(_, carrier) => *vanished.entry(carrier).or_default() += 1,
                Loss::Stuck { ip_len, sent, .. } => *vanished.entry(ip_len).or_default() += sent,
                Loss::Silence => {}
            }
        }
        if vanished.is_empty() {
            for (_, _, size) in &self.kernel_drops {
                *vanished.entry(*size).or_default() += 1;
            }
        }
        Picture::SizeRuler {
            mtu: self.mtu,
            limit: Some(limit).filter(|limit| *limit > self.mtu),
            passed: passed.into_iter().collect(),
            vanished: vanished.into_iter().collect(),
        }
    }
}

impl Victim<'_> {
    /// Measured losses before mere silence, then by time: the first is what the sentence tells.
    fn order(&self) -> (u8, crate::time::Timestamp) {
        match self.loss {
            Loss::Hole(hole, _) => (0, hole.noticed.at),
            Loss::Stuck { first_sent, .. } => (1, first_sent.at),
            Loss::Silence => (2, self.flow.first.at),
        }
    }

    fn receiver(&self) -> IpAddr {
        self.flow.sender(self.direction.reverse()).address
    }

    fn evidence(&self) -> Vec<Anchor> {
        let (flow, direction) = (self.flow.id, self.direction);
        let packet = |seen: Seen| Anchor::from(Place::Packet(seen.no));
        match self.loss {
            Loss::Hole(hole, _) => {
                let mut anchors =
                    vec![Place::Bytes { flow, direction, first: hole.first, last: hole.last }.into(), packet(hole.noticed)];
                anchors.extend(hole.missed_by_peer.map(packet));
                anchors.extend(self.flow.handshake.syn_ack.map(packet));
                anchors
            }
            Loss::Stuck { first, last, first_sent, last_sent, .. } => {
                vec![packet(first_sent), packet(last_sent), Place::Bytes { flow, direction, first, last }.into()]
            }
            Loss::Silence => {
                let opening = [self.flow.handshake.ack, self.flow.handshake.syn_ack];
                opening.into_iter().flatten().map(packet).chain([Place::Flow(flow).into()]).collect()
            }
        }
    }

    /// The text that the lost bytes begin with, where they were captured on their way.
    fn begins(&self) -> Option<String> {
        self.flow.side(self.direction).stuck.and_then(|stuck| text_of(&stuck.begins))
    }

    /// What was lost, and how one sees it.
    fn reason(&self) -> Option<Reason> {
        let sender = self.flow.sender(self.direction);
        let text = match self.loss {
            Loss::Hole(hole, _) => {
                let side = self.flow.side(self.direction);
                let fin = if side.fin.is_some_and(|fin| fin.no == hole.noticed.no) { " (FIN)" } else { "" };
                let peer = match hole.missed_by_peer {
                    Some(ack) => format!(", and with packet {} the receiver says that it misses them", ack.no),
                    None => String::new(),
                };
                format!(
                    "{} of {sender} never arrived: packet {}{fin} begins at byte {}{peer}.",
                    say::capital(&say::bytes(hole.first, hole.last)),
                    hole.noticed.no,
                    say::number(hole.last + 1)
                )
            }
            Loss::Stuck { first, last, sent, first_sent, last_sent, .. } => format!(
                "{} of {sender}{} were sent {} within {} and never acknowledged.",
                say::capital(&say::bytes(first, last)),
                self.begins().map(|text| format!(", which begin with `{text}`,")).unwrap_or_default(),
                say::count(sent.into(), "time"),
                last_sent.at - first_sent.at
            ),
            Loss::Silence => format!(
                "{sender} opened the connection and then sent nothing that arrived here: a client that connects has something to ask."
            ),
        };
        Some(Reason { text, anchors: self.evidence() })
    }
}

/// What the kernel's drops say, with what the first of them carried.
fn kernel_reason(drops: &[SizedDrop<'_>]) -> Option<Reason> {
    let (_, drop, size) = drops.first()?;
    let begins = payload_text(drop).map(|text| format!(" and began with `{text}`")).unwrap_or_default();
    let text = format!(
        "The kernel recorded {} at `{}`, where a virtual link compares a packet's size with the receiver's MTU; the first had {size} \
         bytes of IP{begins}.",
        say::count(drops.len() as u64, "drop"),
        drop.place
    );
    Some(Reason { text, anchors: anchors_of(drops).collect() })
}

fn anchors_of(drops: &[SizedDrop<'_>]) -> impl Iterator<Item = Anchor> {
    drops.iter().take(16).map(|(no, ..)| Place::KernelDrop(*no).into())
}

/// Why the kernel's drops settle it.
fn proof(drops: &[SizedDrop<'_>]) -> String {
    format!(
        "The kernel itself recorded {} where it compares a packet's size with the MTU of the receiving device.",
        say::count(drops.len() as u64, "dropped packet")
    )
}

fn handshake(flow: &Flow) -> Reason {
    let opening = [flow.handshake.syn, flow.handshake.syn_ack, flow.handshake.ack];
    let anchors = opening.into_iter().flatten().map(|seen| Place::Packet(seen.no).into()).collect();
    let took = flow.handshake.rtt.map(|rtt| format!(" in {rtt}")).unwrap_or_default();
    Reason { text: format!("The handshake is fine: SYN, SYN-ACK and ACK passed{took}. They are small."), anchors }
}

fn mss_reason(victim: &Victim<'_>, mtu: Option<u32>, limit: u32) -> Option<Reason> {
    let mss = victim.flow.side(victim.direction.reverse()).mss?;
    let overhead = if victim.flow.server.address.is_ipv4() { 40 } else { 60 };
    let announced = victim.flow.handshake.syn_ack.filter(|_| victim.direction == Direction::AToB).or(victim.flow.handshake.syn);
    let floor = if mss == MIN_ADVERTISED_MSS {
        format!("{mss} is the smallest MSS that Linux announces (min_adv_mss)")
    } else {
        format!("{mss} was announced")
    };
    let text = match mtu {
        Some(mtu) if u32::from(mss) + overhead > limit => format!(
            "The receiver announced MSS {mss}, though an MTU of {mtu} leaves room for {}: {floor}. So the sender may send packets of up to \
             {} bytes, which the interface then drops.",
            mtu.saturating_sub(overhead),
            u32::from(mss) + overhead
        ),
        Some(_) => return None,
        None => format!(
            "The receiver announced MSS {mss}: {floor}, so the MTU of its interface is {} or less.",
            u32::from(mss) + overhead
        ),
    };
    Some(Reason { text, anchors: announced.map(|seen| Place::Packet(seen.no).into()).into_iter().collect() })
}

/// The finding where the receiver was not watched: by packets alone it is weaker; the kernel's drops, `drops`, prove it.
fn from_sending_side(view: &View<'_>, receiver: IpAddr, victims: &[Victim<'_>], drops: &[SizedDrop<'_>]) -> Finding {
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
        n => format!(", and so in {}", say::count(n, "other conversation")),
    };
    let (what, size) = match first.loss {
        Loss::Hole(hole, carrier) => (
            format!("{} of {sender} did not reach it, in a packet of {carrier} bytes", say::bytes(hole.first, hole.last)),
            Some(carrier),
        ),
        Loss::Stuck { first, last, ip_len, sent, .. } => (
            format!(
                "{} of {sender} were sent {} in packets of {ip_len} bytes without an answer",
                say::bytes(first, last),
                say::count(sent.into(), "time")
            ),
            Some(ip_len),
        ),
        Loss::Silence => (format!("{sender} connected to it, and no data followed"), None),
    };
    let mut reasons = vec![handshake(first.flow)];
    reasons.extend(first.reason());
    if let Some(size) = size {
        let largest = victims.iter().map(|v| v.flow.side(v.direction).largest_ip).max().unwrap_or(0);
        let text = match first.loss {
            Loss::Stuck { .. } => format!("Each of these packets had {size} bytes of IP; the handshake's were smaller."),
            _ => format!("The packet that carried them had {size} bytes of IP; the largest that did arrive had {largest}."),
        };
        reasons.push(Reason { text, anchors: Vec::new() });
    }
    reasons.extend(kernel_reason(drops));
    reasons.extend(mss_reason(first, None, announced).filter(|_| mss <= MIN_ADVERTISED_MSS));
    let mut evidence: Vec<Anchor> = first.evidence();
    evidence.extend(anchors_of(drops));
    evidence.extend(victims.iter().skip(1).take(15).flat_map(Victim::evidence));
    let identity = Anchor::from(Place::Flow(victims[0].flow.id));
    let vanished = size.map(|size| vec![(size, 1)]).unwrap_or_default();
    let passed =
        first.flow.side(first.direction).sizes().iter().copied().filter(|(bytes, _)| size.is_none_or(|s| *bytes < s)).collect();
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
                   receiving host, or `ip -s link` there, would settle it."
                .into(),
            drops => proof(drops),
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
        confirm: vec![Command {
            line: "ip -s link".into(),
            effect: format!("On {receiver}: shows each interface's MTU, and under RX the column `dropped`."),
        }],
        fix: vec![Command {
            line: "ip link set INTERFACE mtu 1500".into(),
            effect: format!("On {receiver}, with the name of the interface whose MTU is too small: lets larger packets in from now on."),
        }],
        questions: questions(first, most, "the interface"),
        picture: (!vanished.is_empty()).then_some(Picture::SizeRuler { mtu: most.min(size.unwrap_or(most)), limit: None, passed, vanished }),
        subject,
    }
}

fn questions(victim: &Victim<'_>, mtu: u32, name: &str) -> Vec<Question> {
    let mss = victim.flow.side(victim.direction.reverse()).mss;
    let fragment =
        if victim.flow.side(victim.direction).dont_fragment { " The packet also bears DF, which forbids it." } else { "" };
    let mut questions = vec![Question {
        question: "Why was it dropped and not fragmented?".into(),
        answer: format!(
            "Only a router splits packets, or tells the sender with ICMP to send smaller ones. This one was already on its last link: what \
             exceeds the MTU of the receiving interface is dropped there without a word.{fragment}"
        ),
    }];
    if let Some(mss) = mss.filter(|mss| u32::from(*mss) + 40 > mtu) {
        questions.push(Question {
            question: format!("Why is the MSS {mss} with an MTU of {mtu}?"),
            answer: format!(
                "Linux announces the MTU less 40, but never below 256 (net.ipv4.route.min_adv_mss). {mss} is more than an MTU of {mtu} can \
                 carry ({}), so the sender believes packets that {name} drops to be fine.",
                mtu.saturating_sub(40)
            ),
        });
    }
    let seen = match victim.loss {
        Loss::Hole(hole, _) => format!(
            "In packet {}: its sequence number is {}, though nothing after byte {} was seen before. Wireshark labels it \"Previous segment \
             not captured\" (tcp.analysis.lost_segment).{}",
            hole.noticed.no,
            hole.last + 1,
            hole.first.saturating_sub(1),
            hole.missed_by_peer
                .map(|ack| format!(" Packet {} is the receiver's answer that it misses them.", ack.no))
                .unwrap_or_default()
        ),
        Loss::Stuck { first_sent, last_sent, .. } => format!(
            "In packets {} to {}: the same bytes again and again, each time after a longer wait (tcp.analysis.retransmission).",
            first_sent.no, last_sent.no
        ),
        Loss::Silence => {
            "By what is not there: after the ACK of the handshake comes no packet with data. This kernel holds the FIN back as \
             well, which would have shown the gap; capture on the sending host shows the request and its retransmissions."
                .into()
        }
    };
    questions.push(Question { question: "Where in the capture does one see it?".into(), answer: seen });
    questions.push(Question {
        question: "Is there a tool that finds abnormal packet sizes?".into(),
        answer: format!(
            "Dropscope's ruler above: sizes that passed against sizes that vanished. By hand: `ping -M do -s {}` probes one size, `tracepath` \
             the whole path, Wireshark's Statistics, Packet Lengths shows what arrived; only the drop counter shows what did not.",
            mtu.saturating_sub(28)
        ),
    });
    questions
}

/// Bytes of IP of a dropped packet, by its own header.
fn ip_len(drop: &KernelDrop) -> Option<u32> {
    let byte = |at: usize| drop.bytes.get(at).copied().map(u32::from);
    match byte(0)? >> 4 {
        4 => Some(byte(2)? << 8 | byte(3)?),
        6 => Some(40 + (byte(4)? << 8 | byte(5)?)),
        _ => None,
    }
}

fn destination(drop: &KernelDrop) -> Option<IpAddr> {
    match drop.bytes.first()? >> 4 {
        4 => Some(<[u8; 4]>::try_from(drop.bytes.get(16..20)?).ok()?.into()),
        6 => Some(<[u8; 16]>::try_from(drop.bytes.get(24..40)?).ok()?.into()),
        _ => None,
    }
}

/// The first line of text that a dropped TCP packet carried, where it was recorded.
fn payload_text(drop: &KernelDrop) -> Option<String> {
    let ip = match drop.bytes.first()? {
        byte if byte >> 4 == 4 => usize::from(byte & 0x0f) * 4,
        _ => 40,
    };
    let tcp = usize::from(drop.bytes.get(ip + 12)? >> 4) * 4;
    text_of(drop.bytes.get(ip + tcp..)?)
}

/// The line of text that bytes begin with.
fn text_of(bytes: &[u8]) -> Option<String> {
    let text: String = bytes.iter().map(|b| char::from(*b)).take_while(|c| c.is_ascii_graphic() || *c == ' ').collect();
    (text.len() >= 4).then_some(text)
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    const HOST: &str = "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 100 address 172.17.0.2/16
14:39:59 counters
  link.rx_dropped eth0 338
";
    const OPEN: &str = "14:40:00.589235 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [S], seq 332257715, win 29200, options [mss 1418,sackOK,TS val 486800541 ecr 0,nop,wscale 7], length 0
14:40:00.589277 IP 172.17.0.2.80 > 10.255.255.5.39058: Flags [S.], seq 1630206251, ack 332257716, win 4880, options [mss 256,sackOK,TS val 2509376001 ecr 486800541,nop,nop,wscale 7], length 0
14:40:00.589894 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [.], ack 1, win 229, options [nop,nop,TS val 486800541 ecr 2509376001], length 0
";
    const FIN: &str = "14:40:03.589352 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [F.], seq 76, ack 1, win 229, options [nop,nop,TS val 486803541 ecr 2509376001], length 0
";
    const MISSED: &str = "14:40:03.589417 IP 172.17.0.2.80 > 10.255.255.5.39058: Flags [.], ack 1, win 40, options [nop,nop,TS val 2509379001 ecr 486800541,nop,nop,sack 1 {76:77}], length 0
";
    const ROSE: &str = "14:40:05 counters\n  link.rx_dropped eth0 344\n";
    const SAME: &str = "14:40:05 counters\n  link.rx_dropped eth0 338\n";
    const FINE: &str = "clear: No data that an interface's MTU would have dropped is missing: eth0 of web-1 has 100; the largest packet seen had";

    #[test]
    fn the_whole_argument_names_interface_mtu_bytes_and_packet() {
        check(
            "interface_mtu",
            &format!("{HOST}{OPEN}{FIN}{MISSED}{ROSE}"),
            "critical strong: eth0 of web-1 has an MTU of 100 and dropped bytes 1 to 75 that 10.255.255.5:39058 sent: the packet that carried them had \
             127 bytes.",
        );
    }

    #[test]
    fn a_kernel_that_holds_the_fin_back_hides_nothing() {
        check(
            "interface_mtu",
            &format!("{HOST}{OPEN}{ROSE}"),
            "critical strong: eth0 of web-1 has an MTU of 100 and drops what is larger: 10.255.255.5:39058 opened a connection to 172.17.0.2:80, and not \
             one byte of its data arrived while the interface dropped 6 packets on receive.",
        );
    }

    #[test]
    fn without_counters_it_is_weaker() {
        check(
            "interface_mtu",
            &format!("date 2021-06-01\n{OPEN}{FIN}{MISSED}"),
            "critical possible: The interface of 172.17.0.2 probably has an MTU of 296 or less and drops what is larger: bytes 1 to 75 of \
             10.255.255.5:39058 did not reach it, in a packet of 127 bytes.",
        );
    }

    #[test]
    fn where_the_sending_end_alone_was_watched_the_kernels_drops_prove_it() {
        let host = "date 2021-06-01\nnamespace 8 router\ninterface 3 veth-c veth mtu 1500 address 172.17.0.1/16\n";
        let request = "IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [P.], seq 1:75, ack 1, win 229, options [nop,nop,TS val 486800541 ecr 2509376001], length 74";
        let lost = |second: u32, place: &str| {
            format!("14:40:0{second}.0 {request}\n14:40:0{second}.1 drop NOT_SPECIFIED {place} veth-c {request}\n")
        };
        let at = |place: &str| [lost(1, place), lost(2, place), lost(4, place)].concat();
        let finding = "what is larger is dropped: bytes 1 to 74 of 10.255.255.5:39058 were sent 3 times in packets of 126 bytes without an answer.";
        let proved = |most: u32| {
            format!(
                "critical proved: The other end of veth-c of router, towards 172.17.0.2, has an MTU of {most} or less, and {finding}"
            )
        };
        let dropped = at("__dev_forward_skb2+0x87");
        check("interface_mtu", &format!("{host}{OPEN}{dropped}"), &proved(121));
        // Whatever MSS was announced.
        let usual = OPEN.replace("mss 256", "mss 1460");
        check("interface_mtu", &format!("{host}{usual}{dropped}"), &proved(121));
        // Dropped elsewhere, it is not for their size.
        let elsewhere = at("nf_hook_slow+0x3e");
        let fine = "clear: No data that an interface's MTU would have dropped is missing: veth-c of router has 1500; the largest packet seen had 126 bytes.";
        check("interface_mtu", &format!("{host}{usual}{elsewhere}"), fine);
    }

    #[test]
    fn drops_that_did_not_rise_acquit_the_interface() {
        check("interface_mtu", &format!("{HOST}{OPEN}{FIN}{MISSED}{SAME}"), &format!("{FINE} 64 bytes."));
        check("interface_mtu", &format!("{HOST}{OPEN}{SAME}"), &format!("{FINE} 64 bytes."));
    }

    #[test]
    fn bytes_that_the_server_has_were_missed_by_the_capture_alone() {
        let acked = MISSED.replace("ack 1, win", "ack 77, win").replace(",nop,nop,sack 1 {76:77}", "");
        check("interface_mtu", &format!("{HOST}{OPEN}{FIN}{acked}{ROSE}"), &format!("{FINE} 64 bytes."));
    }

    #[test]
    fn larger_packets_that_arrive_acquit_the_interface() {
        let large = "14:40:01 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [P.], seq 1:201, ack 1, win 229, options [nop,nop,TS val 5 ecr 5], length 200\n";
        let gap = FIN.replace("seq 76", "seq 401");
        check("interface_mtu", &format!("{HOST}{OPEN}{large}{gap}{ROSE}"), &format!("{FINE} 252 bytes."));
    }

    #[test]
    fn a_capture_cut_short_after_the_handshake_says_nothing() {
        check("interface_mtu", &format!("{HOST}{OPEN}"), &format!("{FINE} 64 bytes."));
    }

    #[test]
    fn without_a_connection_or_facts_it_cannot_tell() {
        check(
            "interface_mtu",
            "date 2021-06-01\n14:40:00 IP 10.0.0.2.5 > 10.0.0.1.53: UDP, length 20\n",
            "cannot tell: No TCP connection was seen to open, and no interface's MTU was recorded.",
        );
    }
}
