//! Following a capture over real sockets while it grows: whatever is cut, the viewer's bytes are the file's.

use axum::Router;
use dropscope_review::{CaptureId, Growth, Guard, Limits, Review, Store, Token};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything may take before the test is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A log that the test writes, on a server that really listens.
struct Live {
    folder: tempfile::TempDir,
    file: std::fs::File,
    tell: watch::Sender<Growth>,
    address: SocketAddr,
    owner: Token,
    id: CaptureId,
    store: Arc<Store>,
    review: Review,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Live {
    async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("data")).unwrap());
        let path = folder.path().join("live.pcapng");
        let file = std::fs::File::create(&path).unwrap();
        let (tell, growth) = watch::channel(Growth::default());
        let id = store.add_live("eth0", std::fs::File::open(&path).unwrap(), growth).unwrap();
        let owner = Token::random().unwrap();
        let review = Review::new(Arc::clone(&store), &owner, limits);
        let router = review.clone().router(Router::new(), Guard::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { folder, file, tell, address, owner, id, store, review }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("live.pcapng")
    }

    /// Appends blocks as the recorder does: to the file first, then to the published length.
    fn append(&mut self, blocks: &[u8]) {
        self.file.write_all(blocks).unwrap();
        self.tell.send_modify(|growth| growth.bytes += blocks.len() as u64);
    }

    fn end(&self) {
        self.tell.send_modify(|growth| growth.ended = Some("The recording ended.".into()));
    }

    async fn connect(&self, id: &CaptureId, from: u64) -> Result<Socket, Error> {
        let mut request = format!("ws://{}/api/captures/{id}/live?from={from}", self.address).into_client_request().unwrap();
        let protocols = format!("dropscope.v1, bearer.{}", self.owner.as_str());
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        let (socket, response) = timeout(PATIENCE, tokio_tungstenite::connect_async(request)).await.unwrap()?;
        assert_eq!(response.headers()["sec-websocket-protocol"], "dropscope.v1");
        Ok(socket)
    }

    async fn follow(&self, from: u64) -> Socket {
        self.connect(&self.id, from).await.unwrap()
    }
}

/// The next message that is not a ping.
async fn next(socket: &mut Socket) -> Message {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("the server went silent").expect("the server went").unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

async fn word(socket: &mut Socket) -> Value {
    match next(socket).await {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("a word was expected, not {other:?}"),
    }
}

/// A pcapng block of a few hundred bytes to some hundred thousand, each different.
fn block(n: u32) -> Vec<u8> {
    block_of(n, 4 * (10 + (n * 7919) % 500) as usize + if n % 40 == 39 { 600_000 } else { 0 })
}

fn block_of(n: u32, body: usize) -> Vec<u8> {
    let length = (12 + body as u32).to_le_bytes();
    let filling: Vec<u8> = (0..body).map(|i| (i as u32).wrapping_mul(n + 1) as u8).collect();
    [&6_u32.to_le_bytes()[..], &length, &filling, &length].concat()
}

/// The largest message: the pieces of a large block are of this size but the last, others are whole blocks.
const LARGEST_MESSAGE: usize = 256 << 10;

/// Whether some bytes that follow `before`, which begins at a block, are whole blocks or a piece of a large one.
fn are_blocks_or_a_piece(before: &[u8], bytes: &[u8]) -> bool {
    let length_at = |log: &[u8], at: usize| u32::from_le_bytes(log[at + 4..at + 8].try_into().unwrap()) as usize;
    let log = [before, bytes].concat();
    let mut at = 0;
    while at + 8 <= log.len() {
        let end = at + length_at(&log, at);
        let (from, to) = (before.len(), log.len());
        if end > to || (at < from && end > from) {
            let is_whole_to_the_end = end == to || (end > to && (to - at).is_multiple_of(64 << 10));
            return end - at > 64 << 10 && is_whole_to_the_end;
        }
        at = end;
    }
    at == log.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_ten_cuts_mid_stream_the_viewers_bytes_are_the_files() {
    let mut live = Live::start().await;
    let mut have: Vec<u8> = Vec::new();
    let mut written = 0;
    for cut in 0..10 {
        let mut socket = live.follow(have.len() as u64).await;
        let hello = word(&mut socket).await;
        assert_eq!((&hello["type"], &hello["from"], &hello["live"]), (&"hello".into(), &have.len().into(), &true.into()));
        // Some while the viewer is there, some while it is not.
        for _ in 0..20 {
            live.append(&block(written));
            written += 1;
        }
        let until = have.len() + 1;
        // The last of them within the block of 600,000 bytes that comes once in forty.
        while have.len() < until + 2000 * cut && have.len() < std::fs::metadata(live.path()).unwrap().len() as usize {
            match next(&mut socket).await {
                Message::Binary(bytes) => {
                    let is_fine = bytes.len() <= LARGEST_MESSAGE && are_blocks_or_a_piece(&have, &bytes);
                    assert!(is_fine, "a message of {} bytes at {}", bytes.len(), have.len());
                    have.extend_from_slice(&bytes);
                }
                other => panic!("bytes were expected, not {other:?}"),
            }
        }
        // Cut, not closed: what is still on its way is gone.
        drop(socket);
        for _ in 0..5 {
            live.append(&block(written));
            written += 1;
        }
    }
    let mut socket = live.follow(have.len() as u64).await;
    word(&mut socket).await;
    live.append(&block(written));
    live.end();
    let end = loop {
        match next(&mut socket).await {
            Message::Binary(bytes) => have.extend_from_slice(&bytes),
            Message::Text(text) => break serde_json::from_str::<Value>(&text).unwrap(),
            other => panic!("bytes or an end were expected, not {other:?}"),
        }
    };
    assert_eq!((&end["type"], &end["size"], &end["why"]), (&"end".into(), &have.len().into(), &"The recording ended.".into()));
    assert!(matches!(next(&mut socket).await, Message::Close(Some(frame)) if u16::from(frame.code) == 1000));
    assert!(have == std::fs::read(live.path()).unwrap(), "{} bytes differ from the file's", have.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_takes_nothing_holds_up_neither_the_writer_nor_the_others() {
    let mut live = Live::start().await;
    live.append(&block(0));
    let mut stalled = Vec::new();
    for _ in 0..10 {
        // Connected, and then never read from.
        stalled.push(live.follow(0).await);
    }
    let mut fast = live.follow(0).await;
    word(&mut fast).await;
    let mut have = 0;
    for n in 1..400 {
        live.append(&block(n));
    }
    let size = std::fs::metadata(live.path()).unwrap().len() as usize;
    assert!(size > 6_000_000, "more than sockets buffer");
    while have < size {
        match next(&mut fast).await {
            Message::Binary(bytes) => have += bytes.len(),
            other => panic!("bytes were expected, not {other:?}"),
        }
    }
    assert_eq!(have, size);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_of_16_mib_goes_in_pieces_and_a_viewer_comes_back_between_any_two() {
    for budget in [0, 8 << 20] {
        let mut live = Live::with(Limits { viewer_bytes: budget, ..Limits::default() }).await;
        let log = [block(1), block_of(2, (16 << 20) - 12), block(3), block_of(4, 70_000), block(5)].concat();
        live.append(&log);
        live.end();
        let mut have: Vec<u8> = Vec::new();
        let mut cuts = 0;
        while have.len() < log.len() {
            let mut socket = live.follow(have.len() as u64).await;
            assert_eq!(word(&mut socket).await["from"], have.len());
            // Some pieces, more each time, and then the connection is cut.
            cuts += 1;
            for _ in 0..cuts {
                match next(&mut socket).await {
                    Message::Binary(bytes) => {
                        let most = if budget == 0 { 64 << 10 } else { LARGEST_MESSAGE };
                        assert!(bytes.len() <= most, "a message of {} bytes", bytes.len());
                        have.extend_from_slice(&bytes);
                    }
                    Message::Text(word) if word.contains("\"end\"") => break,
                    other => panic!("bytes or an end were expected, not {other:?}"),
                }
            }
        }
        assert!(have == log, "{} of {} bytes", have.len(), log.len());
        assert!(cuts > 5, "it was cut {cuts} times");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_readers_link_takes_its_share_of_the_seats_and_the_owner_gets_in() {
    let limits = Limits { viewers: 32, viewers_per_token: 20, ..Limits::default() };
    let mut live = Live::with(limits).await;
    live.append(&block(1));
    let [a, b] = [(); 2].map(|()| live.store.share(&live.id).unwrap().unwrap());
    let url = format!("ws://{}/api/captures/{}/live", live.address, live.id);
    let connect = async |token: &Token| {
        let mut request = url.as_str().into_client_request().unwrap();
        let protocols = format!("dropscope.v1, bearer.{}", token.as_str());
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        match timeout(PATIENCE, tokio_tungstenite::connect_async(request)).await.unwrap() {
            Ok((socket, _)) => Some(socket),
            Err(Error::Http(response)) => {
                assert_eq!(response.status().as_u16(), 503);
                None
            }
            Err(other) => panic!("{other}"),
        }
    };
    let mut seats = Vec::new();
    for (token, expected) in [(&a, 20), (&b, 10), (&live.owner, 2)] {
        let before = seats.len();
        while let Some(socket) = connect(token).await {
            seats.push(socket);
        }
        assert_eq!(seats.len() - before, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_file_is_sent_whole_even_when_it_was_cut_short() {
    let live = Live::start().await;
    let whole: Vec<u8> = (0..50).flat_map(block).collect();
    for (name, bytes) in [
        ("whole.pcapng", whole.clone()),
        ("cut.pcapng", whole[..whole.len() - 7].to_vec()),
        ("damaged.pcapng", [&whole[..], b"this is no block at all", &whole[..]].concat()),
        ("old.pcap", b"\xd4\xc3\xb2\xa1 whatever follows".to_vec()),
    ] {
        let path = live.folder.path().join(name);
        // What a file is goes by its first bytes; a section header makes it pcapng.
        let section =
            [&b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00"[..], &[0xff; 8], b"\x1c\x00\x00\x00"].concat();
        let bytes = if name.ends_with(".pcapng") { [section, bytes].concat() } else { bytes };
        std::fs::write(&path, &bytes).unwrap();
        let id = live.store.add_file(name, &path).unwrap();
        let mut socket = live.connect(&id, 0).await.unwrap();
        assert_eq!(word(&mut socket).await["live"], false);
        let mut have = Vec::new();
        while let Message::Binary(bytes) = next(&mut socket).await {
            have.extend_from_slice(&bytes);
        }
        assert!(have == bytes, "{name}: {} of {} bytes", have.len(), bytes.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_that_cannot_be_is_refused_in_words() {
    let mut live = Live::start().await;
    live.append(&[block(1), block(2)].concat());
    for (from, code) in [(1_000_000, "range"), (4, "offset"), (block(1).len() as u64 + 8, "offset")] {
        let mut socket = live.follow(from).await;
        let mut said = word(&mut socket).await;
        if said["type"] == "hello" {
            said = word(&mut socket).await;
        }
        assert_eq!((&said["type"], &said["code"]), (&"refused".into(), &code.into()), "from {from}");
        assert!(matches!(next(&mut socket).await, Message::Close(Some(frame)) if u16::from(frame.code) == 1008));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_vanishes_is_told_as_an_end() {
    let mut live = Live::start().await;
    live.append(&block(1));
    let mut socket = live.follow(0).await;
    word(&mut socket).await;
    assert!(matches!(next(&mut socket).await, Message::Binary(bytes) if bytes == block(1)));
    drop(std::mem::replace(&mut live.tell, watch::channel(Growth::default()).0));
    let end = word(&mut socket).await;
    assert_eq!(end["type"], "end");
    assert_eq!(end["why"], "Whoever wrote the capture went without closing it.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_takes_a_token_a_free_seat_and_no_foreign_origin() {
    let live = Live::with(Limits { viewers: 1, ..Limits::default() }).await;
    let url = format!("ws://{}/api/captures/{}/live", live.address, live.id);
    let good = format!("dropscope.v1, bearer.{}", live.owner.as_str());
    let status = |protocols: String, origin: Option<&'static str>| {
        let mut request = url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        async {
            match timeout(PATIENCE, tokio_tungstenite::connect_async(request)).await.unwrap() {
                Ok((socket, _)) => (101, Some(socket)),
                Err(Error::Http(response)) => (response.status().as_u16(), None),
                Err(other) => panic!("{other}"),
            }
        }
    };
    assert_eq!(status("dropscope.v1".into(), None).await.0, 401);
    assert_eq!(status("dropscope.v1, bearer.nonsense".into(), None).await.0, 401);
    assert_eq!(status(good.clone(), Some("http://evil.example")).await.0, 403);
    let (answer, seat) = status(good.clone(), None).await;
    assert_eq!(answer, 101);
    assert_eq!(status(good.clone(), None).await.0, 503);
    // A viewer that closes gives its seat back.
    let mut seat = seat.unwrap();
    seat.close(None).await.unwrap();
    while let Some(Ok(_)) = timeout(PATIENCE, seat.next()).await.unwrap() {}
    timeout(PATIENCE, live.review.all_viewers_gone()).await.unwrap();
    assert_eq!(status(good, None).await.0, 101);
    let _ = seat.flush().await;
}
