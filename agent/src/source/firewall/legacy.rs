//! x_tables' rules and counters by getsockopt: what `iptables-legacy` keeps in the kernel.
//!
//! Asking for a table that does not exist would create it, so only tables that /proc lists are asked for. The kernel hands out
//! a table as one block of entries (include/uapi/linux/netfilter_ipv4/ip_tables.h and netfilter_ipv6/ip6_tables.h).

// getsockopt with a structure of varying size has no safe wrapper.
#![allow(unsafe_code)]

use super::nf_tables::Hits;
use dropscope_core::log::block::Verdict;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

const SO_GET_INFO: libc::c_int = 64;
const SO_GET_ENTRIES: libc::c_int = 65;
/// `struct ipt_getinfo`: name[32], valid_hooks, hook_entry[5], underflow[5], num_entries, size.
const INFO_SIZE: usize = 84;
/// `struct ipt_get_entries` before its entries: name[32], size, and padding to eight bytes.
const ENTRIES_HEADER: usize = 40;
/// A table larger than this is not believed: 64 MB are about 250,000 rules.
const MOST_BYTES: usize = 64 << 20;

/// The five hooks in their order, as chains and as hooks are named.
pub(super) const HOOKS: [(&str, &str); 5] = [
    ("PREROUTING", "prerouting"),
    ("INPUT", "input"),
    ("FORWARD", "forward"),
    ("OUTPUT", "output"),
    ("POSTROUTING", "postrouting"),
];

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Family {
    V4,
    V6,
}

/// Where the parts of an entry lie.
struct Layout {
    target_offset: usize,
    next_offset: usize,
    counters: usize,
    size: usize,
}

impl Family {
    const fn layout(self) -> Layout {
        match self {
            // struct ipt_entry: ipt_ip is 84 bytes long, then nfcache.
            Self::V4 => Layout { target_offset: 88, next_offset: 90, counters: 96, size: 112 },
            // struct ip6t_entry: ip6t_ip6 is 136 bytes long, then nfcache.
            Self::V6 => Layout { target_offset: 140, next_offset: 142, counters: 152, size: 168 },
        }
    }

    /// The file that names the tables in use.
    fn names_path(self) -> &'static str {
        match self {
            Self::V4 => "/proc/thread-self/net/ip_tables_names",
            Self::V6 => "/proc/thread-self/net/ip6_tables_names",
        }
    }
}

/// The kernel's list of the tables in use, which only root may open.
#[derive(Debug)]
pub(super) struct TableNames(File);

impl TableNames {
    /// Opens it in the namespace of the calling thread; `None` where x_tables is not loaded.
    pub(super) fn open(family: Family) -> io::Result<Option<Self>> {
        match File::open(family.names_path()) {
            Ok(file) => Ok(Some(Self(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The tables in use now.
    pub(super) fn read(&mut self) -> io::Result<Vec<String>> {
        let mut text = String::new();
        self.0.rewind()?;
        self.0.read_to_string(&mut text)?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// A table as the kernel holds it.
#[derive(Debug, PartialEq)]
pub(super) struct LegacyTable {
    pub(super) chains: Vec<LegacyChain>,
    /// Differs when anything but the counters does.
    pub(super) fingerprint: u64,
}

/// A chain.
#[derive(Debug, PartialEq)]
pub(super) struct LegacyChain {
    pub(super) name: String,
    pub(super) hook: Option<&'static str>,
    pub(super) policy: Option<(Verdict, Hits)>,
    /// Verdict and hits of each rule, in order.
    pub(super) rules: Vec<(Verdict, Hits)>,
}

/// A raw socket, by which tables are asked for.
#[derive(Debug)]
pub(super) struct Tables {
    fd: OwnedFd,
    family: Family,
}

impl Tables {
    pub(super) fn open(family: Family) -> io::Result<Self> {
        let domain = match family {
            Family::V4 => AddressFamily::Inet,
            Family::V6 => AddressFamily::Inet6,
        };
        let fd = socket(domain, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)?;
        Ok(Self { fd, family })
    }

    /// Reads a table that is known to exist.
    pub(super) fn read(&self, table: &str) -> io::Result<LegacyTable> {
        let mut info = vec![0; INFO_SIZE];
        info.splice(..table.len().min(31), table.bytes().take(31));
        self.get(SO_GET_INFO, &mut info)?;
        let word = |at: usize| u32_at(&info, at);
        let size = word(80) as usize;
        if size > MOST_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the table {table} is {size} bytes long")));
        }
        let mut block = vec![0; ENTRIES_HEADER + size];
        block[..32].copy_from_slice(&info[..32]);
        block[32..36].copy_from_slice(&(size as u32).to_ne_bytes());
        // EAGAIN: the table changed in size since; the next reading will see it.
        self.get(SO_GET_ENTRIES, &mut block)?;
        let hooks = (0..5).map(|hook| {
            let is_valid = word(32) & (1 << hook) != 0;
            is_valid.then(|| (word(36 + hook * 4) as usize, word(56 + hook * 4) as usize))
        });
        Ok(walk(&block[ENTRIES_HEADER..], &hooks.collect::<Vec<_>>(), self.family))
    }

    fn get(&self, option: libc::c_int, buffer: &mut [u8]) -> io::Result<()> {
        let level = match self.family {
            Family::V4 => libc::SOL_IP,
            Family::V6 => libc::SOL_IPV6,
        };
        let mut length = buffer.len() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to `buffer`, which is as long; both live through the call.
        let result = unsafe { libc::getsockopt(self.fd.as_raw_fd(), level, option, buffer.as_mut_ptr().cast(), &raw mut length) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Goes through a table's entries. `hooks` holds, for each hook the table has, where its chain begins and where its policy stands.
fn walk(entries: &[u8], hooks: &[Option<(usize, usize)>], family: Family) -> LegacyTable {
    let layout = family.layout();
    let mut chains: Vec<LegacyChain> = Vec::new();
    let mut fingerprint = DefaultHasher::new();
    let mut at = 0;
    while let Some(entry) = entries.get(at..).filter(|entry| entry.len() >= layout.size) {
        let next = usize::from(u16_at(entry, layout.next_offset));
        let target = usize::from(u16_at(entry, layout.target_offset));
        let (Some(entry), Some(target)) = (entry.get(..next), entry.get(target..next)) else { break };
        if next < layout.size || target.len() < 32 {
            break;
        }
        fingerprint.write(&entry[..layout.counters]);
        fingerprint.write(&entry[layout.counters + 16..]);
        let counted = Hits { packets: u64_at(entry, layout.counters), bytes: u64_at(entry, layout.counters + 8) };
        let name = name_in(&target[2..31]);
        if let Some(hook) = hooks.iter().position(|hook| hook.is_some_and(|(begin, _)| begin == at)) {
            let (chain, hook) = HOOKS[hook];
            chains.push(LegacyChain { name: chain.into(), hook: Some(hook), policy: None, rules: Vec::new() });
        }
        if name == "ERROR" {
            // The head of a chain of the user's, which it names; the one named ERROR ends the table.
            chains.push(LegacyChain { name: name_in(&target[32..]), hook: None, policy: None, rules: Vec::new() });
        } else if let Some(chain) = chains.last_mut() {
            let verdict = verdict_of(&name, target);
            if hooks.iter().any(|hook| hook.is_some_and(|(_, policy)| policy == at)) {
                chain.policy = Some((verdict, counted));
            } else {
                chain.rules.push((verdict, counted));
            }
        }
        at += next;
    }
    if chains.last().is_some_and(|chain| chain.name == "ERROR" && chain.hook.is_none()) {
        chains.pop();
    }
    for chain in chains.iter_mut().filter(|chain| chain.hook.is_none()) {
        // iptables ends each chain of the user's with a RETURN that it does not show.
        chain.rules.pop();
    }
    LegacyTable { chains, fingerprint: fingerprint.finish() }
}

/// The standard target has no name and a verdict: -NF_DROP - 1, -NF_ACCEPT - 1, or where to jump.
fn verdict_of(name: &str, target: &[u8]) -> Verdict {
    match (name, target.get(32..36).map(|_| u32_at(target, 32) as i32)) {
        ("", Some(-1)) => Verdict::Drop,
        ("", Some(-2)) => Verdict::Accept,
        ("REJECT", _) => Verdict::Reject,
        _ => Verdict::Other,
    }
}

fn name_in(bytes: &[u8]) -> String {
    crate::source::netlink::text(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    crate::source::netlink::u16_at(bytes, at).unwrap_or(0)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    crate::source::netlink::u32_at(bytes, at).unwrap_or(0)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    crate::source::netlink::u64_at(bytes, at).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(family: Family, hits: u64, target_name: &str, data: &[u8]) -> Vec<u8> {
        let layout = family.layout();
        let mut target = vec![0; 32];
        target[2..2 + target_name.len()].copy_from_slice(target_name.as_bytes());
        target.extend(data);
        target.resize(target.len().next_multiple_of(8), 0);
        let mut entry = vec![0; layout.size];
        entry[layout.target_offset..][..2].copy_from_slice(&(layout.size as u16).to_ne_bytes());
        entry[layout.next_offset..][..2].copy_from_slice(&((layout.size + target.len()) as u16).to_ne_bytes());
        entry[layout.counters..][..8].copy_from_slice(&hits.to_ne_bytes());
        entry.extend(target);
        entry
    }

    /// A filter table with one rule in INPUT, a policy of DROP for FORWARD and a chain of the user's with one rule, laid out as
    /// kernel 6.18 hands it out.
    fn table(family: Family, hits: u64) -> LegacyTable {
        let standard = |hits, verdict: i32| entry(family, hits, "", &verdict.to_ne_bytes());
        let parts = [
            standard(hits, -1),
            standard(100, -2),
            standard(4, -1),
            standard(50, -2),
            entry(family, 0, "ERROR", b"mine\0"),
            entry(family, 2, "REJECT", &[0; 4]),
            standard(0, -5),
            entry(family, 0, "ERROR", b"ERROR\0"),
        ];
        let at = |part: usize| parts[..part].iter().map(Vec::len).sum::<usize>();
        let hooks = [None, Some((at(0), at(1))), Some((at(2), at(2))), Some((at(3), at(3))), None];
        walk(&parts.concat(), &hooks, family)
    }

    #[test]
    fn chains_rules_and_policies_are_told_apart() {
        for family in [Family::V4, Family::V6] {
            let told: Vec<String> = table(family, 6)
                .chains
                .iter()
                .map(|chain| {
                    let rules: Vec<_> =
                        chain.rules.iter().map(|(verdict, hits)| format!("{verdict:?} {}", hits.packets)).collect();
                    let policy = chain.policy.map(|(verdict, hits)| format!(" policy {verdict:?} {}", hits.packets));
                    format!("{} [{}]{}", chain.name, rules.join(", "), policy.unwrap_or_default())
                })
                .collect();
            assert_eq!(
                told,
                ["INPUT [Drop 6] policy Accept 100", "FORWARD [] policy Drop 4", "OUTPUT [] policy Accept 50", "mine [Reject 2]"]
            );
        }
    }

    #[test]
    fn counting_does_not_change_the_fingerprint_and_another_rule_does() {
        assert_eq!(table(Family::V4, 6).fingerprint, table(Family::V4, 7).fingerprint);
        assert_ne!(table(Family::V4, 6).fingerprint, walk(&[], &[], Family::V4).fingerprint);
    }

    #[test]
    fn a_block_cut_anywhere_is_read_as_far_as_it_goes() {
        let block = [entry(Family::V4, 1, "", &(-1i32).to_ne_bytes()), entry(Family::V4, 0, "ERROR", b"x\0")].concat();
        for cut in 0..block.len() {
            let _ = walk(&block[..cut], &[None, Some((0, 0))], Family::V4);
        }
        let lying = vec![0xff; 400];
        assert!(walk(&lying, &[], Family::V4).chains.is_empty());
    }
}
