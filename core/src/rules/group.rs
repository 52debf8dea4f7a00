//! Conversations with the same trouble, gathered so that a cause is one finding: by service, by a client that asked for many, and
//! never more than a handful.

use crate::dissect::Protocol;
use crate::finding::Subject;
use crate::flow::{Endpoint, Flow};
use crate::sort;
use crate::time::Span;
use std::collections::BTreeMap;
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
    /// How many clients asked.
    pub(super) clients: u64,
    /// One client, many services.
    pub(super) scan: bool,
}

impl Group<'_> {
    pub(super) fn span(&self) -> Span {
        self.flows.iter().map(|flow| flow.span()).reduce(Span::union).expect("a group has a conversation")
    }

    /// `10.0.0.2`, or `12 clients`.
    pub(super) fn clients(&self) -> String {
        match self.clients {
            1 => self.flows[0].client.address.to_string(),
            n => super::say::count(n, "client"),
        }
    }
}

/// What conversations are grouped by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Service(Endpoint, Protocol),
    Scan(IpAddr),
}

/// Groups by service; a client that fails at many services is one group of its own.
pub(super) fn by_service<'a>(flows: impl IntoIterator<Item = &'a Flow>) -> Vec<Group<'a>> {
    let flows: Vec<&Flow> = flows.into_iter().collect();
    // In a flood each of millions of conversations has a client of its own: a list of them is what fits into memory, a map does not.
    let mut asked: Vec<_> = flows.iter().map(|flow| (flow.client.address, flow.server, flow.transport)).collect();
    asked.sort_unstable();
    asked.dedup();
    let mut scans: BTreeMap<IpAddr, u64> = BTreeMap::new();
    let mut clients: BTreeMap<Of, u64> = BTreeMap::new();
    for services in asked.chunk_by(|a, b| a.0 == b.0) {
        if services.len() > SCAN {
            scans.insert(services[0].0, services.len() as u64);
            continue;
        }
        for (_, server, transport) in services {
            *clients.entry(Of::Service(*server, *transport)).or_default() += 1;
        }
    }
    drop(asked);
    let mut groups: BTreeMap<Of, Group<'a>> = BTreeMap::new();
    for flow in flows {
        let address = flow.client.address;
        let of = match scans.is_empty() || !scans.contains_key(&address) {
            true => Of::Service(flow.server, flow.transport),
            false => Of::Scan(address),
        };
        match groups.get_mut(&of) {
            Some(group) => group.flows.push(flow),
            None => {
                let clients = clients.get(&of).copied().unwrap_or(1);
                let group = Group { clients, ..group_of(&of, scans.get(&address).copied().unwrap_or_default(), flow) };
                groups.insert(of, group);
            }
        }
    }
    fold(groups.into_values().collect())
}

/// A group with its first conversation.
fn group_of<'a>(of: &Of, services: u64, first: &'a Flow) -> Group<'a> {
    let (name, subject, scan) = match of {
        Of::Scan(address) => {
            let name = format!("{} that {address} asked", super::say::count(services, "service"));
            (name, Subject::Host { address: address.to_string() }, true)
        }
        Of::Service(server, transport) => {
            let (server, transport) = (server.to_string(), format!("{transport:?}").to_ascii_lowercase());
            (server.clone(), Subject::Service { server, transport }, false)
        }
    };
    Group { subject, name, flows: vec![first], clients: 1, scan }
}

fn fold(mut groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    sort::by_key(&mut groups, |group| (std::cmp::Reverse(group.flows.len()), group.flows[0].id));
    if groups.len() > MOST_GROUPS {
        let rest = groups.split_off(MOST_GROUPS - 1);
        let name = super::say::count(rest.len() as u64, "other service");
        let mut flows: Vec<&Flow> = rest.into_iter().flat_map(|group| group.flows).collect();
        sort::by_key(&mut flows, |flow| flow.id);
        let subject = Subject::Path { from: "several clients".into(), to: "several services".into() };
        let clients = sort::set(flows.iter().map(|flow| flow.client.address)).len() as u64;
        groups.push(Group { subject, name, flows, clients, scan: false });
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
