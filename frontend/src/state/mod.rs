//! The page's state and the one way it changes.
//!
//! Three shelves, nothing else. **What is looked at** is [`UrlState`] and stands in the address. **What was recorded** lives in
//! the Worker; the page holds the small answers everybody needs (progress, overview, findings) here, and each view keeps the
//! last answer to its own question (`hooks::use_answer`). **Ephemera** (hover, a drag in progress, scroll offsets) stay in their
//! component. Everything here is plain data; [`reduce`] is pure.

pub mod intent;
pub mod reduce;

pub use intent::{Edge, Inspect, Intent, Link, Theme, Trouble};
pub use reduce::{focus_packet, lit_packets, reduce};

use crate::text::Language;
use crate::url::UrlState;
use dropscope_core::finding::Finding;
use dropscope_core::query::{Findings, Located, Overview, Progress};
use dropscope_core::time::Span;
use std::rc::Rc;

/// Whether a change of [`UrlState`] makes a new entry in the browser's history or replaces the current one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// It came from the address, or nothing changed.
    #[default]
    Keep,
    /// A click: Back returns from it.
    Push,
    /// Scrubbing or typing.
    Replace,
}

/// What is known of the source that is open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// Counts the sources opened; what belongs to an older one is dropped.
    pub number: u32,
    /// Whether a source is open.
    pub open: bool,
    /// Its name as shown: a file's name, or `eth0@web-1`.
    pub name: String,
    /// Its size where that was known at once.
    pub size: Option<u64>,
    /// How far reading has come.
    pub progress: Progress,
    /// Bytes a second, smoothed, while loading.
    pub bytes_per_second: f64,
    /// The revision views ask for: follows `progress.revision` a few times a second.
    pub revision: u64,
    /// The revision the findings are asked for: ahead of `revision` when there are new ones.
    pub judged: u64,
    /// What is in it.
    pub overview: Option<Rc<Overview>>,
    /// What the rules say.
    pub findings: Option<Rc<Findings>>,
    /// Where the lit anchor lies; tagged with the anchor's text.
    pub located: Option<(String, Rc<Located>)>,
    /// The connection of a live capture.
    pub link: Link,
    /// What went wrong, for the banner.
    pub trouble: Option<Trouble>,
    /// Whether the engine has died.
    pub engine_dead: bool,
    /// Whether the user stopped the loading.
    pub stopped: bool,
    /// Bytes of it that have left this computer.
    pub uploaded: u64,
    /// Where it lies on the server, once it has been uploaded from here.
    pub shared: Option<Shared>,
}

impl Session {
    /// Whether a source is open of which there is something to show, or may still be.
    pub fn has_content(&self) -> bool {
        let p = &self.progress;
        let is_unreadable = p.ended && p.trouble.is_some() && p.packets == 0 && p.span.is_none();
        self.open && !is_unreadable
    }
}

/// A capture that was uploaded: what a link to it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// The capture's id; empty in the server's answer to a share.
    pub id: String,
    /// The reader's token.
    pub token: String,
}

/// What the server lets this bearer do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    /// Whether there is one that answers.
    pub present: bool,
    /// Its captures.
    pub captures: Vec<ServerCapture>,
    /// Whether this bearer may upload.
    pub can_upload: bool,
    /// The largest upload it takes.
    pub max_upload_bytes: u64,
}

impl Server {
    /// Whether the bearer may do more than read; assumed until the server has answered.
    pub fn is_owner(&self) -> bool {
        self.can_upload || !self.present
    }
}

/// A capture on the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerCapture {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it still grows.
    pub live: bool,
    /// Its size now.
    pub bytes: u64,
}

/// What a capture of this computer is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalNames {
    /// The capture.
    pub name: String,
    /// Its files: more than one where they go on from each other.
    pub files: Vec<String>,
}

/// What is laid over the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sheet {
    /// Nothing.
    #[default]
    None,
    /// All keys.
    Keys,
    /// Sharing.
    Share,
}

/// The whole state of the page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppState {
    /// What is looked at.
    pub url: UrlState,
    /// How the last change of `url` enters the browser's history.
    pub history: History,
    /// Grows with each wish to open a source, also the same one again.
    pub openings: u32,
    /// Whether nothing was chosen since the source was opened, by the link or by hand: the worst finding is then open.
    pub untouched: bool,
    /// Whether the conversation follows the place that is lit, once it is known where that lies: so for what was chosen here, while
    /// a link keeps the conversation it names.
    pub flow_follows: bool,
    /// The captures of this computer that were dropped together.
    pub local: Vec<LocalNames>,
    /// The source that is open.
    pub session: Session,
    /// The server this page came from.
    pub server: Server,
    /// Light, dark, or as the system says.
    pub theme: Theme,
    /// Whether the system was dark when the page was opened.
    pub system_dark: bool,
    /// The language of the page.
    pub language: Language,
    /// What is laid over the page.
    pub sheet: Sheet,
    /// A short word about what was just done ("Link copied"), for the status bar and screen readers.
    pub said: Option<Rc<str>>,
}

impl AppState {
    /// The finding that is open, once the rules have said it.
    pub fn open_finding(&self) -> Option<&Finding> {
        let id = self.url.finding.as_deref()?;
        self.session.findings.as_ref()?.findings.iter().find(|f| f.id.as_str() == id)
    }

    /// The span packets, counters and drops are asked for.
    pub fn selected_span(&self) -> Option<Span> {
        self.url.span
    }
}

impl yew::Reducible for AppState {
    type Action = Intent;

    fn reduce(self: Rc<Self>, intent: Intent) -> Rc<Self> {
        Rc::new(reduce(&self, intent))
    }
}
