//! The captures that were opened together: each one click apart.

use crate::hooks::use_dispatch;
use crate::state::{AppState, Intent};
use crate::text::t;
use crate::url::Source;
use yew::prelude::*;

/// More than these on a server is an archive, which is looked through from the empty page.
const MOST_OF_SERVER: usize = 12;

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// The capture that is open.
    pub source: Source,
    /// All of them, with their names.
    pub captures: Vec<(Source, String)>,
}

/// The captures that stand beside the one that is open, with it: those dropped with it, or those of its server.
pub fn beside(state: &AppState) -> Vec<(Source, String)> {
    let all: Vec<(Source, String)> = match &state.url.source {
        Source::File(_) => state.local.iter().map(|one| (Source::File(one.name.clone()), one.name.clone())).collect(),
        Source::Capture(_) if state.server.captures.len() <= MOST_OF_SERVER => {
            state.server.captures.iter().map(|one| (Source::Capture(one.id.clone()), one.name.clone())).collect()
        }
        _ => vec![],
    };
    if all.len() > 1 && all.iter().any(|(source, _)| *source == state.url.source) { all } else { vec![] }
}

/// A button for each capture.
#[component]
pub fn Captures(props: &Props) -> Html {
    let dispatch = use_dispatch();
    if props.captures.is_empty() {
        return Html::default();
    }
    html! {
        <nav class="captures" id="captures" aria-label={t("captures")}>
            <span class="captures__label">{ t("captures") }</span>
            { for props.captures.iter().map(|(source, name)| {
                let (dispatch, opened) = (dispatch.clone(), source.clone());
                let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Open(opened.clone())));
                let is_open = *source == props.source;
                html! { <button class={classes!("captures__one", is_open.then_some("is-on"))} aria-current={is_open.to_string()} title={name.clone()} {onclick}>{ name }</button> }
            }) }
        </nav>
    }
}
