//! The lines of a script that are not packets.

use super::packet::Packets;
use super::{CapturePoint, Scripted};
use crate::log::block::{
    Backend, Catalogue, Chain, Counter, CounterKind, Entry, FirewallRule, Host, InterfaceFacts, KernelDrop, Mark, Namespace,
    RuleSet, Snapshot, Unit, Verdict,
};
use crate::time::{Nanos, Timestamp};
use std::collections::BTreeMap;

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Facts {
    midnight: Timestamp,
    host: Host,
    host_said: bool,
    capture: Option<String>,
    /// The namespace that `namespace` named last: interfaces, rules and counters below belong to it.
    netns: u64,
    /// Counters by key, namespace and object, as the script writes them.
    counters: BTreeMap<(String, u64, String), u32>,
    rules: BTreeMap<(u64, String), Vec<FirewallRule>>,
}

impl Facts {
    /// `14:40:00.589235` on the day that `date` named.
    pub(super) fn time(&self, text: &str) -> Option<Timestamp> {
        let mut parts = text.splitn(3, ':');
        let (h, m, s) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?, parts.next()?);
        let (s, fraction) = s.split_once('.').unwrap_or((s, "0"));
        let nanos: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        let seconds = h * 3600 + m * 60 + s.parse::<i64>().ok()?;
        Some(self.midnight + Nanos::from_secs(seconds) + Nanos::new(nanos))
    }

    /// A line without a time.
    pub(super) fn learn(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        match words[..] {
            ["date", day] => self.midnight = midnight(day).ok_or("a date is written 2021-06-01")?,
            ["host", name, ref rest @ ..] => {
                self.host.hostname = name.to_owned();
                self.host.boot_id = format!("{name}-boot");
                self.host.agent = "script".into();
                self.host.cpus = 2;
                self.host.machine = "x86_64".into();
                if let Some(kernel) = value(rest, "kernel") {
                    self.host.kernel = kernel.to_owned();
                }
                self.host_said = false;
            }
            ["namespace", inode, name, ref found @ ..] => {
                self.netns = parse(inode)?;
                let (entry, pid, path) = match *found {
                    [] => (None, None, None),
                    ["own"] => (Some(Entry::Own), None, None),
                    ["named"] => (Some(Entry::Named), None, None),
                    ["process", pid] => (Some(Entry::Process), Some(parse(pid)?), None),
                    ["container", pid] => (Some(Entry::Container), Some(parse(pid)?), None),
                    ["file", path] => (Some(Entry::File), None, Some(path.to_owned())),
                    _ => return Err("a namespace is found as: own, named, process PID, container PID, file PATH".into()),
                };
                if self.host.namespaces.iter().all(|n| n.netns != self.netns) {
                    let namespace =
                        Namespace { netns: self.netns, name: name.to_owned(), entry, pid, path, ..Namespace::default() };
                    self.host.namespaces.push(namespace);
                }
                self.host_said = false;
            }
            ["interface", ifindex, name, kind, ref rest @ ..] => {
                let mut interface = InterfaceFacts {
                    ifindex: parse(ifindex)?,
                    name: name.to_owned(),
                    kind: if kind == "hardware" { String::new() } else { kind.to_owned() },
                    mtu: parse(value(rest, "mtu").unwrap_or("1500"))?,
                    operstate: "up".into(),
                    // IFF_UP, BROADCAST, RUNNING, MULTICAST: netstat's BMRU.
                    flags: 0x1 | 0x2 | 0x40 | 0x1000,
                    hard_header_len: Some(14),
                    ..InterfaceFacts::default()
                };
                interface.addresses.extend(value(rest, "address").map(str::to_owned));
                if let Some((ifindex, netns)) = value(rest, "peer").and_then(|peer| peer.split_once('@')) {
                    interface.peer_ifindex = Some(parse(ifindex)?);
                    interface.peer_netns = Some(parse(netns)?);
                }
                let netns = self.netns;
                let namespace = self.host.namespaces.iter_mut().find(|n| n.netns == netns).ok_or("no `namespace` before it")?;
                namespace.interfaces.push(interface);
                self.host_said = false;
            }
            ["sysctl", name, setting] => {
                let netns = self.netns;
                let namespace = self.host.namespaces.iter_mut().find(|n| n.netns == netns).ok_or("no `namespace` before it")?;
                namespace.sysctls.push((name.to_owned(), setting.to_owned()));
            }
            ["capture", name] => self.capture = Some(name.to_owned()),
            _ => return Err("expected a time, or date, host, namespace, interface, sysctl or capture".into()),
        }
        Ok(())
    }

    /// The host facts go before the first record that follows them.
    pub(super) fn say_host_once(&mut self, records: &mut Vec<Scripted>, at: Timestamp) {
        if !self.host_said && !self.host.namespaces.is_empty() {
            self.host.at_ns = at.nanos();
            records.push(Scripted::Host(self.host.clone()));
        }
        self.host_said = true;
    }

    pub(super) fn capture_point(&self) -> CapturePoint {
        let all = || self.host.namespaces.iter().flat_map(|n| n.interfaces.iter().map(move |i| (n, i)));
        let found = match &self.capture {
            Some(name) => all().find(|(_, i)| i.name == *name),
            None => all().next(),
        };
        found
            .map(|(n, i)| CapturePoint { netns: n.netns, ifindex: i.ifindex, name: i.name.clone() })
            .unwrap_or_else(|| CapturePoint { name: self.capture.clone().unwrap_or_default(), ..CapturePoint::default() })
    }

    /// A line with a time that is no packet.
    pub(super) fn event(
        &mut self,
        at: Timestamp,
        line: &str,
        under: &[&str],
        packets: &mut Packets,
        records: &mut Vec<Scripted>,
    ) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "mark" => {
                let (kind, text) = rest.split_once(' ').ok_or("a mark has a kind and a sentence")?;
                let (netns, ifindex) = (Some(self.netns).filter(|n| *n != 0), None);
                let mark = Mark { at_ns: at.nanos(), kind: kind.into(), text: text.into(), netns, ifindex };
                records.push(Scripted::Mark(mark));
            }
            "counters" => self.counters(at, under, records)?,
            "rules" => {
                let rules = self.rule_set(at, rest, under)?;
                records.push(Scripted::RuleSet(rules));
            }
            "drop" => {
                let drop = self.kernel_drop(at, rest, packets)?;
                records.push(Scripted::KernelDrop(drop));
            }
            _ => return Err(format!("`{word}` is none of mark, counters, rules, drop, IP, IP6")),
        }
        Ok(())
    }

    fn counters(&mut self, at: Timestamp, lines: &[&str], records: &mut Vec<Scripted>) -> Result<(), String> {
        let mut new = Vec::new();
        let mut values = Vec::new();
        for line in lines {
            let (named, count) = line.rsplit_once(' ').ok_or("a counter has a value")?;
            let (key, object) = named.trim().split_once(' ').unwrap_or((named.trim(), ""));
            let object = object.trim();
            let place = (key.to_owned(), self.netns, object.to_owned());
            let id = match self.counters.get(&place) {
                Some(id) => *id,
                None => {
                    let id = self.counters.len() as u32 + 1;
                    new.push(self.describe(id, key, object)?);
                    self.counters.insert(place, id);
                    id
                }
            };
            values.push((id, parse(count)?));
        }
        if !new.is_empty() {
            records.push(Scripted::Catalogue(Catalogue { counters: new }));
        }
        records.push(Scripted::Snapshot(Snapshot {
            at_ns: at.nanos(),
            took_ns: 0,
            full: values.len() == self.counters.len(),
            values,
        }));
        Ok(())
    }

    /// `key` and what it belongs to: an interface (and a qdisc), a chain (and a rule's place in it), a processor, or nothing.
    fn describe(&self, id: u32, key: &str, object: &str) -> Result<Counter, String> {
        let (group, field) = key.split_once('.').ok_or("a counter key has a dot")?;
        let gauge = matches!(key, "link.mtu" | "conntrack.count" | "conntrack.max" | "qdisc.backlog" | "qdisc.qlen");
        let mut counter = Counter {
            id,
            key: key.to_owned(),
            unit: if field.ends_with("bytes") { Unit::Bytes } else { Unit::Packets },
            kind: if gauge { CounterKind::Gauge } else { CounterKind::Monotonic },
            kernel_name: field.rsplit('.').next().unwrap_or(field).to_owned(),
            source: "script".into(),
            netns: Some(self.netns).filter(|netns| *netns != 0),
            ..Counter::default()
        };
        match group {
            "link" | "qdisc" | "capture" => {
                let (name, more) = object.split_once(' ').unwrap_or((object, ""));
                let found = self.host.namespaces.iter().filter(|n| n.netns == self.netns).flat_map(|n| &n.interfaces);
                let interface = found.rev().find(|i| i.name == name).ok_or_else(|| format!("no interface `{name}`"))?;
                counter.ifindex = Some(interface.ifindex);
                counter.ifname = Some(name.to_owned());
                counter.object = Some(more.to_owned()).filter(|more| !more.is_empty());
            }
            "firewall" => {
                let (chain, place) = object.split_once(' ').unwrap_or((object, ""));
                counter.rule = Some(match place {
                    "" => format!("{chain}/policy"),
                    _ => {
                        let rules =
                            self.rules.get(&(self.netns, chain.to_owned())).ok_or_else(|| format!("no chain `{chain}`"))?;
                        let rule = rules.get(parse::<usize>(place)?.wrapping_sub(1)).ok_or("no such rule in it")?;
                        rule.id.clone()
                    }
                });
            }
            "softnet" => counter.cpu = Some(parse(object)?),
            "conntrack" if !object.is_empty() => counter.cpu = Some(parse(object)?),
            _ => {}
        }
        Ok(counter)
    }

    fn rule_set(&mut self, at: Timestamp, backend: &str, lines: &[&str]) -> Result<RuleSet, String> {
        let backend = match backend {
            "iptables-nft" => Backend::IptablesNft,
            "iptables-legacy" => Backend::IptablesLegacy,
            "ip6tables-nft" => Backend::Ip6tablesNft,
            "ip6tables-legacy" => Backend::Ip6tablesLegacy,
            "nftables" => Backend::Nftables,
            _ => return Err(format!("`{backend}` is no firewall back end")),
        };
        let mut chains: Vec<Chain> = Vec::new();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            // `TABLE CHAIN HOOK POLICY` begins a chain; nftables tables have a family before their name.
            let heads = matches!(words.last(), Some(&("ACCEPT" | "DROP" | "-"))) && !line.starts_with('-') && words.len() >= 4;
            if heads {
                let [table @ .., name, hook, policy] = &words[..] else { unreachable!("four words or more") };
                chains.push(Chain {
                    table: table.join(" "),
                    name: (*name).to_owned(),
                    hook: Some((*hook).to_owned()).filter(|hook| hook != "-"),
                    policy: match *policy {
                        "ACCEPT" => Some(Verdict::Accept),
                        "DROP" => Some(Verdict::Drop),
                        _ => None,
                    },
                    rules: Vec::new(),
                    policy_id: Some(format!("{name}/policy")),
                });
                continue;
            }
            let chain = chains.last_mut().ok_or("a rule stands below its chain, `filter INPUT input ACCEPT`")?;
            let rule = rule(chain, line, backend);
            chain.rules.push(rule);
        }
        for chain in &chains {
            self.rules.insert((self.netns, chain.name.clone()), chain.rules.clone());
        }
        Ok(RuleSet { at_ns: at.nanos(), netns: self.netns, backend, chains, after_ns: None })
    }

    /// `REASON PLACE INTERFACE|- IP …`
    fn kernel_drop(&self, at: Timestamp, text: &str, packets: &mut Packets) -> Result<KernelDrop, String> {
        let mut words = text.splitn(4, ' ');
        let (Some(reason), Some(place), Some(device), Some(line)) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("a drop has a reason, a place, an interface or `-`, and a packet".into());
        };
        let frame = packets.frame(line)?;
        packets.not_captured();
        // A trace prints headers; data is there only where the script gives it.
        let headers = match (frame[23], line.contains(": HTTP: ")) {
            (6, false) => 34 + usize::from(frame[46] >> 4) * 4,
            _ => frame.len(),
        };
        let known = self.host.namespaces.iter().flat_map(|n| n.interfaces.iter().map(move |i| (n, i)));
        let interface = known.rev().find(|(_, i)| i.name == device);
        Ok(KernelDrop {
            at_ns: at.nanos(),
            reason: if reason == "-" { String::new() } else { reason.to_owned() },
            place: place.to_owned(),
            netns: interface.map_or(self.netns, |(n, _)| n.netns),
            ifindex: interface.map_or(0, |(_, i)| i.ifindex),
            ifname: interface.map_or(String::new(), |(_, i)| i.name.clone()),
            mtu: interface.map_or(0, |(_, i)| i.mtu),
            ether_type: u16::from_be_bytes([frame[12], frame[13]]),
            len: frame.len() as u32 - 14,
            gso_size: 0,
            bytes: frame[14..headers].iter().copied().take(128).collect(),
            skipped: 0,
        })
    }
}

fn rule(chain: &Chain, text: &str, backend: Backend) -> FirewallRule {
    let same = chain.rules.iter().filter(|rule| rule.text == text).count();
    let native = backend == Backend::Nftables;
    let position = chain.rules.len() as u32 + 1;
    let handle = native.then(|| u64::from(position) + 1);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let verdict = if has(&["-j DROP", " drop"]) {
        Verdict::Drop
    } else if has(&["-j REJECT", " reject"]) {
        Verdict::Reject
    } else if has(&["-j ACCEPT", " accept"]) {
        Verdict::Accept
    } else {
        Verdict::Other
    };
    let after = |word: &str| text.split(word).nth(1)?.split_ascii_whitespace().next()?.parse::<f64>().ok();
    let id = match handle {
        Some(handle) => format!("{}/{}/handle {handle}", chain.table, chain.name),
        None => format!("{}/{}/{:08x}#{}", chain.table, chain.name, short_hash(text), same + 1),
    };
    FirewallRule {
        id,
        text: text.to_owned(),
        position,
        verdict,
        counted: !native || text.split_ascii_whitespace().any(|word| word == "counter"),
        probability: after("--probability ").or_else(|| Some(after("< ")? / after(" mod ")?)),
        handle,
    }
}

/// FNV-1a, 32 bit: only to tell rules of one chain apart.
fn short_hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn value<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied()
}

/// Midnight UTC of `2021-06-01`, by the days-from-civil formula of the proleptic Gregorian calendar.
fn midnight(day: &str) -> Option<Timestamp> {
    let mut parts = day.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (y, m, d) = (parts.next()??, parts.next()??, parts.next()??);
    let y = if m <= 2 { y - 1 } else { y };
    let (era, year_of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let day_of_year = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(Timestamp::from_nanos(0) + Nanos::from_secs((era * 146_097 + day_of_era - 719_468) * 86_400))
}

fn parse<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits here"))
}
