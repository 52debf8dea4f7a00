//! How each intent changes the state: one pure function.

use super::{AppState, Edge, History, Inspect, Intent, Link, Session, Sheet, Theme, Trouble};
use crate::text::{Value, t, tn};
use crate::url::UrlState;
use dropscope_core::anchor::{Anchor, Place};
use dropscope_core::finding::{Finding, Picture, Subject};
use dropscope_core::ids::{FlowId, PacketNo};
use dropscope_core::query::Located;
use dropscope_core::sort;
use dropscope_core::time::{Nanos, Span};
use std::rc::Rc;

/// The state after `intent`.
pub fn reduce(state: &AppState, intent: Intent) -> AppState {
    let mut next = state.clone();
    let before = state.url.clone();
    next.history = History::Keep;
    let mut history = History::Push;
    let opens_finding = matches!(intent, Intent::Navigated(_) | Intent::Finding(_) | Intent::StepFinding(_));
    // What the page does by itself leaves the choice to the reader.
    let is_choice = !matches!(intent, Intent::Opened { .. } | Intent::Open(_) | Intent::Findings(_) | Intent::Located(..));
    match intent {
        Intent::Navigated(url) => {
            next.url = *url;
            next.flow_follows = false;
            history = History::Keep;
            if next.url.source == before.source && next.url.finding != before.finding {
                adopt_finding(&mut next);
            }
        }
        Intent::Open(source) => {
            // A link to a file of somebody else waits for that file: what it selects stays.
            if source != before.source || state.session.open {
                let token = before.token.clone();
                next.url = UrlState { source, token, ..UrlState::default() };
            }
            next.openings += 1;
            next.sheet = Sheet::None;
        }
        Intent::Dropped(names) => next.local = names,
        Intent::Reopen => next.openings += 1,
        Intent::Opened { name, size } => {
            next.session = Session { number: state.session.number + 1, open: true, name, size, ..Session::default() };
            next.untouched = next.url.is_cold();
        }
        Intent::Closed => next.session = Session { number: state.session.number + 1, ..Session::default() },
        Intent::Progress { progress, bytes_per_second, refresh, found } => {
            if refresh || progress.ended {
                next.session.revision = progress.revision;
            }
            if refresh || progress.ended || found {
                next.session.judged = progress.revision;
            }
            next.session.bytes_per_second = bytes_per_second;
            // Told once: a banner that was read does not come back with the next report.
            if let (Some(what), None) = (&progress.trouble, &state.session.progress.trouble) {
                let what_to_do = t(if progress.packets == 0 { "nothing-readable" } else { "readable-kept" });
                next.session.trouble = Some(Trouble { what: what.clone(), what_to_do });
            }
            next.session.progress = *progress;
        }
        Intent::Overview(overview) => next.session.overview = Some(overview),
        Intent::Findings(findings) => {
            let first_time = state.open_finding().is_none();
            next.session.findings = Some(findings);
            if state.untouched {
                next.url.finding = worst(&next);
                next.url.whole = next.url.finding.is_some();
                next.url.flow = next.open_finding().and_then(flow_of);
                history = History::Replace;
            } else if first_time && next.open_finding().is_some() {
                // A pasted link names a finding that is known only now: what the link says beside it stays as it is.
                adopt_finding(&mut next);
                history = History::Replace;
            }
        }
        Intent::Located(anchor, located) => {
            let is_lit = next.url.anchor.as_ref().is_some_and(|lit| lit.to_string() == anchor);
            next.session.located = Some((anchor, located.clone()));
            if located.flow.is_some() && (next.url.flow.is_none() || (is_lit && next.flow_follows)) {
                next.url.flow = located.flow;
                next.flow_follows = false;
                history = History::Replace;
            }
        }
        Intent::Link(link) => {
            if matches!(link, Link::Live | Link::Fetching) {
                next.session.trouble = None;
            }
            next.session.link = link;
        }
        Intent::Trouble(trouble) => next.session.trouble = Some(trouble),
        Intent::TroubleSeen => next.session.trouble = None,
        // A second upload leaves this computer as much as the first did.
        Intent::Shared(shared) => next.session.shared = Some(shared),
        Intent::Uploaded(bytes) => next.session.uploaded = next.session.uploaded.max(bytes),
        Intent::EngineDied(why) => {
            next.session.engine_dead = true;
            let mut what_to_do = t("engine-died-what-to-do");
            // What may have stopped it must not stop the next one, nor stand in the address when the page is loaded again.
            let filter = std::mem::take(&mut next.url.filter);
            if !filter.is_empty() {
                what_to_do =
                    format!("{} {what_to_do}", tn("engine-died-filter", &[("filter", Value::Text(&shortened(&filter)))]));
                history = History::Replace;
            }
            next.session.trouble = Some(Trouble { what: why, what_to_do });
        }
        Intent::Stopped => next.session.stopped = true,
        Intent::Server(server) => next.server = server,

        Intent::View(slug) => next.url.view = slug.into(),
        Intent::Finding(id) => open_finding(&mut next, id),
        Intent::StepFinding(by) => {
            if let Some(id) = neighbour(state, by) {
                open_finding(&mut next, Some(id));
            }
        }
        Intent::Anchor(anchor) => light(&mut next, anchor),
        Intent::Packet(no) => {
            next.flow_follows = true;
            next.url.anchor = Some(Place::Packet(no).into());
            // Without a finding there is nothing else to show.
            next.url.inspect = if next.url.finding.is_some() { Inspect::Packet } else { Inspect::Finding };
        }
        Intent::Inspect(inspect) => next.url.inspect = inspect,
        Intent::SpanEdge(edge) => {
            let lit = state.url.anchor.as_ref().map(Anchor::to_string);
            let located = state.session.located.as_ref().filter(|(anchor, _)| Some(anchor) == lit.as_ref());
            if let Some(at) = located.and_then(|(_, l)| l.span) {
                let old = state.url.span.or(state.session.progress.span).unwrap_or(at);
                next.url.span = Some(match edge {
                    Edge::Start => Span::new(at.start, old.end.max(at.start)),
                    Edge::End => Span::new(old.start.min(at.end), at.end),
                });
            }
        }
        Intent::Unselect => {
            next.url.finding = None;
            next.url.anchor = None;
            next.url.inspect = Inspect::Finding;
        }
        Intent::Span(span) => next.url.span = span,
        Intent::Viewport(span) => {
            next.url.viewport = span;
            history = History::Replace;
        }
        Intent::FitSelection => {
            next.url.viewport = next.url.span.map(|span| padded(span, state.session.progress.span));
        }
        Intent::Filter(filter) => next.url.filter = filter.trim().to_owned(),
        Intent::ChooseFlow(flow) => {
            next.url.flow = Some(flow);
            history = History::Replace;
        }
        Intent::Flow(flow) => {
            next.url.flow = Some(flow);
            next.url.view = "ladder".into();
        }
        Intent::Sort(sort) => {
            next.url.sort = sort;
            history = History::Replace;
        }
        Intent::Escape => escape(&mut next),

        Intent::Theme(theme) => next.theme = theme,
        Intent::ToggleTheme => {
            next.theme = match state.theme {
                Theme::System if state.system_dark => Theme::Light,
                Theme::System | Theme::Light => Theme::Dark,
                Theme::Dark => Theme::Light,
            };
        }
        Intent::Language(language) => next.language = language,
        Intent::Sheet(sheet) => next.sheet = sheet,
        Intent::Say(said) => next.said = Some(said.into()),
    }
    if next.url != before {
        next.history = history;
        next.untouched &= !is_choice;
        // A link to this screen must not take from the finding what is not selected here.
        if is_choice && !opens_finding {
            next.url.whole |= next.url.span.is_none() || next.url.viewport.is_none();
        }
        next.url.whole &= next.url.finding.is_some();
    }
    next
}

/// Opens a finding and moves everything else to its evidence.
fn open_finding(next: &mut AppState, id: Option<String>) {
    next.url.finding = id;
    next.url.anchor = None;
    next.url.inspect = Inspect::Finding;
    next.url.whole = false;
    if next.url.finding.is_some() {
        next.url.span = None;
        next.url.viewport = None;
        next.url.flow = None;
        adopt_finding(next);
    }
}

/// Takes span, viewport and conversation from the open finding, where they are not there already.
fn adopt_finding(next: &mut AppState) {
    let whole = next.session.progress.span;
    let Some(finding) = next.open_finding() else { return };
    let (span, flow) = (finding.span, flow_of(finding));
    if next.url.whole {
        return;
    }
    if span.length() > Nanos::new(0) && next.url.span.is_none() {
        next.url.span = Some(span);
    }
    if next.url.viewport.is_none() {
        next.url.viewport = Some(padded(span, whole));
    }
    if next.url.flow.is_none() {
        next.url.flow = flow;
    }
}

/// The conversation a finding is about: its subject, its picture's, else that of its first evidence that names one.
fn flow_of(finding: &Finding) -> Option<FlowId> {
    if let Subject::Flow { flow, .. } = &finding.subject {
        return Some(*flow);
    }
    if let Some(Picture::Ladder { flow }) = &finding.picture {
        return Some(*flow);
    }
    finding.evidence.iter().find_map(|anchor| match anchor.place {
        Place::Flow(flow) | Place::Bytes { flow, .. } => Some(flow),
        _ => None,
    })
}

/// Lights a place: the span and the conversation follow where the place itself names them; the rest follows when it is located.
fn light(next: &mut AppState, anchor: Anchor) {
    match &anchor.place {
        Place::Flow(flow) | Place::Bytes { flow, .. } => next.url.flow = Some(*flow),
        Place::Counter { span, .. } => {
            next.url.span = Some(*span);
            next.url.view = "counters".into();
        }
        Place::FirewallRule { .. } | Place::Interface { .. } => next.url.view = "counters".into(),
        Place::KernelDrop(_) => next.url.view = "drops".into(),
        Place::Span(span) => next.url.span = Some(*span),
        Place::Packet(_) => {
            if !matches!(next.url.view.as_str(), "packets" | "ladder") {
                next.url.view = "packets".into();
            }
        }
    }
    if matches!(anchor.place, Place::Bytes { .. }) && !matches!(next.url.view.as_str(), "packets" | "ladder") {
        next.url.view = "ladder".into();
    }
    next.flow_follows = true;
    // Whoever follows the argument of a finding keeps it in sight.
    next.url.inspect = Inspect::Finding;
    next.url.anchor = Some(anchor);
}

/// Escape takes back one thing at a time: what lies over the page, the lit place, the span, the finding, the zoom.
fn escape(next: &mut AppState) {
    if next.sheet != Sheet::None {
        next.sheet = Sheet::None;
    } else if next.url.anchor.take().is_some() || next.url.span.take().is_some() {
        // One of the two is gone now, and with the packet what showed it.
        next.url.inspect = Inspect::Finding;
    } else if next.url.finding.take().is_none() {
        next.url.viewport = None;
    }
}

/// The id of the finding to open where nothing was chosen. Findings stand most severe first; one that is open stays until there is
/// a more severe one, or everything has been read.
fn worst(next: &AppState) -> Option<String> {
    let findings = &next.session.findings.as_ref()?.findings;
    let first = findings.first()?;
    match next.open_finding() {
        Some(open) if !next.session.progress.ended && open.severity >= first.severity => Some(open.id.as_str().to_owned()),
        _ => Some(first.id.as_str().to_owned()),
    }
}

/// The id of the finding `by` places after the open one; the first or last when none is open.
fn neighbour(state: &AppState, by: i32) -> Option<String> {
    let findings = &state.session.findings.as_ref()?.findings;
    let count = i32::try_from(findings.len()).ok().filter(|n| *n > 0)?;
    let open = state.url.finding.as_deref().and_then(|id| findings.iter().position(|f| f.id.as_str() == id));
    let place = match open.and_then(|i| i32::try_from(i).ok()) {
        Some(i) => (i + by).rem_euclid(count),
        None if by < 0 => count - 1,
        None => 0,
    };
    findings.get(usize::try_from(place).ok()?).map(|f| f.id.as_str().to_owned())
}

/// `span` with a tenth of its length on either side, at least a millisecond, within `whole` and its own margin.
pub fn padded(span: Span, whole: Option<Span>) -> Span {
    let margin = Nanos::new((span.length().get() / 10).max(1_000_000));
    let mut wide = Span::new(span.start + Nanos::new(-margin.get()), span.end + margin);
    if let Some(whole) = whole {
        let edge = Nanos::new((whole.length().get() / 50).max(1_000_000));
        wide = Span::new(wide.start.max(whole.start - edge), wide.end.min(whole.end + edge));
    }
    wide
}

/// The packets that are lit: those an open finding names, and the one the lit anchor lies at.
pub fn lit_packets(finding: Option<&Finding>) -> Rc<[PacketNo]> {
    let mut lit: Vec<PacketNo> = finding
        .map(|f| f.evidence.iter().chain(f.reasons.iter().flat_map(|r| &r.anchors)))
        .into_iter()
        .flatten()
        .filter_map(|anchor| match anchor.place {
            Place::Packet(no) => Some(no),
            _ => None,
        })
        .collect();
    sort::by_key(&mut lit, |no| *no);
    lit.dedup();
    lit.into()
}

/// The packet to show: the lit one, or the one the lit place was located at, or the first of the open finding in its span.
pub fn focus_packet(url: &UrlState, located: Option<&(String, Rc<Located>)>, finding: Option<&Finding>) -> Option<PacketNo> {
    if let Some(anchor) = &url.anchor {
        if let Place::Packet(no) = anchor.place {
            return Some(no);
        }
        return located.filter(|(text, _)| *text == anchor.to_string()).and_then(|(_, l)| l.packet);
    }
    // On a cold page the list stays at its beginning.
    if url.whole && url.span.is_none() && url.viewport.is_none() {
        return None;
    }
    lit_packets(finding).first().copied()
}

/// A filter as it is quoted in a sentence.
fn shortened(filter: &str) -> String {
    const SHOWN: usize = 100;
    match filter.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &filter[..end]),
        None => filter.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::Source;
    use dropscope_core::query::{Findings, Progress};
    use dropscope_core::time::Timestamp;

    fn span(a: i64, b: i64) -> Span {
        Span::new(Timestamp::from_nanos(a), Timestamp::from_nanos(b))
    }

    fn finding(rule: &str, span: Span, evidence: &str) -> Finding {
        let subject =
            Subject::Flow { flow: FlowId(3), client: "10.0.0.1:5".into(), server: "10.0.0.2:80".into(), transport: "tcp".into() };
        let first: Anchor = evidence.parse().expect("the test names a place");
        Finding {
            id: dropscope_core::finding::FindingId::new(rule, &subject, &first),
            rule: rule.into(),
            severity: dropscope_core::finding::Severity::Critical,
            confidence: dropscope_core::finding::Confidence::Strong,
            sentence: "Something was lost.".into(),
            subject,
            span,
            count: 1,
            evidence: vec![first],
            reasons: vec![],
            confidence_reason: String::new(),
            rival: String::new(),
            confirm: vec![],
            fix: vec![],
            advice: None,
            questions: vec![],
            picture: None,
        }
    }

    fn loaded() -> AppState {
        let second = 1_000_000_000;
        let findings = vec![finding("a", span(second, 2 * second), "p4"), finding("b", span(5 * second, 6 * second), "p9")];
        let mut state = reduce(&AppState::default(), Intent::Opened { name: "x.pcap".into(), size: None });
        let progress = Progress { span: Some(span(0, 10 * second)), ..Progress::default() };
        state =
            reduce(&state, Intent::Progress { progress: Box::new(progress), bytes_per_second: 0.0, refresh: true, found: false });
        reduce(&state, Intent::Findings(Rc::new(Findings { revision: 1, findings, checked: vec![] })))
    }

    fn id(state: &AppState, n: usize) -> String {
        state.session.findings.as_ref().expect("loaded").findings[n].id.as_str().to_owned()
    }

    #[test]
    fn opening_a_finding_moves_span_viewport_and_conversation_to_it() {
        let state = loaded();
        let next = reduce(&state, Intent::Finding(Some(id(&state, 0))));
        assert_eq!(next.url.span, Some(span(1_000_000_000, 2_000_000_000)));
        assert_eq!(next.url.viewport, Some(span(900_000_000, 2_100_000_000)));
        assert_eq!(next.url.flow, Some(FlowId(3)));
        assert_eq!(next.history, History::Push);
        assert_eq!(lit_packets(next.open_finding()).as_ref(), [PacketNo(4)]);
    }

    #[test]
    fn new_findings_are_asked_for_before_the_views_ask_again() {
        let told = |revision, refresh, found| {
            let progress = Progress { revision, ..Progress::default() };
            Intent::Progress { progress: Box::new(progress), bytes_per_second: 0.0, refresh, found }
        };
        let mut state = loaded();
        let mut asked = vec![];
        for intent in [told(1, true, false), told(2, false, false), told(3, false, true), told(4, true, true)] {
            state = reduce(&state, intent);
            asked.push((state.session.revision, state.session.judged));
        }
        assert_eq!(asked, [(1, 1), (1, 1), (1, 3), (4, 4)]);
    }

    #[test]
    fn a_pasted_link_keeps_its_own_span_when_its_finding_appears() {
        let ready = loaded();
        let mut state = AppState {
            url: UrlState { finding: Some(id(&ready, 1)), span: Some(span(7, 8)), ..UrlState::default() },
            ..AppState::default()
        };
        state.session.progress = ready.session.progress.clone();
        let next = reduce(&state, Intent::Findings(ready.session.findings.clone().expect("loaded")));
        assert_eq!(next.url.span, Some(span(7, 8)));
        assert_eq!(next.url.flow, Some(FlowId(3)));
        assert_eq!(next.history, History::Replace);
    }

    #[test]
    fn a_cold_page_opens_the_worst_finding_and_leaves_everything_else_as_it_is() {
        let state = loaded();
        assert_eq!(
            state.url,
            UrlState { finding: Some(id(&state, 0)), whole: true, flow: Some(FlowId(3)), ..UrlState::default() }
        );
        assert_eq!(state.history, History::Replace);
        assert_eq!(focus_packet(&state.url, None, state.open_finding()), None, "the list stays at its beginning");
        // A more severe one takes its place while nothing was chosen; one as severe does not.
        let second = 1_000_000_000;
        let mut findings = state.session.findings.as_ref().expect("loaded").findings.clone();
        let again = |state: &AppState, findings: &[Finding]| {
            reduce(state, Intent::Findings(Rc::new(Findings { revision: 2, findings: findings.to_vec(), checked: vec![] })))
        };
        findings.insert(0, finding("c", span(0, second), "p1"));
        assert_eq!(again(&state, &findings).url.finding, state.url.finding);
        findings.iter_mut().skip(1).for_each(|f| f.severity = dropscope_core::finding::Severity::Warning);
        let worse = again(&state, &findings);
        assert_eq!(worse.url.finding.as_deref(), Some(findings[0].id.as_str()));
        // What the reader chose stays, and so does that he closed it.
        let chosen = reduce(&state, Intent::Packet(PacketNo(9)));
        assert_eq!(again(&chosen, &findings).url.finding, state.url.finding);
        let closed = reduce(&state, Intent::Escape);
        assert_eq!((closed.url.finding.clone(), again(&closed, &findings).url.finding), (None, None));
    }

    #[test]
    fn a_link_that_names_something_opens_nothing_else() {
        let mut state = AppState { url: UrlState { filter: "tcp".into(), ..UrlState::default() }, ..AppState::default() };
        state = reduce(&state, Intent::Opened { name: "x.pcap".into(), size: None });
        let findings = vec![finding("a", span(0, 9), "p4")];
        let next = reduce(&state, Intent::Findings(Rc::new(Findings { revision: 1, findings, checked: vec![] })));
        assert_eq!(next.url.finding, None);
    }

    #[test]
    fn the_conversation_follows_a_packet_that_was_chosen_but_not_one_that_a_link_names() {
        let located = |no: u32, flow: u32| {
            let located = Located { span: None, packet: Some(PacketNo(no)), flow: Some(FlowId(flow)), text: String::new() };
            Intent::Located(format!("p{no}"), Rc::new(located))
        };
        let state = reduce(&loaded(), Intent::Flow(FlowId(3)));
        let chosen = reduce(&state, Intent::Anchor(Place::Packet(PacketNo(9)).into()));
        assert_eq!(reduce(&chosen, located(4, 5)).url.flow, Some(FlowId(3)), "an answer about another place");
        let next = reduce(&chosen, located(9, 5));
        assert_eq!((next.url.flow, next.history), (Some(FlowId(5)), History::Replace));
        let link = UrlState { flow: Some(FlowId(3)), anchor: Some(Place::Packet(PacketNo(9)).into()), ..UrlState::default() };
        let opened = reduce(&state, Intent::Navigated(Box::new(link)));
        assert_eq!(reduce(&opened, located(9, 5)).url.flow, Some(FlowId(3)));
    }

    #[test]
    fn next_and_previous_go_round() {
        // Nothing is open.
        let state = reduce(&loaded(), Intent::Escape);
        let mut at = state.clone();
        let mut seen = vec![];
        for by in [1, 1, 1, -1] {
            at = reduce(&at, Intent::StepFinding(by));
            seen.push(at.url.finding.clone());
        }
        let ids = [id(&state, 0), id(&state, 1)].map(Some);
        assert_eq!(seen, [ids[0].clone(), ids[1].clone(), ids[0].clone(), ids[1].clone()]);
    }

    #[test]
    fn escape_takes_back_one_thing_at_a_time() {
        let state = loaded();
        let state = reduce(&state, Intent::Finding(Some(id(&state, 0))));
        let state = reduce(&state, Intent::Anchor(Place::Packet(PacketNo(4)).into()));
        let state = reduce(&state, Intent::Sheet(Sheet::Keys));
        let mut at = state;
        let mut left = vec![];
        for _ in 0..5 {
            at = reduce(&at, Intent::Escape);
            let u = &at.url;
            left.push(
                [at.sheet != Sheet::None, u.anchor.is_some(), u.span.is_some(), u.finding.is_some(), u.viewport.is_some()]
                    .map(u8::from),
            );
        }
        assert_eq!(left, [[0, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]);
    }

    #[test]
    fn an_engine_that_died_starts_without_the_filter() {
        let state = reduce(&loaded(), Intent::Filter("tcp||".repeat(800)));
        let died = reduce(&state, Intent::EngineDied("It stopped.".into()));
        assert_eq!((died.url.filter.as_str(), died.history), ("", History::Replace));
        let told = died.session.trouble.as_ref().map(|trouble| trouble.what_to_do.clone()).unwrap_or_default();
        assert!(told.contains("tcp||tcp||") && told.len() < 500, "{told}");
        let again = reduce(&died, Intent::Reopen);
        assert_eq!((again.url.filter.as_str(), again.openings), ("", died.openings + 1));
        // Without a filter nothing is taken off.
        let told = reduce(&loaded(), Intent::EngineDied("It stopped.".into())).session.trouble;
        assert_eq!(told.map(|trouble| trouble.what_to_do), Some(t("engine-died-what-to-do")));
    }

    #[test]
    fn scrubbing_replaces_and_clicking_pushes() {
        let state = loaded();
        assert_eq!(reduce(&state, Intent::Viewport(Some(span(1, 2)))).history, History::Replace);
        assert_eq!(reduce(&state, Intent::Span(Some(span(1, 2)))).history, History::Push);
        assert_eq!(reduce(&state, Intent::Span(None)).history, History::Keep, "nothing changed");
    }

    #[test]
    fn a_counter_step_shows_the_counters_over_that_step() {
        let next = reduce(&loaded(), Intent::Anchor("c17@5-9".parse().expect("a place")));
        assert_eq!((next.url.view.as_str(), next.url.span), ("counters", Some(span(5, 9))));
    }

    #[test]
    fn opening_another_source_forgets_what_was_selected_but_not_the_token() {
        let mut state = loaded();
        state.url.token = "tok".into();
        let state = reduce(&state, Intent::Filter("tcp".into()));
        let next = reduce(&state, Intent::Open(Source::Reference));
        assert_eq!(next.url, UrlState { source: Source::Reference, token: "tok".into(), ..UrlState::default() });
    }
}
