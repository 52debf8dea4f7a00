//! What is looked at, and its text form in the address: the truth for selection, span, filter and view.
//!
//! Everything stands in the fragment, which no server ever sees: filters may hold addresses, and links hold tokens.
//! `parse` and `print` are pure and inverse to each other; unknown or damaged parameters are left out, never an error,
//! so that an old or mangled link still opens the capture. Parameters are only ever added; a changed meaning takes a new name.
//!
//! ```text
//! #/c/ID?k=TOKEN&view=packets&sel=interface_mtu-9c…&at=f0>1-75&show=packet&t=START-END&v=START-END&q=tcp.port%3D%3D80&flow=3&sort=bytes
//! ```

use crate::state::Inspect;
use dropscope_core::anchor::{Anchor, Place};
use dropscope_core::ids::FlowId;
use dropscope_core::query::FlowSort;
use dropscope_core::time::Span;

/// Where the bytes come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Nothing yet.
    #[default]
    None,
    /// The reference case that every copy of Dropscope carries.
    Reference,
    /// A file of this computer, by name; only the person who dropped it has its bytes.
    File(String),
    /// A capture on the server, by its id.
    Capture(String),
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlState {
    /// Where the bytes come from.
    pub source: Source,
    /// What the server is asked with; empty when the link holds none. It stays in the fragment and never enters a path.
    pub token: String,
    /// The view at the bottom, by its slug in `VIEWS`; an unknown one falls back to the first.
    pub view: String,
    /// The finding that is open, by its id.
    pub finding: Option<String>,
    /// Whether the finding is open over the whole capture: span and viewport are not taken from it.
    pub whole: bool,
    /// The place that is lit: a packet, bytes, a counter's step; within the open finding or on its own.
    pub anchor: Option<Anchor>,
    /// The span that is selected: packets, counters and drops are those of this span.
    pub span: Option<Span>,
    /// The span the timeline shows; `None` for all there is.
    pub viewport: Option<Span>,
    /// What the inspector shows of the open finding and the lit packet.
    pub inspect: Inspect,
    /// The display filter.
    pub filter: String,
    /// The conversation the flow graph shows.
    pub flow: Option<FlowId>,
    /// By what the conversations are sorted.
    pub sort: FlowSort,
}

impl Default for UrlState {
    fn default() -> Self {
        Self {
            source: Source::None,
            token: String::new(),
            view: DEFAULT_VIEW.into(),
            finding: None,
            whole: false,
            anchor: None,
            span: None,
            viewport: None,
            inspect: Inspect::Finding,
            filter: String::new(),
            flow: None,
            sort: FlowSort::First,
        }
    }
}

impl UrlState {
    /// Whether it names a source and nothing of what is looked at there.
    pub fn is_cold(&self) -> bool {
        *self == Self { source: self.source.clone(), token: self.token.clone(), ..Self::default() }
    }
}

/// The view of a link that names none.
pub const DEFAULT_VIEW: &str = "packets";

/// The state as a fragment, `#` included. Tokens are part of it: it is what the address bar shows.
pub fn print(state: &UrlState) -> String {
    let mut text = String::from("#/");
    let mut parameters = Vec::new();
    match &state.source {
        Source::None => {}
        Source::Reference => text += "reference",
        Source::File(name) => text += &format!("file/{}", escape(name)),
        Source::Capture(id) => text += &format!("c/{}", escape(id)),
    }
    if !state.token.is_empty() {
        parameters.push(format!("k={}", escape(&state.token)));
    }
    if state.view != DEFAULT_VIEW {
        parameters.push(format!("view={}", escape(&state.view)));
    }
    if let Some(finding) = &state.finding {
        parameters.push(format!("sel={}", escape(finding)));
    }
    if state.whole {
        parameters.push("whole=1".into());
    }
    if let Some(anchor) = &state.anchor {
        parameters.push(format!("at={}", escape(&anchor.to_string())));
    }
    if state.inspect == Inspect::Packet {
        parameters.push("show=packet".into());
    }
    if let Some(span) = state.span {
        parameters.push(format!("t={}", span_text(span)));
    }
    if let Some(span) = state.viewport {
        parameters.push(format!("v={}", span_text(span)));
    }
    if !state.filter.is_empty() {
        parameters.push(format!("q={}", escape(&state.filter)));
    }
    if let Some(flow) = state.flow {
        parameters.push(format!("flow={flow}"));
    }
    if state.sort != FlowSort::First {
        parameters.push(format!("sort={}", sort_slug(state.sort)));
    }
    if !parameters.is_empty() {
        text += "?";
        text += &parameters.join("&");
    }
    text
}

/// The state a fragment stands for; with or without its `#`.
pub fn parse(fragment: &str) -> UrlState {
    let fragment = fragment.strip_prefix('#').unwrap_or(fragment);
    let (path, query) = fragment.split_once('?').unwrap_or((fragment, ""));
    let mut state = UrlState::default();
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = unescape(value);
        match name {
            "k" => state.token = value,
            "view" if !value.is_empty() => state.view = value,
            // A link may name a place where a finding could stand: `sel=p42` is written by hand and by `dropscope check`.
            "sel" => match value.parse::<Anchor>() {
                Ok(anchor) => state.anchor = Some(anchor),
                Err(_) if !value.is_empty() => state.finding = Some(value),
                Err(_) => {}
            },
            "at" => state.anchor = value.parse().ok(),
            "show" if value == "packet" => state.inspect = Inspect::Packet,
            "t" => state.span = parse_span(&value),
            "v" => state.viewport = parse_span(&value),
            "q" => state.filter = value,
            "whole" => state.whole = value == "1",
            "flow" => state.flow = value.parse().ok().map(FlowId),
            "sort" => state.sort = parse_sort(&value),
            _ => {}
        }
    }
    let path = path.trim_matches('/');
    state.source = match path.split_once('/') {
        Some(("c", id)) if !id.is_empty() => Source::Capture(unescape(id)),
        Some(("file", name)) if !name.is_empty() => Source::File(unescape(name)),
        None if path == "reference" => Source::Reference,
        _ => Source::None,
    };
    state
}

/// A span's text is that of the anchor `t@START-END` without its head.
fn span_text(span: Span) -> String {
    let text = Anchor::from(Place::Span(span)).to_string();
    text.trim_start_matches("t@").to_owned()
}

fn parse_span(text: &str) -> Option<Span> {
    match format!("t@{text}").parse::<Anchor>().ok()?.place {
        Place::Span(span) => Some(span),
        _ => None,
    }
}

/// The word for a sort order, in links and as a column's name.
pub fn sort_slug(sort: FlowSort) -> &'static str {
    match sort {
        FlowSort::First => "first",
        FlowSort::Packets => "packets",
        FlowSort::Bytes => "bytes",
        FlowSort::Duration => "duration",
        FlowSort::Retransmissions => "retransmissions",
        FlowSort::Missing => "missing",
    }
}

fn parse_sort(slug: &str) -> FlowSort {
    match slug {
        "packets" => FlowSort::Packets,
        "bytes" => FlowSort::Bytes,
        "duration" => FlowSort::Duration,
        "retransmissions" => FlowSort::Retransmissions,
        "missing" => FlowSort::Missing,
        _ => FlowSort::First,
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986, 2.3) and a few that are safe in a fragment and keep links legible.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'@' | b':' | b'/' | b',' => {
                out.push(byte.into())
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// The inverse of [`escape`]; a damaged sequence stays as it is, bytes that are not UTF-8 become U+FFFD.
pub fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dropscope_core::ids::{Direction, PacketNo};
    use dropscope_core::time::Timestamp;

    fn span(a: i64, b: i64) -> Span {
        Span::new(Timestamp::from_nanos(a), Timestamp::from_nanos(b))
    }

    #[test]
    fn every_state_comes_back_from_its_own_text() {
        let sources = [
            Source::None,
            Source::Reference,
            Source::File("näme with spaces & #hash?.pcapng".into()),
            Source::Capture("eth0-1a2b".into()),
            Source::Capture("x/y".into()),
        ];
        let anchors = [
            None,
            Some(Place::Packet(PacketNo(42)).into()),
            Some(Place::Bytes { flow: FlowId(3), direction: Direction::AToB, first: 1, last: 75 }.into()),
            Some(Place::FirewallRule { netns: dropscope_core::ids::NetnsId(7), rule: "filter/INPUT/9c:1f#2 &".into() }.into()),
        ];
        let filters = ["", "tcp.port == 80 && ip.addr == 10.0.0.0/8", "frame contains \"%41=ü\""];
        let sorts = [FlowSort::First, FlowSort::Missing];
        for source in &sources {
            for anchor in &anchors {
                for filter in filters {
                    for sort in sorts {
                        for flow in [None, Some(FlowId(9))] {
                            let state = UrlState {
                                source: source.clone(),
                                token: if filter.is_empty() { "a.b-c_d".into() } else { String::new() },
                                view: if flow.is_some() { "ladder".into() } else { DEFAULT_VIEW.into() },
                                finding: flow.map(|_| "interface_mtu-0123456789abcdef".into()),
                                whole: flow.is_some() && filter.is_empty(),
                                anchor: anchor.clone(),
                                span: flow.map(|_| span(-5, 1_700_000_000_000_000_000)),
                                viewport: anchor.as_ref().map(|_| span(3, 4)),
                                inspect: if flow.is_some() { Inspect::Packet } else { Inspect::Finding },
                                filter: filter.into(),
                                flow,
                                sort,
                            };
                            assert_eq!(parse(&print(&state)), state, "{}", print(&state));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn links_look_as_documented() {
        let cases = [
            ("", UrlState::default()),
            ("#/", UrlState::default()),
            ("#/?k=tok", UrlState { token: "tok".into(), ..Default::default() }),
            ("#/reference", UrlState { source: Source::Reference, ..Default::default() }),
            (
                "#/c/live-1?k=tok&view=counters&sel=p42&t=10-20",
                UrlState {
                    source: Source::Capture("live-1".into()),
                    token: "tok".into(),
                    view: "counters".into(),
                    anchor: Some(Place::Packet(PacketNo(42)).into()),
                    span: Some(span(10, 20)),
                    ..Default::default()
                },
            ),
        ];
        for (text, state) in cases {
            assert_eq!(parse(text), state, "{text}");
        }
    }

    /// Links once given out must open for ever: this list only grows.
    #[test]
    fn kept_links_still_open() {
        let kept = [
            "#/c/a?k=t&view=ladder&sel=interface_mtu-0123456789abcdef&at=f0%3E1-75&t=1-2&v=0-9&q=tcp&flow=0&sort=bytes",
            "#/file/nginx-mtu.pcapng?at=p4",
            "#/reference?sel=interface_mtu-0123456789abcdef&at=p118&show=packet",
            "#/reference?sel=interface_mtu-0123456789abcdef&whole=1",
        ];
        for link in kept {
            assert_eq!(print(&parse(link)), link);
        }
    }

    #[test]
    fn a_mangled_link_keeps_what_can_be_understood() {
        let state = parse("#/c/x?k=&sel=&t=20-10&v=zz&at=nonsense&sort=up&flow=-1&q=%zz%4&&=");
        assert_eq!(state.source, Source::Capture("x".into()));
        assert_eq!((state.span, state.viewport, state.anchor, state.flow, state.finding), (None, None, None, None, None));
        assert_eq!(state.filter, "%zz%4");
    }
}
