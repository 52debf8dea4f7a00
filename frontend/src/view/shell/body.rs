//! The page with a source open: findings, timeline, the view with its tabs, inspector, and the lines between them.

use crate::hooks::{Same, use_dispatch, use_narrow};
use crate::state::{AppState, Inspect, Intent, focus_packet, lit_packets};
use crate::text::t;
use crate::view::findings::{Detail, FindingsList, detail};
use crate::view::packets::PacketInspector;
use crate::view::timeline::Timeline;
use crate::view::{VIEWS, ViewProps, view};
use crate::widget::splitter::{Along, Size, Splitter};
use dropscope_core::anchor::Anchor;
use dropscope_core::finding::Finding;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use yew::prelude::*;

const LEFT: Size = Size { key: "pane.findings", usual: 312.0, share: 0.217, least: 220.0, most: 640.0 };
const TOP: Size = Size { key: "pane.timeline", usual: 296.0, share: 0.37, least: 90.0, most: 900.0 };
const RIGHT: Size = Size { key: "pane.inspector", usual: 440.0, share: 0.27, least: 280.0, most: 900.0 };

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// The whole state; what stands below gets only its part.
    pub state: Same<AppState>,
    /// Whether it is dark.
    pub dark: bool,
}

/// The page with a source open.
#[component]
pub fn Body(props: &Props) -> Html {
    let dispatch = use_dispatch();
    let state: &AppState = &props.state;
    let (left, top, right) = (
        use_state_eq(|| LEFT.remembered(Along::Columns)),
        use_state_eq(|| TOP.remembered(Along::Rows)),
        use_state_eq(|| RIGHT.remembered(Along::ColumnsFromRight)),
    );
    let session = &state.session;
    let finding = state.open_finding();
    let focus = focus_packet(&state.url, session.located.as_ref(), finding);
    let lit_anchor = use_memo(state.url.anchor.clone(), |anchor| anchor.clone().map(|a| Same(Rc::new(a))));
    // Made anew only when what is looked at changes, so that progress alone renders no view.
    let view_props = use_memo(
        (
            state.url.clone(),
            session.overview.clone().map(Same),
            session.findings.clone().map(Same),
            focus,
            session.number,
            state.server.is_owner(),
        ),
        |(url, overview, ..)| ViewProps {
            url: Same(Rc::new(url.clone())),
            lit: lit_packets(finding),
            evidence: finding.map(|f| f.evidence.clone()).unwrap_or_default().into(),
            chosen: finding.map(|f| f.rule.clone().into()),
            focus,
            overview: overview.clone(),
            growing: false,
            owner: state.server.is_owner(),
            dark: false,
        },
    );
    let growing = !session.progress.ended && !session.stopped;
    let view_props = ViewProps { growing, dark: props.dark, ..(*view_props).clone() };
    let shown: Option<Same<Finding>> =
        use_memo((session.findings.clone().map(Same), state.url.finding.clone()), |_| finding.cloned().map(|f| Same(Rc::new(f))))
            .as_ref()
            .clone();
    let narrow = use_narrow();
    let in_place =
        shown.clone().filter(|_| narrow).map(|finding| detail::Props { finding, lit: (*lit_anchor).clone(), in_place: true });
    let current = view(&state.url.view);
    let moved = |state: &UseStateHandle<f64>| {
        let set = state.setter();
        Callback::from(move |px| set.set(px))
    };
    html! {
        <main class="body" style={format!("--left: {}px; --top: {}px; --right: {}px", *left, *top, *right)}>
            <FindingsList findings={session.findings.clone().map(Same)} open={state.url.finding.clone().map(AttrValue::from)} {in_place} {growing}
                scope={session.overview.as_ref().map(|overview| overview.scope.clone()).unwrap_or_default()}
                has_counters={session.overview.as_ref().is_some_and(|overview| overview.has_counters)} />
            <Splitter along={Along::Columns} size={LEFT} px={*left} on_move={moved(&left)} label={t("split-findings")} />
            <div class="main">
                <Timeline viewport={state.url.viewport} selected={state.url.span} finding={state.url.finding.clone().map(AttrValue::from)}
                    filter={state.url.filter.clone()} dark={props.dark} />
                <Splitter along={Along::Rows} size={TOP} px={*top} on_move={moved(&top)} label={t("split-timeline")} />
                <section class="tabbed">
                    <div class="tabs" role="tablist" aria-label={t("views")} onkeydown={step_tab}>
                        { for VIEWS.iter().map(|v| {
                            let dispatch = dispatch.clone();
                            let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::View(v.slug)));
                            let on = v.slug == current.slug;
                            html! { <button class="tab" role="tab" data-tab={v.slug} aria-selected={on.to_string()} tabindex={if on { "0" } else { "-1" }} {onclick}>{ t(v.title) }</button> }
                        }) }
                    </div>
                    { (current.draw)(&view_props) }
                </section>
            </div>
            <Splitter along={Along::ColumnsFromRight} size={RIGHT} px={*right} on_move={moved(&right)} label={t("split-inspector")} />
            <Inspector finding={shown.filter(|_| !narrow)} {narrow} {focus} anchored={state.url.anchor.is_some()} inspect={state.url.inspect} lit={(*lit_anchor).clone()} />
        </main>
    }
}

/// The arrow keys go from tab to tab and choose, as Home and End do; Tab itself leaves the row of tabs.
fn step_tab(event: KeyboardEvent) {
    let tab = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
    let Some((tab, tabs)) = tab.and_then(|tab| Some((tab.clone(), tab.parent_element()?))) else { return };
    let next = match event.key().as_str() {
        "ArrowRight" => tab.next_element_sibling().or_else(|| tabs.first_element_child()),
        "ArrowLeft" => tab.previous_element_sibling().or_else(|| tabs.last_element_child()),
        "Home" => tabs.first_element_child(),
        "End" => tabs.last_element_child(),
        _ => return,
    };
    event.prevent_default();
    if let Some(next) = next.and_then(|next| next.dyn_into::<web_sys::HtmlElement>().ok()) {
        next.click();
        // A tab that cannot take the focus is chosen all the same.
        let _ = next.focus();
    }
}

#[derive(Properties, PartialEq)]
struct InspectorProps {
    finding: Option<Same<Finding>>,
    /// Whether the finding is shown elsewhere: only a packet is shown then.
    narrow: bool,
    focus: Option<dropscope_core::ids::PacketNo>,
    anchored: bool,
    inspect: Inspect,
    lit: Option<Same<Anchor>>,
}

/// The finding or the packet; when both are there, a tab for each.
#[component]
fn Inspector(props: &InspectorProps) -> Html {
    let dispatch = use_dispatch();
    let packet = props.focus.filter(|_| props.anchored || props.finding.is_some());
    if props.narrow && packet.is_none() {
        return Html::default();
    }
    let shows_packet = packet.is_some() && (props.finding.is_none() || props.inspect == Inspect::Packet);
    let tab = |on: bool, inspect: Inspect, words: String| {
        let dispatch = dispatch.clone();
        let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Inspect(inspect)));
        html! { <button class="tab" role="tab" aria-selected={on.to_string()} tabindex={if on { "0" } else { "-1" }} {onclick}>{ words }</button> }
    };
    let content = match (&props.finding, packet) {
        (_, Some(no)) if shows_packet => html! { <PacketInspector {no} /> },
        (Some(finding), _) => html! { <Detail finding={finding.clone()} lit={props.lit.clone()} /> },
        _ => html! { <p class="view__empty">{ t("inspector-empty") }</p> },
    };
    html! {
        <aside class="inspector" aria-label={t("inspector")}>
            if let (Some(_), Some(no)) = (&props.finding, packet) {
                <div class="tabs" role="tablist" aria-label={t("inspector")} onkeydown={step_tab}>
                    { tab(!shows_packet, Inspect::Finding, t("finding")) }
                    { tab(shows_packet, Inspect::Packet, format!("{} {no}", t("packet"))) }
                </div>
            }
            <div class="inspector__scroll">{ content }</div>
        </aside>
    }
}
