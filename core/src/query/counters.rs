//! Counter tables over a span: what a reader knows from `netstat -i`, `iptables -nvL`, `conntrack -S` and `nstat`.

use super::engine::Knowledge;
use super::{ChainCounters, ConntrackCounters, Counted, CounterRow, CounterTables, InterfaceCounters, RuleCounters};
use crate::counters::{Counters, Series};
use crate::ids::{CounterId, NetnsId};
use crate::log::block::{Backend, Chain, FirewallRule, Namespace, RuleSet, Verdict};
use crate::sort;
use crate::time::Span;
use std::collections::{BTreeMap, BTreeSet};

/// Answers `Query::Counters`.
pub(super) fn tables(known: &Knowledge<'_>, span: Option<Span>) -> CounterTables {
    let counters = &known.recording.counters;
    let Some(bracket) = span.map_or_else(|| counters.span(), |span| counters.bracket(span)) else {
        return CounterTables { revision: known.revision, ..CounterTables::default() };
    };
    let tables = Tables { known, counters, span: bracket };
    CounterTables {
        revision: known.revision,
        span: Some(bracket),
        interfaces: counters.namespaces().flat_map(|namespace| tables.interfaces(namespace)).collect(),
        chains: counters
            .rule_sets()
            .flat_map(|set| set.chains.iter().map(move |chain| (set, chain)))
            .map(|(set, chain)| tables.chain(set, chain))
            .collect(),
        conntrack: tables.conntrack(),
        others: tables.others(),
    }
}

struct Tables<'k> {
    known: &'k Knowledge<'k>,
    counters: &'k Counters,
    span: Span,
}

/// The fields of `netstat -i`, receive then send: OK, ERR, DRP, OVR (net-tools `lib/interface.c`).
const RECEIVE: [&str; 4] = ["link.rx_packets", "link.rx_errors", "link.rx_dropped", "link.rx_over_errors"];
const SEND: [&str; 4] = ["link.tx_packets", "link.tx_errors", "link.tx_dropped", "link.tx_fifo_errors"];

/// IFF_ flags (include/uapi/linux/if.h) and the letters `netstat -i` prints for them, in its order.
const FLAGS: [(u32, char); 10] = [
    (1 << 9, 'A'), // ALLMULTI
    (1 << 1, 'B'), // BROADCAST
    (1 << 2, 'D'), // DEBUG
    (1 << 3, 'L'), // LOOPBACK
    (1 << 8, 'P'), // PROMISC
    (1 << 5, 'N'), // NOTRAILERS
    (1 << 7, 'O'), // NOARP
    (1 << 4, 'P'), // POINTOPOINT
    (1 << 6, 'R'), // RUNNING
    (1 << 0, 'U'), // UP
];
/// IFF_MULTICAST, `M`, which stands between `L` and `P`.
const MULTICAST: u32 = 1 << 12;

impl Tables<'_> {
    fn counted(&self, (id, series): (CounterId, &Series)) -> Counted {
        Counted { value: series.at(self.span.end).unwrap_or(0), delta: series.grown(self.span), counter: Some(id) }
    }

    fn interfaces(&self, namespace: &Namespace) -> Vec<InterfaceCounters> {
        let netns = NetnsId(namespace.netns);
        let row = |interface: &crate::log::block::InterfaceFacts| {
            let field = |key: &str| {
                self.counters.of_interface(key, netns, interface.ifindex).map(|found| self.counted(found)).unwrap_or_default()
            };
            let mtu =
                self.counters.of_interface("link.mtu", netns, interface.ifindex).and_then(|(_, series)| series.at(self.span.end));
            InterfaceCounters {
                netns,
                netns_name: namespace.name.clone(),
                ifindex: interface.ifindex,
                name: interface.name.clone(),
                mtu: mtu.and_then(|mtu| u32::try_from(mtu).ok()).unwrap_or(interface.mtu),
                rx: RECEIVE.map(field),
                tx: SEND.map(field),
                flags: flags(interface.flags),
            }
        };
        namespace.interfaces.iter().map(row).collect()
    }

    fn chain(&self, set: &RuleSet, chain: &Chain) -> ChainCounters {
        let netns = NetnsId(set.netns);
        let of = |key: &str, id: &str| self.counters.of_rule(key, netns, id).map(|found| self.counted(found));
        ChainCounters {
            netns,
            netns_name: self.known.netns_name(netns),
            backend: backend(set.backend).into(),
            table: chain.table.clone(),
            chain: chain.name.clone(),
            policy: chain.policy.map(|policy| verdict(policy).to_owned()).unwrap_or_default(),
            policy_packets: chain.policy_id.as_deref().and_then(|id| of("firewall.policy.packets", id)),
            rules: self.rules(set, chain),
        }
    }

    /// The rules of a chain, those among them that were deleted since the span began.
    fn rules(&self, set: &RuleSet, chain: &Chain) -> Vec<RuleCounters> {
        let netns = NetnsId(set.netns);
        let of = |key: &str, id: &str| self.counters.of_rule(key, netns, id).map(|found| self.counted(found));
        let row = |rule: &FirewallRule, removed| RuleCounters {
            id: rule.id.clone(),
            position: rule.position,
            target: target(rule),
            text: rule.text.clone(),
            packets: of("firewall.rule.packets", &rule.id),
            bytes: of("firewall.rule.bytes", &rule.id),
            removed,
        };
        let gone = self.counters.removed_rules().filter(|(of_netns, of_backend, gone)| {
            let here = (*of_netns, *of_backend) == (netns, set.backend);
            here && gone.chain.table == chain.table && gone.chain.name == chain.name && gone.at > self.span.start
        });
        let mut rows: Vec<RuleCounters> = chain.rules.iter().map(|rule| row(rule, None)).collect();
        rows.extend(gone.map(|(.., gone)| row(&gone.rule, Some(gone.at))));
        sort::by_key(&mut rows, |row| row.position);
        rows
    }

    /// Entries, limit and statistics; the statistics summed over processors.
    fn conntrack(&self) -> Vec<ConntrackCounters> {
        let mut tables: BTreeMap<NetnsId, (ConntrackCounters, BTreeMap<String, Counted>)> = BTreeMap::new();
        for (id, series) in self.counters.iter() {
            let Some(field) = series.counter.key.strip_prefix("conntrack.") else { continue };
            let netns = NetnsId(series.counter.netns.unwrap_or(0));
            let (table, statistics) = tables.entry(netns).or_default();
            match field {
                "count" => table.count = Some(self.counted((id, series))),
                "max" => table.max = series.at(self.span.end),
                field => {
                    let more = self.counted((id, series));
                    let first = Counted { value: 0, delta: Some(0), counter: Some(id) };
                    let sum = statistics.entry(field.to_owned()).or_insert(first);
                    sum.value = sum.value.saturating_add(more.value);
                    sum.delta = sum.delta.zip(more.delta).map(|(a, b)| a.saturating_add(b));
                }
            }
        }
        tables
            .into_iter()
            .map(|(netns, (table, statistics))| ConntrackCounters {
                netns,
                netns_name: self.known.netns_name(netns),
                statistics: statistics.into_iter().collect(),
                ..table
            })
            .collect()
    }

    /// Everything that stands in no table above: what changed first, then by group and name.
    fn others(&self) -> Vec<CounterRow> {
        let shown: BTreeSet<&str> = RECEIVE.iter().chain(&SEND).copied().collect();
        let mut rows: Vec<CounterRow> = self
            .counters
            .iter()
            .filter(|(_, series)| {
                let key = series.counter.key.as_str();
                !shown.contains(key) && key != "link.mtu" && !key.starts_with("conntrack.") && !key.starts_with("firewall.")
            })
            .map(|found| self.other(found))
            .collect();
        sort::by(&mut rows, |a, b| {
            let rank = |row: &CounterRow| (row.counted.delta == Some(0), row.group.clone(), row.netns_name.clone());
            rank(a).cmp(&rank(b)).then_with(|| (&a.kernel_name, &a.object).cmp(&(&b.kernel_name, &b.object)))
        });
        rows
    }

    fn other(&self, (id, series): (CounterId, &Series)) -> CounterRow {
        let counter = &series.counter;
        let group = counter.key.split_once('.').map_or(counter.key.as_str(), |(group, _)| group);
        let object = [counter.ifname.clone(), counter.object.clone(), counter.cpu.map(|cpu| format!("cpu {cpu}"))];
        CounterRow {
            group: match group {
                "nstat" => nstat_group(&counter.kernel_name).to_owned(),
                other => other.to_owned(),
            },
            netns_name: counter.netns.map(|netns| self.known.netns_name(NetnsId(netns))).unwrap_or_default(),
            kernel_name: counter.kernel_name.clone(),
            object: object.into_iter().flatten().collect::<Vec<_>>().join(" "),
            unit: Some(counter.unit),
            kind: Some(counter.kind),
            counted: self.counted((id, series)),
        }
    }
}

/// The first part of an `nstat` name: `TcpExt` of `TcpExtListenOverflows`.
fn nstat_group(name: &str) -> &'static str {
    const GROUPS: [&str; 14] = [
        "TcpExt", "IpExt", "MPTcpExt", "IcmpMsg", "Icmp6", "Icmp", "UdpLite6", "UdpLite", "Udp6", "Udp", "Ip6", "Ip", "Tcp",
        "Sctp",
    ];
    GROUPS.into_iter().find(|group| name.starts_with(group)).unwrap_or("nstat")
}

fn flags(flags: u32) -> String {
    let mut letters = String::new();
    for (bit, letter) in FLAGS {
        if letter == 'P' && bit == 1 << 8 && flags & MULTICAST != 0 {
            letters.push('M');
        }
        if flags & bit != 0 {
            letters.push(letter);
        }
    }
    letters
}

fn backend(backend: Backend) -> &'static str {
    match backend {
        Backend::IptablesNft => "iptables-nft",
        Backend::IptablesLegacy => "iptables-legacy",
        Backend::Ip6tablesNft => "ip6tables-nft",
        Backend::Ip6tablesLegacy => "ip6tables-legacy",
        Backend::Nftables => "nftables",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "ACCEPT",
        Verdict::Drop => "DROP",
        Verdict::Reject => "REJECT",
        Verdict::Other => "",
    }
}

/// What a rule does, as `iptables -nvL` lists it: the verdict, or what the rule's text jumps to.
pub(super) fn target(rule: &FirewallRule) -> String {
    if rule.verdict != Verdict::Other {
        return verdict(rule.verdict).to_owned();
    }
    let mut words = rule.text.split_ascii_whitespace();
    words
        .find(|word| matches!(*word, "-j" | "--jump" | "-g" | "--goto" | "jump" | "goto"))
        .and_then(|_| words.next())
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_printed_as_netstat_prints_them() {
        // IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_MULTICAST
        assert_eq!(flags(0x1043), "BMRU");
        // IFF_UP | IFF_LOOPBACK | IFF_RUNNING
        assert_eq!(flags(0x49), "LRU");
    }

    #[test]
    fn the_longest_group_of_a_name_wins() {
        assert_eq!(nstat_group("TcpExtListenOverflows"), "TcpExt");
        assert_eq!(nstat_group("TcpRetransSegs"), "Tcp");
        assert_eq!(nstat_group("Ip6InReceives"), "Ip6");
    }
}
