//! `conntrack_full`: the connection tracking table is full, so packets of new connections are dropped.
//!
//! **What.** netfilter keeps an entry for each connection. When `nf_conntrack_count` reaches `nf_conntrack_max`, it first tries to
//! evict an entry that was never answered (`early_drop`), and failing that drops the packet (`drop`, and "nf_conntrack: table
//! full, dropping packet" in the kernel's log). No firewall rule counts such a packet.
//!
//! **When.** A table that was filled to 95 % or more, or whose `drop` or `early_drop` rose. Otherwise the figures are told, since
//! this is what people suspect first. `insert_failed` and `invalid` are other troubles and are told apart.
//!
//! **Near misses.** A large table in use to 94 %. `insert_failed` rising alone (two packets of one new connection at once).
//!
//! **Sources.** net/netfilter/nf_conntrack_core.c; Documentation/networking/nf_conntrack-sysctl.rst; conntrack(8); DIAGNOSIS C1; the
//! lab `conntrack-full`, on whose host `drop` rose by 87 while the kernel reported NETFILTER_DROP at `nf_hook_slow`.

use super::host::{self, Growth};
use super::{Explained, Outcome, View, say};
use crate::anchor::{Anchor, Place};
use crate::command::{Arg, Command};
use crate::finding::{Confidence, Finding, FindingId, Quiet, Reason, Severity, Subject};
use crate::ids::{FlowId, NetnsId};
use crate::log::block::Namespace;
use crate::time::{Nanos, Span};

const SLUG: &str = "conntrack_full";
/// What it says where no host says anything.
const UNRECORDED: &str = "No counters of connection tracking were recorded.";

/// One table over the time of the log.
struct Table<'a> {
    namespace: &'a Namespace,
    most: u64,
    last: u64,
    max: u64,
    dropped: Vec<Growth>,
    evicted: Vec<Growth>,
    whole: Span,
    count: Anchor,
}

/// Judges each namespace's table.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let tables: Vec<Table<'_>> = view.counters.namespaces().filter_map(|namespace| Table::of(view, namespace)).collect();
    if tables.is_empty() {
        return Outcome::cannot_tell(UNRECORDED);
    }
    let mut outcome = Outcome::default();
    for table in tables.iter().filter(|table| table.is_full()) {
        let flows = table.unanswered(view, explained);
        outcome.findings.push(table.finding(&flows));
        outcome.explains.flows.extend(flows);
    }
    let fine: Vec<String> = tables.iter().filter(|table| !table.is_full()).map(|table| table.fine(tables.len() > 1)).collect();
    if !fine.is_empty() {
        outcome.quiet = Some((Quiet::Clear, format!("{}.", fine.join("; "))));
    }
    outcome
}

impl<'a> Table<'a> {
    fn of(view: &View<'a>, namespace: &'a Namespace) -> Option<Self> {
        let netns = NetnsId(namespace.netns);
        let (id, count) = view.counters.of_namespace("conntrack.count", netns)?;
        // The limit is one for all namespaces of a host, and may have been read in another one.
        let (_, max) =
            view.counters.of_namespace("conntrack.max", netns).or_else(|| view.counters.of_key("conntrack.max").next())?;
        let whole = host::recorded(view)?;
        let summed = |key: &str| {
            let of_processors = view.counters.of_key(key).filter(|(_, s)| s.counter.netns == Some(netns.0));
            of_processors.filter_map(|counter| host::growth(counter, whole)).collect::<Vec<_>>()
        };
        Some(Self {
            namespace,
            most: count.points().iter().map(|point| point.value).max()?,
            last: count.last()?,
            max: max.last().filter(|max| *max > 0)?,
            dropped: summed("conntrack.drop"),
            evicted: summed("conntrack.early_drop"),
            whole,
            count: Place::Counter { counter: id, span: whole }.into(),
        })
    }

    fn is_full(&self) -> bool {
        self.most.saturating_mul(100) >= self.max.saturating_mul(95) || !self.dropped.is_empty() || !self.evicted.is_empty()
    }

    fn fine(&self, several: bool) -> String {
        let place = if several { format!("{}: ", self.namespace.name) } else { String::new() };
        let most = if self.most > self.last { format!(" ({} at most)", say::number(self.most)) } else { String::new() };
        format!(
            "{place}{} of {} entries in use{most}, {}, and no packet was refused an entry",
            self.last,
            self.max,
            say::percent(self.most, self.max)
        )
    }

    /// Connection attempts without an answer while packets were refused an entry.
    fn unanswered(&self, view: &View<'_>, explained: &Explained) -> Vec<FlowId> {
        let Some(span) = self.dropped.iter().map(|growth| growth.span).reduce(Span::union) else { return Vec::new() };
        let waits = |flow: &&crate::flow::Flow| {
            let handshake = &flow.handshake;
            let retried = handshake.syn.is_some_and(|syn| view.watermark - syn.at > Nanos::from_millis(900));
            retried && (handshake.syn_ack.is_none() && handshake.refused.is_none() || handshake.syn_count > 1)
        };
        let hit = view.flows.iter().filter(waits).filter(|flow| span.overlaps(flow.span()) && !explained.has(flow.id));
        hit.map(|flow| flow.id).collect()
    }

    fn finding(&self, flows: &[FlowId]) -> Finding {
        let sum = |growths: &[Growth]| growths.iter().map(|growth| growth.by).sum::<u64>();
        let (dropped, evicted) = (sum(&self.dropped), sum(&self.evicted));
        let subject = Subject::Conntrack { netns: NetnsId(self.namespace.netns) };
        let all = self.dropped.iter().chain(&self.evicted);
        let mut evidence: Vec<Anchor> = all.clone().map(Growth::anchor).take(16).collect();
        evidence.push(self.count.clone());
        evidence.extend(flows.iter().take(16).map(|flow| Anchor::from(Place::Flow(*flow))));
        // A table has one trouble, whenever it shows first: the name must not change while a recording goes on.
        let identity = Anchor::from(Place::Interface { netns: NetnsId(self.namespace.netns), ifindex: 0 });
        let name = &self.namespace.name;
        let lost = match (dropped, evicted) {
            (0, 0) => "no packet was refused yet".to_owned(),
            (0, evicted) => format!("{} evicted to make room", say::count(evicted, "unanswered entry")),
            (dropped, _) => format!("{} dropped for want of an entry", say::count(dropped, "packet")),
        };
        let full = if self.most >= self.max || dropped > 0 { "full" } else { "nearly full" };
        let mut reasons = vec![Reason {
            text: format!(
                "The table held up to {} of at most {} entries ({}).",
                say::number(self.most),
                say::number(self.max),
                say::percent(self.most, self.max)
            ),
            anchors: vec![self.count.clone()],
        }];
        if dropped > 0 {
            let text = format!("Its counter `drop` rose by {}: packets for which no entry could be made.", say::number(dropped));
            reasons.push(Reason { text, anchors: self.dropped.iter().map(Growth::anchor).collect() });
        }
        if evicted > 0 {
            let text = format!("Its counter `early_drop` rose by {}: entries thrown out to make room.", say::number(evicted));
            reasons.push(Reason { text, anchors: self.evicted.iter().map(Growth::anchor).collect() });
        }
        if !flows.is_empty() {
            let text =
                format!("{} in the capture got no answer meanwhile.", say::count(flows.len() as u64, "connection attempt"));
            reasons.push(Reason { text, anchors: flows.iter().take(12).map(|flow| Place::Flow(*flow).into()).collect() });
        }
        Finding {
            id: FindingId::new(SLUG, &subject, &identity),
            rule: SLUG.into(),
            severity: match (dropped, evicted) {
                (0, 0) => Severity::Warning,
                (0, _) => Severity::Warning,
                _ => Severity::Critical,
            },
            confidence: if dropped + evicted > 0 { Confidence::Strong } else { Confidence::Possible },
            sentence: format!(
                "The connection tracking table of {name} is {full}: {} of {} entries in use, {lost}.",
                say::number(self.most),
                say::number(self.max)
            ),
            span: all.map(|growth| growth.span).reduce(Span::union).unwrap_or(self.whole),
            count: dropped + evicted,
            evidence,
            reasons,
            confidence_reason: if dropped + evicted > 0 {
                "The table's own counters say that packets were refused; they do not say which.".into()
            } else {
                "The table is nearly full, but none of its counters shows a loss yet.".into()
            },
            rival: "A netfilter helper that refuses packets also counts as `drop`; then the table would not be full. A firewall rule would \
                 count its own hits."
                .into(),
            confirm: [
                Command::new("sysctl")
                    .args(["net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"])
                    .effect("Shows how full the table is."),
                Command::new("conntrack").args(["-S"]).effect("Shows `drop` and `early_drop` for each processor."),
            ]
            .map(|command| host::inside(Some(self.namespace), command))
            .into(),
            fix: vec![
                Command::new("sysctl")
                    .args(["-w"])
                    .arg(Arg::concat(["net.netfilter.nf_conntrack_max=".into(), (self.max * 2).max(65_536).into()]))
                    .effect(
                        "Doubles the table from now on, for the whole host and its containers; each entry takes about 300 bytes of kernel \
                         memory. Entries of connections that died without FIN stay for 5 days: a lower \
                         `nf_conntrack_tcp_timeout_established` frees them sooner.",
                    ),
            ],
            advice: None,
            questions: Vec::new(),
            picture: None,
            subject,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    fn script(count: u64, max: u64, drop: u64, more: &str) -> String {
        format!(
            "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 1500 address 172.17.0.2/16
14:40:00 counters
  conntrack.count {count}
  conntrack.max {max}
  conntrack.drop 0 0
  conntrack.early_drop 0 0
14:40:05 counters
  conntrack.drop 0 {drop}
{more}"
        )
    }

    #[test]
    fn a_table_that_refuses_packets_is_found() {
        check(
            "conntrack_full",
            &script(20, 20, 87, ""),
            "critical strong: The connection tracking table of web-1 is full: 20 of 20 entries in use, 87 packets dropped for want of an entry.",
        );
    }

    #[test]
    fn the_usual_suspect_is_acquitted_with_its_figures() {
        check(
            "conntrack_full",
            &script(182, 262_144, 0, ""),
            "clear: 182 of 262144 entries in use, 0.07 %, and no packet was refused an entry.",
        );
    }

    #[test]
    fn ninety_four_per_cent_is_not_full_and_ninety_five_is() {
        check(
            "conntrack_full",
            &script(94, 100, 0, ""),
            "clear: 94 of 100 entries in use, 94 %, and no packet was refused an entry.",
        );
        check(
            "conntrack_full",
            &script(95, 100, 0, ""),
            "warning possible: The connection tracking table of web-1 is nearly full: 95 of 100 entries in use, no packet was refused yet.",
        );
    }

    #[test]
    fn without_counters_it_cannot_tell() {
        check(
            "conntrack_full",
            "date 2021-06-01\n14:40:00 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0\n",
            "cannot tell: No counters of connection tracking were recorded.",
        );
    }
}
