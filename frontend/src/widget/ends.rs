//! Source and destination in one line: where there is no room for both, each loses its beginning, since what tells two
//! addresses of one network apart, and the port, stand at the end.

use yew::prelude::*;

/// The two ends of a packet or a conversation.
pub fn ends(source: &str, destination: &str) -> Html {
    let end = |text: &str| html! { <span class="ends__end"><bdi>{ text.to_owned() }</bdi></span> };
    html! { <>{ end(source) }<i class="ends__arrow">{ "→" }</i>{ end(destination) }</> }
}
