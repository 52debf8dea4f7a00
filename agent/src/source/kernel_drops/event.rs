//! A dropped packet as it is handed over: `struct event` and `struct count_key` of `bpf/droptrace.bpf.c`.

use crate::source::netlink::{text, u16_at, u32_at, u64_at};

/// Size of a count's key.
pub(super) const KEY_SIZE: usize = 24;
/// Where the packet's bytes begin in an event.
const BYTES_AT: usize = 72;
/// Bytes of a packet that are told.
const BYTES: usize = 128;

/// A dropped packet.
#[derive(Debug, Default, PartialEq)]
pub(super) struct DropEvent {
    /// Nanoseconds of the monotonic clock.
    pub(super) monotonic_ns: i64,
    pub(super) location: u64,
    pub(super) skipped: u64,
    pub(super) reason: u32,
    pub(super) netns: u32,
    pub(super) ifindex: u32,
    pub(super) mtu: u32,
    pub(super) len: u32,
    pub(super) ether_type: u16,
    pub(super) gso_size: u16,
    pub(super) ifname: String,
    pub(super) bytes: Vec<u8>,
}

/// Which drops were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Counted {
    pub(super) location: u64,
    pub(super) reason: u32,
    pub(super) netns: u32,
    pub(super) ifindex: u32,
}

impl DropEvent {
    /// Reads an event; `None` where it claims more than it has.
    pub(super) fn parse(raw: &[u8]) -> Option<Self> {
        let captured = usize::from(u16_at(raw, 48)?);
        let appended = usize::from(u16_at(raw, 50)?);
        let data_at = u32_at(raw, 52)? as i32;
        let linear = raw.get(BYTES_AT..BYTES_AT + captured)?;
        let appended = raw.get(BYTES_AT + captured..BYTES_AT + captured + appended)?;
        Some(Self {
            monotonic_ns: u64_at(raw, 0)? as i64,
            location: u64_at(raw, 8)?,
            skipped: u64_at(raw, 16)?,
            reason: u32_at(raw, 24)?,
            netns: u32_at(raw, 28)?,
            ifindex: u32_at(raw, 32)?,
            mtu: u32_at(raw, 36)?,
            len: u32_at(raw, 40)?,
            ether_type: u16_at(raw, 44)?,
            gso_size: u16_at(raw, 46)?,
            ifname: text(raw.get(56..BYTES_AT)?),
            bytes: joined(linear, appended, data_at),
        })
    }
}

/// The packet from its network header on: its linear part, and behind that what the kernel copied, of which the first byte is
/// `data_at` bytes behind the network header, or before it.
fn joined(linear: &[u8], appended: &[u8], data_at: i32) -> Vec<u8> {
    let mut bytes = linear.to_vec();
    // What both have is the same.
    let known = i64::try_from(linear.len()).unwrap_or(i64::MAX) - i64::from(data_at);
    let more = usize::try_from(known).ok().and_then(|known| appended.get(known..));
    bytes.extend_from_slice(more.unwrap_or_default());
    bytes.truncate(BYTES);
    bytes
}

impl Counted {
    pub(super) fn parse(key: &[u8; KEY_SIZE]) -> Option<Self> {
        Some(Self { location: u64_at(key, 0)?, reason: u32_at(key, 8)?, netns: u32_at(key, 12)?, ifindex: u32_at(key, 16)? })
    }
}

/// The key of a watched place: a namespace and one interface of it, or 0 for all.
pub(super) fn place_key(netns: u64, ifindex: u32) -> [u8; 8] {
    let mut key = [0; 8];
    // The kernel numbers namespaces with 32 bits.
    key[..4].copy_from_slice(&(netns as u32).to_ne_bytes());
    key[4..].copy_from_slice(&ifindex.to_ne_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_claims_more_bytes_than_it_has_is_none() {
        let mut raw = vec![0; 200];
        raw[48] = 128;
        assert_eq!(DropEvent::parse(&raw).expect("a whole event").bytes.len(), 128);
        raw[48] = 129;
        assert_eq!(DropEvent::parse(&raw), None);
        (raw[48], raw[50]) = (120, 9);
        assert_eq!(DropEvent::parse(&raw), None);
        assert_eq!(DropEvent::parse(&raw[..60]), None);
    }

    #[test]
    fn headers_and_what_lies_in_fragments_make_one_packet() {
        // Linear part, what the kernel copied, where that begins, and the packet.
        let cases: &[(&str, &str, i32, &str)] = &[
            ("ip tcp", "eth ip tcp GET /", -4, "ip tcp GET /"),
            ("ip tcp", "ip tcp GET /", 0, "ip tcp GET /"),
            ("ip tcp", "tcp GET /", 3, "ip tcp GET /"),
            ("ip tcp", " GET /", 6, "ip tcp GET /"),
            ("ip tcp", "GET /", 7, "ip tcp"),
            ("ip tcp", "", 0, "ip tcp"),
            ("ip tcp", "ip", 0, "ip tcp"),
            ("", "eth ip tcp", -4, "ip tcp"),
            ("ip tcp", "data", i32::MIN, "ip tcp"),
        ];
        for (linear, appended, data_at, packet) in cases {
            let bytes = joined(linear.as_bytes(), appended.as_bytes(), *data_at);
            assert_eq!(String::from_utf8_lossy(&bytes), *packet, "{linear} {appended} {data_at}");
        }
        assert_eq!(joined(&[1; 100], &[1; 192], 0).len(), BYTES);
    }
}
