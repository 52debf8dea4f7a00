//! What IP, ICMP, TCP and UDP counted: /proc/net/{snmp,netstat,snmp6}, every counter by the name `nstat` prints.

use super::proc_file::ProcFile;
use super::sample::{Family, Name, interned};
use super::{SECOND, Sample, Scope, Source, SourceError, SourceKind};
use dropscope_core::log::block::{CounterKind, Station, Unit};
use std::io;

pub(super) const KIND: SourceKind = SourceKind {
    name: "nstat",
    about: "what IP, ICMP, TCP and UDP counted, as `nstat -az` shows it",
    scope: Scope::Namespace,
    interval: SECOND,
    open: |scene| Ok(Box::new(Nstat::open(scene.target.netns.0)?)),
};

const PREFIX: &str = "nstat.";

/// Tells a table's counters: group, name, value.
type Parse = fn(&str, &mut dyn FnMut(&str, &str, u64));
const FILES: [(&str, Parse); 3] = [
    ("/proc/thread-self/net/snmp", pairs_of_lines),
    ("/proc/thread-self/net/netstat", pairs_of_lines),
    ("/proc/thread-self/net/snmp6", one_a_line),
];

struct Nstat {
    netns: u64,
    tables: Vec<Table>,
}

struct Table {
    path: &'static str,
    file: ProcFile,
    parse: Parse,
    /// The counters as they came the last time: they nearly always come so again.
    order: Vec<Known>,
}

#[derive(Clone, Copy)]
struct Known {
    key: &'static str,
    kernel_name: &'static str,
    family: &'static Family,
}

impl Known {
    fn of(group: &str, name: &str) -> Self {
        let key = interned(&format!("{PREFIX}{group}{name}"));
        let kernel_name = &key[PREFIX.len()..];
        Self { key, kernel_name, family: family_of(kernel_name) }
    }

    fn is(&self, group: &str, name: &str) -> bool {
        self.kernel_name.strip_prefix(group) == Some(name)
    }
}

impl Nstat {
    fn open(netns: u64) -> Result<Self, SourceError> {
        let mut tables = Vec::new();
        for (path, parse) in FILES {
            match ProcFile::open(path) {
                Ok(file) => tables.push(Table { path, file, parse, order: Vec::new() }),
                // A kernel without IPv6 has no snmp6; that is nothing to tell.
                Err(error) if error.kind() == io::ErrorKind::NotFound && path.ends_with('6') => {}
                Err(error) => return Err(SourceError::from_io(path, "read access", &error)),
            }
        }
        Ok(Self { netns, tables })
    }
}

impl Source for Nstat {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        for Table { path, file, parse, order } in &mut self.tables {
            let text = file.read().map_err(|error| SourceError::from_io(*path, "read access", &error))?;
            let mut at = 0;
            parse(text, &mut |group, name, value| {
                let known = match order.get(at) {
                    Some(known) if known.is(group, name) => *known,
                    _ => {
                        let known = Known::of(group, name);
                        order.truncate(at);
                        order.push(known);
                        known
                    }
                };
                at += 1;
                let name = Name { key: known.key.into(), netns: Some(self.netns), ..Name::default() };
                out.read(known.family, name, known.kernel_name, value);
            });
        }
        Ok(())
    }
}

/// snmp and netstat: a line of names and a line of values, both after `Tcp: `. Negative values (TcpMaxConn: no limit) are none.
fn pairs_of_lines(text: &str, each: &mut dyn FnMut(&str, &str, u64)) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (Some((group, names)), Some((_, values))) = (names.split_once(':'), values.split_once(':')) else { continue };
        for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
            if let Ok(value) = value.parse() {
                each(group, name, value);
            }
        }
    }
}

/// snmp6: a name and a value a line.
fn one_a_line(text: &str, each: &mut dyn FnMut(&str, &str, u64)) {
    for (name, value) in text.lines().filter_map(|line| line.split_once(char::is_whitespace)) {
        if let Ok(value) = value.trim().parse() {
            each("", name, value);
        }
    }
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

    fn told(parse: Parse, text: &str) -> Vec<String> {
        let mut told = Vec::new();
        parse(text, &mut |group, name, value| told.push(format!("{} {value}", Known::of(group, name).kernel_name)));
        told
    }

    #[test]
    fn names_are_those_of_nstat() {
        // Cut from /proc/net/snmp and /proc/net/netstat of kernel 6.18.
        let snmp = "Ip: Forwarding DefaultTTL InReceives\nIp: 1 64 371\n\
                    Tcp: RtoAlgorithm MaxConn RetransSegs\nTcp: 1 -1 5\n";
        let expected = ["IpForwarding 1", "IpDefaultTTL 64", "IpInReceives 371", "TcpRtoAlgorithm 1", "TcpRetransSegs 5"];
        assert_eq!(told(pairs_of_lines, snmp), expected);
        let netstat = "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 0 16\n";
        assert_eq!(told(pairs_of_lines, netstat)[1], "TcpExtListenOverflows 16");
        assert_eq!(told(one_a_line, "Ip6InReceives                   \t12\nbroken\n"), ["Ip6InReceives 12"]);
    }

    #[test]
    fn a_cut_file_gives_what_is_whole() {
        assert_eq!(told(pairs_of_lines, "Tcp: A B\nTcp: 1"), ["TcpA 1"]);
        assert!(told(pairs_of_lines, "Tcp: A B\n").is_empty());
    }

    #[test]
    fn the_counters_are_those_of_the_thread_that_reads() {
        let mut nstat = Nstat::open(7).expect("/proc is there");
        let mut samples = [Sample::default(), Sample::default()];
        for sample in &mut samples {
            nstat.poll(sample).expect("/proc can be read");
        }
        let names =
            samples.each_ref().map(|sample| sample.readings.iter().map(|one| one.kernel_name.clone()).collect::<Vec<_>>());
        assert_eq!(names[0], names[1], "kept names are those that were read");
        assert!(names[0].iter().any(|name| name == "TcpExtListenDrops"));
    }
}
