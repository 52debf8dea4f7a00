//! The clipboard.

use super::window;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use yew::Callback;

/// Copies `text`; `done` hears whether the browser allowed it.
pub fn copy(text: String, done: Callback<bool>) {
    // Outside of a secure context (plain http to another host) there is no clipboard at all.
    let clipboard = js_sys::Reflect::get(&window().navigator(), &"clipboard".into());
    if clipboard.is_ok_and(|c| c.is_undefined()) {
        done.emit(false);
        return;
    }
    spawn_local(async move {
        let copied = JsFuture::from(window().navigator().clipboard().write_text(&text)).await;
        done.emit(copied.is_ok());
    });
}
