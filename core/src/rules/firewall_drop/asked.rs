//! What other rules ask of the firewall.

use super::dropper::{Dropper, droppers};
use super::weighed::{Dropped, dropped_by_netfilter};
use crate::anchor::{Anchor, Place};
use crate::command::Command;
use crate::flow::Flow;
use crate::log::block::Verdict;
use crate::rules::draft::Fix;
use crate::rules::{View, say};

/// A rule that rejects or drops, for the rules that see what it does.
pub(in crate::rules) struct Rejecting {
    /// As [`Dropper::name`].
    pub(in crate::rules) name: String,
    pub(in crate::rules) text: String,
    /// What shows that it took part: `its hits rose by 5 meanwhile`.
    pub(in crate::rules) shown: String,
    pub(in crate::rules) anchors: Vec<Anchor>,
    /// Lists its chain.
    pub(in crate::rules) confirm: Vec<Command>,
    /// What deletes it, if it still stands.
    pub(in crate::rules) fix: Option<Fix>,
}

/// The REJECT rule that answered this conversation's first packet: it matches, its hits rose (or, where it counts none, netfilter
/// dropped what it matches), and it answers `with` that
/// (`tcp-reset`, or else ICMP, which is what REJECT does unless told otherwise).
pub(in crate::rules) fn rejecting(view: &View<'_>, flow: &Flow, with: &str) -> Option<Rejecting> {
    let reset = |text: &str| text.contains("tcp-reset") || text.contains("tcp reset");
    let answers = |dropper: &Dropper<'_>| reset(&dropper.text()) == (with == "tcp-reset");
    let matches = |dropper: &Dropper<'_>| {
        dropper.family(flow)
            && dropper.window.contains(flow.first.at)
            && dropper
                .directions(view, flow)
                .iter()
                .any(|direction| dropper.predicate.matches(flow, *direction, dropper.captured_on(view, flow)))
    };
    let dropped = dropped_by_netfilter(view);
    let all = droppers(view, Verdict::Reject);
    let fitting = all.iter().filter(|dropper| answers(dropper) && matches(dropper));
    let shown = fitting.filter_map(|dropper| Some((dropper, evidence(dropper, view, &dropped)?)));
    shown.max_by_key(|(_, (count, ..))| *count).map(|(dropper, (_, shown, anchors))| told(dropper, view, shown, anchors))
}

/// A rule that drops ICMP and whose hits rose: it keeps from senders what they must know of the path's MTU.
pub(in crate::rules) fn dropping_icmp(view: &View<'_>) -> Option<Rejecting> {
    let all = droppers(view, Verdict::Drop);
    let dropper = all.iter().find(|dropper| dropper.growth.is_some() && dropper.predicate.is_icmp())?;
    let (_, shown, anchors) = evidence(dropper, view, &[])?;
    Some(told(dropper, view, shown, anchors))
}

/// What shows that a rule took part, and how much: its hits, or what netfilter dropped where it counts none.
fn evidence(dropper: &Dropper<'_>, view: &View<'_>, dropped: &[Dropped<'_>]) -> Option<(u64, String, Vec<Anchor>)> {
    if let Some(growth) = dropper.growth {
        return Some((growth.by, format!("its hits rose by {} meanwhile", say::number(growth.by)), vec![growth.anchor()]));
    }
    let drops = if dropper.counts_drops() { Vec::new() } else { dropper.of_it(view, dropped) };
    let count = drops.len() as u64;
    let text = format!("it has no counter, and the kernel recorded {} of what it matches", say::count(count, "drop"));
    (count > 0).then(|| (count, text, drops.iter().take(12).map(|(no, _)| Place::KernelDrop(*no).into()).collect()))
}

/// What other rules say of it.
fn told(dropper: &Dropper<'_>, view: &View<'_>, shown: String, anchors: Vec<Anchor>) -> Rejecting {
    Rejecting {
        name: dropper.name(view),
        text: dropper.text(),
        shown,
        anchors: [dropper.anchor()].into_iter().chain(anchors).collect(),
        confirm: dropper.confirm(view),
        fix: dropper.fix(view, None),
    }
}
