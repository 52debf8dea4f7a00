//! What IP, ICMP, TCP and UDP counted: /proc/net/{snmp,netstat,snmp6}, every counter by the name `nstat` prints.

use super::sample::{Family, Name};
use super::{SECOND, Sample, Scope, Source, SourceError, SourceKind};
use dropscope_core::log::block::{CounterKind, Station, Unit};

pub(super) const KIND: SourceKind = SourceKind {
    name: "nstat",
    about: "what IP, ICMP, TCP and UDP counted, as `nstat -az` shows it",
    scope: Scope::Namespace,
    interval: SECOND,
    open: |scene| Ok(Box::new(Nstat { netns: scene.target.netns.0 })),
};

struct Nstat {
    netns: u64,
}

impl Source for Nstat {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        for (path, parse) in [
            ("/proc/thread-self/net/snmp", pairs_of_lines as fn(&str) -> Vec<(String, u64)>),
            ("/proc/thread-self/net/netstat", pairs_of_lines),
            ("/proc/thread-self/net/snmp6", one_a_line),
        ] {
            let text = match std::fs::read_to_string(path) {
                Ok(text) => text,
                // A kernel without IPv6 has no snmp6; that is nothing to tell.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.ends_with('6') => continue,
                Err(error) => return Err(SourceError::from_io(path, "read access", &error)),
            };
            for (name, value) in parse(&text) {
                let key = format!("nstat.{name}");
                let family = family_of(&name);
                out.read(family, Name { key: key.into(), netns: Some(self.netns), ..Name::default() }, name, value);
            }
        }
        Ok(())
    }
}

/// snmp and netstat: a line of names and a line of values, both after `Tcp: `. Negative values (TcpMaxConn: no limit) are none.
fn pairs_of_lines(text: &str) -> Vec<(String, u64)> {
    let mut lines = text.lines();
    let mut counters = Vec::new();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (Some((group, names)), Some((_, values))) = (names.split_once(':'), values.split_once(':')) else { continue };
        for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
            if let Ok(value) = value.parse() {
                counters.push((format!("{group}{name}"), value));
            }
        }
    }
    counters
}

/// snmp6: a name and a value a line.
fn one_a_line(text: &str) -> Vec<(String, u64)> {
    let counter = |line: &str| {
        let (name, value) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(counter).collect()
}

macro_rules! families {
    ($($name:ident: $unit:ident $kind:ident $station:ident;)*) => {
        $(static $name: Family = Family {
            unit: Unit::$unit,
            kind: CounterKind::$kind,
            source: "/proc/net/snmp, netstat, snmp6",
            station: Some(Station::$station),
        };)*
    };
}
families! {
    IP_PACKETS: Packets Monotonic Ip;
    IP_BYTES: Bytes Monotonic Ip;
    IP_SETTING: Count Gauge Ip;
    TRANSPORT: Count Monotonic Transport;
    TRANSPORT_PACKETS: Packets Monotonic Transport;
    SEGMENTS: Segments Monotonic Transport;
    TRANSPORT_GAUGE: Count Gauge Transport;
    SOCKET: Packets Monotonic Socket;
}

fn family_of(name: &str) -> &'static Family {
    match name {
        "IpForwarding" | "IpDefaultTTL" => &IP_SETTING,
        "TcpRtoAlgorithm" | "TcpRtoMin" | "TcpRtoMax" | "TcpMaxConn" | "TcpCurrEstab" | "MPTcpExtMPCurrEstab" => &TRANSPORT_GAUGE,
        "TcpInSegs" | "TcpOutSegs" | "TcpRetransSegs" => &SEGMENTS,
        "TcpExtListenOverflows"
        | "TcpExtListenDrops"
        | "TcpExtTCPBacklogDrop"
        | "TcpExtTCPRcvQDrop"
        | "TcpExtTCPZeroWindowDrop" => &SOCKET,
        _ if name.ends_with("Octets") || name.ends_with("OctetsTotal") => &IP_BYTES,
        _ if name.ends_with("RcvbufErrors") || name.ends_with("SndbufErrors") || name.ends_with("MemErrors") => &SOCKET,
        _ if name.starts_with("Tcp") || name.starts_with("MPTcp") => &TRANSPORT,
        _ if name.starts_with("Udp") => &TRANSPORT_PACKETS,
        _ => &IP_PACKETS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_nstat() {
        // Cut from /proc/net/snmp and /proc/net/netstat of kernel 6.18.
        let snmp = "Ip: Forwarding DefaultTTL InReceives\nIp: 1 64 371\n\
                    Tcp: RtoAlgorithm MaxConn RetransSegs\nTcp: 1 -1 5\n";
        assert_eq!(
            pairs_of_lines(snmp),
            [("IpForwarding", 1), ("IpDefaultTTL", 64), ("IpInReceives", 371), ("TcpRtoAlgorithm", 1), ("TcpRetransSegs", 5)]
                .map(|(name, value)| (name.to_owned(), value))
        );
        let netstat = "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 0 16\n";
        assert_eq!(pairs_of_lines(netstat)[1], ("TcpExtListenOverflows".to_owned(), 16));
        assert_eq!(one_a_line("Ip6InReceives                   \t12\nbroken\n"), [("Ip6InReceives".to_owned(), 12)]);
    }

    #[test]
    fn a_cut_file_gives_what_is_whole() {
        assert_eq!(pairs_of_lines("Tcp: A B\nTcp: 1"), [("TcpA".to_owned(), 1)]);
        assert!(pairs_of_lines("Tcp: A B\n").is_empty());
    }
}
