//! The address bar: the fragment is the state.

use super::window;
use crate::state::History;
use std::net::IpAddr;
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

/// The name or address of the server this page came from.
pub fn host() -> String {
    window().location().hostname().unwrap_or_default()
}

/// Whether a host is the computer that asks for it: a link to it opens nowhere else (RFC 1122 section 3.2.1.3, RFC 6761
/// section 6.3, RFC 4291 section 2.5.3).
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    match name.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => address.to_canonical().is_loopback(),
        Ok(address) => address.is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// `ws://host/PATH` or `wss://`, as the page itself came.
pub fn websocket(path: &str) -> String {
    let location = window().location();
    let scheme = if location.protocol().is_ok_and(|p| p == "https:") { "wss" } else { "ws" };
    format!("{scheme}://{}{path}", location.host().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_computer_opens_a_link_to_itself() {
        for host in ["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "a.localhost", "[::1]", "::1", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.5", "0.0.0.0", "[fe80::1]", "example.org", "localhost.example.org", "notlocalhost", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
