//! Serving HTTP to whoever connects, with the bounds a server needs that is reached from elsewhere:
//!
//! - how many connections there are, and which of them give way to others (`seats`)
//! - how long a client may take for the header of a request: one that sends it byte by byte would hold a connection for ever
//!   ("slow loris")
//! - how long a client may take nothing of an answer: one that never reads would (`paced`)
//! - how much memory a header takes before anybody knows who sent it
//!
//! Answers, uploads and WebSockets may take as long as they keep moving.

mod paced;
mod seats;

use axum::Router;
use dropscope_review::Connection;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use paced::Paced;
use seats::Seats;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// From a connection's beginning, or the end of its last answer, to the end of the next request's header.
    pub(crate) header: Duration,
    /// How long a client may take no byte of what is being sent to it.
    pub(crate) stall: Duration,
    /// Connections at one time, WebSockets among them. For one more, the least deserving is cut.
    pub(crate) connections: usize,
    /// Of these, those of one address (of one /64 in IPv6). Loopback is not bounded: a proxy may stand there.
    pub(crate) per_peer: usize,
    /// Bytes of one request's header.
    pub(crate) header_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            connections: 1024,
            per_peer: 256,
            header_bytes: 16 << 10,
        }
    }
}

impl Bounds {
    /// The usual ones, with no more connections than this process may have files open.
    pub(crate) fn within_file_limit() -> Self {
        let usual = Self::default();
        let files = usize::try_from(raise_file_limit()).unwrap_or(usize::MAX);
        // A connection that follows or downloads a capture has that open, too.
        Self { connections: usual.connections.min(files.saturating_sub(RESERVED_FILES) / 2).max(16), ..usual }
    }
}

/// Files open beside connections and what they read.
const RESERVED_FILES: usize = 128;
/// Files that this process may have open, where the administrator allows it.
const FILES: u64 = 8192;

/// Raises how many files may be open as far as that is allowed; answers how many that are.
fn raise_file_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let wanted = FILES.min(hard).max(soft);
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(_) => soft,
    }
}

/// After an error of accepting, such as too many open files, so long nobody is accepted.
const PAUSE: Duration = Duration::from_millis(250);

/// What a client for whom there is no seat is told, in the form of docs/api.md.
const FULL: &str = "{\"error\":{\"code\":\"too_many_connections\",\
    \"message\":\"This server has as many connections as it takes.\",\
    \"what_to_do\":\"Close one of yours, or wait and try again.\"}}";

/// Answers until `stop` comes, and then until the requests that came before are answered.
pub(crate) async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: impl Future<Output = ()>) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(bounds.header).max_buf_size(bounds.header_bytes);
    let seats = Seats::new(bounds.connections, bounds.per_peer);
    let (end, ends) = watch::channel(());
    // Closed once no request is being answered any more.
    let (busy, mut idle) = mpsc::channel::<()>(1);
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            one = listener.accept() => one,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("a connection could not be accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some((stream, connection)) = seat(&seats, stream, peer, bounds.stall) else { continue };
        let router = router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&connection));
            TowerToHyperService::new(router.clone()).call(request)
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let (mut ends, busy) = (ends.clone(), busy.clone());
        tokio::spawn(async move {
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                // An error means that the sender is gone, which is the end too.
                _ = ends.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!("a connection ended early: {error}");
            }
            drop(busy);
        });
    }
    drop((listener, end, busy));
    // Nothing is ever sent: this waits for the last sender to go.
    let _ = idle.recv().await;
}

/// Gives a client a seat, or tells it that there is none.
fn seat(seats: &Arc<Seats>, stream: TcpStream, peer: SocketAddr, stall: Duration) -> Option<(Paced, Arc<Connection>)> {
    // A client that is gone by now has no addresses any more.
    let connection = Arc::new(Connection::new(stream.local_addr().ok()?.ip()));
    let Some(held) = seats.take(peer.ip(), Arc::clone(&connection)) else {
        tracing::warn!("{} was sent away: all connections are in use", peer.ip());
        // As much as fits without waiting: all of it, on a new connection.
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{FULL}",
            FULL.len()
        );
        let _ = stream.try_write(answer.as_bytes());
        return None;
    };
    Some((Paced::new(stream, held, stall), connection))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    /// More than the kernel buffers for a client that takes nothing.
    const LARGE: usize = 32 << 20;
    const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const PATIENCE: Duration = Duration::from_secs(20);

    async fn start(bounds: Bounds) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ends) = oneshot::channel();
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/large", get(|| async { vec![7_u8; LARGE] }))
            .route("/trusted", get(trusted));
        let serving = tokio::spawn(serve(listener, router, bounds, async move { drop(ends.await) }));
        (address, end, serving)
    }

    async fn trusted(axum::Extension(connection): axum::Extension<Arc<Connection>>) -> &'static str {
        connection.raise(dropscope_review::Standing::Trusted);
        "welcome"
    }

    async fn ask(address: SocketAddr, path: &str) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        client
    }

    /// The first byte of an answer; `None` when the connection ended before.
    async fn answered(client: &mut TcpStream) -> Option<u8> {
        let mut byte = [0];
        let read = tokio::time::timeout(PATIENCE, client.read(&mut byte)).await.expect("neither answered nor closed");
        matches!(read, Ok(1)).then_some(byte[0])
    }

    #[tokio::test]
    async fn a_header_that_never_ends_ends_the_connection_and_others_are_answered() {
        let bounds = Bounds { header: Duration::from_millis(300), ..Bounds::default() };
        let (address, end, serving) = start(bounds).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nHost: loca").await.unwrap();
        let mut brisk = TcpStream::connect(address).await.unwrap();
        brisk.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        brisk.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("here"), "{answer}");
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the slow one still holds its connection");
        end.send(()).unwrap();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_and_one_that_keeps_taking_is_not() {
        let bounds = Bounds { stall: Duration::from_millis(300), ..Bounds::default() };
        let (address, _end, _serving) = start(bounds).await;
        let mut stalled = ask(address, "/large").await;
        let mut slow = ask(address, "/large").await;
        // Takes its time over all of it: longer than a stall may last, but never that long without a byte.
        let (began, mut have, mut piece) = (std::time::Instant::now(), 0, vec![0; 1 << 20]);
        while let Ok(n @ 1..) = slow.read(&mut piece).await {
            have += n;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if have > LARGE {
                break;
            }
        }
        assert!(began.elapsed() > bounds.stall, "it was too fast to show anything");
        assert!(have > LARGE, "{have} bytes");
        // What was in the buffers may still come; then the connection is reset.
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stalled.read_to_end(&mut rest)).await.expect("it still holds its connection");
        assert!(ended.is_err() || rest.len() < LARGE, "{} bytes came", rest.len());
    }

    #[tokio::test]
    async fn one_more_than_there_are_seats_is_served_and_the_one_that_stood_still_is_cut() {
        let (address, _end, _serving) = start(Bounds { connections: 2, ..Bounds::default() }).await;
        let mut trusted = ask(address, "/trusted").await;
        assert_eq!(answered(&mut trusted).await, Some(b'H'));
        let mut stalled = ask(address, "/large").await;
        assert_eq!(answered(&mut stalled).await, Some(b'H'));
        let mut third = ask(address, "/").await;
        assert_eq!(answered(&mut third).await, Some(b'H'), "there is always room for whoever comes");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stalled.read_to_end(&mut rest)).await.expect("it still holds its connection");
        assert!(ended.is_err() || rest.len() < LARGE, "{} bytes came", rest.len());
        // The trusted one is still there.
        trusted.write_all(ASK).await.unwrap();
        let mut answer = vec![0; 4096];
        assert!(tokio::time::timeout(PATIENCE, trusted.read(&mut answer)).await.unwrap().unwrap() > 0);
    }

    #[tokio::test]
    async fn where_everybody_is_trusted_one_more_is_told_so() {
        let (address, _end, _serving) = start(Bounds { connections: 1, ..Bounds::default() }).await;
        let mut trusted = ask(address, "/trusted").await;
        assert_eq!(answered(&mut trusted).await, Some(b'H'));
        let mut second = TcpStream::connect(address).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, second.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], "too_many_connections");
    }

    #[tokio::test]
    async fn a_header_that_is_too_long_is_refused_before_it_takes_memory() {
        let (address, _end, _serving) = start(Bounds::default()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let filler = [b'a'; 64 << 10];
        // The server may hang up in the middle of it.
        let _ = client.write_all(&[&b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "[..], &filler, b"\r\n\r\n"].concat()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("neither answered nor closed");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    }
}
