//! Light and dark: sets the choice, and reads the colours back for the canvases.

use super::{document, window};
use crate::state::Theme;
use std::collections::BTreeMap;

/// Applies the choice: style sheets use `light-dark()`, which follows `color-scheme`.
pub fn apply(theme: Theme) {
    let Some(root) = document().document_element() else { return };
    let word = match theme {
        Theme::System => "",
        Theme::Light => "light",
        Theme::Dark => "dark",
    };
    // Setting an attribute of our own root element cannot fail for a valid name.
    let _ = root.set_attribute("data-theme", word);
}

/// Whether the page is dark now.
pub fn is_dark(theme: Theme) -> bool {
    match theme {
        Theme::Light => false,
        Theme::Dark => true,
        Theme::System => window().match_media("(prefers-color-scheme: dark)").ok().flatten().is_some_and(|m| m.matches()),
    }
}

/// The colours of the custom properties `names`, resolved: `light-dark()` and `var()` are computed by a probe element.
pub fn colours(names: &[&'static str]) -> BTreeMap<&'static str, String> {
    let mut colours = BTreeMap::new();
    let (Ok(probe), Some(body)) = (document().create_element("span"), document().body()) else { return colours };
    if body.append_child(&probe).is_err() {
        return colours;
    }
    for name in names {
        let set = probe.set_attribute("style", &format!("color: var({name})"));
        if let (Ok(()), Ok(Some(style))) = (set, window().get_computed_style(&probe)) {
            colours.insert(*name, style.get_property_value("color").unwrap_or_default());
        }
    }
    probe.remove();
    colours
}
