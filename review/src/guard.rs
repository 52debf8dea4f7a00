//! Whose pages may talk to this server: the checks of `Host` and `Origin`, and the headers that go with every answer.
//!
//! A page anywhere can make a browser send requests to 127.0.0.1. It cannot send our token, which is no cookie; these checks
//! are the second wall. `Host` stops DNS rebinding: there the attacker's name resolves to this machine, so the request looks
//! like one of the attacker's own site, but its `Host` is still the attacker's name. An address instead of a name cannot be
//! rebound, so any address is fine.

use crate::error::ApiError;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The names this server answers to beside `localhost` and plain addresses.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    names: Arc<[String]>,
}

impl Guard {
    /// A guard that also lets these names pass, which stand without a port.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let text = |name| headers.get(name).map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).to_lowercase());
        let host = text(header::HOST).unwrap_or_default();
        let name = without_port(&host);
        let known = name == "localhost" || is_address(name) || self.names.iter().any(|known| known == name);
        if !known {
            return Err(ApiError::foreign_host(&host));
        }
        match text(header::ORIGIN) {
            None => Ok(()),
            Some(origin) => {
                let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
                if authority == Some(host.as_str()) { Ok(()) } else { Err(ApiError::foreign_origin(&origin)) }
            }
        }
    }
}

/// Axum middleware: refuses foreign hosts and origins, and puts the headers on every answer.
pub(crate) async fn watch(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match guard.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    const ALWAYS: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // A page sets a policy of its own; nothing else is meant to be shown as a document at all.
    response
        .headers_mut()
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_address(name: &str) -> bool {
    let v6 = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    name.parse::<Ipv4Addr>().is_ok() || v6.is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(host: &str, origin: Option<&str>) -> &'static str {
        let mut headers = HeaderMap::new();
        if !host.is_empty() {
            headers.insert(header::HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let guard = Guard::new(["Review.Example".to_owned()]);
        guard.check(&headers).map_or_else(|error| error.code(), |()| "fine")
    }

    #[test]
    fn only_names_that_nobody_can_rebind_pass() {
        let cases = [
            ("127.0.0.1:8080", "fine"),
            ("localhost:9000", "fine"),
            ("LOCALHOST", "fine"),
            ("[::1]:80", "fine"),
            ("192.0.2.7:80", "fine"),
            ("review.example", "fine"),
            ("review.example:443", "fine"),
            ("evil.example:8080", "foreign_host"),
            ("127.0.0.1.evil.example", "foreign_host"),
            ("localhost.evil.example", "foreign_host"),
            ("evil.example:127.0.0.1", "foreign_host"),
            ("[evil.example]", "foreign_host"),
            ("", "foreign_host"),
        ];
        for (host, expected) in cases {
            assert_eq!(verdict(host, None), expected, "{host}");
        }
    }

    #[test]
    fn an_origin_must_be_the_host_itself() {
        let cases = [
            ("http://127.0.0.1:8080", "fine"),
            ("https://127.0.0.1:8080", "fine"),
            ("http://127.0.0.1:8081", "foreign_origin"),
            ("http://127.0.0.1", "foreign_origin"),
            ("http://evil.example", "foreign_origin"),
            ("http://127.0.0.1:8080.evil.example", "foreign_origin"),
            ("null", "foreign_origin"),
            ("", "foreign_origin"),
            ("file://", "foreign_origin"),
        ];
        for (origin, expected) in cases {
            assert_eq!(verdict("127.0.0.1:8080", Some(origin)), expected, "{origin}");
        }
    }
}
