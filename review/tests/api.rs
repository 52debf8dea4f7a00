//! docs/api.md, call by call, against the router itself: request in, status, headers and body out.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use dropscope_review::{CaptureId, Growth, Guard, Limits, Review, Store, Token};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::watch;
use tower::ServiceExt as _;

const PCAP: &[u8] = b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x01\x00\x00\x00";

/// A server with one finished capture (`PCAP`, called `a.pcap`).
struct Server {
    folder: tempfile::TempDir,
    store: Arc<Store>,
    router: Router,
    owner: String,
    capture: CaptureId,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Server {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.pcap"), PCAP).unwrap();
        let store = Arc::new(Store::open(&folder.path().join("data")).unwrap());
        let capture = store.add_file("a.pcap", &folder.path().join("a.pcap")).unwrap();
        let owner = Token::random().unwrap();
        let limits = Limits { upload_bytes: 1000, ..Limits::default() };
        let page = Router::new().fallback(|| async { "the page" });
        let router = Review::new(Arc::clone(&store), &owner, limits).router(page, Guard::default());
        Self { folder, store, router, owner: owner.as_str().to_owned(), capture }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:4747");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// As the bearer of `token`.
    async fn with(&self, token: &str, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.ask(method, path, &[("authorization", &format!("Bearer {token}"))], body).await
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/captures/{}{rest}", self.capture)
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// `404 not_found`, or the status alone when it is no error.
    fn verdict(&self) -> String {
        let code =
            serde_json::from_slice::<Value>(&self.body).ok().and_then(|body| Some(body["error"]["code"].as_str()?.to_owned()));
        code.map_or_else(|| self.status.as_u16().to_string(), |code| format!("{} {code}", self.status.as_u16()))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[tokio::test]
async fn nothing_is_readable_without_the_right_token() {
    let server = Server::new();
    let reader = server.store.share(&server.capture).unwrap().unwrap();
    let other = server.store.add_file("b.pcap", &server.folder.path().join("a.pcap")).unwrap();
    let (own, foreign) = (server.path(""), format!("/api/captures/{other}"));
    let missing = "/api/captures/0123456789ab".to_owned();
    let cases = [
        ("", "GET", own.clone(), "401 token_missing"),
        ("nonsense", "GET", own.clone(), "401 token_unknown"),
        (reader.as_str(), "GET", own.clone(), "200"),
        (reader.as_str(), "GET", format!("{own}/log"), "200"),
        (reader.as_str(), "GET", foreign.clone(), "403 not_allowed"),
        (reader.as_str(), "GET", format!("{foreign}/log"), "403 not_allowed"),
        (reader.as_str(), "GET", format!("{foreign}/live"), "403 not_allowed"),
        (reader.as_str(), "GET", missing.clone(), "403 not_allowed"),
        (reader.as_str(), "POST", "/api/captures".into(), "403 not_allowed"),
        (reader.as_str(), "POST", format!("{own}/share"), "403 not_allowed"),
        (reader.as_str(), "DELETE", own.clone(), "403 not_allowed"),
        ("", "POST", "/api/captures".into(), "401 token_missing"),
        ("", "DELETE", own.clone(), "401 token_missing"),
        ("", "GET", format!("{own}/log"), "401 token_missing"),
        ("", "GET", format!("{own}/live"), "401 token_missing"),
        (&server.owner, "GET", foreign.clone(), "200"),
        (&server.owner, "GET", missing, "404 not_found"),
        (&server.owner, "GET", "/api/captures/..%2f..%2fetc".into(), "404 not_found"),
        (&server.owner, "GET", "/api/unheard-of".into(), "404 not_found"),
        (&server.owner, "GET", format!("{own}/live"), "400 bad_request"),
    ];
    for (token, method, path, expected) in cases {
        let answer = match token {
            "" => server.ask(method, &path, &[], Body::empty()).await,
            token => server.with(token, method, &path, Body::empty()).await,
        };
        assert_eq!(answer.verdict(), expected, "{method} {path} with `{token}`");
    }
}

#[tokio::test]
async fn the_session_says_what_its_bearer_may_see() {
    let server = Server::new();
    let reader = server.store.share(&server.capture).unwrap().unwrap();
    server.store.add_file("b.pcap", &server.folder.path().join("a.pcap")).unwrap();
    for (token, captures, can_upload) in
        [("", 0, false), ("nonsense", 0, false), (reader.as_str(), 1, false), (&server.owner, 2, true)]
    {
        let answer = match token {
            "" => server.ask("GET", "/api/session", &[], Body::empty()).await,
            token => server.with(token, "GET", "/api/session", Body::empty()).await,
        };
        let session = answer.json();
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(session["captures"].as_array().unwrap().len(), captures, "with `{token}`");
        assert_eq!(session["can_upload"], can_upload, "with `{token}`");
        assert_eq!(session["max_upload_bytes"], 1000);
    }
    let one = server.with(reader.as_str(), "GET", &server.path(""), Body::empty()).await.json();
    assert_eq!(
        (&one["name"], &one["bytes"], &one["live"], &one["format"]),
        (&"a.pcap".into(), &24.into(), &false.into(), &"pcap".into())
    );
}

#[tokio::test]
async fn a_foreign_host_or_origin_gets_nothing_not_even_the_page() {
    let server = Server::new();
    let bearer = format!("Bearer {}", server.owner);
    for path in ["/", "/api/session", &server.path("/log")] {
        for (headers, expected) in [
            (vec![("host", "evil.example:4747")], "403 foreign_host"),
            (vec![("host", "127.0.0.1:4747"), ("origin", "http://evil.example")], "403 foreign_origin"),
            (vec![("host", "127.0.0.1:4747"), ("origin", "null")], "403 foreign_origin"),
            (vec![("host", "127.0.0.1:4747"), ("origin", "http://127.0.0.1:4747")], "200"),
            (vec![("host", "localhost:9999"), ("origin", "http://localhost:9999")], "200"),
        ] {
            let mut request = Request::builder().uri(path).header("authorization", &bearer);
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let response = server.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let answer = Answer { status: parts.status, headers: parts.headers, body };
            assert_eq!(answer.verdict(), expected, "{path} {headers:?}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_keep_others_out() {
    let server = Server::new();
    for path in ["/", "/api/session", "/api/unheard-of", &server.path("")] {
        let answer = server.ask("GET", path, &[], Body::empty()).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
    }
}

#[tokio::test]
async fn a_range_of_a_capture_is_what_stands_there() {
    let server = Server::new();
    let bearer = format!("Bearer {}", server.owner);
    for (range, status, content_range, bytes) in [
        ("", 200, "", PCAP),
        ("bytes=0-3", 206, "bytes 0-3/24", &PCAP[..4]),
        ("bytes=20-", 206, "bytes 20-23/24", &PCAP[20..]),
        ("bytes=-4", 206, "bytes 20-23/24", &PCAP[20..]),
        ("bytes=4-1000", 206, "bytes 4-23/24", &PCAP[4..]),
        ("bytes=24-", 416, "bytes */24", &[]),
    ] {
        let headers = [("authorization", bearer.as_str()), ("range", range)];
        let headers = if range.is_empty() { &headers[..1] } else { &headers };
        let answer = server.ask("GET", &server.path("/log"), headers, Body::empty()).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-range")), (status, content_range), "{range}");
        if status != 416 {
            assert_eq!(answer.body, bytes, "{range}");
            assert_eq!(answer.header("content-length"), bytes.len().to_string());
            assert_eq!(answer.header("content-type"), "application/vnd.tcpdump.pcap");
            assert!(answer.header("content-disposition").starts_with("attachment; filename=\"a.pcap\""));
        }
    }
}

/// RFC 9110 section 13.1.5: a part is only for whoever has other parts of the same bytes; anything else gets the whole.
#[tokio::test]
async fn a_range_of_another_version_is_not_handed_out() {
    let server = Server::new();
    let bearer = format!("Bearer {}", server.owner);
    let ask = async |validator: &str| {
        let headers = [("authorization", bearer.as_str()), ("range", "bytes=0-3"), ("if-range", validator)];
        server.ask("GET", &server.path("/log"), &headers, Body::empty()).await
    };
    let whole = ask("\"another\"").await;
    let etag = whole.header("etag").to_owned();
    assert!(etag.starts_with('"'), "a strong validator: {etag}");
    let weak = format!("W/{etag}");
    for (validator, status, bytes) in [
        (etag.as_str(), 206, &PCAP[..4]),
        ("\"another\"", 200, PCAP),
        (&weak, 200, PCAP),
        ("Tue, 01 Dec 2026 00:00:00 GMT", 200, PCAP),
        ("", 200, PCAP),
    ] {
        let answer = ask(validator).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (status, bytes), "{validator}");
        assert_eq!(answer.header("content-range").is_empty(), status == 200, "{validator}");
    }
}

#[tokio::test]
async fn of_a_growing_capture_only_what_was_flushed_is_handed_out() {
    let server = Server::new();
    let path = server.folder.path().join("live.pcapng");
    std::fs::write(&path, b"flushed, and not yet").unwrap();
    let (tell, growth) = watch::channel(Growth { bytes: 7, ended: None });
    let id = server.store.add_live("eth0", std::fs::File::open(&path).unwrap(), growth).unwrap();
    let log = format!("/api/captures/{id}/log");
    assert_eq!(server.with(&server.owner, "GET", &log, Body::empty()).await.body, "flushed");
    tell.send_modify(|growth| growth.bytes = 20);
    let answer = server.with(&server.owner, "GET", &log, Body::empty()).await;
    assert_eq!(answer.body, "flushed, and not yet");
    assert!(answer.header("content-disposition").contains("\"eth0.pcapng\""));
}

#[tokio::test]
async fn an_upload_is_kept_with_a_link_of_its_own_and_deleted_on_demand() {
    let server = Server::new();
    let added = server.with(&server.owner, "POST", "/api/captures?name=..%2Fb%0A.pcap", PCAP).await;
    assert_eq!(added.status, StatusCode::CREATED);
    let (id, token) = (added.json()["id"].as_str().unwrap().to_owned(), added.json()["token"].as_str().unwrap().to_owned());
    let path = format!("/api/captures/{id}");
    assert_eq!(server.with(&token, "GET", &format!("{path}/log"), Body::empty()).await.body, PCAP);
    assert_eq!(server.with(&token, "GET", &path, Body::empty()).await.json()["name"], "b.pcap");
    assert_eq!(server.with(&token, "GET", &server.path(""), Body::empty()).await.verdict(), "403 not_allowed");

    let shared = server.with(&server.owner, "POST", &format!("{path}/share"), Body::empty()).await;
    assert_eq!(shared.status, StatusCode::CREATED);
    let second = shared.json()["token"].as_str().unwrap().to_owned();
    assert_ne!(second, token);
    assert_eq!(server.with(&second, "GET", &path, Body::empty()).await.verdict(), "200");

    assert_eq!(server.with(&server.owner, "DELETE", &path, Body::empty()).await.verdict(), "204");
    assert_eq!(server.with(&token, "GET", &path, Body::empty()).await.verdict(), "401 token_unknown");
    assert_eq!(std::fs::read_dir(server.folder.path().join("data/captures")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_cannot_be_kept_leaves_nothing_behind() {
    let server = Server::new();
    let too_large = [PCAP, &[0; 1000]].concat();
    let stream = |pieces: Vec<Result<Bytes, std::io::Error>>| Body::from_stream(futures_util::stream::iter(pieces));
    let cases = [
        (Body::from("hello, this is no capture"), "400 not_a_capture"),
        (Body::from(""), "400 not_a_capture"),
        (Body::from("\u{1f}"), "400 not_a_capture"),
        (Body::from(too_large.clone()), "413 too_large"),
        // In pieces, with no length announced.
        (stream(too_large.chunks(100).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect()), "413 too_large"),
        (stream(vec![Ok(Bytes::from_static(PCAP)), Err(std::io::Error::other("the line went dead"))]), "400 bad_request"),
        (stream(PCAP.chunks(1).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect()), "201"),
    ];
    for (at, (body, expected)) in cases.into_iter().enumerate() {
        let answer = server.with(&server.owner, "POST", "/api/captures", body).await;
        let left = std::fs::read_dir(server.folder.path().join("data/captures")).unwrap().count();
        assert_eq!((answer.verdict().as_str(), left), (expected, usize::from(expected == "201")), "case {at}");
    }
    let announced = [("authorization", &*format!("Bearer {}", server.owner)), ("content-length", "1001")];
    assert_eq!(server.ask("POST", "/api/captures", &announced, Body::empty()).await.verdict(), "413 too_large");
}

#[tokio::test]
async fn a_capture_that_is_being_written_is_not_deleted() {
    let server = Server::new();
    let path = server.folder.path().join("live.pcapng");
    std::fs::write(&path, b"").unwrap();
    let (tell, growth) = watch::channel(Growth::default());
    let id = server.store.add_live("eth0", std::fs::File::open(&path).unwrap(), growth).unwrap();
    let call = format!("/api/captures/{id}");
    assert_eq!(server.with(&server.owner, "DELETE", &call, Body::empty()).await.verdict(), "409 still_recording");
    tell.send_modify(|growth| growth.ended = Some("It ended.".into()));
    assert_eq!(server.with(&server.owner, "DELETE", &call, Body::empty()).await.verdict(), "204");
    assert!(path.exists(), "a log at a place of its own stays");
}
