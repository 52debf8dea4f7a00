//! What sending did so far, as numbers for Prometheus (docs/metrics.md).

use crate::metrics::Text;
use crate::segments::{Sent, list_in};
use dropscope_review::Folder;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is counted while it is sent.
#[derive(Debug)]
pub(crate) struct Tally {
    spool: Folder,
    sent: Arc<Sent>,
    connected: AtomicBool,
    connections: AtomicU64,
    /// The most the server said it has: segment, and bytes of it.
    segment: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    /// Of what is sent from this spool.
    pub(crate) fn new(spool: Folder, sent: Arc<Sent>) -> Self {
        Self {
            spool,
            sent,
            connected: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            segment: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// The server was reached.
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.connected.store(true, Ordering::Relaxed);
    }

    /// The connection was cut.
    pub(super) fn cut(&self) {
        self.connected.store(false, Ordering::Relaxed);
    }

    /// The server said what it has on its disk.
    pub(super) fn has(&self, segment: u64, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.segment.store(segment, Ordering::Relaxed);
    }

    /// Bytes in the spool that the server is not known to have.
    fn waiting(&self, segment: u64, bytes: u64) -> u64 {
        let there = list_in(&self.spool).unwrap_or_default();
        let missing = |one: &crate::segments::Stored| match one.number.cmp(&segment) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => one.bytes.saturating_sub(bytes),
            std::cmp::Ordering::Greater => one.bytes,
        };
        there.iter().map(missing).sum()
    }

    /// Writes the numbers.
    pub(crate) fn write(&self, text: &mut Text) {
        let (segment, bytes) = (self.segment.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let connections = self.connections.load(Ordering::Relaxed);
        for (name, kind, help, value) in [
            (
                "dropscope_spool_waiting_bytes",
                "gauge",
                "Bytes in the spool that the server is not known to have.",
                self.waiting(segment, bytes),
            ),
            (
                "dropscope_spool_discarded_bytes_total",
                "counter",
                "Bytes that were removed from the spool before they were sent.",
                self.sent.discarded.load(Ordering::Relaxed),
            ),
            ("dropscope_push_acknowledged_segment", "gauge", "The segment up to which the server has everything.", segment),
            ("dropscope_push_acknowledged_offset_bytes", "gauge", "How many bytes of that segment the server has.", bytes),
            (
                "dropscope_push_connected",
                "gauge",
                "Whether there is a connection to the server.",
                u64::from(self.connected.load(Ordering::Relaxed)),
            ),
            (
                "dropscope_push_reconnects_total",
                "counter",
                "Connections to the server after the first one.",
                connections.saturating_sub(1),
            ),
        ] {
            text.family(name, kind, help);
            text.value(name, &[], value);
        }
    }
}
