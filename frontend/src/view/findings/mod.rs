//! The findings: the answer, which stands first, and the open finding in the inspector.

pub mod detail;
pub mod picture;

pub use detail::Detail;

use crate::format;
use crate::hooks::{Same, use_dispatch, use_narrow};
use crate::state::Intent;
use crate::text::{Value, t, tn};
use crate::widget::prose::prose;
use crate::widget::severity;
use dropscope_core::finding::{Checked, Finding, Quiet, Severity};
use dropscope_core::query::{Findings, Scope, Traffic};
use wasm_bindgen::JsCast;
use yew::prelude::*;

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// What the rules say; `None` before they said anything.
    pub findings: Option<Same<Findings>>,
    /// The open finding.
    pub open: Option<AttrValue>,
    /// The same in full, where it is to stand below its card: in a window too narrow for panes.
    pub in_place: Option<detail::Props>,
    /// Whether more may come.
    pub growing: bool,
    /// What of the traffic is judged.
    pub scope: Scope,
    /// Whether a watched host's counters are judged, too.
    pub has_counters: bool,
}

/// The list of findings, and of what was checked and is fine.
#[component]
pub fn FindingsList(props: &Props) -> Html {
    let dispatch = use_dispatch();
    let findings = props.findings.as_deref();
    let list = findings.map(|f| f.findings.as_slice()).unwrap_or_default();
    let checked = findings.map(|f| f.checked.as_slice()).unwrap_or_default();
    let headline = headline(list, props.growing, findings.is_some(), &judged(props));
    let onkeydown = {
        let dispatch = dispatch.clone();
        Callback::from(move |event: KeyboardEvent| {
            let by = match event.key().as_str() {
                "ArrowDown" => 1,
                "ArrowUp" => -1,
                _ => return,
            };
            event.prevent_default();
            dispatch.dispatch(Intent::StepFinding(by));
        })
    };
    let list_node = use_node_ref();
    use_in_sight(&list_node, props.open.clone(), props.in_place.is_some());
    let narrow = use_narrow();
    // One stop of the Tab key: the arrow keys go on from there.
    let stop = list.iter().position(|f| props.open.as_deref() == Some(f.id.as_str())).unwrap_or(0);
    let (fine, unsure): (Vec<&Checked>, Vec<&Checked>) = checked.iter().partition(|c| c.verdict == Quiet::Clear);
    html! {
        <aside class="findings" aria-label={t("findings")}>
            <div class="findings__answer">
                <h1 class="findings__headline" aria-live="polite">{ headline }</h1>
                { for scope(props).into_iter().map(|line| html! { <p class="findings__scope">{ line }</p> }) }
            </div>
            <div class="findings__scroll">
                if narrow {
                    <ul class="findings__list" aria-label={t("findings")} ref={list_node}>
                        { for list.iter().map(|finding| {
                            let below = props.in_place.as_ref().filter(|_| props.open.as_deref() == Some(finding.id.as_str()));
                            html! { <li key={finding.id.as_str()}>{ card(finding, props.open.as_deref(), Kind::Button, &dispatch) }{ below.map(drawn) }</li> }
                        }) }
                    </ul>
                } else {
                    <ul class="findings__list" role="listbox" aria-label={t("findings")} ref={list_node} {onkeydown}>
                        { for list.iter().enumerate().map(|(i, finding)| card(finding, props.open.as_deref(), Kind::Option { stop: i == stop }, &dispatch)) }
                    </ul>
                }
                { checked_list("checked-fine", &fine, "✓", "is-fine", &dispatch) }
                { checked_list("checked-unsure", &unsure, "?", "is-unsure", &dispatch) }
            </div>
        </aside>
    }
}

/// What is judged, in words: `TCP`, `TCP, counters`; empty where nothing is.
fn judged(props: &Props) -> String {
    let counters = props.has_counters.then(|| t("scope-counters"));
    // ICMP errors tell of other packets: nobody looks for loss of theirs.
    let traffic = props.scope.judged.iter().map(|traffic| traffic.name.clone()).filter(|name| name != "ICMP errors");
    traffic.chain(counters).collect::<Vec<_>>().join(", ")
}

/// What was judged and what was not, a line each, with its packets.
fn scope(props: &Props) -> Vec<String> {
    let name = |traffic: &Traffic| match traffic.name.as_str() {
        "other" => t("scope-other"),
        "ICMP errors" => t("scope-icmp-errors"),
        name => name.to_owned(),
    };
    let one = |traffic: &Traffic| format!("{} {}", name(traffic), format::count(traffic.packets));
    let line =
        |key: &str, traffic: Vec<String>| (!traffic.is_empty()).then(|| tn(key, &[("what", Value::Text(&traffic.join(", ")))]));
    let counters = props.has_counters.then(|| t("scope-counters"));
    let judged = props.scope.judged.iter().map(one).chain(counters).collect();
    let not_judged = props.scope.not_judged.iter().map(one).collect();
    [line("scope-judged", judged), line("scope-not-judged", not_judged)].into_iter().flatten().collect()
}

fn headline(list: &[Finding], growing: bool, is_answered: bool, judged: &str) -> String {
    let severe = list.iter().filter(|f| f.severity > Severity::Note).count() as u64;
    let what = ("what", Value::Text(judged));
    if severe > 0 {
        tn("headline-causes", &[("n", Value::Number(severe))])
    } else if !is_answered || (growing && judged.is_empty()) {
        t("headline-reading")
    } else if judged.is_empty() && list.is_empty() {
        t("headline-nothing")
    } else if growing {
        tn("headline-so-far", &[what])
    } else if list.is_empty() {
        tn("headline-none", &[what])
    } else if judged.is_empty() {
        tn("headline-only-notes", &[("n", Value::Number(list.len() as u64))])
    } else {
        tn("headline-notes", &[("n", Value::Number(list.len() as u64)), what])
    }
}

fn drawn(props: &detail::Props) -> Html {
    html! { <Detail ..props.clone() /> }
}

/// Keeps the open finding's card in sight, and the focus on it where that was on another card.
#[hook]
fn use_in_sight(list: &NodeRef, open: Option<AttrValue>, in_place: bool) {
    let list = list.clone();
    use_effect_with(open, move |open| {
        let card = open.as_ref().and_then(|id| {
            let list = list.cast::<web_sys::Element>()?;
            let card = list.query_selector(&format!("[data-finding-id=\"{id}\"]")).ok()??;
            let focused = crate::browser::document().active_element();
            if focused.is_some_and(|focused| list.contains(Some(&focused)) && focused.has_attribute("data-finding")) {
                // A card that cannot take the focus is in sight all the same.
                let _ = card.dyn_ref::<web_sys::HtmlElement>().map(|card| card.focus());
            }
            Some(card)
        });
        if let Some(card) = card {
            let place = card.get_bounding_client_rect();
            let height = crate::browser::window().inner_height().ok().and_then(|px| px.as_f64()).unwrap_or(0.0);
            if !in_place || place.top() < 0.0 || place.bottom() > height * 0.75 {
                let options = web_sys::ScrollIntoViewOptions::new();
                options.set_block(if in_place {
                    web_sys::ScrollLogicalPosition::Start
                } else {
                    web_sys::ScrollLogicalPosition::Nearest
                });
                card.scroll_into_view_with_scroll_into_view_options(&options);
            }
        }
    });
}

/// What a card is to assistive technology.
#[derive(Clone, Copy)]
enum Kind {
    /// One of a list to choose from; `stop`: where the Tab key stops.
    Option { stop: bool },
    /// Opens what stands below it, and closes it.
    Button,
}

fn card(finding: &Finding, open: Option<&str>, kind: Kind, dispatch: &UseReducerDispatcher<crate::state::AppState>) -> Html {
    let id = finding.id.as_str().to_owned();
    let selected = open == Some(id.as_str());
    let choose = {
        let (dispatch, id) = (dispatch.clone(), id.clone());
        let closes = selected && matches!(kind, Kind::Button);
        move || dispatch.dispatch(Intent::Finding((!closes).then(|| id.clone())))
    };
    let onclick = {
        let choose = choose.clone();
        Callback::from(move |_: MouseEvent| choose())
    };
    let onkeydown = Callback::from(move |event: KeyboardEvent| {
        if matches!(event.key().as_str(), "Enter" | " ") {
            event.prevent_default();
            choose();
        }
    });
    let class = classes!("finding", severity::class(finding.severity), selected.then_some("is-selected"));
    let content = html! {
        <>
            <p class="finding__head">
                { severity::sign(finding.severity) }
                <strong>{ severity::word(finding.severity) }</strong>
                <code class="finding__rule">{ &finding.rule }</code>
                if finding.count > 1 { <span class="finding__count">{ format!("× {}", format::count(finding.count)) }</span> }
            </p>
            <p class="finding__sentence">{ prose(&finding.sentence) }</p>
            <p class="finding__foot">
                <span>{ severity::confidence(finding.confidence) }</span>
                <span class="num" title={format::date_time(finding.span.start, 6)}>{ format::time_of_day(finding.span.start, 0) }</span>
                <span class="num">{ finding.span.length().to_string() }</span>
            </p>
        </>
    };
    match kind {
        Kind::Option { stop } => html! {
            <li key={id.clone()} {class} role="option" aria-selected={selected.to_string()} tabindex={if stop { "0" } else { "-1" }}
                data-finding={finding.rule.clone()} data-finding-id={id} {onclick} {onkeydown}>{ content }</li>
        },
        Kind::Button => html! {
            <div {class} role="button" aria-expanded={selected.to_string()} tabindex="0"
                data-finding={finding.rule.clone()} data-finding-id={id} {onclick} {onkeydown}>{ content }</div>
        },
    }
}

fn checked_list(
    key: &'static str,
    list: &[&Checked],
    sign: &str,
    class: &'static str,
    dispatch: &UseReducerDispatcher<crate::state::AppState>,
) -> Html {
    if list.is_empty() {
        return Html::default();
    }
    let title = tn(key, &[("n", Value::Number(list.len() as u64))]);
    html! {
        <details class="checked" data-checked={key} open={key == "checked-fine" && list.len() <= 4}>
            <summary><span class={classes!("sign", class)} aria-hidden="true">{ sign }</span>{ title }</summary>
            <ul>
                { for list.iter().map(|checked| {
                    let show = checked.anchors.first().cloned().map(|anchor| {
                        let dispatch = dispatch.clone();
                        let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Anchor(anchor.clone())));
                        html! { <button class="link" {onclick}>{ t("show") }</button> }
                    });
                    html! {
                        <li key={checked.rule.clone()} data-rule={checked.rule.clone()}>
                            <strong>{ &checked.title }</strong>
                            <p>{ prose(&checked.why) }{ " " }{ show }</p>
                        </li>
                    }
                }) }
            </ul>
        </details>
    }
}
