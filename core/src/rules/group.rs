//! Conversations with the same trouble, gathered so that a cause is one finding: by service, by a client that asked for many, and
//! never more than a handful.

use crate::finding::Subject;
use crate::flow::Flow;
use crate::sort;
use crate::time::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A client that fails at more services than this is scanning, or misconfigured; it is one finding.
const SCAN: usize = 5;

/// Of more groups, the smallest are told together.
const MOST_GROUPS: usize = 6;

/// Conversations that are told together.
pub(super) struct Group<'a> {
    pub(super) subject: Subject,
    /// `10.0.0.1:80`, or `1,000 services that 10.0.0.5 asked`.
    pub(super) name: String,
    /// In order of their first packet.
    pub(super) flows: Vec<&'a Flow>,
    /// One client, many services.
    pub(super) scan: bool,
}

impl Group<'_> {
    pub(super) fn span(&self) -> Span {
        self.flows.iter().map(|flow| flow.span()).reduce(Span::union).expect("a group has a conversation")
    }

    /// `10.0.0.2`, or `12 clients`.
    pub(super) fn clients(&self) -> String {
        let clients = sort::set(self.flows.iter().map(|flow| flow.client.address));
        match clients.first() {
            Some(only) if clients.len() == 1 => only.to_string(),
            _ => super::say::count(clients.len() as u64, "client"),
        }
    }
}

/// Groups by service; a client that fails at many services is one group of its own.
pub(super) fn by_service<'a>(flows: impl IntoIterator<Item = &'a Flow>) -> Vec<Group<'a>> {
    let flows: Vec<&Flow> = flows.into_iter().collect();
    let mut asked: BTreeMap<IpAddr, BTreeSet<_>> = BTreeMap::new();
    for flow in &flows {
        asked.entry(flow.client.address).or_default().insert(flow.server);
    }
    let mut groups: BTreeMap<(bool, String), Group<'a>> = BTreeMap::new();
    for flow in flows {
        let transport = format!("{:?}", flow.transport).to_ascii_lowercase();
        let services = asked[&flow.client.address].len();
        let (key, name, subject) = if services > SCAN {
            let address = flow.client.address.to_string();
            let name = format!("{} that {address} asked", super::say::count(services as u64, "service"));
            ((true, address.clone()), name, Subject::Host { address })
        } else {
            let server = flow.server.to_string();
            ((false, format!("{server} {transport}")), server.clone(), Subject::Service { server, transport })
        };
        let scan = key.0;
        groups.entry(key).or_insert_with(|| Group { subject, name, flows: Vec::new(), scan }).flows.push(flow);
    }
    fold(groups.into_values().collect())
}

fn fold(mut groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    sort::by_key(&mut groups, |group| (std::cmp::Reverse(group.flows.len()), group.flows[0].id));
    if groups.len() > MOST_GROUPS {
        let rest = groups.split_off(MOST_GROUPS - 1);
        let name = super::say::count(rest.len() as u64, "other service");
        let mut flows: Vec<&Flow> = rest.into_iter().flat_map(|group| group.flows).collect();
        sort::by_key(&mut flows, |flow| flow.id);
        let subject = Subject::Path { from: "several clients".into(), to: "several services".into() };
        groups.push(Group { subject, name, flows, scan: false });
    }
    groups
}

/// Whether the capture shows one direction only: clients go on after a SYN as if it had been answered, and no answer is there.
pub(super) fn is_one_way(view: &super::View<'_>) -> bool {
    let unseen = |flow: &Flow| {
        let [client, server] = &flow.sides;
        (server.packets == 0 && flow.handshake.syn_count > 0 && client.sent() > flow.handshake.syn_count && client.rst.is_none())
            || (client.packets == 0 && server.packets > 1)
            || (!flow.client_known && server.packets == 0 && client.sent() > 3)
    };
    let (mut one_way, mut both) = (0, 0);
    for flow in view.flows.iter().filter(|flow| flow.transport == crate::dissect::Protocol::Tcp) {
        one_way += u64::from(unseen(flow));
        both += u64::from(flow.sides.iter().all(|side| side.packets > 0));
    }
    one_way > both
}

/// What one direction between two hosts suffered: conversations and the direction that suffers.
pub(super) struct PathGroup<'a> {
    pub(super) from: String,
    pub(super) to: String,
    /// In order of first appearance.
    pub(super) hits: Vec<(&'a Flow, crate::ids::Direction)>,
}

impl PathGroup<'_> {
    pub(super) fn subject(&self) -> Subject {
        Subject::Path { from: self.from.clone(), to: self.to.clone() }
    }

    pub(super) fn span(&self) -> Span {
        self.hits.iter().map(|(flow, _)| flow.span()).reduce(Span::union).expect("a group has a conversation")
    }

    /// `10.0.0.1 to 10.0.0.2`, or what several pairs are called.
    pub(super) fn name(&self) -> String {
        format!("{} to {}", self.from, self.to)
    }
}

/// Groups by the two hosts; at most a handful, weighed by `cost`, the rest together.
pub(super) fn by_path<'a>(
    hits: impl IntoIterator<Item = (&'a Flow, crate::ids::Direction)>,
    cost: impl Fn(&Flow, crate::ids::Direction) -> u64,
) -> Vec<PathGroup<'a>> {
    let mut groups: BTreeMap<(IpAddr, IpAddr), PathGroup<'a>> = BTreeMap::new();
    for (flow, direction) in hits {
        let (from, to) = (flow.sender(direction).address, flow.sender(direction.reverse()).address);
        let group = groups.entry((from, to)).or_insert_with(|| PathGroup {
            from: from.to_string(),
            to: to.to_string(),
            hits: Vec::new(),
        });
        group.hits.push((flow, direction));
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    let weight = |group: &PathGroup<'_>| group.hits.iter().map(|(flow, direction)| cost(flow, *direction)).sum::<u64>();
    sort::by_key(&mut groups, |group| (std::cmp::Reverse(weight(group)), group.hits[0].0.id));
    if groups.len() > MOST_GROUPS {
        let rest = groups.split_off(MOST_GROUPS - 1);
        let name = super::say::count(rest.len() as u64, "other path");
        let mut hits: Vec<_> = rest.into_iter().flat_map(|group| group.hits).collect();
        sort::by_key(&mut hits, |(flow, direction)| (flow.id, *direction));
        groups.push(PathGroup { from: name, to: "their peers".into(), hits });
    }
    groups
}
