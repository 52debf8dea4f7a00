//! Everything the page asks of the browser itself: address, storage, clipboard, files, the server.
//!
//! Each call answers what to do when the browser says no; nothing here panics.

pub mod address;
pub mod clipboard;
pub mod files;
pub mod json;
pub mod server;
pub mod storage;
pub mod theme;

use wasm_bindgen::JsCast;
use web_sys::{Document, HtmlElement, KeyboardEvent, KeyboardEventInit, Window};

/// The window. Only the page calls this; the Worker has none.
pub fn window() -> Window {
    web_sys::window().expect("the page runs in a window")
}

/// The document.
pub fn document() -> Document {
    window().document().expect("a page's window has a document")
}

/// The title, which tells the state.
pub fn set_title(title: &str) {
    document().set_title(title);
}

/// Takes the text away that stands while the page loads.
pub fn remove_loading_text() {
    if let Some(element) = document().get_element_by_id("before-start") {
        element.remove();
    }
}

/// Focuses the first element that matches; says whether there was one.
pub fn focus(selector: &str) -> bool {
    let element = document().query_selector(selector).ok().flatten().and_then(|e| e.dyn_into::<HtmlElement>().ok());
    element.is_some_and(|e| e.focus().is_ok())
}

/// Scrolls until the first element that matches begins at the top of what is in sight.
pub fn scroll_to(selector: &str) {
    if let Some(element) = document().query_selector(selector).ok().flatten() {
        element.scroll_into_view_with_bool(true);
    }
}

/// Whether this window is too narrow for panes, as at a zoom of 200 %: the style sheet then puts them below each other.
pub fn is_narrow() -> bool {
    window().match_media("(max-width: 899px)").ok().flatten().is_some_and(|query| query.matches())
}

/// Presses a key on the grid of the view at the bottom, so that its own keyboard handling moves the row.
pub fn press_on_grid(key: &str) {
    let Some(grid) = document().query_selector("[data-grid]").ok().flatten() else { return };
    if let Some(element) = grid.dyn_ref::<HtmlElement>() {
        // A list that cannot take focus still moves its row.
        let _ = element.focus();
    }
    let init = KeyboardEventInit::new();
    init.set_key(key);
    init.set_bubbles(true);
    if let Ok(event) = KeyboardEvent::new_with_keyboard_event_init_dict("keydown", &init) {
        let _ = grid.dispatch_event(&event);
    }
}

/// Whether a key press belongs to a text field and is no shortcut.
pub fn is_typing(event: &web_sys::Event) -> bool {
    let target = event.target().and_then(|t| t.dyn_into::<HtmlElement>().ok());
    target.is_some_and(|e| matches!(e.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT") || e.is_content_editable())
}

/// Milliseconds since the page was opened.
pub fn now_ms() -> f64 {
    window().performance().map_or(0.0, |p| p.now())
}
