//! Tunnels over UDP whose outer checksum is wrong: the receiver's kernel drops the packet with all that it carries.

use crate::dissect::{Checksum, Packet};
use crate::flow::{Observed, Seen};
use crate::ids::FlowId;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Conversations followed.
const MOST: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub struct Tunnels {
    damaged: BTreeMap<FlowId, Damaged>,
    /// Packets of tunnels over UDP whose outer checksum was judged.
    pub judged: u64,
}

/// A conversation in a tunnel some of whose packets have a wrong outer checksum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damaged {
    /// The ends of the tunnel.
    pub from: IpAddr,
    /// See `from`.
    pub to: IpAddr,
    /// What carries it: `VXLAN`.
    pub tunnel: &'static str,
    /// Packets with a wrong checksum, the first and the last.
    pub packets: u32,
    /// See `packets`.
    pub first: Seen,
    /// See `packets`.
    pub last: Seen,
}

impl Tunnels {
    pub(super) fn observe(&mut self, packet: &Packet<'_>, observed: &Observed, seen: Seen) {
        let Some(outer) = packet.outer else { return };
        let (Some(checksum), Some(tunnel), Some(flow)) = (outer.checksum, packet.tunnel, observed.flow) else { return };
        self.judged += u64::from(matches!(checksum, Checksum::Good | Checksum::Bad));
        if checksum != Checksum::Bad || (self.damaged.len() >= MOST && !self.damaged.contains_key(&flow)) {
            return;
        }
        let new = Damaged { from: outer.src, to: outer.dst, tunnel: tunnel.name, packets: 0, first: seen, last: seen };
        let damaged = self.damaged.entry(flow).or_insert(new);
        (damaged.packets, damaged.last) = (damaged.packets + 1, seen);
    }

    /// Conversations with packets that were damaged.
    pub fn damaged(&self) -> impl Iterator<Item = (FlowId, &Damaged)> {
        self.damaged.iter().map(|(flow, damaged)| (*flow, damaged))
    }
}
