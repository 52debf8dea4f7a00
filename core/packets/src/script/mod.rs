//! A log written as text that people can read: the reference case, and the cases of the rules.
//!
//! Packets stand as `tcpdump -n` prints them; facts, counters, firewall rules and kernel drops stand between them, one a line,
//! those that belong together indented under a line with their time:
//!
//! ```text
//! date 2021-06-01
//! host web-1 kernel 4.15.0-96-generic
//! namespace 4026532177 web-1
//! interface 2 eth0 veth mtu 100 address 172.17.0.2/16
//! 14:40:00 rules iptables-legacy
//!   filter INPUT input ACCEPT
//!   -A INPUT -m statistic --mode random --probability 0.3 -j DROP
//! 14:40:00 counters
//!   link.rx_dropped eth0 338
//!   firewall.rule.packets INPUT 1 12
//!   nstat.IpInReceives 44
//! 14:40:00 mark rules_changed Two rules were deleted.
//! 14:40:00.1 drop NETFILTER_DROP nft_do_chain+0x3e8 eth0 IP 10.0.0.2.5 > 172.17.0.2.80: Flags [S], seq 1, win 512, length 0
//! 14:40:00.1 IP 10.0.0.2.5 > 172.17.0.2.80: Flags [S], seq 1, win 512, length 0
//! 14:40:00.100001 copy of 1
//! ```
//!
//! It promises that the packets it makes are whole and their checksums right, and that the same text gives the same bytes. It
//! is no capture format: it knows only what the cases need.

mod facts;
mod packet;

use crate::log::block::{Catalogue, Host, KernelDrop, Mark, RuleSet, Snapshot};
use crate::sort;
use crate::time::Timestamp;

/// One record of a script, in the order of its text.
#[derive(Clone, Debug, PartialEq)]
pub enum Scripted {
    /// Facts about the host.
    Host(Host),
    /// Descriptions of counters, before their first values.
    Catalogue(Catalogue),
    /// Values of counters.
    Snapshot(Snapshot),
    /// Firewall rules.
    RuleSet(RuleSet),
    /// Something that happened.
    Mark(Mark),
    /// A packet the kernel dropped.
    KernelDrop(KernelDrop),
    /// A packet that was captured: an Ethernet frame.
    Packet {
        /// When.
        time: Timestamp,
        /// Its bytes, as far as they were kept.
        frame: Vec<u8>,
        /// Its bytes on the wire.
        wire_len: u32,
    },
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the script: {why}: `{text}`")]
pub struct ScriptError {
    /// Its number, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// Where the packets of a script are taken: the interface that its `capture` line names, or else its first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturePoint {
    /// Its namespace's inode.
    pub netns: u64,
    /// The kernel's number for it.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
}

/// A script that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// Where its packets are taken; empty when it has no host facts.
    pub capture: CapturePoint,
    /// Its records.
    pub records: Vec<Scripted>,
}

impl Scripted {
    /// When it was.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_nanos(match self {
            Self::Host(host) => host.at_ns,
            // A description belongs to the values after it; before everything is early enough.
            Self::Catalogue(_) => i64::MIN,
            Self::Snapshot(snapshot) => snapshot.at_ns,
            Self::RuleSet(rules) => rules.at_ns,
            Self::Mark(mark) => mark.at_ns,
            Self::KernelDrop(drop) => drop.at_ns,
            Self::Packet { time, .. } => return *time,
        })
    }
}

impl Script {
    /// Puts packets of a real capture among the records, each at its time: what a host's tools told, and what was captured.
    pub fn with_packets(mut self, packets: impl IntoIterator<Item = Scripted>) -> Self {
        self.records.extend(packets);
        sort::by_key(&mut self.records, Scripted::time);
        self
    }

    /// Reads a script.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut packets = packet::Packets::default();
        let mut facts = facts::Facts::default();
        let mut records = Vec::new();
        let mut lines = text.lines().enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut under = Vec::new();
            while let Some((_, next)) = lines.next_if(|(_, next)| next.starts_with("  ")) {
                under.push(next.trim());
            }
            let fail = |why: String| ScriptError { line: index + 1, text: line.to_owned(), why };
            match line.split_once(' ').and_then(|(word, rest)| Some((facts.time(word)?, rest))) {
                None => facts.learn(line).map_err(fail)?,
                Some((time, packet)) if ["IP ", "IP6 ", "ARP, ", "copy of "].iter().any(|word| packet.starts_with(word)) => {
                    facts.say_host_once(&mut records, time);
                    let frame = match packet.strip_prefix("copy of ") {
                        Some(no) => packets.copy(no),
                        None => packets.frame(packet),
                    }
                    .map_err(fail)?;
                    let wire_len = frame.len() as u32;
                    records.push(Scripted::Packet { time, frame, wire_len });
                }
                Some((time, rest)) => {
                    facts.say_host_once(&mut records, time);
                    facts.event(time, rest, &under, &mut packets, &mut records).map_err(fail)?;
                }
            }
        }
        Ok(Self { capture: facts.capture_point(), records })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let error = Script::parse("date 2021-06-01\nhost a kernel 5\n14:40:00 wibble 3\n").unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.why.contains("wibble"), "{}", error.why);
    }

    #[test]
    fn counters_are_described_before_their_first_value_and_only_once() {
        let script = Script::parse(
            "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 100
14:40:00 counters
  link.rx_dropped eth0 3
14:40:01 counters
  link.rx_dropped eth0 5
",
        )
        .unwrap();
        let kinds: Vec<&str> = script
            .records
            .iter()
            .map(|record| match record {
                Scripted::Host(_) => "host",
                Scripted::Catalogue(_) => "catalogue",
                Scripted::Snapshot(_) => "snapshot",
                _ => "other",
            })
            .collect();
        assert_eq!(kinds, ["host", "catalogue", "snapshot", "snapshot"]);
    }
}
