//! Serving HTTP to whoever connects, with the bounds a server needs that is reached from elsewhere: how many connections there
//! are, and how long each may take to say what it wants (a client that sends its header byte by byte would hold a connection
//! for ever: "slow loris"). Answers, uploads and WebSockets may take as long as they keep moving; review bounds those.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// From a connection's beginning, or the end of its last answer, to the end of the next request's header.
    pub(crate) header: Duration,
    /// Connections at one time; others wait to be accepted.
    pub(crate) connections: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { header: Duration::from_secs(20), connections: 1024 }
    }
}

/// After an error of accepting, such as too many open files, so long nobody is accepted.
const PAUSE: Duration = Duration::from_millis(250);

/// Answers until `stop` comes, and then until the requests that came before are answered.
pub(crate) async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: impl Future<Output = ()>) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(bounds.header);
    let seats = Arc::new(Semaphore::new(bounds.connections as usize));
    let (end, ends) = watch::channel(());
    tokio::pin!(stop);
    loop {
        let accept = async {
            let seat = Arc::clone(&seats).acquire_owned().await.expect("nobody closes the semaphore");
            (listener.accept().await, seat)
        };
        let (accepted, seat) = tokio::select! {
            () = &mut stop => break,
            one = accept => one,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a connection could not be accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut ends = ends.clone();
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
            drop(seat);
        });
    }
    drop(listener);
    drop(end);
    let _ = seats.acquire_many(bounds.connections).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    async fn start(bounds: Bounds) -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ends) = oneshot::channel();
        let router = Router::new().route("/", get(|| async { "here" }));
        let serving = tokio::spawn(serve(listener, router, bounds, async move { drop(ends.await) }));
        (address, end, serving)
    }

    #[tokio::test]
    async fn a_header_that_never_ends_ends_the_connection_and_others_are_answered() {
        let bounds = Bounds { header: Duration::from_millis(300), connections: 8 };
        let (address, end, serving) = start(bounds).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nHost: loca").await.unwrap();
        let mut brisk = TcpStream::connect(address).await.unwrap();
        brisk.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        brisk.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("here"), "{answer}");
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(20), slow.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the slow one still holds its connection");
        end.send(()).unwrap();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn no_more_connections_are_served_than_there_are_seats() {
        let bounds = Bounds { header: Duration::from_secs(60), connections: 1 };
        let (address, _end, _serving) = start(bounds).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut byte = [0];
        first.read_exact(&mut byte).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        drop(first);
        // Answered once the first one's seat is free, and not before: the kernel keeps it waiting.
        second.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"H");
    }
}
