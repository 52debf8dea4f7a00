//! One finding in full: what happened, the picture for its kind and what to do about it come first; then the argument step by
//! step, how sure it is, and what else it could be.

use super::picture::picture;
use crate::browser;
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
    /// Whether it stands below its card in the list, in a window too narrow for panes: the card has said what happened, what proves it
    /// is folded, and what it points to lies elsewhere on the page.
    #[prop_or_default]
    pub in_place: bool,
}

/// What lights a place.
#[derive(Clone)]
struct Go {
    dispatch: UseReducerDispatcher<AppState>,
    lit: Option<Same<Anchor>>,
    in_place: bool,
}

impl Go {
    fn to(&self, anchor: &Anchor) -> Callback<MouseEvent> {
        let (dispatch, anchor, in_place) = (self.dispatch.clone(), anchor.clone(), self.in_place);
        Callback::from(move |_: MouseEvent| {
            dispatch.dispatch(Intent::Anchor(anchor.clone()));
            if in_place {
                browser::scroll_to(".tabbed");
            }
        })
    }

    fn lights(&self, anchors: &[Anchor]) -> bool {
        self.lit.as_ref().is_some_and(|lit| anchors.contains(lit))
    }
}

/// One finding in full.
#[component]
pub fn Detail(props: &Props) -> Html {
    let dispatch = use_dispatch();
    let finding: &Finding = &props.finding;
    let go = Go { dispatch: dispatch.clone(), lit: props.lit.clone(), in_place: props.in_place };
    let proof = html! {
        <>
            if !finding.reasons.is_empty() {
                <h3>{ t("why-we-think-so") }</h3>
                <ol class="steps">{ for finding.reasons.iter().map(|reason| step(reason, &go)) }</ol>
            }
            <h3>{ t("how-sure") }</h3>
            <p><strong>{ severity::confidence(finding.confidence) }{ ". " }</strong>{ prose(&finding.confidence_reason) }</p>
            if !finding.rival.is_empty() {
                <h3>{ t("what-else") }</h3>
                <p>{ prose(&finding.rival) }</p>
            }
            if !finding.questions.is_empty() {
                <h3>{ t("questions") }</h3>
                { for finding.questions.iter().map(|q| html! {
                    <details class="question"><summary>{ prose(&q.question) }</summary><p>{ prose(&q.answer) }</p></details>
                }) }
            }
            <h3>{ t("evidence") }</h3>
            <p class="chips">{ for finding.evidence.iter().take(40).map(|anchor| chip(anchor, &go)) }</p>
        </>
    };
    html! {
        <article class={classes!("detail", props.in_place.then_some("is-in-place"))} data-detail={finding.rule.clone()}>
            <header class={classes!("detail__head", severity::class(finding.severity))}>
                if !props.in_place {
                    <p class="finding__head">
                        { severity::sign(finding.severity) }
                        <strong>{ severity::word(finding.severity) }</strong>
                        <code class="finding__rule">{ &finding.rule }</code>
                    </p>
                    <h2>{ prose(&finding.sentence) }</h2>
                }
                <p class="finding__foot">
                    if let Some(subject) = subject(&finding.subject) { <span>{ subject }</span> }
                    if !props.in_place {
                        <span class="num" title={format::date_time(finding.span.start, 9)}>{ format::time_of_day(finding.span.start, 3) }</span>
                        <span class="num">{ finding.span.length().to_string() }</span>
                    }
                </p>
            </header>
            if let Some(shown) = &finding.picture {
                { picture(shown, &dispatch) }
            }
            { commands("fix", &finding.fix) }
            if let Some(advice) = &finding.advice {
                <section class="detail__fix" data-commands="fix">
                    if finding.fix.is_empty() { <h3>{ t("fix") }</h3> }
                    <p class="advice">{ prose(advice) }</p>
                </section>
            }
            { commands("confirm", &finding.confirm) }
            if props.in_place {
                <details class="detail__proof"><summary>{ t("proof") }</summary>{ proof }</details>
            } else {
                { proof }
            }
        </article>
    }
}

fn step(reason: &Reason, go: &Go) -> Html {
    let is_lit = go.lights(&reason.anchors);
    // The sentence itself is the link, to the first place it rests on; the others follow as chips.
    let text = match reason.anchors.first() {
        None => html! { <span>{ prose(&reason.text) }</span> },
        Some(first) => {
            html! { <button class="link steps__text" aria-pressed={is_lit.to_string()} onclick={go.to(first)}>{ prose(&reason.text) }</button> }
        }
    };
    html! {
        <li class={classes!("steps__step", is_lit.then_some("is-lit"))}>
            { text }
            if !reason.anchors.is_empty() {
                <span class="chips">{ for reason.anchors.iter().take(8).map(|anchor| chip(anchor, go)) }</span>
            }
        </li>
    }
}

fn chip(anchor: &Anchor, go: &Go) -> Html {
    let is_lit = go.lights(std::slice::from_ref(anchor));
    html! {
        <button class={classes!("chip", "is-link", is_lit.then_some("is-lit"))} aria-pressed={is_lit.to_string()}
            data-anchor={anchor.to_string()} onclick={go.to(anchor)}>{ words(anchor) }</button>
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

/// What the finding is about, where the sentence and the picture do not show it in full anyway.
fn subject(subject: &Subject) -> Option<String> {
    Some(match subject {
        Subject::Flow { client, server, transport, .. } => format!("{transport} {client} → {server}"),
        Subject::Service { server, transport } => format!("{transport} {server}"),
        Subject::Interface { name, .. } => name.clone(),
        Subject::FirewallRule { .. } => return None,
        Subject::Conntrack { .. } => t("conntrack"),
        Subject::Socket { local, .. } => local.clone(),
        Subject::Queue { ifname, qdisc, .. } => format!("{qdisc} {ifname}"),
        Subject::Host { address } => address.clone(),
        Subject::Path { from, to } => format!("{from} → {to}"),
    })
}

fn commands(key: &'static str, commands: &[CommandLine]) -> Html {
    if commands.is_empty() {
        return Html::default();
    }
    html! {
        <section class={format!("detail__{key}")} data-commands={key}>
            <h3>{ t(key) }</h3>
            { for commands.iter().map(|c| html! { <Command key={c.line()} line={c.line()} effect={c.effect.clone()} /> }) }
        </section>
    }
}
