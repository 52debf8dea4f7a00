//! Packets that the kernel dropped where a virtual link compares sizes: what proves it.

use super::text_of;
use crate::anchor::{Anchor, Place};
use crate::dissect::Transport;
use crate::drops::dissected;
use crate::finding::Reason;
use crate::ids::DropNo;
use crate::log::block::KernelDrop;
use crate::rules::{View, say};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A packet the kernel dropped, and its bytes of IP.
pub(super) type SizedDrop<'a> = (DropNo, &'a KernelDrop, u32);

/// The packets that the kernel dropped for their size where a virtual link compares it with the MTU of its other end
/// (`__dev_forward_skb2`, net/core/dev.c), by where they were going.
pub(super) fn by_receiver<'a>(view: &View<'a>) -> BTreeMap<IpAddr, Vec<SizedDrop<'a>>> {
    let mut by_receiver: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (i, drop) in view.drops.iter().enumerate().filter(|(_, drop)| drop.place.starts_with("__dev_forward_skb")) {
        if let Some(ip) = dissected(drop).ip {
            by_receiver.entry(ip.dst).or_default().push((DropNo(i as u32 + 1), drop, ip.total_len));
        }
    }
    by_receiver
}

/// What the kernel's drops say, with what the first of them carried.
pub(super) fn reason(drops: &[SizedDrop<'_>]) -> Option<Reason> {
    let (_, drop, size) = drops.first()?;
    let begins = payload_text(drop).map(|text| format!(" and began with `{text}`")).unwrap_or_default();
    let text = format!(
        "The kernel recorded {} at `{}`, where a virtual link compares a packet's size with the receiver's MTU; the first had {size} \
         bytes of IP{begins}.",
        say::count(drops.len() as u64, "drop"),
        drop.place
    );
    Some(Reason { text, anchors: anchors(drops).collect() })
}

pub(super) fn anchors(drops: &[SizedDrop<'_>]) -> impl Iterator<Item = Anchor> {
    drops.iter().take(16).map(|(no, ..)| Place::KernelDrop(*no).into())
}

/// Why the kernel's drops settle it.
pub(super) fn proof(drops: &[SizedDrop<'_>]) -> String {
    format!(
        "The kernel itself recorded {} where it compares a packet's size with the MTU of the receiving device.",
        say::count(drops.len() as u64, "dropped packet")
    )
}

/// The first line of text that a dropped TCP packet carried, where it was recorded.
fn payload_text(drop: &KernelDrop) -> Option<String> {
    match dissected(drop).transport {
        Transport::Tcp(tcp) => text_of(tcp.payload),
        _ => None,
    }
}
