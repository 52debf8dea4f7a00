//! Tokens that begin pushes, that are revoked, and that go with their capture, over real sockets.

use axum::Router;
use dropscope_review::{Guard, Limits, Review, Store, Token};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything may take before the test is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The beginning of a pcapng log: one section header.
const SECTION: &[u8] = b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Server {
    address: SocketAddr,
    owner: String,
    serving: tokio::task::JoinHandle<()>,
    store: Weak<Store>,
}

impl Server {
    async fn start(folder: &Path) -> Self {
        let store = Arc::new(Store::open(folder).unwrap());
        let owner = Token::random().unwrap();
        let alive = Arc::downgrade(&store);
        let router = Review::new(store, &owner, Limits::default()).router(Router::new(), Guard::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, owner: owner.as_str().to_owned(), serving, store: alive }
    }

    /// Ends the server. Its connections are closed by now; each gives up the store a moment later.
    async fn end(self) {
        self.serving.abort();
        assert!(self.serving.await.is_err());
        let gone = async {
            while self.store.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("somebody still uses the store");
    }

    /// The status and the body of a call, on a connection of its own.
    async fn call(&self, token: &str, method: &str, path: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }

    async fn owners(&self, method: &str, path: &str) -> (u16, Value) {
        self.call(&self.owner, method, path).await
    }

    async fn connect(&self, path: &str, token: &str) -> Result<Socket, u16> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", format!("dropscope.v1, bearer.{token}").parse().unwrap());
        match timeout(PATIENCE, tokio_tungstenite::connect_async(request)).await.unwrap() {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Begins to push with this token and sends the beginning of a log; the connection, the capture's id, and its token.
    async fn push(&self, token: &str) -> (Socket, String, String) {
        let mut socket = self.connect("/api/push?name=web-1", token).await.unwrap();
        let welcome = word(&mut socket, "welcome").await;
        socket.send(Message::text(r#"{"type":"segment","number":1,"after":0}"#)).await.unwrap();
        socket.send(Message::binary(SECTION)).await.unwrap();
        assert_eq!(word(&mut socket, "have").await["bytes"], SECTION.len());
        (socket, welcome["id"].as_str().unwrap().to_owned(), welcome["token"].as_str().unwrap().to_owned())
    }
}

/// The next word of a kind; bytes and other words are passed over.
async fn word(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.expect("the server went silent");
        if let Message::Text(text) = message.expect("the server closed the connection").unwrap() {
            let word: Value = serde_json::from_str(&text).unwrap();
            if word["type"] == kind {
                return word;
            }
        }
    }
}

/// What the list says, as `kind name`.
fn kinds(list: &Value) -> Vec<String> {
    let word = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let mut kinds: Vec<String> =
        list["tokens"].as_array().unwrap().iter().map(|one| format!("{} {}", word(one, "kind"), word(one, "name"))).collect();
    kinds.sort();
    kinds
}

/// The id of the first token of a kind.
fn id_of(list: &Value, kind: &str) -> String {
    let found = list["tokens"].as_array().unwrap().iter().find(|one| one["kind"] == kind).unwrap();
    found["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_token_begins_pushes_survives_a_restart_and_can_be_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let (status, made) = server.owners("POST", "/api/tokens?name=rack%201%E2%80%AE").await;
    assert_eq!(status, 201);
    let token = made["token"].as_str().unwrap().to_owned();
    let kept = std::fs::read_to_string(folder.path().join("captures/tokens.json")).unwrap();
    assert!(!kept.contains(&token), "only its hash is kept");
    let (socket, id, agents) = server.push(&token).await;
    assert_eq!(server.call(&token, "GET", &format!("/api/captures/{id}/log")).await.0, 403, "it may not read what it sent");
    let list = server.owners("GET", "/api/tokens").await.1;
    assert_eq!(kinds(&list), ["agent web-1", "push rack 1"]);
    assert!(!list.to_string().contains(&token) && !list.to_string().contains(&agents));
    drop(socket);
    server.end().await;

    let server = Server::start(folder.path()).await;
    assert!(server.connect(&format!("/api/captures/{id}/push"), &agents).await.is_ok());
    drop(server.push(&token).await);
    let list = server.owners("GET", "/api/tokens").await.1;
    let push = id_of(&list, "push");
    assert_eq!(server.owners("DELETE", &format!("/api/tokens/{push}")).await.0, 204);
    assert_eq!(server.owners("DELETE", &format!("/api/tokens/{push}")).await.0, 404);
    assert_eq!(server.connect("/api/push", &token).await.unwrap_err(), 410);
    assert!(server.connect(&format!("/api/captures/{id}/push"), &agents).await.is_ok(), "what was begun with it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushed_capture_is_deleted_while_its_agent_sends_and_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let (mut agent, id, token) = server.push(&server.owner).await;
    let mut viewer = server.connect(&format!("/api/captures/{id}/live"), &server.owner).await.unwrap();
    word(&mut viewer, "hello").await;

    assert_eq!(server.owners("DELETE", &format!("/api/captures/{id}")).await.0, 204);
    assert_eq!(word(&mut agent, "refused").await["code"], "gone");
    assert_eq!(word(&mut viewer, "refused").await["code"], "gone");
    let again = format!("/api/captures/{id}/push");
    assert_eq!(server.connect(&again, &token).await.unwrap_err(), 410);
    assert!(!folder.path().join("captures").join(&id).exists());
    drop((agent, viewer));
    server.end().await;
    let server = Server::start(folder.path()).await;
    assert_eq!(server.connect(&again, &token).await.unwrap_err(), 410, "after a restart, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_whose_link_is_revoked_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let (_agent, id, _) = server.push(&server.owner).await;
    let share = format!("/api/captures/{id}/share");
    let token = server.owners("POST", &share).await.1["token"].as_str().unwrap().to_owned();
    let mut reader = server.connect(&format!("/api/captures/{id}/live"), &token).await.unwrap();
    word(&mut reader, "hello").await;
    let mut owner = server.connect(&format!("/api/captures/{id}/live"), &server.owner).await.unwrap();
    word(&mut owner, "hello").await;

    let list = server.owners("GET", "/api/tokens").await.1;
    assert_eq!(kinds(&list), ["agent web-1", "reader web-1"]);
    assert_eq!(server.owners("DELETE", &format!("/api/tokens/{}", id_of(&list, "reader"))).await.0, 204);
    assert_eq!(word(&mut reader, "refused").await["code"], "gone");
    assert_eq!(server.call(&token, "GET", &format!("/api/captures/{id}")).await.0, 410);
    // The owner goes on: the agent's token goes, and its end is what is told.
    assert_eq!(server.owners("DELETE", &format!("/api/tokens/{}", id_of(&list, "agent"))).await.0, 204);
    assert_eq!(word(&mut owner, "end").await["why"], "The agent's token was revoked.");
    assert_eq!(server.owners("GET", &format!("/api/captures/{id}")).await.0, 200, "the capture stays");
}
