//! Things that happened at one moment: clock readings, kernel drops, probes, marks.

use borsh::{BorshDeserialize, BorshSerialize};
use minicbor::{Decode, Encode};

/// How the host's clocks stood to each other at one moment.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Clock {
    /// CLOCK_REALTIME, nanoseconds since the Unix epoch.
    #[n(0)]
    #[cbor(default)]
    pub realtime_ns: i64,
    /// CLOCK_MONOTONIC at the same moment.
    #[n(1)]
    #[cbor(default)]
    pub monotonic_ns: i64,
    /// CLOCK_BOOTTIME at the same moment.
    #[n(2)]
    #[cbor(default)]
    pub boottime_ns: i64,
    /// How far apart the readings may be.
    #[n(3)]
    #[cbor(default)]
    pub error_ns: u64,
}

/// A packet that the kernel freed as dropped (tracepoint `skb:kfree_skb`).
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(map)]
pub struct KernelDrop {
    /// When, nanoseconds since the Unix epoch.
    #[n(0)]
    #[cbor(default)]
    pub at_ns: i64,
    /// The reason by the running kernel's own name, `NETFILTER_DROP`; empty where the kernel gives none.
    #[n(1)]
    #[cbor(default)]
    pub reason: String,
    /// The place in the kernel's code, `nft_do_chain+0x3e8`; empty where symbols were not readable.
    #[n(2)]
    #[cbor(default)]
    pub place: String,
    /// The namespace of the packet's device or socket; 0 when neither is known.
    #[n(3)]
    #[cbor(default)]
    pub netns: u64,
    /// The device the packet was charged to; 0 when it had none (dropped on output before one was chosen).
    #[n(4)]
    #[cbor(default)]
    pub ifindex: u32,
    /// That device's name.
    #[n(5)]
    #[cbor(default)]
    pub ifname: String,
    /// That device's MTU.
    #[n(6)]
    #[cbor(default)]
    pub mtu: u32,
    /// EtherType: 0x0800, 0x86dd.
    #[n(7)]
    #[cbor(default)]
    pub ether_type: u16,
    /// Length of the packet from its network header on.
    #[n(8)]
    #[cbor(default)]
    pub len: u32,
    /// Segment size of a packet still to be split; 0 for a plain one.
    #[n(9)]
    #[cbor(default)]
    pub gso_size: u32,
    /// The packet's first bytes from its network header on.
    #[n(10)]
    #[cbor(default, with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
    /// Drops that were counted but not recorded since the record before (rate limit, ring full).
    #[n(11)]
    #[cbor(default)]
    pub skipped: u64,
}

/// An active check and its result.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(map)]
pub struct Probe {
    /// When it began, nanoseconds since the Unix epoch.
    #[n(0)]
    #[cbor(default)]
    pub at_ns: i64,
    /// `syn`, `connect`, `http`, `pmtu`, `dns`.
    #[n(1)]
    #[cbor(default)]
    pub kind: String,
    /// What was probed, `172.17.0.2:80`.
    #[n(2)]
    #[cbor(default)]
    pub target: String,
    /// Tries.
    #[n(3)]
    #[cbor(default)]
    pub sent: u32,
    /// Tries that were answered.
    #[n(4)]
    #[cbor(default)]
    pub answered: u32,
    /// Round-trip time of each answer in nanoseconds.
    #[n(5)]
    #[cbor(default)]
    pub rtt_ns: Vec<u64>,
    /// The result in one full sentence.
    #[n(6)]
    #[cbor(default)]
    pub summary: String,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode, BorshSerialize, BorshDeserialize)]
#[cbor(map)]
pub struct Mark {
    /// When, nanoseconds since the Unix epoch.
    #[n(0)]
    #[cbor(default)]
    pub at_ns: i64,
    /// `recording_started`, `recording_stopped`, `interface_appeared`, `interface_vanished`, `interface_up`,
    /// `interface_down`, `mtu_changed`, `rules_changed`, `capture_lost`, `data_discarded` (part of the log was removed for want of room), `trigger` (what was waited
    /// for happened), `source_failed`, `namespace_left` (what a watched namespace was found by has ended, or means another one), `note`.
    #[n(1)]
    #[cbor(default)]
    pub kind: String,
    /// A full sentence.
    #[n(2)]
    #[cbor(default)]
    pub text: String,
    /// The namespace it is about.
    #[n(3)]
    pub netns: Option<u64>,
    /// The interface it is about.
    #[n(4)]
    pub ifindex: Option<u32>,
}
