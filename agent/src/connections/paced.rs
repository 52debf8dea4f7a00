//! A TCP stream that does not wait for ever: a write on which nothing moves is given up, and so is a connection that has lost its
//! seat. It stays underneath when a connection becomes a WebSocket, and holds the seat until it is closed.

use super::seats::Held;
use socket2::SockRef;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Bytes that the kernel takes before the client has taken those before them. Without it a client that never reads holds as
/// much as `net.ipv4.tcp_wmem` allows, which is 4 MiB on most hosts.
const UNSENT: u32 = 128 << 10;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Paced {
    stream: TcpStream,
    held: Held,
    /// How long a write may wait.
    stall: Duration,
    /// Runs while a write waits.
    clock: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    pub(super) fn new(stream: TcpStream, held: Held, stall: Duration) -> Self {
        // A kernel without it only buffers more.
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        Self { stream, held, stall, clock: None }
    }

    /// Has the kernel forget what was not sent yet when this is closed, instead of trying for minutes more.
    fn give_up(&self, why: &'static str) -> io::Error {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        io::Error::new(io::ErrorKind::TimedOut, why)
    }

    fn may_write(&self, cx: &Context<'_>) -> io::Result<()> {
        if self.held.seat.is_lost_to_writer(cx) { Err(self.give_up("another client has taken the seat")) } else { Ok(()) }
    }

    /// Passes on what a write came to, and counts the time while it waits.
    fn after_write<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.clock = None;
            self.held.moved();
            return written;
        }
        let stall = self.stall;
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(Err(self.give_up("the client took nothing for too long")))
    }
}

impl AsyncRead for Paced {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.held.seat.is_lost_to_reader(cx) {
            return Poll::Ready(Err(this.give_up("another client has taken the seat")));
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            this.held.moved();
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.may_write(cx)?;
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.after_write(cx, written)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.may_write(cx)?;
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.after_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
