//! Whose pages may talk to this server: the checks of `Host` and `Origin`, and the headers that go with every answer.
//!
//! A page anywhere can make a browser send requests to 127.0.0.1. It cannot send our token, which is no cookie; these checks
//! are the second wall. `Host` stops DNS rebinding: there the attacker's name resolves to this machine, so the request looks
//! like one of the attacker's own site, but its `Host` is still the attacker's name. What passes is a name of loopback, a name
//! or address that the server was started with, and the address at which the connection arrived.

use crate::connection::Connection;
use crate::error::ApiError;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The names this server answers to beside those of loopback and the address that was connected to.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    names: Arc<[String]>,
}

impl Guard {
    /// A guard that also lets these names pass, which stand without a port. Addresses are names, too.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    fn check(&self, headers: &HeaderMap, reached_at: Option<IpAddr>) -> Result<(), ApiError> {
        let text = |name| headers.get(name).map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).to_lowercase());
        let host = text(header::HOST).unwrap_or_default();
        let name = without_port(&host);
        let address = address(name);
        let known = name == "localhost"
            || address.is_some_and(|address| address.is_loopback() || Some(address) == reached_at)
            || self.names.iter().any(|known| known == name || (address.is_some() && self::address(known) == address));
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

/// Axum middleware: refuses foreign hosts and origins, and puts the headers on every answer. An error of a call has the form of
/// docs/api.md, whoever refused it; no error is kept by anybody.
pub(crate) async fn watch(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let reached_at = request.extensions().get::<Arc<Connection>>().map(|connection| connection.local());
    let is_call = request.uri().path().starts_with("/api/");
    let mut response = match guard.check(request.headers(), reached_at) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let json = HeaderValue::from_static("application/json");
    if is_call && is_error && response.headers().get(header::CONTENT_TYPE) != Some(&json) {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = ApiError::of_status(response.status()).into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    if is_error {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
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

/// The address that a host is, which stands in brackets in IPv6.
fn address(name: &str) -> Option<IpAddr> {
    let v6 = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let v6 = v6.and_then(|v6| v6.parse::<Ipv6Addr>().ok()).map(|v6| IpAddr::V6(v6).to_canonical());
    v6.or_else(|| name.parse::<Ipv4Addr>().ok().map(IpAddr::V4))
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
        let guard = Guard::new(["Review.Example".to_owned(), "198.51.100.4".to_owned(), "[2001:DB8::4]".to_owned()]);
        guard.check(&headers, Some("192.0.2.7".parse().unwrap())).map_or_else(|error| error.code(), |()| "fine")
    }

    #[test]
    fn only_names_that_nobody_can_rebind_pass() {
        let cases = [
            ("127.0.0.1:8080", "fine"),
            ("127.9.9.9", "fine"),
            ("localhost:9000", "fine"),
            ("LOCALHOST", "fine"),
            ("[::1]:80", "fine"),
            ("[::ffff:127.0.0.1]", "fine"),
            // The address that was connected to.
            ("192.0.2.7:80", "fine"),
            ("[::ffff:192.0.2.7]", "fine"),
            ("192.0.2.8:80", "foreign_host"),
            ("[2001:db8::7]", "foreign_host"),
            ("0.0.0.0:8080", "foreign_host"),
            // Those the server was started with.
            ("198.51.100.4:80", "fine"),
            ("[2001:db8:0::4]", "fine"),
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
