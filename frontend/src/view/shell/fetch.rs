//! Asks what everybody needs (overview, findings, where the lit place lies) and puts it into the state. Draws nothing.

use crate::hooks::{Same, use_answer, use_dispatch};
use crate::state::Intent;
use dropscope_core::anchor::Anchor;
use dropscope_core::query::{Answer, Query};
use std::rc::Rc;
use yew::prelude::*;

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// The place that is lit.
    pub anchor: Option<Anchor>,
}

/// Asks what everybody needs.
#[component]
pub fn Fetch(props: &Props) -> Html {
    let findings = use_answer(Some(Query::Findings));
    let overview = use_answer(Some(Query::Overview));
    let located = use_answer(props.anchor.clone().map(|anchor| Query::Locate { anchor }));
    use_intent(findings, None);
    use_intent(overview, None);
    use_intent(located, props.anchor.as_ref().map(Anchor::to_string));
    Html::default()
}

/// Puts an answer into the state when it comes.
#[hook]
fn use_intent(answer: Option<Same<Answer>>, anchor: Option<String>) {
    let dispatch = use_dispatch();
    use_effect_with(answer, move |answer| match answer.as_deref() {
        Some(Answer::Overview(overview)) => dispatch.dispatch(Intent::Overview(Rc::new(overview.clone()))),
        Some(Answer::Findings(findings)) => dispatch.dispatch(Intent::Findings(Rc::new(findings.clone()))),
        Some(Answer::Located(located)) => {
            if let Some(anchor) = anchor {
                dispatch.dispatch(Intent::Located(anchor, Rc::new(located.clone())));
            }
        }
        _ => {}
    });
}
