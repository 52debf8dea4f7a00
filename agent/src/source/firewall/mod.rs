//! Firewall rules and their hits: iptables by either back end, ip6tables, native nftables.
//!
//! Hits are read from the kernel at every reading, by netlink and getsockopt; the text of the rules is fetched with the host's
//! own tools at the start and whenever the rules changed (nf_tables' generation, a fingerprint of an x_tables table). The
//! n-th rule of a chain in the kernel is the n-th in the text; where the two do not agree, because the rules changed in
//! between, both are read again.
//!
//! Nothing is loaded by asking: x_tables only hands out tables /proc lists, and nf_tables is asked only where it is there.

mod identity;
mod legacy;
mod nf_tables;
mod nft_text;
mod save_text;
mod tool;

use super::netlink::Socket;
use super::sample::{Family, Name};
use super::{Capability, SECOND, Sample, Scene, Scope, Source, SourceError, SourceKind};
use dropscope_core::log::block::{Backend, Chain, CounterKind, FirewallRule, RuleSet, Station, Unit};
use legacy::{LegacyTable, TableNames, Tables};
use nf_tables::{Hits, NftChain};
use nix::sys::socket::SockProtocol;
use save_text::SavedTable;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tool::SaveTool;

pub(super) const KIND: SourceKind = SourceKind {
    name: "firewall",
    about: "rules and policies of iptables, ip6tables and nftables with their hits",
    scope: Scope::Namespace,
    interval: SECOND,
    open: |scene| Ok(Box::new(Firewall::open(scene))),
};

const fn family(unit: Unit) -> Family {
    let source = "nf_tables and x_tables counters";
    Family { unit, kind: CounterKind::Monotonic, source, station: Some(Station::Firewall) }
}
static PACKETS: Family = family(Unit::Packets);
static BYTES: Family = family(Unit::Bytes);

/// Rules changed under the reader's hands: it tries again so often, and then at the next reading.
const TRIES: usize = 3;

struct Firewall {
    netns: u64,
    netns_name: String,
    nft: Nft,
    legacy: Vec<Legacy>,
    /// When nf_tables and each family of x_tables were read the last time.
    read_ns: [Option<i64>; 3],
    said: Vec<String>,
    cost: Duration,
}

/// nf_tables in one namespace.
#[derive(Default)]
struct Nft {
    socket: Option<Socket>,
    generation: Option<u32>,
    /// Back ends that had rules at the last change: one that has none any more is told as empty.
    backends: Vec<Backend>,
    /// Identity of each rule by family, table, chain and handle.
    rules: HashMap<(u8, String, String, u64), Arc<str>>,
    policies: HashMap<(u8, String, String), Arc<str>>,
}

/// x_tables of one family in one namespace.
struct Legacy {
    family: legacy::Family,
    /// Both are opened at the start, since it takes rights; `None` where x_tables is not loaded.
    names: Option<TableNames>,
    tables: Option<Tables>,
    known: BTreeMap<String, KnownTable>,
}

#[derive(Default)]
struct KnownTable {
    fingerprint: u64,
    /// Identity of each rule by chain, in order; and of the policy.
    chains: HashMap<String, (Vec<Arc<str>>, Arc<str>)>,
}

impl Firewall {
    fn open(scene: &Scene<'_>) -> Self {
        let legacy = |family: legacy::Family| {
            let names = TableNames::open(family).ok().flatten();
            let tables = names.as_ref().and_then(|_| Tables::open(family).ok());
            Legacy { family, names, tables, known: BTreeMap::new() }
        };
        Self {
            netns: scene.target.netns.0,
            netns_name: scene.target.name.clone(),
            nft: Nft { socket: Socket::open(SockProtocol::NetlinkNetFilter).ok(), ..Nft::default() },
            legacy: [legacy::Family::V4, legacy::Family::V6].map(legacy).into(),
            read_ns: [None; 3],
            said: Vec::new(),
            cost: Duration::ZERO,
        }
    }

    /// Says once what cannot be read.
    fn limit(&mut self, what: &str, error: &io::Error, out: &mut Sample) {
        let why = match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => "reading it needs CAP_NET_ADMIN".to_owned(),
            _ => error.to_string(),
        };
        let sentence = format!("firewall: in {}, {what} cannot be read: {why}.", self.netns_name);
        if !self.said.contains(&sentence) {
            self.said.push(sentence.clone());
            out.limits.push(sentence);
        }
    }

    fn poll_nft(&mut self, out: &mut Sample) -> io::Result<()> {
        let Some(mut socket) = self.nft.socket.take() else { return Ok(()) };
        let result = self.poll_nft_by(&mut socket, out);
        self.nft.socket = Some(socket);
        result
    }

    fn poll_nft_by(&mut self, socket: &mut Socket, out: &mut Sample) -> io::Result<()> {
        // Where it had rules it is still there.
        if self.nft.backends.is_empty() && !is_nf_tables_there() {
            return Ok(());
        }
        for _ in 0..TRIES {
            let generation = nf_tables::generation(socket)?;
            let chains = nf_tables::read(socket)?;
            if self.nft.generation != Some(generation) {
                let sets = self.learn_nft(&chains, out);
                if nf_tables::generation(socket)? != generation {
                    continue;
                }
                let mut gone = std::mem::take(&mut self.nft.backends);
                gone.retain(|old| sets.iter().all(|(new, _)| new != old));
                self.nft.backends = sets.iter().map(|(backend, _)| *backend).collect();
                self.tell(
                    sets.into_iter().chain(gone.into_iter().map(|backend| (backend, Vec::new()))).collect(),
                    self.nft.generation.is_some(),
                    self.read_ns[0],
                    out,
                );
                self.nft.generation = Some(generation);
            }
            self.read_nft(&chains, out);
            return Ok(());
        }
        Err(io::Error::other("the rules changed again and again while they were read"))
    }

    /// Reads the rules' text and makes rule sets and identities of them.
    fn learn_nft(&mut self, chains: &[NftChain], out: &mut Sample) -> Vec<(Backend, Vec<Chain>)> {
        self.nft.rules.clear();
        self.nft.policies.clear();
        let mut sets = Vec::new();
        let mut taken = Vec::new();
        for (number, prefix, backend) in [(2, "iptables", Backend::IptablesNft), (10, "ip6tables", Backend::Ip6tablesNft)] {
            if !chains.iter().any(|chain| chain.family == number) {
                continue;
            }
            let saved = match tool::save(prefix, SaveTool::Nft, &[]) {
                Ok(text) => save_text::parse(&text),
                Err(error) => {
                    self.limit(&format!("the text of {prefix} rules"), &error, out);
                    continue;
                }
            };
            let mut set = Vec::new();
            for table in &saved {
                let own: Vec<_> = chains.iter().filter(|chain| chain.family == number && chain.table == table.name).collect();
                if agree(table, &own) {
                    taken.push((number, table.name.clone()));
                    self.learn_saved(table, &own, backend, &mut set);
                }
            }
            sets.push((backend, set));
        }
        let native = |chain: &&NftChain| !taken.contains(&(chain.family, chain.table.clone()));
        let native: Vec<_> = chains.iter().filter(native).collect();
        if !native.is_empty() {
            let texts = match tool::nft_list() {
                Ok(text) => nft_text::parse(&text),
                Err(error) => {
                    self.limit("the text of nftables rules", &error, out);
                    HashMap::new()
                }
            };
            let set = native.into_iter().map(|chain| self.learn_native(chain, &texts)).collect();
            sets.push((Backend::Nftables, set));
        }
        sets
    }

    /// A table that iptables-nft keeps in nf_tables.
    fn learn_saved(&mut self, table: &SavedTable, chains: &[&NftChain], backend: Backend, set: &mut Vec<Chain>) {
        for saved in &table.chains {
            // A chain that iptables shows and that nobody used yet is not in the kernel.
            let Some(chain) = chains.iter().find(|chain| chain.name == saved.name) else { continue };
            let key = |handle| (chain.family, chain.table.clone(), chain.name.clone(), handle);
            let rules = identity::rules_of_chain(backend, &table.name, saved);
            for (rule, kernel) in rules.iter().zip(&chain.rules) {
                self.nft.rules.insert(key(kernel.handle), rule.id.as_str().into());
            }
            let counted = chain.rules.iter().map(|rule| (rule.hits.is_some(), Some(rule.handle)));
            let policy_id = chain.policy_hits.map(|_| identity::policy(backend, &table.name, &saved.name));
            if let Some(id) = &policy_id {
                self.nft.policies.insert((chain.family, chain.table.clone(), chain.name.clone()), id.as_str().into());
            }
            set.push(Chain {
                table: table.name.clone(),
                name: saved.name.clone(),
                hook: chain.hook.map(str::to_owned),
                policy: saved.policy,
                rules: rules
                    .into_iter()
                    .zip(counted)
                    .map(|(rule, (counted, handle))| FirewallRule { counted, handle, ..rule })
                    .collect(),
                policy_id,
            });
        }
    }

    /// A chain of a native nftables table.
    fn learn_native(&mut self, chain: &NftChain, texts: &HashMap<nft_text::Place, String>) -> Chain {
        let table = format!("{} {}", nf_tables::family_name(chain.family), chain.table);
        let rules = chain.rules.iter().enumerate().map(|(at, rule)| {
            let place = (table.clone(), chain.name.clone(), rule.handle);
            let text = texts.get(&place).cloned().unwrap_or_else(|| format!("handle {}", rule.handle));
            let id = format!("{table}/{}/handle {}", chain.name, rule.handle);
            self.nft.rules.insert((chain.family, chain.table.clone(), chain.name.clone(), rule.handle), id.as_str().into());
            FirewallRule {
                id,
                position: at as u32 + 1,
                verdict: rule.verdict,
                counted: rule.hits.is_some(),
                probability: nft_text::probability(&text),
                handle: Some(rule.handle),
                text,
            }
        });
        let rules = rules.collect();
        let policy_id = chain.policy_hits.map(|_| identity::policy(Backend::Nftables, &table, &chain.name));
        if let Some(id) = &policy_id {
            self.nft.policies.insert((chain.family, chain.table.clone(), chain.name.clone()), id.as_str().into());
        }
        Chain { table, name: chain.name.clone(), hook: chain.hook.map(str::to_owned), policy: chain.policy, rules, policy_id }
    }

    fn read_nft(&self, chains: &[NftChain], out: &mut Sample) {
        for chain in chains {
            let mut key = (chain.family, chain.table.clone(), chain.name.clone(), 0);
            for rule in &chain.rules {
                key.3 = rule.handle;
                if let (Some(hits), Some(id)) = (rule.hits, self.nft.rules.get(&key)) {
                    self.read(["firewall.rule.packets", "firewall.rule.bytes"], id, hits, out);
                }
            }
            if let (Some(hits), Some(id)) = (chain.policy_hits, self.nft.policies.get(&(key.0, key.1, key.2))) {
                self.read(["firewall.policy.packets", "firewall.policy.bytes"], id, hits, out);
            }
        }
    }

    fn poll_legacy(&mut self, at: usize, out: &mut Sample) -> io::Result<()> {
        let family = self.legacy[at].family;
        if self.legacy[at].names.is_none() {
            match TableNames::open(family) {
                Ok(names) => self.legacy[at].names = names,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let why = io::Error::other("only root and CAP_DAC_READ_SEARCH list its tables");
                    self.limit("iptables-legacy", &why, out);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let names = self.legacy[at].names.as_mut().map_or_else(|| Ok(Vec::new()), TableNames::read)?;
        if names.is_empty() && self.legacy[at].known.is_empty() {
            return Ok(());
        }
        if self.legacy[at].tables.is_none() {
            self.legacy[at].tables = Some(Tables::open(family)?);
        }
        for _ in 0..TRIES {
            let read = |name: &String| {
                let tables = self.legacy[at].tables.as_ref().expect("it was opened above");
                Ok((name.clone(), tables.read(name)?))
            };
            let tables = names.iter().map(read).collect::<io::Result<Vec<_>>>()?;
            let known = &self.legacy[at].known;
            let is_known = |(name, table): &(String, LegacyTable)| {
                known.get(name).is_some_and(|known| known.fingerprint == table.fingerprint)
            };
            if known.len() != tables.len() || !tables.iter().all(is_known) {
                let was_known = !known.is_empty();
                let (backend, prefix) = match family {
                    legacy::Family::V4 => (Backend::IptablesLegacy, "iptables"),
                    legacy::Family::V6 => (Backend::Ip6tablesLegacy, "ip6tables"),
                };
                let saved = match tool::save(prefix, SaveTool::Legacy, &names) {
                    Ok(text) => save_text::parse(&text),
                    Err(error) => {
                        self.limit(&format!("the text of {prefix}-legacy rules"), &error, out);
                        Vec::new()
                    }
                };
                let Some((known, set)) = learn_legacy(&tables, &saved, backend) else { continue };
                self.legacy[at].known = known;
                self.tell(vec![(backend, set)], was_known, self.read_ns[at + 1], out);
            }
            self.read_legacy(at, &tables, out);
            return Ok(());
        }
        Err(io::Error::other("the rules changed again and again while they were read"))
    }

    fn read_legacy(&self, at: usize, tables: &[(String, LegacyTable)], out: &mut Sample) {
        for (name, table) in tables {
            let Some(known) = self.legacy[at].known.get(name) else { continue };
            for chain in &table.chains {
                let Some((rules, policy)) = known.chains.get(&chain.name) else { continue };
                for (id, (_, hits)) in rules.iter().zip(&chain.rules) {
                    self.read(["firewall.rule.packets", "firewall.rule.bytes"], id, *hits, out);
                }
                if let Some((_, hits)) = chain.policy {
                    self.read(["firewall.policy.packets", "firewall.policy.bytes"], policy, hits, out);
                }
            }
        }
    }

    fn read(&self, keys: [&'static str; 2], id: &Arc<str>, hits: Hits, out: &mut Sample) {
        for (key, kernel_name, family, value) in
            [(keys[0], "packets", &PACKETS, hits.packets), (keys[1], "bytes", &BYTES, hits.bytes)]
        {
            let name = Name { key: key.into(), netns: Some(self.netns), rule: Some(Arc::clone(id)), ..Name::default() };
            out.read(family, name, kernel_name, value);
        }
    }

    fn tell(&self, sets: Vec<(Backend, Vec<Chain>)>, is_change: bool, after_ns: Option<i64>, out: &mut Sample) {
        for (backend, chains) in sets {
            out.rule_sets.push(RuleSet { at_ns: out.at_ns, netns: self.netns, backend, chains, after_ns });
        }
        if is_change {
            out.mark("rules_changed", format!("The firewall rules of {} changed.", self.netns_name), Some(self.netns), None);
        }
    }
}

/// Identities and chains of all tables of a family; `None` where text and kernel do not agree, that is, changed in between.
/// Without any text the rules are told by their place alone.
fn learn_legacy(
    tables: &[(String, LegacyTable)],
    saved: &[SavedTable],
    backend: Backend,
) -> Option<(BTreeMap<String, KnownTable>, Vec<Chain>)> {
    let (mut all, mut set) = (BTreeMap::new(), Vec::new());
    for (name, table) in tables {
        let mut known = KnownTable { fingerprint: table.fingerprint, ..KnownTable::default() };
        let text = saved.iter().find(|saved| saved.name == *name);
        for chain in &table.chains {
            let saved = text.and_then(|text| text.chains.iter().find(|saved| saved.name == chain.name));
            let mut rules = match saved {
                Some(saved) if saved.rules.len() == chain.rules.len() => identity::rules_of_chain(backend, name, saved),
                Some(_) => return None,
                None if text.is_some() => return None,
                None => identity::rules_without_text(backend, name, &chain.name, chain.rules.len()),
            };
            for (rule, (verdict, _)) in rules.iter_mut().zip(&chain.rules) {
                rule.verdict = *verdict;
            }
            let policy = identity::policy(backend, name, &chain.name);
            let ids = rules.iter().map(|rule| rule.id.as_str().into()).collect();
            known.chains.insert(chain.name.clone(), (ids, policy.as_str().into()));
            set.push(Chain {
                table: name.clone(),
                name: chain.name.clone(),
                hook: chain.hook.map(str::to_owned),
                policy: chain.policy.map(|(verdict, _)| verdict),
                rules,
                policy_id: chain.policy.map(|_| policy),
            });
        }
        all.insert(name.clone(), known);
    }
    Some((all, set))
}

/// Whether a saved table is the one in the kernel: every chain has as many rules in both.
fn agree(saved: &SavedTable, chains: &[&NftChain]) -> bool {
    !chains.is_empty()
        && chains
            .iter()
            .all(|chain| saved.chains.iter().any(|saved| saved.name == chain.name && saved.rules.len() == chain.rules.len()))
}

/// Whether nf_tables is in the kernel: asking it would otherwise load the module. A kernel without modules may be asked.
fn is_nf_tables_there() -> bool {
    let Ok(modules) = std::fs::read_to_string("/proc/modules") else { return true };
    modules.lines().any(|line| line.starts_with("nf_tables ")) || is_nf_tables_built_in()
}

fn is_nf_tables_built_in() -> bool {
    static BUILT_IN: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let path = format!("/lib/modules/{}/modules.builtin", release.trim());
        std::fs::read_to_string(path).is_ok_and(|list| list.contains("/nf_tables.ko"))
    });
    *BUILT_IN
}

impl Source for Firewall {
    fn name(&self) -> &'static str {
        KIND.name
    }

    /// To ask the kernel, and for the tools that list rules. Those of x_tables ask by a raw socket.
    fn keeps(&self) -> Vec<Capability> {
        let has_legacy = self.legacy.iter().any(|one| one.names.is_some());
        let raw = Some(Capability::CAP_NET_RAW).filter(|_| has_legacy);
        [Capability::CAP_NET_ADMIN].into_iter().chain(raw).collect()
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        let began = Instant::now();
        let sets_before = out.rule_sets.len();
        let mut result = Ok(());
        for at in 0..=self.legacy.len() {
            let (what, read) = match at.checked_sub(1) {
                None => ("nf_tables", self.poll_nft(out)),
                Some(at) => ("iptables-legacy", self.poll_legacy(at, out)),
            };
            match read {
                Ok(()) => self.read_ns[at] = Some(out.at_ns),
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::EOPNOTSUPP | libc::EINVAL)) =>
                {
                    self.limit(&format!("{what} with its hits"), &error, out);
                }
                Err(error) => result = Err(SourceError::Failed { what: what.into(), why: error.to_string() }),
            }
        }
        // Fetching texts is dear and rare: it does not count.
        if out.rule_sets.len() == sets_before {
            self.cost = began.elapsed();
        }
        result
    }

    /// Reading takes a fiftieth of the time at most: 10,000 rules (35 ms) are read every two seconds.
    fn interval(&self, standard: Duration) -> Duration {
        standard.max(self.cost * 50)
    }
}
