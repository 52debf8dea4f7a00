//! `dropscope serve` as a process, against clients that mean it harm and against being killed: those that never read, one link
//! that wants everything, two servers with one data folder, `kill -9` in the middle of uploads and pushes.
//!
//! None of it needs root.

mod common;

use common::{Dropscope, PATIENCE, Random};
use futures_util::{SinkExt as _, StreamExt as _};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// More than the connections that a server takes at one time.
const CLIENTS: usize = 1100;
/// Rounds of the loops that kill the server.
const KILLS: usize = 12;
/// Bytes that are pushed in one of them at most.
const MOST_A_ROUND: u64 = 4 << 20;
/// What the server may hold for readers that take nothing: half of it is the budget for bytes on their way to them.
const MOST_FOR_READERS: u64 = 96 << 20;

/// Connections whose request never ends.
const UNFINISHED: usize = 900;
/// What they may take: each the 16 KiB of a header, and half as much for the rest of a connection.
const MOST_FOR_HEADERS: u64 = UNFINISHED as u64 * (24 << 10);

/// A server.
struct Server {
    process: Dropscope,
    client: Client,
}

/// What its link says.
#[derive(Clone)]
struct Client {
    address: SocketAddr,
    token: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut process = Dropscope::start(folder, &["serve", "--port", "0", "--no-browser"]);
        let client = Client::of(&process.hear("http://"), "/#/?k=");
        Self { process, client }
    }

    fn kill(&mut self) {
        self.process.signal(Signal::SIGKILL);
        self.process.child.wait().unwrap();
    }
}

impl std::ops::Deref for Server {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Client {
    /// By a link with this route in it.
    fn of(link: &str, route: &str) -> Self {
        let (address, token) = link.trim().strip_prefix("http://").unwrap().split_once(route).unwrap();
        Self { address: address.parse().unwrap(), token: token.to_owned() }
    }

    /// A connection on which a request was sent.
    fn send(&self, method: &str, path: &str, token: &str, body: &[u8]) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        Ok(stream)
    }

    /// The status and the body of a call; an error when the server went before it was answered.
    fn call(&self, method: &str, path: &str, token: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let mut answer = Vec::new();
        self.send(method, path, token, body)?.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), answer[end + 4..].to_vec()))
    }

    fn json(&self, method: &str, path: &str, body: &[u8]) -> Value {
        let (status, body) = self.call(method, path, &self.token, body).unwrap();
        assert!((200..300).contains(&status), "{method} {path}: {status} {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    fn captures(&self) -> usize {
        self.json("GET", "/api/session", b"")["captures"].as_array().unwrap().len()
    }
}

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells it");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") << 10
}

/// Lets this process open as many connections as the test needs.
fn raise_file_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(16_384), hard).unwrap();
}

/// A pcapng log with some large blocks.
fn log_of(blocks: usize, length: usize) -> Vec<u8> {
    let mut log = b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0".to_vec();
    for _ in 0..blocks {
        let number = u32::try_from(length).unwrap().to_le_bytes();
        log.extend([&0x8000_0bad_u32.to_le_bytes()[..], &number, &vec![7; length - 12], &number].concat());
    }
    log
}

#[test]
fn eleven_hundred_clients_that_never_read_lock_nobody_out_and_take_little_memory() {
    raise_file_limit();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let id = server.json("POST", "/api/captures?name=large.pcapng", &log_of(4, 16 << 20))["id"].as_str().unwrap().to_owned();
    let before = resident(server.process.child.id());
    let began = Instant::now();
    let mut clients = Vec::new();
    for nth in 0..CLIENTS {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&server.address.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        // Some ask for more than the kernel buffers and read nothing, the others never end their header.
        let request = match nth % 20 {
            0 => format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).repeat(400),
            _ => format!("GET / HTTP/1.1\r\nHost: {}\r\nX: {}", server.address, "a".repeat(12_000)),
        };
        // One that was cut to make room is gone already.
        let _ = stream.write_all(request.as_bytes());
        clients.push(stream);
    }
    // The owner gets in, and again, while all of them are there.
    for _ in 0..10 {
        assert_eq!(server.captures(), 1);
    }
    let grown = resident(server.process.child.id()).saturating_sub(before);
    eprintln!("{CLIENTS} clients in {:?}: {} KiB more", began.elapsed(), grown >> 10);
    assert!(grown < MOST_FOR_READERS, "{} MiB more", grown >> 20);
    assert_eq!(server.call("GET", &format!("/api/captures/{id}"), &server.token, b"").unwrap().0, 200);
}

/// Bytes that the server's end of its connections has not taken yet.
fn not_taken(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("the kernel lists its connections");
    let of_server = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // `local_address rem_address st tx_queue:rx_queue`, in hexadecimal.
    let of_server = of_server.filter(|row| row.get(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}"))));
    // Of a listener that is the number of connections that wait for it.
    of_server.filter_map(|row| u64::from_str_radix(row.get(4)?.split_once(':')?.1, 16).ok()).sum()
}

/// A header that never ends is kept as long as it is no larger than a header may be, and nobody has shown a token yet.
#[test]
fn nine_hundred_unfinished_headers_take_no_more_than_headers_may() {
    raise_file_limit();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    server.captures();
    let pid = server.process.child.id();
    let before = resident(pid);
    let mut clients = Vec::new();
    for nth in 0..UNFINISHED {
        let mut stream = TcpStream::connect(server.address).unwrap();
        // Just what is kept, or as much as anybody cares to send.
        let length = if nth % 3 == 0 { 300_000 } else { 15_000 };
        let mut header = format!("GET / HTTP/1.1\r\nHost: {}\r\n", server.address);
        while header.len() < length {
            header.push_str(&format!("X-{}: {}\r\n", header.len(), "a".repeat(1000)));
        }
        // One that sends too much is refused before all of it is sent.
        let _ = stream.write_all(header.as_bytes());
        clients.push(stream);
    }
    let port = server.address.port();
    common::wait_until("the server has taken what it takes", || not_taken(port) == 0);
    let grown = resident(pid).saturating_sub(before);
    eprintln!("{UNFINISHED} unfinished headers: {} KiB more", grown >> 10);
    assert!(grown < MOST_FOR_HEADERS, "{} MiB more", grown >> 20);
    assert_eq!(server.captures(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_readers_link_takes_neither_all_memory_nor_all_seats() {
    raise_file_limit();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let added = server.json("POST", "/api/captures?name=large.pcapng", &log_of(4, 16 << 20));
    let (id, reader) = (added["id"].as_str().unwrap(), added["token"].as_str().unwrap());
    let before = resident(server.process.child.id());
    let follow = async |token: &str| {
        let mut request = format!("ws://{}/api/captures/{id}/live", server.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", format!("dropscope.v1, bearer.{token}").parse().unwrap());
        tokio_tungstenite::connect_async(request).await.ok().map(|(socket, _)| socket)
    };
    // They follow and never read; then the same link downloads and never reads.
    let mut sockets = Vec::new();
    for _ in 0..300 {
        sockets.extend(follow(reader).await);
    }
    let downloads: Vec<TcpStream> =
        (0..300).map(|_| server.send("GET", &format!("/api/captures/{id}/log"), reader, b"").unwrap()).collect();
    assert!((32..=64).contains(&sockets.len()), "one link took {} seats", sockets.len());
    // The owner follows, and gets every byte.
    let mut owner = follow(&server.token).await.expect("a seat is left for the owner");
    let mut have = 0;
    while have < 4 * (16 << 20) + 28 {
        match tokio::time::timeout(PATIENCE, owner.next()).await.expect("the server went silent").unwrap().unwrap() {
            Message::Binary(bytes) => have += bytes.len(),
            Message::Text(text) => assert!(text.contains("hello"), "{text}"),
            _ => {}
        }
    }
    let grown = resident(server.process.child.id()).saturating_sub(before);
    eprintln!("{} sockets and {} downloads: {} KiB more", sockets.len(), downloads.len(), grown >> 10);
    assert!(grown < MOST_FOR_READERS, "{} MiB more", grown >> 20);
}

#[test]
fn a_second_server_with_the_same_folder_is_refused_and_says_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Server::start(folder.path());
    let mut second = Dropscope::start(folder.path(), &["serve", "--port", "0", "--no-browser"]);
    let said = second.hear("cannot be used");
    assert!(said.contains(&format!("dropscope serve, process {},", first.process.child.id())), "{said}");
    assert!(!second.child.wait().unwrap().success());

    // Commands for one person work beside it, and what they keep is shown once they have ended.
    let mut beside = Dropscope::start(folder.path(), &["--port", "0", "--no-browser"]);
    let client = Client::of(&beside.hear("http://"), "/#/reference?k=");
    let other = Server { process: beside, client };
    let own = first.json("POST", "/api/captures?name=a.pcapng", &log_of(1, 100));
    let id = other.json("POST", "/api/captures?name=b.pcapng", &log_of(1, 200))["id"].as_str().unwrap().to_owned();
    assert_eq!((first.captures(), other.captures()), (1, 1));
    first.kill();
    let first = Server::start(folder.path());
    assert_eq!(first.captures(), 1, "what another process has is left to it");
    drop(other);
    drop(first);
    let first = Server::start(folder.path());
    assert_eq!(first.captures(), 2);
    // Its folders and files are nobody else's business.
    for id in [own["id"].as_str().unwrap(), &id] {
        let home = folder.path().join("data/captures").join(id);
        for (path, mode) in [(home.clone(), 0o700), (home.join("log"), 0o600), (home.join("capture.json"), 0o600)] {
            let found = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
    }
}

#[test]
fn what_was_acknowledged_of_uploads_is_there_after_any_kill() {
    let seed = std::env::var("DROPSCOPE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_130);
    eprintln!("seed {seed} (DROPSCOPE_SEED)");
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let mut acknowledged: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for round in 0..KILLS {
        let mut server = Server::start(folder.path());
        let (say, said) = channel();
        let after = 1 + random.below(6) as usize;
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (server, say, seed) = (server.client.clone(), say.clone(), random.below(u64::MAX / 2));
                scope.spawn(move || {
                    let mut random = Random(seed);
                    loop {
                        let log = log_of(1 + random.below(8) as usize, 100 + 4 * random.below(100_000) as usize);
                        // The server was killed before it could answer.
                        let Ok((201, body)) = server.call("POST", "/api/captures", &server.token, &log) else { return };
                        let body: Value = serde_json::from_slice(&body).unwrap();
                        say.send((body["id"].as_str().unwrap().to_owned(), log)).unwrap();
                    }
                });
            }
            drop(say);
            for (nth, (id, log)) in said.iter().enumerate() {
                acknowledged.insert(id, log);
                if nth == after {
                    server.process.signal(Signal::SIGKILL);
                }
            }
        });
        server.process.child.wait().unwrap();
        for (id, log) in &acknowledged {
            let kept = std::fs::read(folder.path().join("data/captures").join(id).join("log")).unwrap_or_default();
            assert!(kept == *log, "round {round}: {id} has {} of {} bytes", kept.len(), log.len());
        }
    }
    let server = Server::start(folder.path());
    // One that was whole, but whose answer did not arrive, may be there, too; what was cut short is not.
    assert!(server.captures() >= acknowledged.len());
    for item in std::fs::read_dir(folder.path().join("data/captures")).unwrap() {
        let name = item.unwrap().file_name();
        assert!(!name.to_string_lossy().ends_with(".part"), "{name:?} was left behind");
    }
    eprintln!("{} uploads were acknowledged", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_of_a_push_is_there_after_any_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(20_261_130);
    let log: Vec<u8> =
        (0..KILLS as u64 * MOST_A_ROUND / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    let mut home: Option<(String, String)> = None;
    let mut acknowledged = 0;
    for round in 0..KILLS {
        let mut server = Server::start(folder.path());
        let (path, token) = match &home {
            Some((id, token)) => (format!("/api/captures/{id}/push"), token.clone()),
            None => ("/api/push?name=web-1".to_owned(), server.token.clone()),
        };
        let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", format!("dropscope.v1, bearer.{token}").parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let Some(Ok(Message::Text(welcome))) = socket.next().await else { panic!("no welcome") };
        let welcome: Value = serde_json::from_str(&welcome).unwrap();
        let there = welcome["bytes"].as_u64().unwrap() as usize;
        assert!(there >= acknowledged, "round {round}: {there} bytes are there, {acknowledged} were acknowledged");
        if home.is_none() {
            let word = |key: &str| welcome[key].as_str().unwrap().to_owned();
            home = Some((word("id"), word("token")));
            socket.send(Message::text(r#"{"type":"segment","number":1,"after":0}"#)).await.unwrap();
        }
        // Killed after a random number of bytes; every other time not before some of them were acknowledged.
        let (mut out, mut heard) = socket.split();
        let amount = 1 + random.below(MOST_A_ROUND) as usize;
        let first = tokio::sync::Notify::new();
        let send = async {
            for piece in log[there..there + amount].chunks(32 << 10) {
                out.send(Message::binary(piece.to_vec())).await.expect("nobody has killed the server yet");
            }
            if round % 2 == 0 {
                first.notified().await;
            }
            server.process.signal(Signal::SIGKILL);
        };
        let hear = async {
            while let Some(Ok(message)) = heard.next().await {
                let Message::Text(text) = message else { continue };
                let word: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(word["type"], "have", "{text}");
                acknowledged = acknowledged.max(word["bytes"].as_u64().unwrap() as usize);
                first.notify_one();
            }
        };
        tokio::time::timeout(PATIENCE, async { tokio::join!(send, hear) }).await.expect("it never acknowledged anything");
        server.process.child.wait().unwrap();
        let (id, _) = home.as_ref().unwrap();
        let kept = std::fs::read(folder.path().join("data/captures").join(id).join("log")).unwrap();
        assert!(kept.len() >= acknowledged && log.starts_with(&kept), "round {round}: {} of {acknowledged} bytes", kept.len());
    }
    eprintln!("{acknowledged} bytes were acknowledged over {KILLS} kills");
}
