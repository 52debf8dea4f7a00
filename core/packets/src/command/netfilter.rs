//! Commands about firewall rules, from what a log says of them.
//!
//! A rule's text is somebody else's. For iptables it is read into words as `iptables-restore` reads it, and a rule with a word that
//! could do more than match packets is refused: another command, another table, or `--modprobe`, which names a program to run. nft
//! reads its arguments as one text of its own language, so only plain identifiers and numbers get into it.

use super::Command;
use super::arg::Arg;
use std::net::IpAddr;

/// What keeps the rules, with the tool that changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `iptables-nft`, `iptables-legacy`, `ip6tables-nft` or `ip6tables-legacy`: the name that means it where both are installed.
    Iptables(&'static str),
    /// `nft`
    Nft,
}

/// Packets that a rule is to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The service.
    pub server: (IpAddr, u16),
    /// True for what goes to the service, false for its answers.
    pub to_server: bool,
}

/// A chain as a log names it.
#[derive(Clone, Copy, Debug)]
pub struct ChainName<'a> {
    /// Who keeps it.
    pub tool: Tool,
    /// `filter`; for nft family and table, `inet filter`.
    pub table: &'a str,
    /// `INPUT`
    pub name: &'a str,
}

impl ChainName<'_> {
    /// Lists the chain's rules, with their hits where they are counted. `None` if it has a name that cannot be typed.
    pub fn list(self) -> Option<Command> {
        match self.tool {
            Tool::Iptables(_) => Some(self.iptables("-nvL")?.args(["--line-numbers"])),
            Tool::Nft => self.nft(["-a", "list", "chain"]),
        }
    }

    /// Deletes one rule of it: for iptables by its text (`-A INPUT …`, as `iptables-save` prints it), for nft by its handle. `None` if the
    /// text cannot be read as conditions and a target, or there is no handle.
    pub fn delete(self, text: &str, handle: Option<u64>) -> Option<Command> {
        match self.tool {
            Tool::Iptables(_) => {
                let rule = rule_words(text, self.name)?;
                Some(rule.into_iter().fold(self.iptables("-D")?, Command::arg))
            }
            Tool::Nft => Some(self.nft(["delete", "rule"])?.args(["handle"]).arg(handle?)),
        }
    }

    /// Accepts these packets before any other rule of the chain decides about them.
    pub fn accept(self, traffic: Traffic) -> Option<Command> {
        let (address, port) = traffic.server;
        match self.tool {
            Tool::Iptables(_) => {
                let (host, service) = if traffic.to_server { ("-d", "--dport") } else { ("-s", "--sport") };
                let command = self.iptables("-I")?.args(["1", "-p", traffic.protocol, host]).arg(address);
                Some(command.args([service]).arg(port).args(["-j", "ACCEPT"]))
            }
            Tool::Nft => {
                let family = if address.is_ipv4() { "ip" } else { "ip6" };
                let (host, service) = if traffic.to_server { ("daddr", "dport") } else { ("saddr", "sport") };
                let command = self.nft(["insert", "rule"])?.args([family, host]).arg(address);
                Some(command.args([traffic.protocol, service]).arg(port).args(["accept"]))
            }
        }
    }

    fn iptables(self, action: &'static str) -> Option<Command> {
        let Tool::Iptables(program) = self.tool else { return None };
        let table = ["filter", "nat", "mangle", "raw", "security"].into_iter().find(|known| *known == self.table)?;
        let chain =
            Arg::checked(self.name).filter(|_| !self.name.contains(char::is_whitespace) && !self.name.starts_with('!'))?;
        let command = Command::new(program);
        let command = if table == "filter" { command } else { command.args(["-t", table]) };
        Some(command.args([action]).arg(chain))
    }

    fn nft<const N: usize>(self, action: [&'static str; N]) -> Option<Command> {
        let (family, table) = self.table.split_once(' ')?;
        let family = ["ip", "ip6", "inet", "arp", "bridge", "netdev"].into_iter().find(|known| *known == family)?;
        Some(Command::new("nft").args(action).args([family]).arg(nft_name(table)?).arg(nft_name(self.name)?))
    }
}

/// A word that nft's scanner reads as one identifier, and that is not a keyword where a name may stand.
fn nft_name(name: &str) -> Option<Arg> {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    Arg::checked(name).filter(|_| begins && goes_on)
}

/// Conditions and target of a rule of this chain.
fn rule_words(text: &str, chain: &str) -> Option<Vec<Arg>> {
    let words = words(text)?;
    let mut rest = words.iter().map(String::as_str);
    if rest.next() != Some("-A") || rest.next() != Some(chain) {
        return None;
    }
    rest.map(|word| is_harmless(word).then(|| Arg::of_rule(word)).flatten()).collect()
}

/// Whether iptables takes this word for a condition, a target or a value, whatever stands before it.
fn is_harmless(word: &str) -> bool {
    if let Some(long) = word.strip_prefix("--") {
        // getopt also takes the beginning of an option's name, and a value after an equals sign.
        let name = long.split('=').next().unwrap_or_default();
        return !name.is_empty() && !COMMANDS.contains(&name) && !"modprobe".starts_with(name);
    }
    !word.starts_with('-') || ["-s", "-d", "-i", "-o", "-p", "-f", "-j", "-g", "-m"].contains(&word)
}

/// Options of iptables that are about something else than one rule.
const COMMANDS: [&str; 18] = [
    "append",
    "check",
    "delete",
    "insert",
    "replace",
    "list",
    "list-rules",
    "flush",
    "zero",
    "new-chain",
    "new",
    "delete-chain",
    "rename-chain",
    "table",
    "help",
    "version",
    "wait",
    "set-counters",
];

/// The words of a line of `iptables-save`: separated by spaces, in double quotes where they hold some, with backslashes before
/// quotes and backslashes.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().push(chars.next()?),
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: ChainName<'_> = ChainName { tool: Tool::Iptables("iptables-nft"), table: "filter", name: "INPUT" };
    const NATIVE: ChainName<'_> = ChainName { tool: Tool::Nft, table: "inet filter", name: "input" };

    fn delete(text: &str) -> String {
        INPUT.delete(text, None).map_or_else(|| "none".into(), |command| command.line())
    }

    #[test]
    fn a_rule_is_deleted_by_the_words_of_its_text() {
        for (text, line) in [
            ("-A INPUT -s 10.0.0.9/32 -j DROP", "iptables-nft -D INPUT -s 10.0.0.9/32 -j DROP"),
            (
                "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN ! -i eth0 -m statistic --mode random --probability 0.3 -j DROP",
                "iptables-nft -D INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN '!' -i eth0 -m statistic --mode random --probability 0.3 \
                 -j DROP",
            ),
            (
                r#"-A INPUT -m comment --comment "a \"b\"; $(id) 'x'" -j REJECT --reject-with tcp-reset"#,
                r#"iptables-nft -D INPUT -m comment --comment 'a "b"; $(id) '\''x'\''' -j REJECT --reject-with tcp-reset"#,
            ),
            (r#"-A INPUT -m comment --comment "" -j DROP"#, "iptables-nft -D INPUT -m comment --comment '' -j DROP"),
            ("-A INPUT -m policy --dir in --pol ipsec -j DROP", "iptables-nft -D INPUT -m policy --dir in --pol ipsec -j DROP"),
        ] {
            assert_eq!(delete(text), line);
        }
    }

    #[test]
    fn what_does_more_than_match_packets_is_no_rule() {
        for text in [
            "",
            "rm -rf /",
            "-A OUTPUT -j DROP",
            "-A INPUT -j DROP -t nat",
            "-A INPUT --modprobe=/tmp/x -j DROP",
            "-A INPUT --modp /tmp/x -j DROP",
            "-A INPUT -M /tmp/x -j DROP",
            "-A INPUT -jM /tmp/x",
            "-A INPUT -F",
            "-A INPUT --flush INPUT",
            "-A INPUT --table nat -j DROP",
            "-A INPUT -m comment --comment \"open",
            "-A INPUT -m comment --comment \"a\u{1b}[2J\" -j DROP",
            "-A INPUT -m comment --comment \"a\u{202e}b\" -j DROP",
            "-A INPUT -- -j DROP",
        ] {
            assert_eq!(delete(text), "none", "{text:?}");
        }
        let other = |table, name| ChainName { table, name, ..INPUT }.delete("-A x; -j DROP", None);
        assert_eq!((other("filter; id", "x;"), other("filter", "-F")), (None, None));
        assert_eq!(other("nat", "x;").unwrap().line(), "iptables-nft -t nat -D 'x;' -j DROP");
    }

    #[test]
    fn a_native_rule_is_named_by_its_handle() {
        assert_eq!(NATIVE.delete("tcp dport 80 drop", Some(7)).unwrap().line(), "nft delete rule inet filter input handle 7");
        assert_eq!(NATIVE.delete("tcp dport 80 drop", None), None);
        for table in ["filter", "inet x;flush ruleset", "inet a\nb", "evil filter", "inet -x", "inet 1x", "inet "] {
            assert_eq!(ChainName { table, ..NATIVE }.delete("drop", Some(7)), None, "{table:?}");
        }
        assert_eq!(ChainName { name: "a ; flush ruleset ;", ..NATIVE }.list(), None);
    }

    #[test]
    fn chains_are_listed_and_opened_by_their_own_tool() {
        let v6 = ChainName { tool: Tool::Iptables("ip6tables-legacy"), table: "mangle", name: "FORWARD" };
        assert_eq!(v6.list().unwrap().line(), "ip6tables-legacy -t mangle -nvL FORWARD --line-numbers");
        assert_eq!(NATIVE.list().unwrap().line(), "nft -a list chain inet filter input");
        let traffic = Traffic { protocol: "tcp", server: ("10.0.0.1".parse().unwrap(), 80), to_server: true };
        let answers = Traffic { server: ("fd77::1".parse().unwrap(), 80), to_server: false, ..traffic };
        assert_eq!(INPUT.accept(traffic).unwrap().line(), "iptables-nft -I INPUT 1 -p tcp -d 10.0.0.1 --dport 80 -j ACCEPT");
        assert_eq!(
            v6.accept(answers).unwrap().line(),
            "ip6tables-legacy -t mangle -I FORWARD 1 -p tcp -s fd77::1 --sport 80 -j ACCEPT"
        );
        assert_eq!(
            NATIVE.accept(traffic).unwrap().line(),
            "nft insert rule inet filter input ip daddr 10.0.0.1 tcp dport 80 accept"
        );
        assert_eq!(
            NATIVE.accept(answers).unwrap().line(),
            "nft insert rule inet filter input ip6 saddr fd77::1 tcp sport 80 accept"
        );
    }
}
