//! What other rules ask of the firewall.

use super::dropper::{Dropper, droppers};
use crate::anchor::Anchor;
use crate::finding::Command;
use crate::flow::Flow;
use crate::log::block::Verdict;
use crate::rules::View;

/// A rule that rejects or drops, for the rules that see what it does.
pub(in crate::rules) struct Rejecting {
    /// As [`Dropper::name`].
    pub(in crate::rules) name: String,
    pub(in crate::rules) text: String,
    pub(in crate::rules) hits: u64,
    pub(in crate::rules) anchors: Vec<Anchor>,
    /// The command that deletes it, if it still stands.
    pub(in crate::rules) fix: Option<Command>,
}

/// The REJECT rule that answered this conversation's first packet: it matches, its hits rose, and it answers `with` that
/// (`tcp-reset`, or else ICMP, which is what REJECT does unless told otherwise).
pub(in crate::rules) fn rejecting(view: &View<'_>, flow: &Flow, with: &str) -> Option<Rejecting> {
    let reset = |text: &str| text.contains("tcp-reset") || text.contains("tcp reset");
    let answers = |dropper: &Dropper<'_>| reset(&dropper.text()) == (with == "tcp-reset");
    let matches = |dropper: &Dropper<'_>| {
        dropper.growth.is_some()
            && dropper.family(flow)
            && dropper.window.contains(flow.first.at)
            && dropper
                .directions(view, flow)
                .iter()
                .any(|direction| dropper.predicate.matches(flow, *direction, dropper.captured_on(view, flow)))
    };
    let all = droppers(view, Verdict::Reject);
    let dropper =
        all.iter().filter(|dropper| answers(dropper) && matches(dropper)).max_by_key(|d| d.growth.map_or(0, |g| g.by))?;
    told(dropper, view)
}

/// A rule that drops ICMP and whose hits rose: it keeps from senders what they must know of the path's MTU.
pub(in crate::rules) fn dropping_icmp(view: &View<'_>) -> Option<Rejecting> {
    let all = droppers(view, Verdict::Drop);
    let dropper = all.iter().find(|dropper| dropper.growth.is_some() && dropper.predicate.is_icmp())?;
    told(dropper, view)
}

/// What other rules say of it, where its hits rose.
fn told(dropper: &Dropper<'_>, view: &View<'_>) -> Option<Rejecting> {
    let growth = dropper.growth?;
    Some(Rejecting {
        name: dropper.name(view),
        text: dropper.text(),
        hits: growth.by,
        anchors: vec![dropper.anchor(), growth.anchor()],
        fix: dropper.fix(view).into_iter().next(),
    })
}
