//! Sentences that hold commands and names between backticks, which are set as code.

use yew::prelude::*;

/// The sentence.
pub fn prose(text: &str) -> Html {
    let part = |(i, part): (usize, &str)| {
        if i % 2 == 1 {
            html! { <code>{ part }</code> }
        } else {
            html! { { part } }
        }
    };
    // A backtick without its partner is text.
    if text.matches('`').count() % 2 == 1 {
        return html! { { text } };
    }
    text.split('`').enumerate().map(part).collect()
}
