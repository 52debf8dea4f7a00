//! The views at the bottom of the page, one folder or file each, and the frame around them.

pub mod course;
pub mod findings;
pub mod ladder;
pub mod packets;
pub mod shell;
pub mod tables;
pub mod timeline;
pub mod welcome;

use crate::hooks::Same;
use crate::url::UrlState;
use dropscope_core::anchor::{Anchor, Place};
use dropscope_core::ids::PacketNo;
use dropscope_core::query::Overview;
use std::rc::Rc;
use yew::prelude::*;

/// A view.
pub struct View {
    /// Its name in links; never changes.
    pub slug: &'static str,
    /// The message that is its title.
    pub title: &'static str,
    /// Draws it.
    pub draw: fn(&ViewProps) -> Html,
}

/// What every view is given: small, and equal only to itself where it is large.
#[derive(Clone, PartialEq, Properties)]
pub struct ViewProps {
    /// What is looked at.
    pub url: Same<UrlState>,
    /// Packets that are lit by the open finding.
    pub lit: Rc<[PacketNo]>,
    /// The places the open finding rests on.
    pub evidence: Rc<[Anchor]>,
    /// The rule of the open finding.
    pub chosen: Option<AttrValue>,
    /// The packet to show.
    pub focus: Option<PacketNo>,
    /// What is in the log.
    pub overview: Option<Same<Overview>>,
    /// Whether the source still grows.
    pub growing: bool,
    /// Whether the bearer of the address may do more than read: links to pass on are made without that right.
    pub owner: bool,
    /// Whether it is dark: what draws reads its colours anew when this changes.
    pub dark: bool,
}

/// The views, in the order of their tabs.
pub const VIEWS: &[View] = &[
    View { slug: "packets", title: "view-packets", draw: |p| html! { <packets::Packets ..p.clone() /> } },
    View { slug: "ladder", title: "view-ladder", draw: |p| html! { <ladder::FlowGraph ..p.clone() /> } },
    View { slug: "course", title: "view-course", draw: |p| html! { <course::Course ..p.clone() /> } },
    View { slug: "conversations", title: "view-conversations", draw: |p| html! { <tables::Conversations ..p.clone() /> } },
    View { slug: "counters", title: "view-counters", draw: |p| html! { <tables::Counters ..p.clone() /> } },
    View { slug: "drops", title: "view-drops", draw: |p| html! { <tables::Drops ..p.clone() /> } },
    View { slug: "notes", title: "view-notes", draw: |p| html! { <tables::Notes ..p.clone() /> } },
];

/// The view a slug names; the first for one that is not known.
pub fn view(slug: &str) -> &'static View {
    VIEWS.iter().find(|v| v.slug == slug).unwrap_or(&VIEWS[0])
}

/// Whether the open finding or the lit place is about this firewall rule.
pub fn names_rule(anchors: &[Anchor], id: &str) -> bool {
    anchors.iter().any(|a| matches!(&a.place, Place::FirewallRule { rule, .. } if rule == id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_name_views_by_slugs_that_never_change() {
        let slugs: Vec<&str> = VIEWS.iter().map(|v| v.slug).collect();
        assert_eq!(slugs, ["packets", "ladder", "course", "conversations", "counters", "drops", "notes"]);
        assert_eq!(view("no such view").slug, crate::url::DEFAULT_VIEW);
    }
}
