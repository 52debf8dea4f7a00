//! One finding in full: its sentence, the argument step by step, the picture for its kind, how sure it is, and what to do.

use super::picture::picture;
use crate::format;
use crate::hooks::{Same, use_dispatch};
use crate::state::{AppState, Intent};
use crate::text::t;
use crate::widget::copy::Command;
use crate::widget::prose::prose;
use crate::widget::severity;
use dropscope_core::anchor::{Anchor, Place};
use dropscope_core::finding::{Command as CommandLine, Finding, Reason, Subject};
use yew::prelude::*;

/// See the module.
#[derive(Clone, Properties, PartialEq)]
pub struct Props {
    /// The finding.
    pub finding: Same<Finding>,
    /// The place that is lit.
    pub lit: Option<Same<Anchor>>,
}

/// One finding in full.
#[component]
pub fn Detail(props: &Props) -> Html {
    let dispatch = use_dispatch();
    let finding: &Finding = &props.finding;
    let lit = props.lit.as_deref();
    html! {
        <article class="detail" data-detail={finding.rule.clone()}>
            <header class={classes!("detail__head", severity::class(finding.severity))}>
                <p class="finding__head">
                    { severity::sign(finding.severity) }
                    <strong>{ severity::word(finding.severity) }</strong>
                    <code class="finding__rule">{ &finding.rule }</code>
                </p>
                <h2>{ prose(&finding.sentence) }</h2>
                <p class="finding__foot">
                    <span>{ subject(&finding.subject) }</span>
                    <span class="num" title={format::date_time(finding.span.start, 9)}>{ format::time_of_day(finding.span.start, 3) }</span>
                    <span class="num">{ finding.span.length().to_string() }</span>
                </p>
            </header>
            if !finding.reasons.is_empty() {
                <h3>{ t("why-we-think-so") }</h3>
                <ol class="steps">{ for finding.reasons.iter().map(|reason| step(reason, lit, &dispatch)) }</ol>
            }
            if let Some(shown) = &finding.picture {
                { picture(shown, &dispatch) }
            }
            <h3>{ t("how-sure") }</h3>
            <p><strong>{ severity::confidence(finding.confidence) }{ ". " }</strong>{ prose(&finding.confidence_reason) }</p>
            if !finding.rival.is_empty() {
                <h3>{ t("what-else") }</h3>
                <p>{ prose(&finding.rival) }</p>
            }
            { commands("confirm", &finding.confirm) }
            { commands("fix", &finding.fix) }
            if let Some(advice) = &finding.advice {
                <h3>{ t("fix") }</h3>
                <p class="advice">{ prose(advice) }</p>
            }
            if !finding.questions.is_empty() {
                <h3>{ t("questions") }</h3>
                { for finding.questions.iter().map(|q| html! {
                    <details class="question"><summary>{ prose(&q.question) }</summary><p>{ prose(&q.answer) }</p></details>
                }) }
            }
            <h3>{ t("evidence") }</h3>
            <p class="chips">{ for finding.evidence.iter().take(40).map(|anchor| chip(anchor, lit, &dispatch)) }</p>
        </article>
    }
}

fn step(reason: &Reason, lit: Option<&Anchor>, dispatch: &UseReducerDispatcher<AppState>) -> Html {
    let is_lit = lit.is_some_and(|lit| reason.anchors.contains(lit));
    // The sentence itself is the link, to the first place it rests on; the others follow as chips.
    let text = match reason.anchors.first() {
        None => html! { <span>{ prose(&reason.text) }</span> },
        Some(first) => {
            let (dispatch, first) = (dispatch.clone(), first.clone());
            let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Anchor(first.clone())));
            html! { <button class="link steps__text" aria-pressed={is_lit.to_string()} {onclick}>{ prose(&reason.text) }</button> }
        }
    };
    html! {
        <li class={classes!("steps__step", is_lit.then_some("is-lit"))}>
            { text }
            if !reason.anchors.is_empty() {
                <span class="chips">{ for reason.anchors.iter().take(8).map(|anchor| chip(anchor, lit, dispatch)) }</span>
            }
        </li>
    }
}

fn chip(anchor: &Anchor, lit: Option<&Anchor>, dispatch: &UseReducerDispatcher<AppState>) -> Html {
    let (dispatch, target) = (dispatch.clone(), anchor.clone());
    let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Anchor(target.clone())));
    let is_lit = lit == Some(anchor);
    html! {
        <button class={classes!("chip", "is-link", is_lit.then_some("is-lit"))} aria-pressed={is_lit.to_string()}
            data-anchor={anchor.to_string()} {onclick}>{ words(anchor) }</button>
    }
}

/// An anchor in a few words.
fn words(anchor: &Anchor) -> String {
    match &anchor.place {
        Place::Packet(no) => format!("{} {no}", t("packet")),
        Place::Flow(flow) => format!("{} {flow}", t("conversation")),
        Place::Bytes { first, last, .. } => format!("{} {first}–{last}", t("bytes")),
        Place::Counter { .. } => t("counter-step"),
        Place::FirewallRule { .. } => t("firewall-rule"),
        Place::KernelDrop(no) => format!("{} {no}", t("kernel-drop")),
        Place::Interface { .. } => t("interface"),
        Place::Span(span) => span.length().to_string(),
    }
}

fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Flow { client, server, transport, .. } => format!("{transport} {client} → {server}"),
        Subject::Service { server, transport } => format!("{transport} {server}"),
        Subject::Interface { name, .. } => name.clone(),
        Subject::FirewallRule { text, .. } => text.clone(),
        Subject::Conntrack { .. } => t("conntrack"),
        Subject::Socket { local, .. } => local.clone(),
        Subject::Queue { ifname, qdisc, .. } => format!("{qdisc} {ifname}"),
        Subject::Host { address } => address.clone(),
        Subject::Path { from, to } => format!("{from} → {to}"),
    }
}

fn commands(key: &'static str, commands: &[CommandLine]) -> Html {
    if commands.is_empty() {
        return Html::default();
    }
    html! {
        <>
            <h3>{ t(key) }</h3>
            { for commands.iter().map(|c| html! { <Command key={c.line()} line={c.line()} effect={c.effect.clone()} /> }) }
        </>
    }
}
