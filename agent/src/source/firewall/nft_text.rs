//! What `nft -s -a list ruleset` prints: the text of each rule by its handle. Everything else about a rule comes from the kernel.

use std::collections::HashMap;

/// A rule's place: `inet filter`, `input`, handle.
pub(super) type Place = (String, String, u64);

/// The text of every rule. A long set is printed over several lines; the handle at the end of the last one closes the rule.
pub(super) fn parse(text: &str) -> HashMap<Place, String> {
    let mut rules = HashMap::new();
    let (mut table, mut chain) = (String::new(), None::<String>);
    let mut rule = String::new();
    for line in text.lines() {
        let depth = line.len() - line.trim_start_matches('\t').len();
        let (statement, handle) = split_handle(line.trim());
        match depth {
            0 => {
                let words: Vec<_> = statement.split_ascii_whitespace().collect();
                if let ["table", family, name, ..] = words.as_slice() {
                    table = format!("{family} {name}");
                }
            }
            1 => {
                // Sets, maps, counters and the like are blocks at the same depth; `}` closes either.
                chain = statement.strip_prefix("chain ").and_then(|rest| rest.split_ascii_whitespace().next()).map(str::to_owned);
                rule.clear();
            }
            _ => {
                let Some(chain) = &chain else { continue };
                if !rule.is_empty() {
                    rule.push(' ');
                }
                rule.push_str(statement);
                if let Some(handle) = handle {
                    rules.insert((table.clone(), chain.clone(), handle), std::mem::take(&mut rule));
                } else if rule.starts_with("type ") && rule.ends_with(';')
                    || rule.starts_with("comment ")
                    || rule.starts_with("policy ")
                {
                    // The chain's own declaration.
                    rule.clear();
                }
            }
        }
    }
    rules
}

/// A line without ` # handle 7`, and the handle.
fn split_handle(line: &str) -> (&str, Option<u64>) {
    match line.rsplit_once("# handle ") {
        Some((statement, handle)) => match handle.parse() {
            Ok(handle) => (statement.trim_end(), Some(handle)),
            Err(_) => (line, None),
        },
        None => (line, None),
    }
}

/// The share of packets that a `numgen random mod N < M` lets on.
pub(super) fn probability(rule: &str) -> Option<f64> {
    let mut words = rule.split_once("numgen random mod ")?.1.split_ascii_whitespace();
    let modulus: f64 = words.next()?.parse().ok()?;
    let (first, second) = (words.next()?, words.next());
    let below =
        if first == "<" { second?.parse::<f64>().ok()? } else { return first.parse::<u64>().ok().map(|_| 1.0 / modulus) };
    Some(below / modulus).filter(|p| (0.0..=1.0).contains(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `nft -s -a list ruleset`, nftables 1.0.6.
    const LISTED: &str = "table ip filter { # handle 1\n\
        \tchain INPUT { # handle 1\n\
        \t\ttype filter hook input priority filter; policy accept;\n\
        \t\ttcp dport 80 counter drop # handle 2\n\
        \t}\n\
        }\n\
        table inet t { # handle 4\n\
        \tset s { # handle 12\n\
        \t\ttype ipv4_addr\n\
        \t\telements = { 1.1.1.1, 2.2.2.2 }\n\
        \t}\n\
        \n\
        \tchain in { # handle 1\n\
        \t\ttype filter hook input priority filter; policy drop;\n\
        \t\ttcp dport 98 numgen random mod 100 < 30 drop comment \"see # handle 9\" # handle 3\n\
        \t\ttcp dport { 1001, 1002,\n\
        \t\t\t    1003 } drop # handle 14\n\
        \t}\n\
        }\n";

    #[test]
    fn rules_are_found_by_their_handle() {
        let mut rules: Vec<_> = parse(LISTED).into_iter().collect();
        rules.sort();
        let told: Vec<_> =
            rules.iter().map(|((table, chain, handle), text)| format!("{table}/{chain} {handle}: {text}")).collect();
        assert_eq!(
            told,
            [
                "inet t/in 3: tcp dport 98 numgen random mod 100 < 30 drop comment \"see # handle 9\"",
                "inet t/in 14: tcp dport { 1001, 1002, 1003 } drop",
                "ip filter/INPUT 2: tcp dport 80 counter drop",
            ]
        );
    }

    #[test]
    fn the_share_of_a_random_match_is_read() {
        assert_eq!(probability("tcp dport 98 numgen random mod 100 < 30 drop"), Some(0.3));
        assert_eq!(probability("numgen random mod 4 0 drop"), Some(0.25));
        assert_eq!(probability("tcp dport 98 drop"), None);
        assert_eq!(probability("numgen random mod 0 < 3 drop"), None);
    }
}
