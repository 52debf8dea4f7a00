//! What is known of a rule's hits, and how far the numbers agree.

use super::dropper::{Dropper, Way};
use super::missing::Missing;
use crate::finding::{Confidence, Severity};
use crate::ids::DropNo;
use crate::log::block::{Backend, KernelDrop};
use crate::rules::host::{self, Growth};
use crate::rules::predicate::Headers;
use crate::rules::{View, chance, say};
use crate::time::{Nanos, Span, Timestamp};

/// Half the time between two readings.
const HALF_A_ROUND: Nanos = Nanos::from_millis(500);

/// A packet the kernel dropped, with its number.
pub(super) type Dropped<'a> = (DropNo, &'a KernelDrop);

/// What the kernel says netfilter dropped.
pub(super) fn dropped_by_netfilter<'a>(view: &View<'a>) -> Vec<Dropped<'a>> {
    let numbered = view.drops.iter().enumerate().map(|(i, drop)| (DropNo(i as u32 + 1), drop));
    numbered.filter(|(_, drop)| drop.reason == "NETFILTER_DROP").collect()
}

/// A rule whose hits rose, and all that speaks of these hits.
pub(super) struct Weighed<'a> {
    pub(super) growth: Growth,
    /// The other rules that drop at the same place.
    pub(super) rivals: Vec<&'a Dropper<'a>>,
    pub(super) missing: &'a Missing,
    /// What netfilter dropped of what it matches.
    pub(super) drops: Vec<Dropped<'a>>,
    /// How much of what passed its chain it hit.
    pub(super) share: Option<Share>,
    /// What the host's IP layer took, what it handed on, and what vanished between the two.
    pub(super) gap: Option<(u64, u64, u64)>,
    /// Its hits are about as many as went missing in the capture.
    pub(super) missing_fits: bool,
    /// The hits of all rules at its place are about as many as vanished in the IP layer.
    pub(super) gap_fits: bool,
    /// The share of the packets that it hit agrees with its probability.
    pub(super) share_fits: bool,
}

/// What a rule hit of what passed its chain, both while its hits were read.
#[derive(Clone, Copy)]
pub(super) struct Share {
    pub(super) hits: u64,
    pub(super) passed: u64,
    /// By whose count.
    pub(super) how: &'static str,
    /// Whether it had no other hits.
    pub(super) is_whole: bool,
}

impl<'a> Weighed<'a> {
    /// `None` for a rule whose hits did not rise.
    pub(super) fn new(
        dropper: &'a Dropper<'a>,
        all: &'a [Dropper<'a>],
        drops: Vec<Dropped<'a>>,
        view: &View<'_>,
        missing: &'a Missing,
    ) -> Option<Self> {
        let growth = dropper.growth?;
        let hits = growth.by;
        // Within 10 % or 2.
        let agree = |hits: u64, other: u64| hits.abs_diff(other) <= (hits / 10).max(2);
        let same_place =
            |other: &&Dropper<'_>| other.netns == dropper.netns && other.way() == dropper.way() && other.id != dropper.id;
        let rivals: Vec<_> = all.iter().filter(same_place).collect();
        let read = |dropper: &Dropper<'_>| dropper.hits_within(dropper.read).map_or(0, |growth| growth.by);
        let hits_read = read(dropper);
        let meanwhile = |other: &&Dropper<'_>| other.hits_within(dropper.read).map_or(0, |growth| growth.by);
        let total_here = hits_read + rivals.iter().filter(|other| other.counts_drops()).map(meanwhile).sum::<u64>();
        let share = dropper.passed(view).filter(|(passed, _)| *passed >= hits_read && hits_read > 0);
        let share = share.map(|(passed, how)| Share { hits: hits_read, passed, how, is_whole: hits_read == hits });
        let interval = share.filter(|s| s.passed >= 10).and_then(|s| chance::interval95(s.hits, s.passed));
        let probability = dropper.rule.and_then(|rule| rule.probability);
        let gap = dropper.gap(view);
        Some(Self {
            growth,
            rivals,
            missing,
            drops,
            share,
            gap,
            missing_fits: missing.packets > 0 && agree(hits, missing.packets),
            gap_fits: gap.is_some_and(|(.., gap)| agree(total_here, gap)),
            share_fits: interval.zip(probability).is_some_and(|((low, high), p)| low <= p && p <= high),
        })
    }

    pub(super) fn confidence(&self) -> Confidence {
        if !self.drops.is_empty() {
            Confidence::Proved
        } else if self.missing_fits || self.gap_fits || self.share_fits {
            Confidence::Strong
        } else {
            Confidence::Possible
        }
    }

    /// Why it is that sure.
    pub(super) fn confidence_reason(&self) -> String {
        match self.confidence() {
            Confidence::Proved => "The kernel itself named netfilter for packets that this rule matches.".into(),
            Confidence::Strong => {
                let mut agree = Vec::new();
                if self.missing_fits {
                    agree.push(format!("the {} that went missing in the capture", say::count(self.missing.packets, "packet")));
                }
                if self.gap_fits {
                    agree.push("the gap in the host's own IP counters".to_owned());
                }
                if self.share_fits {
                    agree.push("the probability in its text".to_owned());
                }
                format!("Its hits agree with {}. Kernel drop records with NETFILTER_DROP would prove it.", say::list(&agree, 3))
            }
            Confidence::Possible => {
                "Only its conditions and rising hits speak for it: what went missing in the capture does not add up \
                 to its hits. Kernel drop records would decide it."
                    .into()
            }
        }
    }

    pub(super) fn severity(&self, dropper: &Dropper<'_>) -> Severity {
        let is_random = dropper.rule.is_some_and(|rule| rule.probability.is_some());
        // Somebody waited, or the host itself misses the packets.
        let matters = self.missing.packets > 0 || !self.drops.is_empty() && self.growth.by >= 3 && self.missing.failed > 0;
        // Who lets nothing through closes more than a door.
        let takes_all =
            dropper.predicate.is_everything() && self.share.is_some_and(|s| s.hits >= 3 && s.hits * 10 >= s.passed * 9);
        match (matters || is_random || takes_all, self.missing.failed) {
            (false, _) => Severity::Note,
            (true, 0) => Severity::Warning,
            // What was deleted fails nobody any more.
            (true, _) if dropper.removed.is_some() => Severity::Warning,
            (true, _) => Severity::Critical,
        }
    }
}

impl Dropper<'_> {
    /// Packets that passed this rule's chain while its hits were read, as the host counted them or, for narrower rules, as they
    /// were captured.
    fn passed(&self, view: &View<'_>) -> Option<(u64, &'static str)> {
        if self.predicate.is_everything() {
            let sum = |keys: [&str; 2]| self.of_families().map(|at| self.meanwhile(view, keys[at])).sum::<Option<u64>>();
            let forwarded = || sum(["nstat.IpForwDatagrams", "nstat.Ip6OutForwDatagrams"]);
            match self.way() {
                Way::In => {
                    let received = sum(["nstat.IpInReceives", "nstat.Ip6InReceives"])?;
                    return Some((received.saturating_sub(forwarded().unwrap_or(0)), "received"));
                }
                Way::Out => return Some((sum(["nstat.IpOutRequests", "nstat.Ip6OutRequests"])?, "sent")),
                // Linux counts a packet as forwarded before the rules of FORWARD see it (ip_forward, ip6_forward).
                Way::Forward => return Some((forwarded()?, "to be forwarded")),
                Way::Unknown => {}
            }
        }
        // Of a conversation nobody here knows which packets came before the rule.
        if self.way() != Way::In || self.inserted.is_some() || self.removed.is_some() {
            return None;
        }
        let mut packets = 0;
        for flow in view.flows.iter().filter(|flow| self.window.contains(flow.first.at) && self.family(flow)) {
            let on = self.captured_on(view, flow);
            for direction in self.directions(view, flow) {
                packets += self.predicate.packets(flow, direction, on);
            }
        }
        (packets > 0).then_some((packets, "captured"))
    }

    /// The families of IP whose packets pass its chain: 0 for IPv4, 1 for IPv6.
    fn of_families(&self) -> impl Iterator<Item = usize> {
        let families = match self.backend {
            Backend::IptablesNft | Backend::IptablesLegacy => 0..1,
            Backend::Ip6tablesNft | Backend::Ip6tablesLegacy => 1..2,
            Backend::Nftables => match self.chain.table.split(' ').next() {
                Some("ip") => 0..1,
                Some("ip6") => 1..2,
                _ => 0..2,
            },
        };
        families.into_iter()
    }

    /// How much a counter of its namespace grew while its hits were read; `None` where it was not recorded.
    fn meanwhile(&self, view: &View<'_>, key: &str) -> Option<u64> {
        let counter = view.counters.of_namespace(key, self.netns)?;
        // Its source reads in the same rounds, some milliseconds before or after.
        let (start, end) = (self.read.start, self.read.end);
        let start = if self.inserted.is_some() { start + HALF_A_ROUND } else { start };
        let end = if self.removed.is_some() { end + HALF_A_ROUND } else { end };
        Some(host::growth(counter, Span::new(start, end)).map_or(0, |growth| growth.by))
    }

    /// What the IP layer took in less what it handed on: what vanished where this rule stands.
    fn gap(&self, view: &View<'_>) -> Option<(u64, u64, u64)> {
        if self.of_families().next() != Some(0) {
            return None;
        }
        let grown = |key| self.meanwhile(view, key);
        match self.way() {
            Way::In => {
                let (received, delivered) = (grown("nstat.IpInReceives")?, grown("nstat.IpInDelivers")?);
                let delivered = delivered + grown("nstat.IpForwDatagrams").unwrap_or(0);
                Some((received, delivered, received.checked_sub(delivered)?))
            }
            Way::Out => {
                let (requested, sent) = (grown("nstat.IpOutRequests")?, grown("nstat.IpOutTransmits")?);
                let forwarded = grown("nstat.IpForwDatagrams").unwrap_or(0);
                let sent = sent.checked_sub(forwarded)?;
                Some((requested, sent, requested.checked_sub(sent)?))
            }
            _ => None,
        }
    }

    /// Those of what netfilter dropped that this rule matches.
    pub(super) fn of_it<'v>(&self, view: &View<'_>, dropped: &[Dropped<'v>]) -> Vec<Dropped<'v>> {
        let ours = |drop: &KernelDrop| {
            let has_device = drop.ifindex != 0;
            // What comes to the host itself does not pass FORWARD, and what it forwards does not pass INPUT.
            let to_others = || Headers::of(drop).is_some_and(|headers| !host::takes(view, self.netns, headers.dst));
            let way = match self.way() {
                Way::In if self.chain.hook.as_deref() == Some("input") => has_device && !to_others(),
                Way::In => has_device,
                Way::Forward => has_device && to_others(),
                Way::Out => !has_device,
                Way::Unknown => true,
            };
            drop.netns == self.netns.0
                && way
                && self.window.contains(Timestamp::from_nanos(drop.at_ns))
                && self.predicate.matches_drop(drop)
        };
        dropped.iter().copied().filter(|(_, drop)| ours(drop)).collect()
    }
}
