//! Commands that several rules give.

use super::View;
use super::host;
use crate::command::{Arg, Command, IfName};
use crate::log::block::Namespace;
use std::net::IpAddr;

/// Shows packets to and from this address that open a connection, or those that answer such.
pub(super) fn watch_syns(address: IpAddr, answers: bool) -> Command {
    // libpcap knows the flags of TCP by name only over IPv4; behind the 40 bytes of an IPv6 header they are byte 53.
    let flags = match (address.is_ipv4(), answers) {
        (true, false) => "tcp[tcpflags] & tcp-syn != 0 and host ",
        (true, true) => "tcp[tcpflags] & (tcp-syn|tcp-ack) = (tcp-syn|tcp-ack) and host ",
        (false, false) => "ip6 and tcp and ip6[53] & 0x02 != 0 and host ",
        (false, true) => "ip6 and tcp and ip6[53] & 0x12 = 0x12 and host ",
    };
    tcpdump(Arg::concat([flags.into(), address.into()]))
}

/// Shows packets between these two.
pub(super) fn watch_between(a: IpAddr, b: IpAddr) -> Command {
    tcpdump(Arg::concat(["host ".into(), a.into(), " and host ".into(), b.into()]))
}

fn tcpdump(filter: Arg) -> Command {
    Command::new("tcpdump").args(["-n", "-i", "any"]).arg(filter)
}

/// Show all rules of the firewall that packets of this address's family meet.
pub(super) fn firewall(address: IpAddr) -> [Command; 2] {
    let iptables = if address.is_ipv4() { "iptables" } else { "ip6tables" };
    [Command::new(iptables).args(["-nvL"]), Command::new("nft").args(["list", "ruleset"])]
}

/// A command about an interface of this namespace, if its name can be typed: `build` has the name.
pub(super) fn about_interface(
    namespace: Option<&Namespace>,
    name: &str,
    build: impl FnOnce(IfName) -> Command,
) -> Option<Command> {
    IfName::new(name).map(|name| host::inside(namespace, build(name)))
}

/// Instead of a command about an interface whose name cannot be typed.
pub(super) const UNTYPEABLE: &str = "The interface has a name that cannot be typed safely, so no command is given.";

/// Probes the path from one to the other with packets that routers may not fragment, of this length as IP. `None` if headers alone
/// are longer.
pub(super) fn ping(view: &View<'_>, from: IpAddr, to: IpAddr, ip_len: u32, effect: &str) -> Option<Command> {
    // What `ping -s` takes: without the headers of IP and ICMP.
    let size = ip_len.checked_sub(if to.is_ipv4() { 28 } else { 48 })?;
    let command = Command::new("ping").args(["-M", "do", "-c", "3", "-s"]).arg(size).arg(to);
    Some(host::on(view, from, command.effect(effect)))
}

/// Finds the path's MTU towards this address, as seen from that one.
pub(super) fn trace_path(view: &View<'_>, from: IpAddr, to: IpAddr) -> Command {
    let command = Command::new("tracepath").args(["-n"]).arg(to);
    host::on(view, from, command.effect("Shows the path's MTU and the hop where it shrinks."))
}

#[cfg(test)]
mod tests {
    use crate::reference;
    use crate::rules::case::judged;
    use crate::script::{Script, Scripted};

    /// The commands of what this rule finds in a script in which every `EVIL` is this name instead, and its advice.
    fn lines(rule: &str, script: &str, name: &str) -> Vec<String> {
        let mut script = Script::parse(script).unwrap_or_else(|error| panic!("{error}"));
        let put = |text: &mut String| *text = text.replace("EVIL", name);
        for record in &mut script.records {
            match record {
                Scripted::Host(host) => {
                    for namespace in &mut host.namespaces {
                        put(&mut namespace.name);
                        namespace.path.iter_mut().for_each(put);
                        namespace.interfaces.iter_mut().for_each(|interface| put(&mut interface.name));
                    }
                }
                Scripted::Catalogue(catalogue) => {
                    catalogue.counters.iter_mut().filter_map(|counter| counter.ifname.as_mut()).for_each(put);
                }
                Scripted::RuleSet(rules) => {
                    for chain in &mut rules.chains {
                        put(&mut chain.table);
                        put(&mut chain.name);
                        chain.rules.iter_mut().for_each(|rule| put(&mut rule.text));
                    }
                }
                _ => {}
            }
        }
        let findings = judged(&reference::encode(&script)).findings;
        let found: Vec<_> = findings.iter().filter(|finding| finding.rule == rule).collect();
        assert!(!found.is_empty(), "{findings:#?}");
        let lines = found.iter().flat_map(|finding| finding.confirm.iter().chain(&finding.fix)).map(|command| command.line());
        lines.chain(found.iter().filter_map(|finding| finding.advice.clone())).collect()
    }

    const RING: &str = "date 2021-06-01
namespace 7 web-1 WAY
interface 2 EVIL hardware mtu 1500 address 10.0.0.1/24
14:40:00 counters
  link.rx_packets EVIL 1000
  link.rx_dropped EVIL 0
  link.rx_missed_errors EVIL 0
14:40:05 counters
  link.rx_packets EVIL 2000
  link.rx_missed_errors EVIL 90
";

    #[test]
    fn the_name_of_an_interface_is_one_word_of_a_command_whatever_it_is() {
        let ring = RING.replace("WAY", "own");
        assert_eq!(
            lines("interface_drops", &ring, "x;id;#"),
            ["ip -s -s link show dev 'x;id;#'", "ethtool -S 'x;id;#'", "ethtool -G 'x;id;#' rx 4096"]
        );
        for name in ["a\u{1b}[2J", "a\u{202e}b", "--help", "a\nid"] {
            let advice = format!("A larger receive ring. {}", super::UNTYPEABLE);
            assert_eq!(lines("interface_drops", &ring, name), [advice], "{name:?}");
        }
    }

    #[test]
    fn a_command_goes_into_its_namespace_by_the_way_it_was_found() {
        for (way, prefix) in [
            ("own", ""),
            ("named", "ip netns exec web-1 "),
            ("process 4711", "nsenter -n -t 4711 "),
            ("container 4711", "nsenter -n -t 4711 "),
            ("file /run/x;id", "nsenter '--net=/run/x;id' "),
            ("file run/x", ""),
            ("", ""),
        ] {
            let told = lines("interface_drops", &RING.replace("WAY", way).replace("1 \n", "1\n"), "eth0");
            assert_eq!(told[0], format!("{prefix}ip -s -s link show dev eth0"), "{way}");
        }
    }

    const RULE: &str = "date 2021-06-01
namespace 7 web-1 own
interface 2 eth0 veth mtu 1500 address 10.0.0.1/24
14:40:00 rules BACKEND
  TABLE CHAIN input ACCEPT
  TEXT
14:40:00 counters
  firewall.rule.packets CHAIN 1 0
14:40:05 counters
  firewall.rule.packets CHAIN 1 9
";

    fn rule(backend: &str, table: &str, chain: &str, text: &str, name: &str) -> Vec<String> {
        let script = RULE.replace("BACKEND", backend).replace("TABLE", table).replace("CHAIN", chain).replace("TEXT", text);
        lines("firewall_drop", &script, name)
    }

    #[test]
    fn what_deletes_a_rule_is_made_of_its_text_or_not_at_all() {
        let legacy = |name| rule("iptables-legacy", "filter", "INPUT", "-A INPUT -m comment --comment EVIL -j DROP", name);
        let show = "iptables-legacy -nvL INPUT --line-numbers";
        assert_eq!(legacy("$(id)"), [show, "iptables-legacy -D INPUT -m comment --comment '$(id)' -j DROP"]);
        assert_eq!(legacy("\"a; `id`\""), [show, "iptables-legacy -D INPUT -m comment --comment 'a; `id`' -j DROP"]);
        for evil in ["x --modprobe=/tmp/x", "\"open", "\u{1b}[2J", "\u{202e}", "x -t nat"] {
            let told = legacy(evil);
            assert!(told[0] == show && told[1].starts_with("Delete the rule, if nobody"), "{evil:?}: {told:?}");
        }
        assert_eq!(
            rule("nftables", "inet filter", "in", "tcp dport 80 counter drop", ""),
            ["nft -a list chain inet filter in", "nft delete rule inet filter in handle 2"]
        );
    }
}
