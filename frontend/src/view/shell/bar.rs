//! The bar at the top: what is open and how it is, the filter, and what the page as a whole can do.

use super::filter::FilterField;
use crate::browser::now_ms;
use crate::format;
use crate::hooks::{Same, use_dispatch};
use crate::state::{AppState, Intent, Link, Sheet};
use crate::text::{Value, t, tn};
use crate::url::{Source, UrlState, print};
use dropscope_core::finding::Severity;
use gloo::timers::callback::Interval;
use yew::prelude::*;

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// The whole state.
    pub state: Same<AppState>,
    /// Read no further.
    pub stop: Callback<()>,
}

/// The bar at the top.
#[component]
pub fn Bar(props: &Props) -> Html {
    let dispatch = use_dispatch();
    let state: &AppState = &props.state;
    let session = &state.session;
    let act = |intent: Intent| {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(intent.clone()))
    };
    // A capture that was whole when it was opened, its size known, never was live: that its bytes have come is no news.
    let was_whole = session.size.is_some() && matches!(session.link, Link::Ended { .. });
    let link = if was_whole { Link::None } else { session.link.clone() };
    let home = print(&UrlState { token: state.url.token.clone(), ..UrlState::default() });
    html! {
        <header class="bar">
            <a class="bar__brand" href={home} title={t("open-another")}><span aria-hidden="true">{ "◆" }</span>{ " Dropscope" }</a>
            if session.open {
                <span class="bar__source" id="source" title={about_source(state)}>{ &session.name }</span>
            }
            if session.has_content() {
                <LinkState link={link} since={session.progress.span.map(|s| s.length())} />
                { quality(state, &dispatch) }
                { progress(state, &props.stop) }
            }
            <span class="view__spring" />
            if session.has_content() {
                <FilterField filter={state.url.filter.clone()} engine_dead={session.engine_dead} />
                <button class="button" id="share" onclick={act(Intent::Sheet(Sheet::Share))}>{ t("share") }</button>
            }
            <button class="button is-quiet is-icon" id="theme" title={t("theme")} aria-label={t("theme")} onclick={act(Intent::ToggleTheme)}>{ "◐" }</button>
            <button class="button is-quiet is-icon" id="language" title={t("language")} aria-label={t("language")}
                onclick={act(Intent::Language(state.language.other()))}>{ t("language-sign") }</button>
            <button class="button is-quiet is-icon" id="help" title={t("keys")} aria-label={t("keys")} onclick={act(Intent::Sheet(Sheet::Keys))}>{ "?" }</button>
        </header>
    }
}

/// The name of what is open, and of the files it was put together from.
fn about_source(state: &AppState) -> String {
    let name = &state.session.name;
    match state.local.iter().find(|one| matches!(&state.url.source, Source::File(open) if *open == one.name)) {
        Some(local) if local.files.len() > 1 => {
            let files = tn("files-joined", &[("n", Value::Number(local.files.len() as u64))]);
            format!("{files}\n{}", local.files.join("\n"))
        }
        _ => name.clone(),
    }
}

fn quality(state: &AppState, dispatch: &UseReducerDispatcher<AppState>) -> Html {
    let Some(overview) = &state.session.overview else { return Html::default() };
    let lost: u64 = overview.interfaces.iter().map(|i| i.lost).sum();
    let limits = overview.quality.iter().filter(|q| q.severity > Severity::Note).count() as u64;
    let notes = overview.quality.len() as u64 - limits;
    let words = match (limits, notes) {
        (0, 0) => tn("quality-lost", &[("shown", Value::Text(&format::count(lost)))]),
        (0, _) => tn("quality-notes", &[("n", Value::Number(notes))]),
        _ => tn("quality-limits", &[("n", Value::Number(limits))]),
    };
    let about: Vec<String> = overview.quality.iter().map(|q| q.sentence.replace('`', "")).collect();
    let about = if about.is_empty() { t("quality-good") } else { about.join("\n") };
    let dispatch = dispatch.clone();
    let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::View("notes")));
    html! { <button class={classes!("chip", "is-link", (limits > 0).then_some("is-warning"))} id="quality" title={about} {onclick}>{ words }</button> }
}

fn progress(state: &AppState, stop: &Callback<()>) -> Html {
    let session = &state.session;
    let p = &session.progress;
    let loading = !p.ended
        && !session.stopped
        && !session.engine_dead
        && !matches!(session.link, Link::Live | Link::Reconnecting { .. } | Link::Ended { .. });
    if !loading {
        return Html::default();
    }
    let total = p.bytes_total.or(session.size);
    let stop = stop.clone();
    let onclick = Callback::from(move |_: MouseEvent| stop.emit(()));
    let words = match total {
        Some(total) => format!(
            "{} / {} · {}/s",
            format::bytes(p.bytes_read),
            format::bytes(total),
            format::bytes(session.bytes_per_second as u64)
        ),
        None => format::bytes(p.bytes_read),
    };
    html! {
        <span class="progress" id="progress" role="group" aria-label={t("loading")}>
            <progress max={total.unwrap_or(1).max(1).to_string()} value={total.map(|_| p.bytes_read.to_string())} />
            <span class="num">{ words }</span>
            <button class="button is-small" id="cancel" {onclick}>{ t("cancel") }</button>
        </span>
    }
}

#[derive(Properties, PartialEq)]
struct LinkProps {
    link: Link,
    since: Option<dropscope_core::time::Nanos>,
}

/// How the connection to a live capture is.
#[component]
fn LinkState(props: &LinkProps) -> Html {
    let came = use_mut_ref(|| 0.0_f64);
    let tick = use_force_update();
    {
        let came = came.clone();
        // Counts down by itself while it waits for the next try.
        use_effect_with(props.link.clone(), move |link| {
            *came.borrow_mut() = now_ms();
            let interval = matches!(link, Link::Reconnecting { .. }).then(|| Interval::new(500, move || tick.force_update()));
            move || drop(interval)
        });
    }
    let (class, sign, words) = match &props.link {
        Link::None => return Html::default(),
        Link::Connecting => ("is-unsure", "○", t("link-connecting")),
        Link::Fetching => ("is-unsure", "○", t("link-fetching")),
        Link::Live => {
            let since = props.since.map(|s| format!(" {}", clock(s.get() / 1_000_000_000))).unwrap_or_default();
            ("is-fine", "●", format!("{}{since}", t("link-live")))
        }
        Link::Reconnecting { next_ms, attempt } => {
            let left = (f64::from(*next_ms) - (now_ms() - *came.borrow())).max(0.0) / 1_000.0;
            let seconds = format!("{left:.0}");
            (
                "is-warning",
                "▲",
                tn("link-reconnecting", &[("seconds", Value::Text(&seconds)), ("attempt", Value::Text(&attempt.to_string()))]),
            )
        }
        Link::Ended { .. } => ("is-unsure", "■", t("link-ended")),
    };
    let about = match &props.link {
        Link::Ended { why } => why.clone(),
        _ => String::new(),
    };
    let state = match &props.link {
        Link::Live => "live",
        Link::Reconnecting { .. } => "reconnecting",
        Link::Ended { .. } => "ended",
        _ => "connecting",
    };
    html! { <span class={classes!("link-state", class)} id="link" data-link={state} role="status" title={about}><span class="link-state__sign" aria-hidden="true">{ sign }</span>{ " " }{ words }</span> }
}

/// Seconds as a clock: `00:42`, `1:02:03`.
fn clock(seconds: i64) -> String {
    let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m:02}:{s:02}") }
}

/// Whether a source's bytes lie on the server.
pub(super) fn on_server(source: &Source) -> bool {
    matches!(source, Source::Capture(_))
}
