//! A firewall's rules, with their text as its own tool prints it.

use super::codec::known_or_default;
use crate::command::netfilter::{ChainName, Tool};
use borsh::{BorshDeserialize, BorshSerialize};
use minicbor::{Decode, Encode};

/// All rules of one back end in one namespace; a later set replaces an earlier one of the same two.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct RuleSet {
    /// When it was read, nanoseconds since the Unix epoch.
    #[n(0)]
    #[cbor(default)]
    pub at_ns: i64,
    /// The namespace.
    #[n(1)]
    #[cbor(default)]
    pub netns: u64,
    /// Which rules.
    #[n(2)]
    pub backend: Backend,
    /// The chains that hold rules or have a policy.
    #[n(3)]
    #[cbor(default)]
    pub chains: Vec<Chain>,
    /// When the rules were last found otherwise: what is new here came after it. `None` in the first reading of a recording.
    #[n(4)]
    pub after_ns: Option<i64>,
}

/// Who holds the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(index_only)]
pub enum Backend {
    /// `iptables-nft`: iptables rules kept in nftables.
    #[n(0)]
    IptablesNft,
    /// `iptables-legacy`: x_tables.
    #[n(1)]
    IptablesLegacy,
    /// `ip6tables-nft`.
    #[n(2)]
    Ip6tablesNft,
    /// `ip6tables-legacy`.
    #[n(3)]
    Ip6tablesLegacy,
    /// Native nftables.
    #[n(4)]
    Nftables,
}

impl<'a> ChainName<'a> {
    /// This chain of that back end.
    pub fn of(backend: Backend, chain: &'a Chain) -> Self {
        let tool = match backend {
            Backend::IptablesNft => Tool::Iptables("iptables-nft"),
            Backend::IptablesLegacy => Tool::Iptables("iptables-legacy"),
            Backend::Ip6tablesNft => Tool::Iptables("ip6tables-nft"),
            Backend::Ip6tablesLegacy => Tool::Iptables("ip6tables-legacy"),
            Backend::Nftables => Tool::Nft,
        };
        Self { tool, table: &chain.table, name: &chain.name }
    }
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Chain {
    /// `filter`; for nftables family and table, `inet filter`.
    #[n(0)]
    #[cbor(default)]
    pub table: String,
    /// `INPUT`.
    #[n(1)]
    #[cbor(default)]
    pub name: String,
    /// The netfilter hook it hangs on, `input`, `forward`, `output`, `prerouting`, `postrouting`, `ingress`; `None` for a chain that is only jumped to.
    #[n(2)]
    pub hook: Option<String>,
    /// What happens to a packet that no rule decided; `None` for a chain without a policy.
    #[n(3)]
    #[cbor(default, decode_with = "known_or_default")]
    pub policy: Option<Verdict>,
    /// The rules, in order.
    #[n(4)]
    #[cbor(default)]
    pub rules: Vec<FirewallRule>,
    /// The identity its policy's counter bears (`firewall.policy.packets`), as [`FirewallRule::id`].
    #[n(5)]
    pub policy_id: Option<String>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct FirewallRule {
    /// Its identity over the log's life: nftables `inet filter/input/handle 7`; iptables `filter/INPUT/HASH#2`, from its text and
    /// how many rules of the same text stand before it. Never a line number, which changes when another rule is added.
    #[n(0)]
    #[cbor(default)]
    pub id: String,
    /// Its text, as `iptables-save` (without counters) or `nft list ruleset` prints it.
    #[n(1)]
    #[cbor(default)]
    pub text: String,
    /// Its place in the chain when it was read, from 1, as `iptables -L --line-numbers` shows it.
    #[n(2)]
    #[cbor(default)]
    pub position: u32,
    /// What it does with a packet it matches.
    #[n(3)]
    #[cbor(default, decode_with = "known_or_default")]
    pub verdict: Verdict,
    /// Whether it counts its hits. A native nftables rule without `counter` does not: its drops are invisible here.
    #[n(4)]
    #[cbor(default)]
    pub counted: bool,
    /// The probability of a `statistic` match or the share of a `numgen random` one, 0 to 1.
    #[n(5)]
    pub probability: Option<f64>,
    /// nftables handle. (Key 6 is not used any more: it held a command, and nothing in a log is one.)
    #[n(7)]
    pub handle: Option<u64>,
}

/// What a rule or a policy does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(index_only)]
pub enum Verdict {
    /// Goes on its way.
    #[n(0)]
    Accept,
    /// Vanishes.
    #[n(1)]
    Drop,
    /// Is refused with ICMP or RST.
    #[n(2)]
    Reject,
    /// Anything else: jumps, marks, logs, translates, counts.
    #[n(3)]
    #[default]
    Other,
}
