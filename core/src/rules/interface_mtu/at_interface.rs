//! The finding where the interface itself was watched: its MTU, its drop counter and the packets agree.

use super::link_drops::{self, SizedDrop};
use super::victim::{Loss, Victim, limit};
use super::{OnLinks, SLUG, told};
use crate::command::Command;
use crate::finding::{Confidence, Finding, FindingId, Picture, Reason, Severity, Subject};
use crate::flow::{Flow, Stuck};
use crate::ids::{Direction, NetnsId};
use crate::rules::host::{self, Growth, Watched};
use crate::rules::{View, commands, say};
use crate::sort;
use crate::time::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// All that speaks about one interface.
pub(super) struct Case<'a> {
    interface: Watched<'a>,
    mtu: u32,
    pub(super) victims: Vec<Victim<'a>>,
    /// `rx_dropped` of the interface rose.
    received_drops: Option<Growth>,
    /// `tx_dropped` of the other end of its veth pair rose.
    peer: Option<(Watched<'a>, Growth)>,
    /// Packets the kernel dropped on their way to it for their size.
    kernel_drops: Vec<SizedDrop<'a>>,
    /// Its receive drops were recorded.
    drops_recorded: bool,
}

/// Tell this from a loss on the path, by one byte: what fits the interface is answered, what does not is not.
fn pings(view: &View<'_>, victim: &Victim<'_>, limit: u32) -> impl Iterator<Item = Command> {
    let (sender, receiver) = (victim.flow.sender(victim.direction).address, victim.receiver());
    let fits = commands::ping(view, sender, receiver, limit, "Sends packets that just fit: they are answered.");
    let over = "Sends packets of one byte more: none is answered, so the status of `ping` is 1, and `dropped` rises by 3.";
    fits.into_iter().chain(commands::ping(view, sender, receiver, limit.saturating_add(1), over))
}

impl<'a> Case<'a> {
    /// `None` when the evidence is not enough for a finding.
    pub(super) fn gather(
        view: &View<'a>,
        interface: Watched<'a>,
        mut victims: Vec<Victim<'a>>,
        on_links: &OnLinks<'a>,
    ) -> Option<Self> {
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
        let receivers: BTreeSet<IpAddr> = victims.iter().map(Victim::receiver).collect();
        let to_them = receivers.iter().filter_map(|receiver| on_links.get(receiver)).flatten();
        let mut kernel_drops: Vec<_> = to_them.filter(|(.., size)| *size > limit).copied().collect();
        sort::by_key(&mut kernel_drops, |(no, ..)| *no);
        // The host would have counted them; without that, the gap has another cause. Silence alone proves nothing either.
        let counted = received_drops.is_some() || peer.is_some() || !kernel_drops.is_empty();
        let measured = |victim: &Victim<'_>| !matches!(victim.loss, Loss::Silence);
        if !counted && (drops_recorded || !victims.iter().any(measured)) {
            return None;
        }
        Some(Self { interface, mtu, victims, received_drops, peer, kernel_drops, drops_recorded })
    }

    pub(super) fn finding(&self, view: &View<'_>) -> Finding {
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
        evidence.extend(link_drops::anchors(&self.kernel_drops));
        evidence.push(self.interface.anchor());

        let confidence = if !self.kernel_drops.is_empty() {
            Confidence::Proved
        } else if self.received_drops.is_some() || self.peer.is_some() {
            Confidence::Strong
        } else {
            Confidence::Possible
        };
        let new_mtu = self.peer.as_ref().map(|(peer, _)| peer.facts.mtu).filter(|mtu| *mtu > self.mtu).unwrap_or(1500);
        let namespace = Some(self.interface.namespace);
        let show = |name| Command::new("ip").args(["-s", "link", "show", "dev"]).arg(name);
        let raise = |name| Command::new("ip").args(["link", "set", "dev"]).arg(name).args(["mtu"]).arg(new_mtu);
        let fix = commands::about_interface(namespace, name, |name| {
            raise(name).effect(format!(
                "Lets packets of up to {new_mtu} bytes in from now on; connections that hang go on with their next retransmission. It lasts \
                 until the interface is made anew: also set the MTU where that happens (container network, netplan, systemd-networkd)."
            ))
        });
        let mut reasons = vec![told::handshake(first.flow)];
        reasons.extend(first.reason());
        reasons.extend(self.size_reason(limit));
        reasons.extend(self.counter_reasons());
        reasons.extend(link_drops::reason(&self.kernel_drops));
        reasons.extend(told::mss_reason(first, Some(self.mtu), limit));
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
                Confidence::Proved => link_drops::proof(&self.kernel_drops),
                Confidence::Strong => {
                    "What is missing, the size of the packet that carried it, and the interface's drop counter are \
                     independent observations, and they agree. Recording kernel drops (`dropscope live` as root) would prove it."
                        .into()
                }
                Confidence::Possible => format!(
                    "Sizes and MTU fit, but {name}'s drop counter was not recorded. `dropscope live`, or the command below before and \
                     after a request, would settle it."
                ),
            },
            rival: format!(
                "A loss before this host that happens to hit only packets above {limit} bytes (a path MTU black hole). It would leave \
                 {name}'s receive drops unchanged."
            ),
            confirm: commands::about_interface(namespace, name, |name| {
                show(name).effect(format!(
                    "Shows `mtu {}`, and under RX the column `dropped`, which rises with each lost packet.",
                    self.mtu
                ))
            })
            .into_iter()
            .chain(pings(view, first, limit))
            .collect(),
            advice: fix.is_none().then(|| format!("An MTU of {new_mtu} bytes. {}", commands::UNTYPEABLE)),
            fix: fix.into_iter().collect(),
            questions: told::questions(first, self.mtu, name),
            picture: Some(self.ruler(view, limit)),
            subject,
        }
    }

    fn sentence(&self) -> String {
        let first = &self.victims[0];
        let (name, mtu) = (self.interface.name(), self.mtu);
        let others = match self.victims.len() as u64 - 1 {
            0 => String::new(),
            n => format!(", and so in {} in all", say::count(n + 1, "conversation")),
        };
        let sender = first.flow.sender(first.direction);
        match first.loss {
            Loss::Hole(hole, carrier) => format!(
                "{name} has an MTU of {mtu} and dropped {} that {sender} sent: the packet that carried them had {carrier} bytes{others}.",
                say::bytes(hole.first, hole.last)
            ),
            Loss::Stuck(Stuck { first, last, ip_len, sent, .. }) => format!(
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
                let headers = first.flow.side(first.direction).header_bytes()?;
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
            Loss::Stuck(Stuck { ip_len, .. }) => {
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
                    for (size, n) in flow.side(direction).sizes().into_iter().filter(|(size, _)| *size <= limit) {
                        *passed.entry(size).or_default() += n;
                    }
                }
            }
        }
        for victim in &self.victims {
            match victim.loss {
                Loss::Hole(_, carrier) => *vanished.entry(carrier).or_default() += 1,
                Loss::Stuck(Stuck { ip_len, sent, .. }) => *vanished.entry(ip_len).or_default() += sent,
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
