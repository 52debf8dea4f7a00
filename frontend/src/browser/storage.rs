//! What the page remembers about itself on this computer: sizes of panes, theme, language. Never anything of a capture.

use super::window;

/// What was remembered under `key`; `None` also where the browser keeps no storage.
pub fn get(key: &str) -> Option<String> {
    window().local_storage().ok().flatten()?.get_item(&format!("dropscope.{key}")).ok().flatten()
}

/// Remembers; a browser that refuses only forgets.
pub fn set(key: &str, value: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.set_item(&format!("dropscope.{key}"), value);
    }
}
