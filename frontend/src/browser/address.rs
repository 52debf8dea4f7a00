//! The address bar: the fragment is the state.

use super::window;
use crate::state::History;
use wasm_bindgen::JsValue;

/// The fragment, `#` included; empty when there is none.
pub fn fragment() -> String {
    window().location().hash().unwrap_or_default()
}

/// Shows `fragment` in the address bar.
pub fn show(fragment: &str, history: History) {
    let Ok(entries) = window().history() else { return };
    let shown = match history {
        History::Keep => return,
        History::Push => entries.push_state_with_url(&JsValue::NULL, "", Some(fragment)),
        History::Replace => entries.replace_state_with_url(&JsValue::NULL, "", Some(fragment)),
    };
    // Browsers limit how often this may be called; the next change writes the whole state again.
    let _ = shown;
}

/// The page's address with another fragment.
pub fn with_fragment(fragment: &str) -> String {
    let href = window().location().href().unwrap_or_default();
    let base = href.split('#').next().unwrap_or_default();
    format!("{base}{fragment}")
}

/// `ws://host/PATH` or `wss://`, as the page itself came.
pub fn websocket(path: &str) -> String {
    let location = window().location();
    let scheme = if location.protocol().is_ok_and(|p| p == "https:") { "wss" } else { "ws" };
    format!("{scheme}://{}{path}", location.host().unwrap_or_default())
}
