//! The rules: what may be wrong, each in a file of its own.
//!
//! A rule is a pure function of what the log says up to a watermark (`View`), not of how it was cut into chunks. It runs at
//! moments the engine chooses while a capture loads, and once at its end. It answers for *every* subject it can judge:
//! findings, or why there are none.
//!
//! Rules run in the order of [`RULES`], causes before their symptoms. A cause says which conversations it explains, and the
//! symptom rules (`retransmission`, `missing_segment`, the handshake rules) leave those alone: one finding a cause.

use crate::counters::Counters;
use crate::drops::Drops;
use crate::exchange::Exchanges;
use crate::finding::{Checked, Finding, Quiet};
use crate::flow::FlowTable;
use crate::log::block::{KernelDrop, Mark};
use crate::log::record::Interface;
use crate::recording::Recording;
use crate::sort;
use crate::time::Timestamp;

mod accept_queue_overflow;
mod arp_unanswered;
mod capture_loss;
#[cfg(test)]
mod case;
mod chance;
mod checksum_error;
mod commands;
mod conntrack_full;
mod dns_unanswered;
mod draft;
mod duplicate_address;
mod ecn_black_hole;
mod explained;
mod firewall_drop;
mod fragments_lost;
mod group;
mod host;
mod idle_timeout;
mod interface_drops;
mod interface_mtu;
mod loss_model;
mod missing_segment;
mod option_stripped;
mod path_mtu;
mod pmtud_black_hole;
mod port_reuse;
mod predicate;
mod queue_drop;
mod refused;
mod rejected;
mod reset_forged;
mod reset_midway;
mod resets;
mod retransmission;
pub(crate) mod say;
mod syn_ack_unanswered;
mod syn_flood;
mod syn_unanswered;
mod udp_receive_buffer;
mod zero_window;

#[cfg(test)]
pub(crate) use case::{OPEN, said};
pub use explained::Explained;

/// A rule of the catalogue.
pub struct Rule {
    /// Its name in links, in `--fail-on` and in JSON; never changes its meaning.
    pub slug: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Judges.
    pub judge: fn(&View<'_>, &Explained) -> Outcome,
}

/// What a rule says.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What it found; one a cause.
    pub findings: Vec<Finding>,
    /// When it found nothing: clear or cannot tell, with the figures that show it. Both may be there: one interface can be
    /// at fault while the others are fine.
    pub quiet: Option<(Quiet, String)>,
    /// What these findings account for.
    pub explains: Explained,
}

impl Outcome {
    /// It looked, and all is well; `why` has the figures.
    pub fn clear(why: impl Into<String>) -> Self {
        Self { quiet: Some((Quiet::Clear, why.into())), ..Self::default() }
    }

    /// It could not look, because of `why`.
    pub fn cannot_tell(why: impl Into<String>) -> Self {
        Self { quiet: Some((Quiet::CannotTell, why.into())), ..Self::default() }
    }
}

/// What a rule may look at: everything the log says up to `watermark`.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Conversations.
    pub flows: &'a FlowTable,
    /// Counters, host facts, firewall rules.
    pub counters: &'a Counters,
    /// Packets the kernel dropped, in order of arrival: the first is `d1`.
    pub drops: &'a [KernelDrop],
    /// The same, joined to conversations.
    pub joined: &'a Drops,
    /// What was asked and answered beside TCP.
    pub exchanges: &'a Exchanges,
    /// Capture interfaces; `InterfaceId` is the place in the slice.
    pub interfaces: &'a [Interface],
    /// What happened, in order of arrival.
    pub marks: &'a [Mark],
    /// The time up to which everything is known: absence is judged against it.
    pub watermark: Timestamp,
    /// Packets captured.
    pub packets: u64,
    /// Packets the capture itself lost, as far as it was told.
    pub capture_lost: u64,
    /// Packets that came to the capture, lost ones among them.
    pub capture_offered: u64,
}

impl<'a> View<'a> {
    /// What a recording says by now; its kernel drops are joined to its conversations first.
    pub fn of(recording: &'a mut Recording) -> Self {
        recording.drops.join(recording.flows.iter());
        let recording = &*recording;
        Self {
            flows: &recording.flows,
            counters: &recording.counters,
            drops: recording.drops.kept(),
            joined: &recording.drops,
            exchanges: &recording.exchanges,
            interfaces: &recording.interfaces,
            marks: &recording.marks,
            watermark: recording.span.map_or(Timestamp::MIN, |span| span.end),
            packets: recording.store.len().into(),
            capture_lost: recording.capture_lost(),
            capture_offered: recording.capture_offered(),
        }
    }
}

/// The catalogue: causes come before what they cause.
pub static RULES: &[Rule] = &[
    Rule { slug: "interface_mtu", title: "Interface MTU", judge: interface_mtu::judge },
    Rule { slug: "conntrack_full", title: "Connection tracking table", judge: conntrack_full::judge },
    Rule { slug: "firewall_drop", title: "Firewall rules that drop", judge: firewall_drop::judge },
    Rule { slug: "accept_queue_overflow", title: "Accept queues", judge: accept_queue_overflow::judge },
    Rule { slug: "queue_drop", title: "Queueing disciplines", judge: queue_drop::judge },
    Rule { slug: "udp_receive_buffer", title: "UDP receive buffers", judge: udp_receive_buffer::judge },
    Rule { slug: "interface_drops", title: "Interface drops and errors", judge: interface_drops::judge },
    Rule { slug: "duplicate_address", title: "Addresses claimed twice", judge: duplicate_address::judge },
    Rule { slug: "arp_unanswered", title: "Unanswered ARP requests", judge: arp_unanswered::judge },
    Rule { slug: "checksum_error", title: "Checksums of tunnels", judge: checksum_error::judge },
    Rule { slug: "reset_forged", title: "Forged resets", judge: reset_forged::judge },
    Rule { slug: "refused", title: "Refused connections", judge: refused::judge },
    Rule { slug: "rejected", title: "Rejected with ICMP", judge: rejected::judge },
    Rule { slug: "syn_flood", title: "SYN floods", judge: syn_flood::judge },
    Rule { slug: "ecn_black_hole", title: "Paths that drop ECN", judge: ecn_black_hole::judge },
    Rule { slug: "port_reuse", title: "Ports used again", judge: port_reuse::judge },
    Rule { slug: "syn_unanswered", title: "Unanswered SYNs", judge: syn_unanswered::judge },
    Rule { slug: "syn_ack_unanswered", title: "Unanswered SYN-ACKs", judge: syn_ack_unanswered::judge },
    Rule { slug: "fragments_lost", title: "Fragments", judge: fragments_lost::judge },
    Rule { slug: "dns_unanswered", title: "Unanswered DNS queries", judge: dns_unanswered::judge },
    Rule { slug: "pmtud_black_hole", title: "Path MTU", judge: pmtud_black_hole::judge },
    Rule { slug: "path_mtu", title: "Path MTU discovery", judge: path_mtu::judge },
    Rule { slug: "idle_timeout", title: "Idle connections", judge: idle_timeout::judge },
    Rule { slug: "reset_midway", title: "Resets in mid-transfer", judge: reset_midway::judge },
    Rule { slug: "option_stripped", title: "Stripped TCP options", judge: option_stripped::judge },
    Rule { slug: "zero_window", title: "Receivers without room", judge: zero_window::judge },
    Rule { slug: "missing_segment", title: "Missing data", judge: missing_segment::judge },
    Rule { slug: "retransmission", title: "Retransmissions", judge: retransmission::judge },
    Rule { slug: "capture_loss", title: "The capture itself", judge: capture_loss::judge },
];

/// What all rules say together.
#[derive(Debug, Default, PartialEq)]
pub struct Judgement {
    /// Most severe first, then surest, then earliest, then in the order of [`RULES`].
    pub findings: Vec<Finding>,
    /// The rules that found nothing, in the order of [`RULES`].
    pub checked: Vec<Checked>,
}

/// Asks every rule.
pub fn judge(view: &View<'_>) -> Judgement {
    let mut explained = Explained::default();
    let mut judgement = Judgement::default();
    for rule in RULES {
        let outcome = (rule.judge)(view, &explained);
        explained.add(outcome.explains);
        judgement.findings.extend(outcome.findings);
        if let Some((verdict, why)) = outcome.quiet {
            let (rule, title) = (rule.slug.to_owned(), rule.title.to_owned());
            judgement.checked.push(Checked { rule, title, verdict, why, anchors: Vec::new() });
        }
    }
    sort::by(&mut judgement.findings, |a, b| {
        let rank = |f: &Finding| (std::cmp::Reverse((f.severity, f.confidence)), f.span.start);
        rank(a).cmp(&rank(b))
    });
    judgement
}
