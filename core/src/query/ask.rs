//! The questions.

use crate::anchor::Anchor;
use crate::ids::{FlowId, PacketNo};
use crate::time::Span;
use borsh::{BorshDeserialize, BorshSerialize};

/// Rows wanted of a list: `count` of them from row `first` on, both in the list's current order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Rows {
    /// Index of the first row, from 0.
    pub first: u32,
    /// How many; an answer holds at most 1,000.
    pub count: u32,
}

/// Which packets a list or a timeline is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Selection {
    /// A display filter in Wireshark's language; empty for all.
    pub filter: String,
    /// Only this stretch of time.
    pub span: Option<Span>,
    /// Only this conversation.
    pub flow: Option<FlowId>,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Query {
    /// What is in the log: totals, interfaces, quality, hosts. → [`super::Overview`]
    Overview,
    /// What the rules say. → [`super::Findings`]
    Findings,
    /// Rows of the packet list. → [`super::PacketRows`]
    Packets {
        /// Which packets.
        selection: Selection,
        /// Which rows of them.
        rows: Rows,
        /// When given, the answer also says at which row of the selection this packet (or the next one after it) stands.
        locate: Option<PacketNo>,
    },
    /// One packet in full. → [`super::PacketDetail`]
    Packet {
        /// Which.
        no: PacketNo,
    },
    /// Rows of the list of conversations. → [`super::FlowRows`]
    Flows {
        /// Which rows.
        rows: Rows,
        /// By what they are sorted.
        sort: FlowSort,
        /// Only conversations that have a packet in it.
        span: Option<Span>,
    },
    /// The ladder diagram of one conversation. → [`super::Ladder`]
    Ladder {
        /// Which.
        flow: FlowId,
        /// Which of its rungs.
        rows: Rows,
        /// When given, the answer also has the row of this packet, or of these missing bytes.
        locate: Option<Anchor>,
    },
    /// How one conversation went over time. → [`super::Course`]
    Course {
        /// Which.
        flow: FlowId,
        /// From when to when; `None` for all of it.
        span: Option<Span>,
        /// Into how many columns the span is divided, at most 1,024.
        columns: u32,
    },
    /// Tracks over time. → [`super::Timeline`]
    Timeline {
        /// From when to when; `None` for all there is.
        span: Option<Span>,
        /// Into how many columns the span is divided: the pixels there are, at most 4,096.
        columns: u32,
        /// Only packets of this display filter are counted in the packet tracks; empty for all.
        filter: String,
    },
    /// Counter tables over a span. → [`super::CounterTables`]
    Counters {
        /// Between the snapshots around these two times; `None` for the first and the last.
        span: Option<Span>,
    },
    /// Packets the kernel dropped. → [`super::DropRows`]
    Drops {
        /// Only in this stretch of time.
        span: Option<Span>,
        /// Which rows.
        rows: Rows,
    },
    /// Where an anchor lies: its time, packet and flow. → [`super::Located`]
    Locate {
        /// The anchor.
        anchor: Anchor,
    },
    /// Whether a filter can be understood, and how the word at the cursor may go on. → [`super::FilterHelp`]
    FilterHelp {
        /// The text so far.
        filter: String,
        /// The cursor, in characters.
        cursor: u32,
    },
}

/// By what conversations are sorted; each descending but `First`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum FlowSort {
    /// Time of the first packet.
    #[default]
    First,
    /// Packets.
    Packets,
    /// Bytes on the wire.
    Bytes,
    /// Duration.
    Duration,
    /// Segments sent again.
    Retransmissions,
    /// Bytes never seen.
    Missing,
}
