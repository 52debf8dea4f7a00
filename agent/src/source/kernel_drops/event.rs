//! What the program in the kernel hands over: `struct event` and `struct count_key` of `bpf/droptrace.bpf.c`.

use crate::source::netlink::{text, u16_at, u32_at, u64_at};

/// Size of a count's key.
pub(super) const KEY_SIZE: usize = 24;
/// Where the packet's bytes begin in an event.
const BYTES_AT: usize = 72;

/// A dropped packet.
#[derive(Debug, PartialEq)]
pub(super) struct DropEvent<'a> {
    pub(super) boot_ns: i64,
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
    pub(super) bytes: &'a [u8],
}

/// Which drops were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Counted {
    pub(super) location: u64,
    pub(super) reason: u32,
    pub(super) netns: u32,
    pub(super) ifindex: u32,
}

impl<'a> DropEvent<'a> {
    pub(super) fn parse(raw: &'a [u8]) -> Option<Self> {
        let captured = usize::from(u16_at(raw, 48)?);
        Some(Self {
            boot_ns: u64_at(raw, 0)? as i64,
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
            bytes: raw.get(BYTES_AT..BYTES_AT + captured)?,
        })
    }
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
        assert_eq!(DropEvent::parse(&raw[..60]), None);
    }
}
