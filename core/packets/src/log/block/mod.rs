//! Our records inside pcapng blocks: what they carry. FORMAT.md describes the bytes.
//!
//! A block's body is our enterprise number, a magic, a version, a kind, and one CBOR item (RFC 8949) whose integer keys are
//! the `#[n(…)]` numbers below. Keys are only ever added; a reader skips keys it does not know and takes absent ones as
//! empty, so old logs open in new viewers and new logs in old viewers.

mod codec;
mod counter;
mod event;
mod firewall;
mod host;

pub use codec::{MAX_DECODED, OUR_KIND, Payload};
pub use counter::{Catalogue, Counter, CounterKind, Snapshot, Station, Unit};
pub use event::{Clock, KernelDrop, Mark, Probe};
pub use firewall::{Backend, Chain, FirewallRule, RuleSet, Verdict};
pub use host::{Entry, Host, InterfaceFacts, Namespace, Neighbour, PathMtu, Route};

pub(crate) use codec::{append_body, record_from_body};

/// The Private Enterprise Number our blocks carry. None is registered yet; this one is reserved for documentation
/// (RFC 5612), and the magic after it tells our blocks apart from anybody else's.
pub const ENTERPRISE_NUMBER: u32 = 32473;

/// The four bytes after the enterprise number.
pub const MAGIC: [u8; 4] = *b"DSCP";

/// The version of the envelope (enterprise number, magic, version, kind, CBOR).
pub const VERSION: u16 = 1;

/// The kinds of our records. A number is never used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// [`Host`]
    Host = 1,
    /// [`Clock`]
    Clock = 2,
    /// [`Catalogue`]
    Catalogue = 3,
    /// [`Snapshot`]
    Snapshot = 4,
    /// [`RuleSet`]
    RuleSet = 5,
    /// [`KernelDrop`]
    KernelDrop = 6,
    /// [`Probe`]
    Probe = 7,
    /// [`Mark`]
    Mark = 8,
}
