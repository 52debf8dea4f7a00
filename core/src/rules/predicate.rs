//! Which packets a firewall rule matches, read from its text as `iptables-save` or `nft list ruleset` prints it.
//!
//! It knows what can be judged against conversations: interfaces, addresses, protocol, ports, connection state. A condition it
//! does not know makes the rule match *perhaps* fewer packets than told here ([`Predicate::is_exact`]); it never makes it match more.

use crate::dissect::Protocol;
use crate::flow::Flow;
use crate::ids::Direction;
use crate::log::block::KernelDrop;
use std::net::IpAddr;

/// The conditions of one rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Predicate {
    interface_in: Option<String>,
    interface_out: Option<String>,
    src: Option<Prefix>,
    dst: Option<Prefix>,
    protocol: Option<Protocol>,
    sports: Vec<(u16, u16)>,
    dports: Vec<(u16, u16)>,
    /// Connection states, lower case; empty for any.
    states: Vec<String>,
    /// Conditions that are not known, or are negated.
    unknown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Predicate {
    /// Reads a rule's text; nftables has words, iptables has options.
    pub(super) fn parse(text: &str) -> Self {
        let words: Vec<&str> = text.split([' ', ',', '{', '}', '"']).filter(|word| !word.is_empty()).collect();
        if text.starts_with('-') { Self::of_iptables(&words) } else { Self::of_nftables(&words) }
    }

    fn of_iptables(words: &[&str]) -> Self {
        let mut predicate = Self::default();
        let mut words = words.iter().copied().peekable();
        while let Some(word) = words.next() {
            match word {
                "!" => predicate.unknown = true,
                "-i" => predicate.interface_in = words.next().map(str::to_owned),
                "-o" => predicate.interface_out = words.next().map(str::to_owned),
                "-s" => predicate.src = words.next().and_then(prefix),
                "-d" => predicate.dst = words.next().and_then(prefix),
                "-p" => predicate.protocol = words.next().map(protocol),
                "--sport" | "--sports" | "--dport" | "--dports" => {
                    let ports = if word.starts_with("--s") { &mut predicate.sports } else { &mut predicate.dports };
                    while let Some(range) = words.peek().copied().and_then(port_range) {
                        ports.push(range);
                        words.next();
                    }
                }
                "--ctstate" | "--state" => {
                    while let Some(state) = words.next_if(|word| word.chars().all(|c| c.is_ascii_uppercase())) {
                        predicate.states.push(state.to_ascii_lowercase());
                    }
                }
                // `--syn` is printed as `--tcp-flags FIN,SYN,RST,ACK SYN`: packets that open a connection.
                "--tcp-flags" => {
                    let mut flags = Vec::new();
                    while let Some(flag) = words.next_if(|word| word.chars().all(|c| c.is_ascii_uppercase())) {
                        flags.push(flag);
                    }
                    match flags[..] {
                        ["FIN", "SYN", "RST", "ACK", "SYN"] => predicate.states.push("new".to_owned()),
                        _ => predicate.unknown = true,
                    }
                }
                "-m" => {
                    let known = ["tcp", "udp", "statistic", "conntrack", "state", "multiport", "comment"];
                    predicate.unknown |= words.next().is_some_and(|module| !known.contains(&module));
                }
                // What follows the target belongs to it (`--reject-with`, `--to-ports`).
                "-j" | "-g" => break,
                "-A" | "--mode" | "--probability" | "--every" | "--packet" => {
                    words.next();
                }
                "--comment" => while words.next_if(|word| !word.starts_with('-')).is_some() {},
                _ => predicate.unknown = true,
            }
        }
        predicate
    }

    fn of_nftables(words: &[&str]) -> Self {
        let mut predicate = Self::default();
        let mut words = words.iter().copied().peekable();
        // The ports that a verdict map is asked for: what stands before `vmap`.
        let (mut keyed_by_ports, mut is_concatenated) = (None, false);
        while let Some(word) = words.next() {
            if word == "vmap" {
                predicate.look_up(keyed_by_ports, words);
                break;
            }
            keyed_by_ports = None;
            match (word, words.peek().copied()) {
                // What follows the verdict belongs to it (`with icmp port-unreachable`, `comment "…"`).
                ("drop" | "reject" | "accept", _) => break,
                (".", _) | (_, Some(".")) => {
                    is_concatenated = true;
                    predicate.unknown = true;
                    continue;
                }
                ("sport" | "dport", Some("vmap")) => {
                    // A concatenation, `ip saddr . tcp dport`, has other keys.
                    keyed_by_ports = Some(word).filter(|_| !is_concatenated);
                    continue;
                }
                (_, Some("vmap")) => continue,
                ("iifname" | "iif", Some(name)) => predicate.interface_in = Some(name.to_owned()),
                ("oifname" | "oif", Some(name)) => predicate.interface_out = Some(name.to_owned()),
                ("saddr", Some(address)) => predicate.src = prefix(address),
                ("daddr", Some(address)) => predicate.dst = prefix(address),
                ("l4proto" | "protocol" | "nexthdr", Some(name)) => predicate.protocol = Some(protocol(name)),
                ("tcp" | "udp" | "sctp" | "icmp" | "icmpv6", Some(_)) => {
                    predicate.protocol = Some(protocol(word));
                    continue;
                }
                ("sport" | "dport", Some(_)) => {
                    let ports = if word == "sport" { &mut predicate.sports } else { &mut predicate.dports };
                    while let Some(range) = words.peek().copied().and_then(port_range) {
                        ports.push(range);
                        words.next();
                    }
                    continue;
                }
                ("state", Some(_)) => {
                    while let Some(state) =
                        words.next_if(|word| ["new", "established", "related", "invalid", "untracked"].contains(word))
                    {
                        predicate.states.push(state.to_owned());
                    }
                    continue;
                }
                // `numgen random mod 100 < 30`, `meta random & 2147483647 < 644245094`: a share, not a kind of packet.
                ("numgen" | "random" | "inc" | "mod" | "&" | "<", _) => {
                    words.next_if(|next| next.bytes().all(|b| b.is_ascii_digit()));
                    continue;
                }
                ("packets" | "bytes" | "comment" | "handle", Some(_)) => {}
                ("meta" | "ip" | "ip6" | "ct" | "counter" | "#", _) => continue,
                _ => {
                    predicate.unknown = true;
                    continue;
                }
            }
            words.next();
        }
        predicate
    }

    /// Of a verdict map, what leads to `drop`: ports are read, of other keys and of named maps nobody here knows.
    fn look_up<'w>(&mut self, keyed_by_ports: Option<&str>, words: impl Iterator<Item = &'w str>) {
        let pairs: Vec<&str> = words.filter(|word| *word != ":").collect();
        let dropped = pairs.as_chunks::<2>().0.iter().filter(|[_, verdict]| *verdict == "drop").map(|[key, _]| port_range(key));
        match (keyed_by_ports, dropped.collect::<Option<Vec<_>>>()) {
            (Some("sport"), Some(ports)) => self.sports = ports,
            (Some(_), Some(ports)) => self.dports = ports,
            _ => {}
        }
        let has_all = keyed_by_ports.is_some() && !(self.sports.is_empty() && self.dports.is_empty());
        self.unknown |= !has_all;
    }

    /// Whether every condition was understood.
    pub(super) fn is_exact(&self) -> bool {
        !self.unknown
    }

    /// Whether it has no condition at all.
    pub(super) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is about ICMP.
    pub(super) fn is_icmp(&self) -> bool {
        matches!(self.protocol, Some(Protocol::Icmp | Protocol::Icmpv6))
    }

    /// Whether packets of that direction may match; interfaces are given by name where they are known.
    pub(super) fn matches(&self, flow: &Flow, direction: Direction, captured_on: Option<&str>) -> bool {
        let (from, to) = (flow.sender(direction), flow.sender(direction.reverse()));
        let within =
            |ranges: &[(u16, u16)], port: u16| ranges.is_empty() || ranges.iter().any(|(a, b)| (*a..=*b).contains(&port));
        let on = |wanted: &Option<String>| match (wanted, captured_on) {
            (Some(wanted), Some(name)) => {
                wanted == name || wanted.strip_suffix(['+', '*']).is_some_and(|stem| name.starts_with(stem))
            }
            _ => true,
        };
        self.protocol.is_none_or(|protocol| protocol == flow.transport)
            && self.src.is_none_or(|prefix| prefix.holds(from.address))
            && self.dst.is_none_or(|prefix| prefix.holds(to.address))
            && within(&self.sports, from.port)
            && within(&self.dports, to.port)
            && on(&self.interface_in)
            && on(&self.interface_out)
    }

    /// Whether a packet that the kernel dropped may have matched.
    pub(super) fn matches_drop(&self, drop: &KernelDrop) -> bool {
        let Some(packet) = Headers::of(drop) else { return self.is_everything() };
        let within = |ranges: &[(u16, u16)], port: Option<u16>| {
            ranges.is_empty() || port.is_some_and(|port| ranges.iter().any(|(a, b)| (*a..=*b).contains(&port)))
        };
        self.protocol.is_none_or(|protocol| protocol == packet.protocol)
            && self.src.is_none_or(|prefix| prefix.holds(packet.src))
            && self.dst.is_none_or(|prefix| prefix.holds(packet.dst))
            && within(&self.sports, packet.ports.map(|ports| ports.0))
            && within(&self.dports, packet.ports.map(|ports| ports.1))
            && self.interface_in.as_ref().is_none_or(|name| drop.ifname.is_empty() || *name == drop.ifname)
    }

    /// How many packets of that direction match; 0 where the conversation does not.
    pub(super) fn packets(&self, flow: &Flow, direction: Direction, captured_on: Option<&str>) -> u64 {
        if !self.matches(flow, direction, captured_on) {
            return 0;
        }
        let all = u64::from(flow.side(direction).sent());
        // A connection is new until its answer was seen (nf_conntrack_proto_tcp.c); SYNs are its new packets.
        let new = if direction == Direction::AToB { u64::from(flow.handshake.syn_count).min(all) } else { 0 };
        let has = |state: &str| self.states.iter().any(|s| s == state);
        match (self.states.is_empty(), has("new"), has("established")) {
            (true, ..) | (_, true, true) => all,
            (_, true, false) => new,
            (_, false, true) => all - new,
            (_, false, false) => 0,
        }
    }
}

/// What a rule asks of a dropped packet.
pub(super) struct Headers {
    src: IpAddr,
    pub(super) dst: IpAddr,
    protocol: Protocol,
    ports: Option<(u16, u16)>,
}

impl Headers {
    pub(super) fn of(drop: &KernelDrop) -> Option<Self> {
        let bytes = &drop.bytes[..];
        let v4 = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
        let v6 = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?));
        let (src, dst, number, at) = match bytes.first()? >> 4 {
            4 => (v4(12)?, v4(16)?, *bytes.get(9)?, usize::from(bytes[0] & 0x0f) * 4),
            6 => (v6(8)?, v6(24)?, *bytes.get(6)?, 40),
            _ => return None,
        };
        let protocol = protocol(&number.to_string());
        let port = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let has_ports = matches!(protocol, Protocol::Tcp | Protocol::Udp | Protocol::Sctp);
        let ports = if has_ports { port(at).zip(port(at + 2)) } else { None };
        Some(Self { src, dst, protocol, ports })
    }
}

impl Prefix {
    fn holds(self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        let ((own, own_size), (other, size)) = (bits(self.address), bits(address));
        let shift = 128 - u32::from(self.length);
        own_size == size && (self.length == 0 || own >> shift == other >> shift)
    }
}

fn prefix(text: &str) -> Option<Prefix> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length = if length.is_empty() { full } else { length.parse().ok().filter(|length| *length <= full)? };
    Some(Prefix { address, length })
}

fn protocol(name: &str) -> Protocol {
    match name {
        "tcp" | "6" => Protocol::Tcp,
        "udp" | "17" => Protocol::Udp,
        "icmp" | "1" => Protocol::Icmp,
        "icmpv6" | "ipv6-icmp" | "58" => Protocol::Icmpv6,
        "sctp" | "132" => Protocol::Sctp,
        _ => Protocol::Other,
    }
}

/// `80`, `6000:6007`, `6000-6007`.
fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once([':', '-']).unwrap_or((text, text));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iptables_and_nftables_say_the_same_thing_in_their_own_words() {
        let iptables = Predicate::parse(
            "-A INPUT -s 10.0.0.0/8 -i eth0 -p tcp -m tcp --dport 80:81 -m conntrack --ctstate NEW,RELATED -j DROP",
        );
        let nftables = Predicate::parse(
            "iifname \"eth0\" ip saddr 10.0.0.0/8 tcp dport { 80-81 } ct state new,related counter packets 3 bytes 180 drop",
        );
        assert_eq!(iptables, nftables);
        assert!(iptables.is_exact());
    }

    #[test]
    fn a_rule_that_only_throws_dice_matches_everything() {
        for text in [
            "-A INPUT -m statistic --mode random --probability 0.29999999981 -j DROP",
            "meta random & 2147483647 < 644245094 counter packets 0 bytes 0 drop",
            "numgen random mod 100 < 30 counter packets 12 bytes 480 drop",
        ] {
            let predicate = Predicate::parse(text);
            assert!(predicate.is_everything(), "{text}: {predicate:?}");
        }
    }

    #[test]
    fn what_follows_a_verdict_is_no_condition() {
        for text in ["reject", "reject with icmp port-unreachable", "counter drop comment \"tcp dport 80\""] {
            assert!(Predicate::parse(text).is_everything(), "{text}");
        }
        assert_eq!(Predicate::parse("meta l4proto tcp reject with tcp reset"), Predicate::parse("meta l4proto tcp drop"));
    }

    #[test]
    fn a_verdict_map_matches_what_it_drops() {
        let map = Predicate::parse("iifname \"eth0\" tcp dport vmap { 80 : drop, 443 : accept, 8000-8100 : drop }");
        assert_eq!(map, Predicate::parse("iifname \"eth0\" tcp dport { 80, 8000-8100 } drop"));
        for text in
            ["tcp dport vmap @ports", "ip saddr vmap { 10.0.0.1 : drop }", "ip saddr . tcp dport vmap { 10.0.0.1 . 80 : drop }"]
        {
            let map = Predicate::parse(text);
            assert!(!map.is_exact() && map.dports.is_empty() && map.src.is_none(), "{text}: {map:?}");
        }
    }

    #[test]
    fn an_unknown_condition_is_not_taken_for_none() {
        for text in ["-A INPUT -m limit --limit 5/min -j DROP", "-A INPUT ! -s 10.0.0.1/32 -j DROP", "ip ttl 1 drop"] {
            assert!(!Predicate::parse(text).is_exact(), "{text}");
        }
    }
}
