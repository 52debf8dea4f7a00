//! What a rule is called over the life of a log. iptables' rules have no name of their own, and a line number changes when
//! another rule is added: a rule is named by its text, and by how many of the same text stand before it.

use super::save_text::{self, SavedChain};
use dropscope_core::log::block::{Backend, FirewallRule, Verdict};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// The rules of a chain as `iptables-save` prints it; every rule of iptables is counted.
pub(super) fn rules_of_chain(backend: Backend, table: &str, chain: &SavedChain) -> Vec<FirewallRule> {
    let mut same: HashMap<&str, u32> = HashMap::new();
    let mut rules = Vec::with_capacity(chain.rules.len());
    for (at, text) in chain.rules.iter().enumerate() {
        let nth = same.entry(text).or_default();
        *nth += 1;
        rules.push(FirewallRule {
            id: format!("{table}/{}/{}#{nth}", chain.name, hash(backend, text)),
            position: at as u32 + 1,
            verdict: save_text::verdict(text),
            counted: true,
            probability: save_text::probability(text),
            handle: None,
            text: text.clone(),
        });
    }
    rules
}

/// The rules of a chain whose text cannot be had: by place, which is all there is.
pub(super) fn rules_without_text(backend: Backend, table: &str, chain: &str, count: usize) -> Vec<FirewallRule> {
    let rule = |position| FirewallRule {
        id: format!("{table}/{chain}/{}#{position}", hash(backend, "without text")),
        text: format!("rule {position}"),
        position,
        verdict: Verdict::Other,
        counted: true,
        probability: None,
        handle: None,
    };
    (1..=count as u32).map(rule).collect()
}

/// What a chain's policy is called.
pub(super) fn policy(backend: Backend, table: &str, chain: &str) -> String {
    match backend {
        Backend::Nftables => format!("{table}/{chain}/policy"),
        _ => format!("{table}/{chain}/policy of {}", command(backend)),
    }
}

/// Eight hex digits from back end and text: the same text in two back ends is two rules.
fn hash(backend: Backend, text: &str) -> String {
    let digest = Sha256::new().chain_update(command(backend)).chain_update(text).finalize();
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// The tool of a back end, by the name that means it wherever both are installed.
fn command(backend: Backend) -> &'static str {
    match backend {
        Backend::IptablesNft => "iptables-nft",
        Backend::IptablesLegacy => "iptables-legacy",
        Backend::Ip6tablesNft => "ip6tables-nft",
        Backend::Ip6tablesLegacy => "ip6tables-legacy",
        Backend::Nftables => "nft",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(rules: &[&str]) -> SavedChain {
        SavedChain { name: "INPUT".into(), policy: None, rules: rules.iter().map(|&rule| rule.into()).collect() }
    }

    #[test]
    fn a_rule_keeps_its_identity_when_another_is_put_before_it() {
        let drop = "-A INPUT -p tcp -m tcp --dport 80 -j DROP";
        let before = rules_of_chain(Backend::IptablesNft, "filter", &chain(&[drop, drop]));
        let after = rules_of_chain(Backend::IptablesNft, "filter", &chain(&["-A INPUT -j ACCEPT", drop, drop]));
        assert_eq!((&before[0].id, &before[1].id), (&after[1].id, &after[2].id));
        assert_ne!(before[0].id, before[1].id, "twice the same text is two rules");
        assert!(before[1].id.starts_with("filter/INPUT/") && before[1].id.ends_with("#2"), "{}", before[1].id);
        assert_eq!((before[0].position, after[1].position), (1, 2));
    }

    #[test]
    fn the_same_text_in_another_back_end_is_another_rule() {
        let drop = chain(&["-A INPUT -j DROP"]);
        let id = |backend| rules_of_chain(backend, "filter", &drop)[0].id.clone();
        assert_ne!(id(Backend::IptablesNft), id(Backend::IptablesLegacy));
    }
}
