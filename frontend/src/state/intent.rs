//! Everything that can happen to the page's state.

use super::{LocalNames, Server, Shared, Sheet};
use crate::text::Language;
use crate::url::{Source, UrlState};
use borsh::{BorshDeserialize, BorshSerialize};
use dropscope_core::anchor::Anchor;
use dropscope_core::ids::{FlowId, PacketNo};
use dropscope_core::query::{Findings, FlowSort, Located, Overview, Progress};
use dropscope_core::time::Span;
use std::rc::Rc;

/// The connection of a capture that comes from the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Link {
    /// There is none, or none is needed.
    #[default]
    None,
    /// Being made.
    Connecting,
    /// Bytes come as they are recorded.
    Live,
    /// A stored capture is being fetched.
    Fetching,
    /// Cut; tried again by itself.
    Reconnecting {
        /// How many times it has been tried since the cut.
        attempt: u32,
        /// When the next try is, in milliseconds from when this was said.
        next_ms: u32,
    },
    /// The recording has ended.
    Ended {
        /// Why, in the server's words.
        why: String,
    },
}

/// Something that went wrong: what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Trouble {
    /// What happened, where: a full sentence.
    pub what: String,
    /// What was kept, and what to do: a full sentence.
    pub what_to_do: String,
}

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the system says.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// What the inspector shows when a finding is open and a packet is lit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inspect {
    /// The finding.
    #[default]
    Finding,
    /// The packet.
    Packet,
}

/// An edge of the selected span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Its first instant.
    Start,
    /// Its last.
    End,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// The address changed: a pasted link, Back, Forward.
    Navigated(Box<UrlState>),
    /// A source is to be opened from within the page.
    Open(Source),
    /// These captures of this computer were dropped together; the first is opened next.
    Dropped(Vec<LocalNames>),
    /// The same source is to be read anew.
    Reopen,
    /// Reading of a source has begun.
    Opened {
        /// Its name.
        name: String,
        /// Its size, where it is known.
        size: Option<u64>,
    },
    /// The source was closed.
    Closed,
    /// The reading has come further.
    Progress {
        /// How far.
        progress: Box<Progress>,
        /// Bytes a second.
        bytes_per_second: f64,
        /// Whether views shall ask again now.
        refresh: bool,
        /// Whether the rules say other than before: the findings are asked for at once, whatever else can wait.
        found: bool,
    },
    /// What is in the log.
    Overview(Rc<Overview>),
    /// What the rules say.
    Findings(Rc<Findings>),
    /// Where an anchor lies.
    Located(String, Rc<Located>),
    /// The live connection changed.
    Link(Link),
    /// Something went wrong.
    Trouble(Trouble),
    /// The banner was read.
    TroubleSeen,
    /// So many bytes of the local file have left this computer.
    Uploaded(u64),
    /// The local file lies on the server now.
    Shared(Shared),
    /// The engine died with these words.
    EngineDied(String),
    /// The user stopped the loading.
    Stopped,
    /// What the server allows.
    Server(Server),

    /// Another view.
    View(&'static str),
    /// Open a finding, or close it.
    Finding(Option<String>),
    /// The finding so many places further in the list (negative: before).
    StepFinding(i32),
    /// Light a place.
    Anchor(Anchor),
    /// Show this packet: chosen from a list.
    Packet(PacketNo),
    /// What the inspector shows when both are there.
    Inspect(Inspect),
    /// Sets one edge of the selected span to the lit place's time.
    SpanEdge(Edge),
    /// Let go of the place that is lit, and of the finding.
    Unselect,
    /// Select a span.
    Span(Option<Span>),
    /// Show this span on the timeline, while scrubbing.
    Viewport(Option<Span>),
    /// Show the selected span on the timeline.
    FitSelection,
    /// A display filter, committed.
    Filter(String),
    /// Show this conversation's flow graph.
    Flow(FlowId),
    /// This conversation from now on, in the view that is open.
    ChooseFlow(FlowId),
    /// Sort the conversations.
    Sort(FlowSort),
    /// Escape: takes back one thing, the uppermost.
    Escape,

    /// Another theme.
    Theme(Theme),
    /// The other theme than the one that is on.
    ToggleTheme,
    /// Another language.
    Language(Language),
    /// Lay something over the page.
    Sheet(Sheet),
    /// Say what was just done.
    Say(String),
}
