//! A capture in the log: how it is described, and what was counted of it.

use crate::source::clock::realtime_ns;
use crate::source::sample::{Family, Name};
use crate::source::{Batch, Capture, CaptureStatistics, Sample};
use dropscope_core::ids::{InterfaceId, NetnsId};
use dropscope_core::log::block::{CounterKind, Station, Unit};
use dropscope_core::log::record::{Interface, Statistics, Watched};
use dropscope_core::time::Timestamp;

/// A capture as the log describes it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// Its namespace.
    pub(crate) netns: NetnsId,
    /// The kernel's number of its interface; 0 for `any`.
    pub(crate) ifindex: u32,
    /// Its interface's name.
    pub(crate) name: String,
    /// LINKTYPE_ value of its packets.
    pub(crate) link_type: u32,
    /// Bytes kept of each packet at most.
    pub(crate) snaplen: u32,
    /// The filter that is set; empty for none.
    pub(crate) filter: String,
}

impl Described {
    /// How the log describes an open capture.
    pub(crate) fn of(capture: &Capture) -> Self {
        Self {
            netns: capture.netns,
            ifindex: capture.ifindex,
            name: capture.interface.clone(),
            link_type: capture.link_type,
            snaplen: capture.snaplen,
            filter: capture.filter.clone(),
        }
    }

    pub(super) fn interface(&self, os: &str) -> Interface {
        Interface {
            id: InterfaceId::default(),
            number: 0,
            unnumbered: false,
            link_type: self.link_type,
            snaplen: self.snaplen,
            name: Some(self.name.clone()),
            description: None,
            filter: Some(self.filter.clone()).filter(|filter| !filter.is_empty()),
            os: Some(os.to_owned()),
            ticks_per_second: 1_000_000_000,
            is_misnamed_nanoseconds: false,
            comments: vec![Watched { netns: self.netns, ifindex: self.ifindex }.comment()],
        }
    }
}

/// One capture's part of the log.
pub(super) struct Lane {
    pub(super) capture: Described,
    /// Its interface's number in every section of the log: the capture's own, which its batches bear.
    id: InterfaceId,
    /// Packets that are in the log.
    pub(super) packets: u64,
    counted: CaptureStatistics,
    /// Lost since the packet before, to be told with the next one.
    lost_before: u64,
    /// Lost because the disk took nothing.
    pub(super) unwritten: u64,
}

impl Lane {
    pub(super) fn new(number: u32, capture: Described) -> Self {
        let counted = CaptureStatistics::default();
        Self { capture, id: InterfaceId(number), packets: 0, counted, lost_before: 0, unwritten: 0 }
    }

    /// Puts captured packets to the end of what is to be written.
    pub(super) fn take(&mut self, batch: Batch, pending: &mut Vec<u8>) {
        self.packets += batch.len() as u64;
        batch.append_to(pending, std::mem::take(&mut self.lost_before));
    }

    /// Counts captured packets that can no longer be kept.
    pub(super) fn leave_out(&mut self, batch: &Batch) {
        self.unwritten += batch.len() as u64;
        self.lost_before += batch.len() as u64;
    }

    /// Takes what the capture counted of itself. How many packets it lost since the last time; `None` when nothing changed.
    pub(super) fn count(&mut self, now: CaptureStatistics) -> Option<u64> {
        let before = std::mem::replace(&mut self.counted, now);
        if before.at_ns != 0 && before == (CaptureStatistics { at_ns: before.at_ns, ..now }) {
            return None;
        }
        let lost = now.dropped.saturating_sub(before.dropped) + now.if_dropped.saturating_sub(before.if_dropped);
        self.lost_before += lost;
        Some(lost)
    }

    /// Whether anything was counted yet.
    pub(super) fn has_counted(&self) -> bool {
        self.counted.at_ns != 0
    }

    /// What was counted, as counters.
    pub(super) fn sample(&self) -> Sample {
        let counts = [
            ("capture.received", "ps_recv", self.counted.received),
            ("capture.dropped", "ps_drop", self.counted.dropped),
            ("capture.if_dropped", "ps_ifdrop", self.counted.if_dropped),
        ];
        let mut sample = Sample { at_ns: self.counted.at_ns, ..Sample::default() };
        for (key, kernel_name, value) in counts {
            let (netns, ifindex) = (Some(self.capture.netns.0), Some(self.capture.ifindex));
            sample.read(&OF_CAPTURE, Name { key: key.into(), netns, ifindex, ..Name::default() }, kernel_name, value);
            if let Some(reading) = sample.readings.last_mut() {
                reading.ifname = Some(self.capture.name.as_str().into());
            }
        }
        sample
    }

    /// What was counted, as the log's own block.
    pub(super) fn statistics(&self) -> Statistics {
        Statistics {
            interface: self.id,
            time: Timestamp::from_nanos(if self.has_counted() { self.counted.at_ns } else { realtime_ns() }),
            received: Some(self.counted.received),
            if_dropped: Some(self.counted.if_dropped),
            os_dropped: Some(self.counted.dropped),
            delivered: Some(self.counted.delivered.saturating_sub(self.unwritten)),
        }
    }

    /// Packets that were lost in all.
    pub(super) fn lost(&self) -> u64 {
        self.counted.dropped + self.counted.if_dropped + self.unwritten
    }
}

/// What a capture's own counters have in common.
static OF_CAPTURE: Family =
    Family { unit: Unit::Packets, kind: CounterKind::Monotonic, source: "pcap_stats", station: Some(Station::Capture) };
