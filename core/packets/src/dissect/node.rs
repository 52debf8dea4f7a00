//! A node of the decode tree, as it is shown.

use borsh::{BorshDeserialize, BorshSerialize};

/// A node of the decode tree.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Node {
    /// `Transmission Control Protocol`, `Sequence number`.
    pub name: String,
    /// `332257715 (relative 0)`; empty for a node that only groups.
    pub value: String,
    /// Wireshark's name of the field, `tcp.seq`, to filter by; empty where there is none.
    pub field: String,
    /// A display filter for what the line shows; empty until the engine, which knows the types of fields, has set it.
    pub filter: String,
    /// Where it stands in the packet's bytes: offset and length; length 0 for derived values.
    pub at: (u32, u32),
    /// Derived, not in the bytes: shown in brackets as Wireshark does.
    pub derived: bool,
    /// Bad checksum, cut short, …: worth a colour.
    pub trouble: bool,
    /// What is inside.
    pub children: Vec<Node>,
}
