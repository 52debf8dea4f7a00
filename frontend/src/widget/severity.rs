//! Severity and confidence: shape, word and colour together, never colour alone.

use crate::text::t;
use dropscope_core::finding::{Confidence, Severity};
use yew::prelude::*;

/// The sign of a severity, with its word for screen readers and for hovering.
pub fn sign(severity: Severity) -> Html {
    let (shape, word) = match severity {
        Severity::Critical => ("■", t("severity-critical")),
        Severity::Warning => ("▲", t("severity-warning")),
        Severity::Note => ("●", t("severity-note")),
    };
    html! { <span class={classes!("sign", class(severity))} role="img" aria-label={word.clone()} title={word}>{ shape }</span> }
}

/// The word of a severity.
pub fn word(severity: Severity) -> String {
    match severity {
        Severity::Critical => t("severity-critical"),
        Severity::Warning => t("severity-warning"),
        Severity::Note => t("severity-note"),
    }
}

/// The class that colours by severity.
pub fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "is-critical",
        Severity::Warning => "is-warning",
        Severity::Note => "is-note",
    }
}

/// The word of a confidence.
pub fn confidence(confidence: Confidence) -> String {
    match confidence {
        Confidence::Proved => t("confidence-proved"),
        Confidence::Strong => t("confidence-strong"),
        Confidence::Possible => t("confidence-possible"),
    }
}
