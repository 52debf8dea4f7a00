//! What rules ask of watched hosts: where a conversation was captured, which addresses are the host's own, how much a counter
//! grew meanwhile.

use super::View;
use crate::anchor::{Anchor, Place};
use crate::command::{Command, Reach};
use crate::counters::Series;
use crate::flow::Flow;
use crate::ids::{CounterId, Direction, InterfaceId, NetnsId};
use crate::log::block::{Entry, InterfaceFacts, Namespace};
use crate::time::{Span, Timestamp};
use std::net::IpAddr;

/// An interface of a watched namespace.
#[derive(Clone, Copy)]
pub(super) struct Watched<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) facts: &'a InterfaceFacts,
}

impl Watched<'_> {
    pub(super) fn netns(self) -> NetnsId {
        NetnsId(self.namespace.netns)
    }

    /// `eth0 of web-1`.
    pub(super) fn name(self) -> String {
        format!("{} of {}", self.facts.name, self.namespace.name)
    }

    /// Whether its namespace has this address.
    pub(super) fn bears(self, address: IpAddr) -> bool {
        let text = address.to_string();
        let mut addresses = self.namespace.interfaces.iter().flat_map(|interface| &interface.addresses);
        addresses.any(|own| own.split('/').next() == Some(text.as_str()))
    }

    /// The direction in which a conversation comes in to its namespace; `None` where neither end is its own, or both are.
    pub(super) fn inbound(self, flow: &Flow) -> Option<Direction> {
        match (self.bears(flow.client.address), self.bears(flow.server.address)) {
            (false, true) => Some(Direction::AToB),
            (true, false) => Some(Direction::BToA),
            _ => None,
        }
    }

    pub(super) fn anchor(self) -> Anchor {
        Place::Interface { netns: self.netns(), ifindex: self.facts.ifindex }.into()
    }

    /// Its MTU at that time: the counter `link.mtu` where it was recorded, or the fact.
    pub(super) fn mtu_at(self, view: &View<'_>, t: Timestamp) -> u32 {
        let recorded = view.counters.of_interface("link.mtu", self.netns(), self.facts.ifindex);
        recorded.and_then(|(_, series)| series.at(t)).map_or(self.facts.mtu, |mtu| mtu as u32)
    }

    /// How much one of its counters grew within `span`; `None` when it did not, or was not recorded.
    pub(super) fn grown(self, view: &View<'_>, key: &str, span: Span) -> Option<Growth> {
        growth(view.counters.of_interface(key, self.netns(), self.facts.ifindex)?, span)
    }
}

/// The watched interface on which this conversation was captured; of several that of the server, else that of the client.
pub(super) fn captured_at<'a>(view: &View<'a>, flow: &Flow) -> Option<Watched<'a>> {
    let rank = |at: &Watched<'_>| match (at.bears(flow.server.address), at.bears(flow.client.address)) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    };
    capture_points(view, flow).min_by_key(rank).or_else(|| placed_by_address(view, flow))
}

/// The interface of this namespace on which this conversation was captured.
pub(super) fn captured_in<'a>(view: &View<'a>, flow: &Flow, netns: NetnsId) -> Option<Watched<'a>> {
    let mut points = capture_points(view, flow).peekable();
    match points.peek() {
        Some(_) => points.find(|at| at.netns() == netns),
        None => placed_by_address(view, flow).filter(|at| at.netns() == netns),
    }
}

/// The watched interfaces on which this conversation was captured, where the log tells.
fn capture_points<'a>(view: &View<'a>, flow: &Flow) -> impl Iterator<Item = Watched<'a>> {
    flow.interfaces().filter_map(|interface| {
        let told = view.interfaces.get(interface.0 as usize)?.watched().filter(|at| at.ifindex != 0)?;
        let namespace = view.counters.namespace(told.netns)?;
        let facts = namespace.interfaces.iter().find(|interface| interface.ifindex == told.ifindex)?;
        Some(Watched { namespace, facts })
    })
}

/// Packets of one direction that were captured in this namespace; where the log does not tell, all of them.
pub(super) fn packets_in(view: &View<'_>, flow: &Flow, direction: Direction, netns: NetnsId) -> u64 {
    let is_here = |interface: &InterfaceId| {
        let told = view.interfaces.get(interface.0 as usize).and_then(|interface| interface.watched());
        told.is_some_and(|at| at.netns == netns)
    };
    let here = flow.interfaces().filter(is_here).map(|interface| flow.packets_at(interface, direction)).max();
    here.unwrap_or(flow.side(direction).packets).into()
}

fn placed_by_address<'a>(view: &View<'a>, flow: &Flow) -> Option<Watched<'a>> {
    own(view, flow.server.address).or_else(|| own(view, flow.client.address))
}

/// The watched interface that bears this address.
pub(super) fn own<'a>(view: &View<'a>, address: IpAddr) -> Option<Watched<'a>> {
    view.counters.interface_with_address(address).map(|(namespace, facts)| Watched { namespace, facts })
}

/// Whether a namespace takes packets to this address for itself: its own addresses, multicast and broadcast, those of its
/// networks included.
pub(super) fn takes(view: &View<'_>, netns: NetnsId, address: IpAddr) -> bool {
    let is_for_all = address.is_multicast() || address == IpAddr::from([255; 4]);
    let addresses = view.counters.namespace(netns).into_iter().flat_map(|at| &at.interfaces).flat_map(|at| &at.addresses);
    is_for_all
        || addresses.filter_map(|own| own.split_once('/')).any(|(own, length)| {
            let Ok(own) = own.parse::<IpAddr>() else { return false };
            own == address || broadcast(own, length).is_some_and(|broadcast| broadcast == address)
        })
}

/// The broadcast address of an IPv4 network.
fn broadcast(own: IpAddr, length: &str) -> Option<IpAddr> {
    let (IpAddr::V4(own), Ok(length @ 0..=30)) = (own, length.parse::<u32>()) else { return None };
    Some(IpAddr::V4((own.to_bits() | u32::MAX >> length).into()))
}

/// The direction in which a conversation comes in to the host on which it was captured; `None` where neither end is that
/// host's own, or both are. Of several capture points, that of the server counts.
pub(super) fn inbound(view: &View<'_>, flow: &Flow) -> Option<Direction> {
    captured_at(view, flow)?.inbound(flow)
}

/// A counter that grew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    pub(super) counter: CounterId,
    pub(super) by: u64,
    pub(super) from: u64,
    pub(super) to: u64,
    /// From the reading before the first change to the last change.
    pub(super) span: Span,
}

impl Growth {
    pub(super) fn anchor(&self) -> Anchor {
        Place::Counter { counter: self.counter, span: self.span }.into()
    }
}

/// More than any counter of packets or bytes grows during a recording, and few enough that thousands of them can be added up and
/// multiplied: a log may claim anything.
const MOST_GROWTH: u64 = 1 << 48;

/// How much a counter grew within `span`, both ends being snapshots; what it lost by a reset is not counted.
pub(super) fn growth((counter, series): (CounterId, &Series), span: Span) -> Option<Growth> {
    let inside = |at: Timestamp| span.start < at && at <= span.end;
    let (mut by, mut ends) = (0u64, None::<(u64, u64, Span)>);
    for step in series.steps().filter(|step| inside(step.to.at) && step.delta() > 0) {
        by = by.saturating_add(step.delta() as u64).min(MOST_GROWTH);
        let (from, start) = ends.map_or((step.from.value, step.from.at.max(span.start)), |(from, _, s)| (from, s.start));
        ends = Some((from, step.to.value, Span::new(start, step.to.at)));
    }
    let (from, to, span) = ends?;
    Some(Growth { counter, by, from, to, span })
}

/// How much a counter of a namespace grew within `span`.
pub(super) fn namespace_growth(view: &View<'_>, key: &str, netns: NetnsId, span: Span) -> Option<Growth> {
    growth(view.counters.of_namespace(key, netns)?, span)
}

/// The whole time of the log's counters; `None` when none were recorded.
pub(super) fn recorded(view: &View<'_>) -> Option<Span> {
    view.counters.span()
}

/// The command as it is run in this namespace from a shell of its host, with what has to be known for it.
pub(super) fn inside(namespace: Option<&Namespace>, command: Command) -> Command {
    let Some(namespace) = namespace else { return command };
    let name = &namespace.name;
    let (reach, more) = match (namespace.entry, namespace.pid) {
        (Some(Entry::Own), _) => (Some(Reach::Here), String::new()),
        (Some(Entry::Named), _) => (Reach::named(name), String::new()),
        (Some(Entry::Process), Some(pid)) => (Some(Reach::Process(pid)), String::new()),
        (Some(Entry::Container), Some(pid)) => {
            let text = format!(
                " {pid} is a process of the container {name} as its host numbers it; when the container is started again, it is another."
            );
            (Some(Reach::Process(pid)), text)
        }
        (Some(Entry::File), _) => (namespace.path.as_deref().and_then(Reach::file), String::new()),
        // Before it was recorded, the agent's own namespace alone was called that.
        (None, _) if name == "host" => (Some(Reach::Here), String::new()),
        _ => (None, String::new()),
    };
    let Command { effect, .. } = &command;
    let effect = match reach {
        Some(_) => format!("{effect}{more}"),
        None => format!("{effect} To be run in the network namespace of {name}."),
    };
    command.inside(&reach.unwrap_or(Reach::Here)).effect(effect)
}

/// The command as it is run on the host of this address: in its namespace where that was watched, else there.
pub(super) fn on(view: &View<'_>, address: IpAddr, command: Command) -> Command {
    if let Some(at) = own(view, address) {
        return inside(Some(at.namespace), command);
    }
    let mut effect = command.effect.chars();
    let first = effect.next().map(|first| first.to_ascii_lowercase());
    let effect = format!("On {address}: {}{}", first.map(String::from).unwrap_or_default(), effect.as_str());
    command.effect(effect)
}
