//! Packets to conversations: handshake, relative numbers, missing bytes, and Wireshark's labels.
//!
//! Two things are kept apart: the *label* (`Labels`), which is `tcp.analysis` as Wireshark sets it, in its order and with its
//! conditions (`packet-tcp.c`, DIAGNOSIS section 3), and *our judgement*, which may differ and then says why.

use crate::ids::FlowId;

mod conversation;
mod labels;

pub use conversation::*;
pub use labels::Labels;

/// Every conversation of a log.
#[derive(Debug, Default)]
pub struct FlowTable {
    flows: Vec<Flow>,
}

impl FlowTable {
    /// One conversation.
    pub fn get(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(id.0 as usize)
    }

    /// All conversations, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter()
    }
}
