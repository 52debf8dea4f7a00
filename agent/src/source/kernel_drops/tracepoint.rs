//! The tracepoint alone, where there is no eBPF: when, why and where in the code a packet was dropped, and its protocol.
//!
//! It tells no namespace, no interface and none of the packet's bytes, so it is read for the whole host and cannot be joined to
//! packets or conversations. It comes by perf buffers, which vanish with the process however that ends; nothing is written into
//! tracefs, which only says the tracepoint's number and how its fields lie.

use super::event::{Counted, DropEvent};
use super::perf::{self, Record, Ring};
use crate::source::netlink::{u16_at, u32_at, u64_at};
use std::collections::HashMap;
use std::io;
use std::path::Path;

/// Where tracefs is mounted; the second before Linux 4.1.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// Where a sample has the tracepoint's own fields: behind time and size.
const FIELDS_AT: usize = 12;
const SECOND_NS: u64 = 1_000_000_000;
/// As the eBPF programs report on a processor.
const EVENTS_PER_SECOND: u64 = 1000;

/// How the tracepoint's fields lie, and the names of its reasons.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Format {
    location: usize,
    protocol: usize,
    /// Linux 5.17.
    reason: Option<usize>,
    /// Reasons by number, as the kernel prints them.
    pub(super) reasons: HashMap<u32, String>,
}

/// The tracepoint at work.
pub(super) struct Tracepoint {
    format: Format,
    processors: Vec<Processor>,
    counts: HashMap<Counted, u64>,
}

struct Processor {
    ring: Ring,
    rate: Rate,
}

/// How many drops were reported in this second, and how many were not since the last that was.
#[derive(Debug, Default)]
struct Rate {
    began_ns: u64,
    reported: u64,
    skipped: u64,
}

impl Tracepoint {
    /// Opens it on every processor, with what it tells.
    pub(super) fn open() -> io::Result<Self> {
        let mounted = TRACEFS.iter().map(|root| Path::new(root).join("events")).find(|events| events.exists());
        let missing = "tracefs is not mounted (mount -t tracefs tracefs /sys/kernel/tracing)";
        let folder = mounted.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, missing))?.join("skb/kfree_skb");
        let read = |name: &str| {
            let path = folder.join(name);
            // The number stays, so that a missing right is told from a missing file.
            std::fs::read_to_string(&path)
        };
        let odd = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is not understood", folder.join("format").display()));
        let format = Format::parse(&read("format")?).ok_or_else(odd)?;
        let id = read("id")?.trim().parse().map_err(|_| odd())?;
        let rings = perf::on_each_processor(|cpu| {
            let ring = Ring::of_tracepoint(cpu, id)?;
            // Sockets of Unix and netlink have no protocol.
            ring.filter(c"protocol != 0")?;
            Ok(ring)
        })?;
        let processors = rings.into_iter().map(|ring| Processor { ring, rate: Rate::default() }).collect();
        Ok(Self { format, processors, counts: HashMap::new() })
    }

    /// Whether it tells why.
    pub(super) fn has_reason(&self) -> bool {
        self.format.reason.is_some()
    }

    /// The names of its reasons, once.
    pub(super) fn take_reasons(&mut self) -> HashMap<u32, String> {
        std::mem::take(&mut self.format.reasons)
    }

    /// Takes what was dropped since.
    pub(super) fn read(&mut self, mut take: impl FnMut(DropEvent)) {
        let (format, counts) = (&self.format, &mut self.counts);
        for Processor { ring, rate } in &mut self.processors {
            ring.read(|record| match record {
                Record::Lost(lost) => rate.skipped += lost,
                Record::Sample(sample) => {
                    let Some(mut event) = format.event(sample) else { return };
                    let counted = Counted { location: event.location, reason: event.reason, netns: 0, ifindex: 0 };
                    *counts.entry(counted).or_default() += 1;
                    if rate.allows(event.monotonic_ns as u64) {
                        event.skipped = std::mem::take(&mut rate.skipped);
                        take(event);
                    }
                }
            });
        }
    }

    /// How many were dropped in all, of each kind, but for those that found no room.
    pub(super) fn counts(&self) -> Vec<(Counted, u64)> {
        self.counts.iter().map(|(counted, count)| (*counted, *count)).collect()
    }
}

impl Rate {
    fn allows(&mut self, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.began_ns) >= SECOND_NS {
            (self.began_ns, self.reported) = (now_ns, 0);
        }
        let allowed = self.reported < EVENTS_PER_SECOND;
        *(if allowed { &mut self.reported } else { &mut self.skipped }) += 1;
        allowed
    }
}

impl Format {
    /// Reads the file `format`; `None` where a field that is needed is not there.
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str, size: &str| {
            let line = text.lines().find(|line| {
                let mut words = line.trim().split([';', '\t', ' ']).filter(|word| !word.is_empty());
                line.trim().starts_with("field:") && line.contains(size) && words.any(|word| word == name)
            })?;
            line.split("offset:").nth(1)?.split(';').next()?.trim().parse::<usize>().ok()
        };
        let reasons = text.split("__print_symbolic(REC->reason,").nth(1).unwrap_or_default();
        let reason = |pair: &str| {
            let (number, rest) = pair.split_once(',')?;
            let name = rest.split('"').nth(1)?;
            Some((number.trim().parse().ok()?, name.to_owned()))
        };
        Some(Self {
            location: field("location", "size:8;")?,
            protocol: field("protocol", "size:2;")?,
            reason: field("reason", "size:4;"),
            reasons: reasons.split('{').skip(1).filter_map(reason).collect(),
        })
    }

    fn event(&self, sample: &[u8]) -> Option<DropEvent> {
        let fields = sample.get(FIELDS_AT..)?;
        Some(DropEvent {
            monotonic_ns: u64_at(sample, 0)? as i64,
            location: u64_at(fields, self.location)?,
            ether_type: u16_at(fields, self.protocol)?,
            reason: self.reason.map_or(Some(0), |at| u32_at(fields, at))?,
            ..DropEvent::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: &str = "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n";
    /// As Linux 6.18 tells it, but for most of the reasons.
    const NEW: &str = "name: kfree_skb\nID: 2310\nformat:\n\
        \tfield:void * skbaddr;\toffset:8;\tsize:8;\tsigned:0;\n\
        \tfield:void * location;\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:void * rx_sk;\toffset:24;\tsize:8;\tsigned:0;\n\
        \tfield:unsigned short protocol;\toffset:32;\tsize:2;\tsigned:0;\n\
        \tfield:enum skb_drop_reason reason;\toffset:36;\tsize:4;\tsigned:0;\n\n\
        print fmt: \"skbaddr=%p rx_sk=%p protocol=%u location=%pS reason: %s\", REC->skbaddr, REC->rx_sk, REC->protocol, \
        REC->location, __print_symbolic(REC->reason, { 2, \"NOT_SPECIFIED\" }, { 12, \"NETFILTER_DROP\" })\n";
    /// As Linux told it before 5.17.
    const OLD: &str = "\tfield:void * skbaddr;\toffset:8;\tsize:8;\tsigned:0;\n\
        \tfield:void * location;\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:unsigned short protocol;\toffset:24;\tsize:2;\tsigned:0;\n\n\
        print fmt: \"skbaddr=%p protocol=%u location=%p\", REC->skbaddr, REC->protocol, REC->location\n";

    #[test]
    fn fields_lie_where_the_kernel_says() {
        let format = Format::parse(&format!("{COMMON}{NEW}")).expect("it is whole");
        let reasons = HashMap::from([(2, "NOT_SPECIFIED".to_owned()), (12, "NETFILTER_DROP".to_owned())]);
        assert_eq!(format, Format { location: 16, protocol: 32, reason: Some(36), reasons });
        let old = Format::parse(&format!("{COMMON}{OLD}")).expect("it is whole");
        assert_eq!(old, Format { location: 16, protocol: 24, ..Format::default() });
        assert_eq!(Format::parse(COMMON), None);
    }

    #[test]
    fn a_sample_is_read_by_its_format_and_a_cut_one_is_none() {
        let mut sample = [7_u64.to_ne_bytes().as_slice(), &44_u32.to_ne_bytes(), &[0; 44]].concat();
        sample[12 + 16..12 + 24].copy_from_slice(&0xffff_ffff_8100_0000_u64.to_ne_bytes());
        sample[12 + 32..12 + 34].copy_from_slice(&0x86dd_u16.to_ne_bytes());
        sample[12 + 36..12 + 40].copy_from_slice(&12_u32.to_ne_bytes());
        let format = Format::parse(NEW).expect("it is whole");
        let event = format.event(&sample).expect("it is whole");
        let told = (event.monotonic_ns, event.location, event.ether_type, event.reason);
        assert_eq!(told, (7, 0xffff_ffff_8100_0000, 0x86dd, 12));
        assert_eq!(format.event(&sample[..50]), None);
    }

    #[test]
    fn more_than_a_thousand_a_second_are_counted_only() {
        let mut rate = Rate::default();
        let allowed = |rate: &mut Rate, second: u64| (0..1500).filter(|_| rate.allows(second * SECOND_NS)).count();
        assert_eq!((allowed(&mut rate, 5), rate.skipped), (1000, 500));
        assert_eq!((allowed(&mut rate, 6), rate.skipped), (1000, 1000));
    }
}
