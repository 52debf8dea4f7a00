//! The bar at the bottom and the banner for what went wrong.

use crate::format;
use crate::hooks::{Same, use_dispatch};
use crate::state::{AppState, Intent, Trouble};
use crate::text::{Value, t, tn};
use crate::url::Source;
use yew::prelude::*;

/// The state.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// The whole state.
    pub state: Same<AppState>,
}

/// How much there is, what is selected, and that nothing was uploaded.
#[component]
pub fn StatusBar(props: &Props) -> Html {
    let state: &AppState = &props.state;
    let p = &state.session.progress;
    let uploaded = match &state.url.source {
        Source::Capture(_) if state.session.open => t("status-on-server"),
        _ if state.session.uploaded == 0 => t("status-uploaded-nothing"),
        _ => tn("status-uploaded", &[("size", Value::Text(&format::bytes(state.session.uploaded)))]),
    };
    html! {
        <footer class="status">
            if state.session.has_content() {
                <span class="num" data-status="packets" data-bytes={p.bytes_read.to_string()} title={format::bytes(p.bytes_read)}>{ tn("status-packets", &[("n", Value::Number(p.packets.into())), ("shown", Value::Text(&format::count(p.packets.into())))]) }</span>
                <span class="num" data-status="flows">{ tn("status-flows", &[("n", Value::Number(p.flows.into())), ("shown", Value::Text(&format::count(p.flows.into())))]) }</span>
                if let Some(span) = state.url.span.or(p.span) {
                    <span class="num" title={format!("{} – {}", format::date_time(span.start, 6), format::date_time(span.end, 6))}>
                        { format!("{} {}", if state.url.span.is_some() { t("selected") } else { t("all-of") }, span.length()) }
                    </span>
                }
                if state.session.stopped { <span class="is-warning">{ tn("status-stopped", &[("bytes", Value::Text(&format::bytes(p.bytes_read)))]) }</span> }
            }
            <span data-status="uploaded">{ uploaded }</span>
            <span class="view__spring" />
            <span class="status__said" role="status" aria-live="polite">{ state.said.as_deref().unwrap_or_default() }</span>
        </footer>
    }
}

/// What the banner shows.
#[derive(Properties, PartialEq)]
pub struct BannerProps {
    /// What went wrong.
    pub trouble: Option<Trouble>,
    /// Whether the engine is dead.
    pub engine_dead: bool,
    /// Start it again.
    pub restart: Callback<()>,
}

/// What happened, what was kept, what to do.
#[component]
pub fn Banner(props: &BannerProps) -> Html {
    let dispatch = use_dispatch();
    let Some(trouble) = &props.trouble else { return Html::default() };
    let restart = {
        let restart = props.restart.clone();
        Callback::from(move |_: MouseEvent| restart.emit(()))
    };
    let close = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::TroubleSeen));
    html! {
        <div class="banner" role="alert" id="trouble">
            <span class="sign is-critical" aria-hidden="true">{ "■" }</span>
            <p><strong>{ &trouble.what }</strong>{ " " }{ &trouble.what_to_do }</p>
            if props.engine_dead {
                <button class="button" id="restart" onclick={restart}>{ t("restart-engine") }</button>
            } else {
                <button class="button is-quiet" aria-label={t("close")} onclick={close}>{ "×" }</button>
            }
        </div>
    }
}
