//! Sources: everything that reads a host, one file a source.
//!
//! A source reads one thing the kernel knows (interface counters, firewall rules, dropped packets, …) and puts what it
//! read into a [`Sample`]. [`watch::Watch`] runs the sources of each watched namespace on a thread that lives in that
//! namespace and sends the samples to the recorder, the only writer of the log; [`catalogue::Registry`] turns samples
//! into records there. [`capture`] hands packets on in batches over the same channel.
//!
//! A source that the kernel lacks or that lacks rights is told once, as a limit in the host facts; the others go on.
//! Nothing here judges what it reads, and nothing here changes anything on the host.

pub mod capture;
pub mod catalogue;
pub mod clock;
mod conntrack;
pub mod container;
mod ethtool_stats;
mod firewall;
mod host_facts;
pub mod host_identity;
mod interfaces;
mod kernel_drops;
mod link;
mod link_stats;
mod netlink;
pub mod netns;
mod nstat;
pub mod pace;
pub mod presence;
mod proc_file;
mod qdisc;
pub mod sample;
mod sockets;
mod softnet;
pub mod watch;

pub use caps::Capability;
pub use capture::{Batch, Capture, CaptureStatistics};
pub use kernel_drops::Tracing;
pub use netns::Target;
pub use pace::Pace;
pub use sample::Sample;

use std::cell::RefCell;
use std::time::Duration;

/// What reaches the recorder.
#[derive(Debug)]
pub enum Event {
    /// What the sources of one thread read at one moment.
    Sample(Sample),
    /// Captured packets.
    Packets(Batch),
    /// What a capture counted of itself, once a second.
    Capture(CaptureStatistics),
    /// A capture ended by itself: its interface went away, or reading failed.
    CaptureEnded {
        /// Which one.
        capture: u32,
        /// When, nanoseconds since the Unix epoch.
        at_ns: i64,
        /// Why, in a full sentence.
        why: String,
    },
}

/// The sending end of the recorder's channel. It is bounded: a full one makes the sender wait, so that what cannot be
/// kept is lost in the kernel, which counts it.
pub type Sender = std::sync::mpsc::SyncSender<Event>;

/// Something on the host that can be read again and again.
pub trait Source: Send {
    /// Its name in [`SOURCES`].
    fn name(&self) -> &'static str;

    /// Reads once, on the thread of the namespace it was opened for.
    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError>;

    /// Capabilities that reading takes, beyond what opening took. The thread that reads keeps those of its sources and no others.
    fn keeps(&self) -> Vec<Capability> {
        Vec::new()
    }

    /// How long to wait before the next reading; never shorter than the kind's own interval is useful.
    fn interval(&self, standard: Duration) -> Duration {
        standard
    }
}

/// A kind of source.
pub struct SourceKind {
    /// Its name, as `--without` takes it.
    pub name: &'static str,
    /// What it reads, in one line.
    pub about: &'static str,
    /// Whether there is one a namespace or one for the whole host.
    pub scope: Scope,
    /// How often it is read.
    pub interval: Duration,
    /// Opens it, on the thread that will poll it.
    pub open: fn(&Scene<'_>) -> Result<Box<dyn Source>, SourceError>,
}

/// What a source reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One network namespace; opened once in each.
    Namespace,
    /// The whole host; opened once, on a thread of its own, in the namespace the agent was started in.
    Host,
}

/// What a source is opened for.
pub struct Scene<'a> {
    /// The namespace to read; for a source of the whole host, the first watched one.
    pub target: &'a Target,
    /// Every watched namespace.
    pub watched: &'a [Target],
    /// How drops of the kernel are to be traced.
    pub tracing: Tracing,
    /// What sources cannot tell on this host although they were opened, in full sentences.
    pub limits: RefCell<Vec<String>>,
}

impl Scene<'_> {
    /// Says what a source that is opened cannot tell on this host, in a full sentence. What shows itself only when it is read is
    /// said in [`Sample::limits`].
    pub fn limit(&self, sentence: String) {
        self.limits.borrow_mut().push(sentence);
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Every source, in the order they are read.
pub const SOURCES: &[SourceKind] = &[
    clock::KIND,
    host_facts::KIND,
    presence::KIND,
    link_stats::KIND,
    ethtool_stats::KIND,
    firewall::KIND,
    conntrack::KIND,
    nstat::KIND,
    qdisc::KIND,
    sockets::KIND,
    softnet::KIND,
    kernel_drops::KIND,
];

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The kernel does not have it, or a tool is missing. It will not come back by itself.
    #[error("{what} cannot be read here: {why}")]
    Unsupported {
        /// What was to be read.
        what: String,
        /// What is missing.
        why: String,
    },
    /// A right is missing.
    #[error("{what} cannot be read without {need}")]
    Denied {
        /// What was to be read.
        what: String,
        /// The capability or the file permission that is missing.
        need: &'static str,
    },
    /// Reading failed this time.
    #[error("reading {what} failed: {why}")]
    Failed {
        /// What was to be read.
        what: String,
        /// What the kernel answered.
        why: String,
    },
}

impl SourceError {
    /// The error for an answer of the operating system while reading `what`, which needs the right `need`.
    pub(crate) fn from_io(what: impl Into<String>, need: &'static str, error: &std::io::Error) -> Self {
        let what = what.into();
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Denied { what, need },
            Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ENOPROTOOPT) => {
                Self::Unsupported { what, why: error.to_string() }
            }
            _ => Self::Failed { what, why: error.to_string() },
        }
    }

    /// Whether trying again is of no use.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Failed { .. })
    }
}
