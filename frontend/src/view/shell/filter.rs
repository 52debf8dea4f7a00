//! The filter: completed word by word, and when it is wrong, where and why.

use crate::format;
use crate::hooks::{Same, use_answer, use_dispatch};
use crate::state::Intent;
use crate::text::{Value, t, tn};
use crate::widget::prose::prose;
use dropscope_core::filter;
use dropscope_core::query::{Answer, FilterError, FilterHelp, FilterLimit, Query};
use std::rc::Rc;
use yew::prelude::*;

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// The filter in force.
    pub filter: AttrValue,
    /// Whether there is no engine that could be asked: it may have died of what stands here.
    pub engine_dead: bool,
}

/// The filter.
#[component]
pub fn FilterField(props: &Props) -> Html {
    let dispatch = use_dispatch();
    let node = use_node_ref();
    let text = use_state_eq(|| props.filter.to_string());
    let cursor = use_state_eq(|| 0_u32);
    let typing = use_state_eq(|| false);
    let chosen = use_state_eq(|| None::<usize>);
    {
        let text = text.setter();
        use_effect_with(props.filter.clone(), move |filter| text.set(filter.to_string()));
    }
    {
        let text = text.setter();
        use_effect_with(props.engine_dead, move |dead| {
            if *dead {
                text.set(String::new());
            }
        });
    }
    let answer = use_answer((!text.is_empty()).then(|| Query::FilterHelp { filter: (*text).clone(), cursor: *cursor }));
    let help: Option<Same<FilterHelp>> = use_memo(answer, |answer| match answer.as_deref() {
        Some(Answer::FilterHelp(help)) => Some(Same(Rc::new(help.clone()))),
        _ => None,
    })
    .as_ref()
    .clone();
    let completions: Vec<(String, String)> =
        help.as_ref().map(|h| h.completions.iter().take(8).cloned().collect()).unwrap_or_default();
    // A word that is still being typed and can become a right one is no mistake yet.
    let is_unfinished =
        |at: u32, len: u32| !completions.is_empty() && props.filter != **text && (at + len) as usize == text.chars().count();
    let error = help.as_ref().and_then(|h| h.error.clone()).filter(|e| !is_unfinished(e.at, e.len));
    let is_open = *typing && (error.is_some() || !completions.is_empty());

    let commit = {
        let (dispatch, typing, is_wrong) = (dispatch.clone(), typing.setter(), help.as_ref().is_some_and(|h| h.error.is_some()));
        move |text: &str| {
            // What is wrong with it stays in sight.
            typing.set(is_wrong && !text.is_empty());
            dispatch.dispatch(Intent::Filter(text.to_owned()));
        }
    };
    let complete = {
        let (text, cursor, chosen, help) = (text.clone(), cursor.setter(), chosen.setter(), help.clone());
        move |word: &str| {
            let from = help.as_ref().map_or(0, |h| h.replace_from as usize);
            let head: String = text.chars().take(from).collect();
            let completed = format!("{head}{word} ");
            cursor.set(completed.chars().count() as u32);
            chosen.set(None);
            text.set(completed);
        }
    };
    let oninput = {
        let (text, cursor, typing, chosen) = (text.setter(), cursor.setter(), typing.setter(), chosen.setter());
        Callback::from(move |event: InputEvent| {
            let input: web_sys::HtmlInputElement = event.target_unchecked_into();
            cursor.set(input.selection_start().ok().flatten().unwrap_or_default());
            text.set(input.value());
            chosen.set(None);
            typing.set(true);
        })
    };
    let onkeydown = {
        let (text, typing, chosen, commit, complete) =
            (text.clone(), typing.setter(), chosen.clone(), commit.clone(), complete.clone());
        let (words, node, committed) = (completions.clone(), node.clone(), props.filter.to_string());
        Callback::from(move |event: KeyboardEvent| {
            event.stop_propagation();
            let many = words.len();
            match event.key().as_str() {
                "Enter" => match (*chosen).and_then(|i| words.get(i)) {
                    Some((word, _)) => complete(word),
                    None => commit(&text),
                },
                "Tab" if many > 0 => {
                    event.prevent_default();
                    complete(&words[(*chosen).unwrap_or(0).min(many - 1)].0);
                }
                "ArrowDown" if many > 0 => {
                    event.prevent_default();
                    typing.set(true);
                    chosen.set(Some(chosen.map_or(0, |i| (i + 1) % many)));
                }
                "ArrowUp" if many > 0 => {
                    event.prevent_default();
                    chosen.set(Some(chosen.map_or(many - 1, |i| (i + many - 1) % many)));
                }
                "Escape" => {
                    typing.set(false);
                    text.set(committed.clone());
                    if let Some(input) = node.cast::<web_sys::HtmlElement>() {
                        let _ = input.blur();
                    }
                }
                _ => {}
            }
        })
    };
    let onblur = {
        let typing = typing.setter();
        Callback::from(move |_: FocusEvent| typing.set(false))
    };
    let clear = {
        let (commit, text) = (commit.clone(), text.setter());
        Callback::from(move |_: MouseEvent| {
            text.set(String::new());
            commit("");
        })
    };
    let class = classes!("filter", error.is_some().then_some("is-wrong"), (!props.filter.is_empty()).then_some("is-on"));
    html! {
        <div {class} role="search">
            <input id="filter" class="filter__text" ref={node} type="text" spellcheck="false" autocomplete="off" placeholder={t("filter-placeholder")} aria-label={t("filter")}
                role="combobox" aria-expanded={is_open.to_string()} aria-controls="filter-words" aria-invalid={error.is_some().to_string()} aria-describedby={error.is_some().then_some("filter-error")}
                aria-activedescendant={chosen.map(|i| format!("filter-word-{i}"))} value={(*text).clone()} {oninput} {onkeydown} {onblur} />
            if text.is_empty() { <kbd class="filter__key" aria-hidden="true">{ "/" }</kbd> } else { <button class="filter__clear" aria-label={t("clear-filter")} onclick={clear}>{ "×" }</button> }
            if is_open {
                <div class="filter__help">
                    if let Some(error) = &error {
                        <div class="filter__error" id="filter-error" role="alert">
                            <pre>{ filter::pointed(&text, error.at as usize, error.len as usize).join("\n") }</pre>
                            <p>{ prose(&message(error)) }</p>
                            if let Some(suggestion) = &error.suggestion { <p>{ format!("{} ", t("did-you-mean")) }<code>{ suggestion }</code></p> }
                        </div>
                    }
                    <ul id="filter-words" role="listbox">
                        { for completions.iter().enumerate().map(|(i, (word, about))| {
                            let (complete, word_chosen) = (complete.clone(), word.clone());
                            // Before the field loses its focus and the list with it.
                            let onmousedown = Callback::from(move |event: MouseEvent| { event.prevent_default(); complete(&word_chosen); });
                            let on = *chosen == Some(i);
                            html! { <li id={format!("filter-word-{i}")} role="option" aria-selected={on.to_string()} class={classes!(on.then_some("is-selected"))} {onmousedown}><code>{ word }</code><span>{ about }</span></li> }
                        }) }
                    </ul>
                </div>
            }
        </div>
    }
}

/// What is wrong with a filter, in a sentence.
fn message(error: &FilterError) -> String {
    let n = |name, n: u64| (name, format::count(n));
    let (key, arguments) = match error.limit {
        None => return error.message.clone(),
        Some(FilterLimit::Length { bytes, longest }) => ("filter-too-long", vec![n("bytes", bytes), n("longest", longest)]),
        Some(FilterLimit::Nesting { deepest }) => ("filter-too-deep", vec![n("deepest", deepest)]),
    };
    tn(key, &arguments.iter().map(|(name, text)| (*name, Value::Text(text))).collect::<Vec<_>>())
}
