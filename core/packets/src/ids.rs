//! Numbers that name things, one type a thing, so that one cannot be taken for another.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, BorshSerialize, BorshDeserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A capture record's number within its log, from 1 in arrival order: Wireshark's `frame.number`.
    PacketNo
}
number! {
    /// A conversation's place in the flow table, from 0 in order of first appearance, over all protocols.
    /// (Wireshark's `tcp.stream` counts TCP alone: see `flow::Flow::stream`.)
    FlowId
}
number! {
    /// A capture interface, numbered from 0 through the whole log, section after section.
    InterfaceId
}
number! {
    /// A counter's number in the log's counter catalogue.
    CounterId
}
number! {
    /// A kernel drop's number within its log, from 1 in arrival order.
    DropNo
}
number! {
    /// Which capture of a review is meant; 0 where there is only one.
    CaptureNo
}

/// A network namespace: the inode number of `/proc/PID/ns/net`, which the kernel shows everywhere a namespace is named.
/// 0 stands for "the namespace the capture was taken in", where nobody said which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(transparent)]
pub struct NetnsId(pub u64);

/// One of the two directions of a conversation. `AToB` is the direction of the flow's client, where one is known,
/// else of the first packet seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client to the server.
    AToB,
    /// From the server to the client.
    BToA,
}

impl Direction {
    /// 0 or 1, for arrays with one entry a direction.
    pub const fn index(self) -> usize {
        self as usize
    }
    /// The opposite direction.
    pub const fn reverse(self) -> Self {
        match self {
            Self::AToB => Self::BToA,
            Self::BToA => Self::AToB,
        }
    }
}
