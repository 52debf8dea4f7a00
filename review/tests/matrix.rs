//! Every route, with every method, by every kind of token: what is answered stands in one table, and all of it is tried.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use dropscope_review::{Guard, Limits, Review, Store, Token};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tower::ServiceExt as _;

const PCAP: &[u8] = b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x01\x00\x00\x00";

/// The kinds of tokens, in the order of the table's columns. `gone` is that of a pushed capture which was deleted.
const BEARERS: [&str; 8] = ["none", "unknown", "gone", "reader", "other", "agent", "pusher", "owner"];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// `ID` is the capture that `reader` may read, `PUSHED` the one that `agent` sends; `other` may read neither. A WebSocket's
/// address answers 400 to whoever passes, as these calls are no handshakes. A method that is not listed is answered with 405.
const TABLE: &str = "
GET    /api/session                200 200 200 200 200 200 200 200
HEAD   /api/session                200 200 200 200 200 200 200 200
POST   /api/captures               401 401 410 403 403 403 403 201
GET    /api/captures/ID            401 401 410 200 403 403 403 200
HEAD   /api/captures/ID            401 401 410 200 403 403 403 200
DELETE /api/captures/ID            401 401 410 403 403 403 403 204
GET    /api/captures/PUSHED        401 401 410 403 403 403 403 200
HEAD   /api/captures/PUSHED        401 401 410 403 403 403 403 200
DELETE /api/captures/PUSHED        401 401 410 403 403 403 403 204
GET    /api/captures/none          401 401 410 403 403 403 403 404
HEAD   /api/captures/none          401 401 410 403 403 403 403 404
DELETE /api/captures/none          401 401 410 403 403 403 403 404
GET    /api/captures/ID/log        401 401 410 200 403 403 403 200
HEAD   /api/captures/ID/log        401 401 410 200 403 403 403 200
GET    /api/captures/PUSHED/log    401 401 410 403 403 403 403 200
HEAD   /api/captures/PUSHED/log    401 401 410 403 403 403 403 200
GET    /api/captures/ID/live       401 401 410 400 403 403 403 400
HEAD   /api/captures/ID/live       401 401 410 400 403 403 403 400
POST   /api/captures/ID/share      401 401 410 403 403 403 403 201
POST   /api/captures/none/share    401 401 410 403 403 403 403 404
GET    /api/captures/ID/push       401 401 410 403 403 403 403 403
HEAD   /api/captures/ID/push       401 401 410 403 403 403 403 403
GET    /api/captures/PUSHED/push   401 401 410 403 403 400 403 403
HEAD   /api/captures/PUSHED/push   401 401 410 403 403 400 403 403
GET    /api/push                   401 401 410 403 403 403 400 400
HEAD   /api/push                   401 401 410 403 403 403 400 400
GET    /api/tokens                 401 401 410 403 403 403 403 200
HEAD   /api/tokens                 401 401 410 403 403 403 403 200
POST   /api/tokens                 401 401 410 403 403 403 403 201
DELETE /api/tokens/TOKEN           401 401 410 403 403 403 403 204
DELETE /api/tokens/none            401 401 410 403 403 403 403 404
";

/// Answered alike whatever the method and whoever asks.
const ALWAYS: [(&str, u16); 4] =
    [("/api/unheard-of", 404), ("/api/captures/ID/unheard-of", 404), ("/api/captures/%ff", 400), ("/api/", 404)];

struct Server {
    _folder: tempfile::TempDir,
    router: Router,
    tokens: BTreeMap<&'static str, String>,
    /// What stands for what in a path.
    names: BTreeMap<&'static str, String>,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.pcap"), PCAP).unwrap();
        let store = Arc::new(Store::open(&folder.path().join("data")).unwrap());
        let [id, other] = [(); 2].map(|()| store.add_file("a.pcap", &folder.path().join("a.pcap")).unwrap());
        let owner = Token::random().unwrap();
        let router = Review::new(Arc::clone(&store), &owner, Limits::default()).router(Router::new(), Guard::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = router.clone();
        tokio::spawn(async move { axum::serve(listener, serving).await });

        let mut server =
            Self { _folder: folder, router, tokens: BTreeMap::new(), names: BTreeMap::from([("ID", id.to_string())]) };
        let readers = [&id, &other].map(|id| store.share(id).unwrap().unwrap().as_str().to_owned());
        let (pushed, agent) = push(address, owner.as_str()).await;
        let (deleted, gone) = push(address, owner.as_str()).await;
        server.tokens.extend([
            ("unknown", "nonsense".to_owned()),
            ("reader", readers[0].clone()),
            ("other", readers[1].clone()),
            ("agent", agent),
            ("gone", gone),
            ("owner", owner.as_str().to_owned()),
        ]);
        server.names.insert("PUSHED", pushed);
        assert_eq!(server.ask("DELETE", &format!("/api/captures/{deleted}"), "owner").await.0, 204);
        let made = server.ask("POST", "/api/tokens?name=web-1", "owner").await.1;
        server.tokens.insert("pusher", made["token"].as_str().unwrap().to_owned());
        let spare = server.ask("POST", "/api/tokens?name=spare", "owner").await.1;
        server.names.insert("TOKEN", spare["id"].as_str().unwrap().to_owned());
        server
    }

    fn path(&self, pattern: &str) -> String {
        let segments = pattern.split('/').map(|segment| self.names.get(segment).map_or(segment, String::as_str));
        segments.collect::<Vec<_>>().join("/")
    }

    /// The status, and the body where it is JSON. Errors have their form, whoever answers them.
    async fn ask(&self, method: &str, path: &str, bearer: &str) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if let Some(token) = self.tokens.get(bearer) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = if path == "/api/captures" { Body::from(PCAP) } else { Body::empty() };
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let call = format!("{method} {path} as {bearer}: {status} {body}");
        if status >= 400 {
            assert_eq!(headers.get("cache-control").map(|value| value.as_bytes()), Some(&b"no-store"[..]), "{call}");
            for part in ["code", "message", "what_to_do"] {
                let is_there = body["error"][part].as_str().is_some_and(|text| !text.is_empty());
                assert!(is_there || method == "HEAD", "{call}");
            }
        }
        if status == 405 {
            assert!(headers.contains_key("allow"), "{call}");
        }
        (status, body)
    }
}

/// Begins a capture as an agent does, with one segment; its id and its token.
async fn push(address: SocketAddr, owner: &str) -> (String, String) {
    let mut request = format!("ws://{address}/api/push?name=web-1").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", format!("dropscope.v1, bearer.{owner}").parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let Some(Ok(Message::Text(welcome))) = socket.next().await else { panic!("no welcome") };
    let welcome: Value = serde_json::from_str(&welcome).unwrap();
    for message in [
        Message::text(r#"{"type":"segment","number":1,"after":0}"#),
        Message::binary(&b"\x0a\x0d\x0d\x0a"[..]),
        Message::text(r#"{"type":"end"}"#),
    ] {
        socket.send(message).await.unwrap();
    }
    // Until the server has it all.
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() {
            break;
        }
    }
    (welcome["id"].as_str().unwrap().to_owned(), welcome["token"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn every_route_answers_every_method_and_token_as_the_table_says() {
    let mut expected: BTreeMap<&str, BTreeMap<&str, Vec<u16>>> = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let statuses = words[2..].iter().map(|status| status.parse().unwrap()).collect();
        expected.entry(words[1]).or_default().insert(words[0], statuses);
    }
    let mut server = Server::start().await;
    let (mut tried, mut wrong) = (0, Vec::new());
    for (pattern, methods) in &expected {
        for method in METHODS {
            for (nth, bearer) in BEARERS.iter().enumerate() {
                let status = methods.get(method).map_or(405, |statuses| statuses[nth]);
                let answered = server.ask(method, &server.path(pattern), bearer).await.0;
                tried += 1;
                if answered != status {
                    wrong.push(format!("{method} {pattern} as {bearer}: {answered}, not {status}"));
                }
                // What was allowed may have changed what the next one finds.
                if (200..300).contains(&answered) && !matches!(method, "GET" | "HEAD") {
                    server = Server::start().await;
                }
            }
        }
    }
    for (pattern, status) in ALWAYS {
        for method in METHODS {
            for bearer in BEARERS {
                let answered = server.ask(method, &server.path(pattern), bearer).await.0;
                tried += 1;
                if answered != status && !(answered == 405 && pattern.contains('%')) {
                    wrong.push(format!("{method} {pattern} as {bearer}: {answered}, not {status}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    eprintln!("{tried} calls");
}
