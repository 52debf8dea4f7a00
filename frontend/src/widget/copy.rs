//! A command line with a button that copies it.

use crate::browser::clipboard;
use crate::hooks::use_dispatch;
use crate::state::Intent;
use crate::text::t;
use crate::widget::prose::prose;
use yew::prelude::*;

/// What is copied.
#[derive(Properties, PartialEq)]
pub struct CommandProps {
    /// The command line, as typed.
    pub line: AttrValue,
    /// A sentence under it; none when empty.
    #[prop_or_default]
    pub effect: AttrValue,
}

/// A command line to read and to copy; it is never run.
#[component]
pub fn Command(props: &CommandProps) -> Html {
    let dispatch = use_dispatch();
    let copied = use_state(|| false);
    let onclick = {
        let (line, copied) = (props.line.to_string(), copied.setter());
        Callback::from(move |_: MouseEvent| {
            let (dispatch, copied) = (dispatch.clone(), copied.clone());
            let done = move |ok: bool| {
                copied.set(ok);
                dispatch.dispatch(Intent::Say(if ok { t("copied") } else { t("copy-refused") }));
            };
            clipboard::copy(line.clone(), Callback::from(done));
        })
    };
    html! {
        <div class="command">
            <div class="command__line">
                <code>{ &props.line }</code>
                <button class="button is-small" {onclick}>{ if *copied { t("copied-short") } else { t("copy") } }</button>
            </div>
            if !props.effect.is_empty() {
                <p class="command__effect">{ prose(&props.effect) }</p>
            }
        </div>
    }
}
