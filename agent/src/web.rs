//! The page, as it is embedded in this binary (or, in a debug build, as it lay in `dist/` when the server began).
//!
//! `cargo xtask` writes a `.br` and a `.gz` beside each file; the smallest one the browser takes is sent. The content security
//! policy lets nothing run but our own files and the start script inside `index.html`, which is named by its hash.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(RustEmbed)]
#[folder = "../dist"]
#[allow_missing = true]
struct Dist;

/// The page and the files beside it, in memory.
#[derive(Clone)]
pub(crate) struct Page(Arc<Files>);

struct Files {
    by_path: HashMap<Cow<'static, str>, File>,
    /// The content security policy. A worker is bound by the policy its own script came with, so every file carries it.
    policy: String,
}

struct File {
    data: Bytes,
    /// Hexadecimal.
    hash: String,
    media_type: String,
}

impl Page {
    /// Reads it, which has to be done before rights are given up: whoever the server goes on as may not be allowed to reach
    /// the `dist/` of a checkout, and a debug build reads its page there.
    pub(crate) fn read() -> Self {
        let by_path: HashMap<_, _> = Dist::iter().filter_map(|path| Some((path.clone(), File::read(&path)?))).collect();
        let index = by_path.get("index.html").map(|file| String::from_utf8_lossy(&file.data)).unwrap_or_default();
        let policy = policy(&index);
        Self(Arc::new(Files { policy, by_path }))
    }

    /// Answers with its files.
    pub(crate) fn router(self) -> Router {
        Router::new().fallback(get(file)).with_state(self)
    }
}

impl File {
    fn read(path: &str) -> Option<Self> {
        let file = Dist::get(path)?;
        let data = match file.data {
            Cow::Borrowed(embedded) => Bytes::from_static(embedded),
            Cow::Owned(read) => Bytes::from(read),
        };
        let hash = hexadecimal(&file.metadata.sha256_hash()[..16]);
        Some(Self { data, hash, media_type: media_type(path, file.metadata.mimetype()) })
    }
}

async fn file(State(Page(page)): State<Page>, uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    let Some(plain) = page.by_path.get(path) else { return absent(path) };
    let (file, encoding) = page.smallest(path, plain, &headers);
    let etag = format!("\"{}{encoding}\"", file.hash);

    let mut response = if is_known(&headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(file.data.clone()).into_response()
    };
    let answer = response.headers_mut();
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            answer.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, &plain.media_type);
    set(header::ETAG, &etag);
    set(header::VARY, "accept-encoding");
    set(header::CACHE_CONTROL, if is_hashed(path) { "public, max-age=31536000, immutable" } else { "no-cache" });
    set(header::CONTENT_SECURITY_POLICY, &page.policy);
    if !encoding.is_empty() {
        set(header::CONTENT_ENCODING, encoding);
    }
    response
}

impl Files {
    /// The smallest form of a file that the browser takes, and its content coding (empty for none).
    fn smallest<'a>(&'a self, path: &str, plain: &'a File, headers: &HeaderMap) -> (&'a File, &'static str) {
        let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
        for (coding, suffix) in [("br", "br"), ("gzip", "gz")] {
            if accepts(accepted, coding)
                && let Some(file) = self.by_path.get(format!("{path}.{suffix}").as_str())
            {
                return (file, coding);
            }
        }
        (plain, "")
    }
}

/// Whether `Accept-Encoding` allows a coding: named, and not with `q=0` (RFC 9110 section 12.5.3).
fn accepts(accepted: &str, coding: &str) -> bool {
    accepted.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
        is_named && weight.is_ok_and(|weight| weight > 0.0)
    })
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known.split(',').any(|one| one.trim().trim_start_matches("W/") == etag)
}

/// Whether a name holds a hash of its content, as Trunk writes it: `dropscope-frontend-1f0c6b2f9a7e4d31_bg.wasm`.
fn is_hashed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(['-', '_', '.']).any(|part| (12..=64).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The media type of a file, where `guessed` goes by its extension.
fn media_type(path: &str, guessed: &str) -> String {
    // Streaming compilation insists on this one.
    if path.ends_with(".wasm") {
        return "application/wasm".into();
    }
    if guessed.starts_with("text/") && !guessed.contains("charset") {
        format!("{guessed}; charset=utf-8")
    } else {
        guessed.into()
    }
}

/// The content security policy of a page.
fn policy(index: &str) -> String {
    let scripts = hashes_of_inline(index, "script");
    let styles = hashes_of_inline(index, "style");
    // Views set computed geometry through the style attribute; nothing else may be inline.
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{scripts}; style-src 'self'{styles}; \
         style-src-attr 'unsafe-inline'; connect-src 'self'; worker-src 'self'; img-src 'self' data:; font-src 'self'; \
         manifest-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// ` 'sha256-…'` for each inline element of that name: the browser hashes exactly what stands between the tags.
fn hashes_of_inline(html: &str, element: &str) -> String {
    let (opening, closing) = (format!("<{element}"), format!("</{element}>"));
    let mut hashes = String::new();
    let mut rest = html;
    while let Some(at) = rest.find(&opening) {
        rest = &rest[at + opening.len()..];
        let Some(tag_end) = rest.find('>') else { break };
        let (tag, body) = (&rest[..tag_end], &rest[tag_end + 1..]);
        let Some(end) = body.find(&closing) else { break };
        if !tag.contains(" src=") && end > 0 {
            hashes.push_str(&format!(" 'sha256-{}'", base64(&Sha256::digest(&body.as_bytes()[..end]))));
        }
        rest = &body[end..];
    }
    hashes
}

/// base64 with padding (RFC 4648 section 4), as content security policies write hashes.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().enumerate().fold(0u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
        for i in 0..4 {
            let sextet = (word >> (18 - 6 * i)) as usize & 63;
            text.push(if i <= three.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn absent(path: &str) -> Response {
    if path == "index.html" {
        return (StatusCode::SERVICE_UNAVAILABLE, Html(NO_PAGE)).into_response();
    }
    (StatusCode::NOT_FOUND, Html(NOT_FOUND)).into_response()
}

/// Shown by a binary that was built without the page.
const NO_PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Dropscope</title>
<h1>This dropscope was built without its page</h1>
<p>The server works, but the browser application is not in it. In a checkout, <code>cargo xtask run</code> builds both and
starts them; <code>cargo xtask build</code> only builds. On the terminal, <code>dropscope check FILE</code> shows the same findings.</p>";

const NOT_FOUND: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Not found</title>
<h1>There is nothing at this address</h1><p>The page is at <a href=\"/\">/</a>.</p>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_taken_only_when_it_is_allowed() {
        let cases = [
            ("gzip, deflate, br", "br", true),
            ("BR", "br", true),
            ("gzip;q=1.0, br;q=0", "br", false),
            ("gzip;q=1.0, br;q=0", "gzip", true),
            ("br;q=0.001", "br", true),
            ("brotli", "br", false),
            ("", "br", false),
        ];
        for (accepted, coding, expected) in cases {
            assert_eq!(accepts(accepted, coding), expected, "{accepted}");
        }
    }

    #[test]
    fn only_names_with_a_hash_are_kept_for_ever() {
        for (path, expected) in [
            ("dropscope-frontend-1f0c6b2f9a7e4d31_bg.wasm", true),
            ("style-0c6b2f9a7e4d31ff.css", true),
            ("index.html", false),
            ("worker.js", false),
            ("favicon.svg", false),
            ("decade-facade.js", false),
        ] {
            assert_eq!(is_hashed(path), expected, "{path}");
        }
    }

    #[test]
    fn the_policy_names_inline_scripts_by_their_hash_and_no_others() {
        let html = "<script type=\"module\">\nimport init\n</script><script src=\"/a.js\"></script><style>p{}</style>";
        // printf '\nimport init\n' | openssl dgst -sha256 -binary | base64
        assert_eq!(hashes_of_inline(html, "script"), " 'sha256-+8urSkXcx++qL9ok/Fe5ECkfNfqrStHtsbUiqzZipCE='");
        assert_eq!(hashes_of_inline("<script>unclosed", "script"), "");
        assert_eq!(hashes_of_inline(html, "style").matches("sha256").count(), 1);
    }

    #[test]
    fn nothing_foreign_may_run_load_or_frame_the_page() {
        let policy = policy("<script type=\"module\">\nimport init\n</script><style>p{}</style>");
        let directive = |name: &str| {
            let found = policy.split("; ").find_map(|one| one.strip_prefix(name)?.strip_prefix(' '));
            found.unwrap_or_else(|| panic!("{name} is missing in {policy}")).to_owned()
        };
        assert_eq!(directive("default-src"), "'none'");
        assert_eq!(
            directive("script-src"),
            "'self' 'wasm-unsafe-eval' 'sha256-+8urSkXcx++qL9ok/Fe5ECkfNfqrStHtsbUiqzZipCE='",
            "the inline start script by its hash, no 'unsafe-inline', no 'unsafe-eval'"
        );
        assert!(directive("style-src").starts_with("'self' 'sha256-"));
        for (name, value) in
            [("connect-src", "'self'"), ("worker-src", "'self'"), ("frame-ancestors", "'none'"), ("form-action", "'none'")]
        {
            assert_eq!(directive(name), value);
        }
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
