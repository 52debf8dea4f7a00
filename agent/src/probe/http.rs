//! An HTTP or HTTPS GET with a time limit: what came, how long each phase took, and in which one it died.

use super::socket::tcp_info;
use super::{Outcome, milliseconds, text};
use crate::tls;
use dropscope_core::log::block::Probe;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A body is read up to here: whether it flows is then known.
const MOST_BODY: u64 = 64 << 20;
/// A header larger than this is none.
const MOST_HEADER: usize = 64 << 10;
/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// The host's name, for the certificate and the Host field; an address in brackets may be one of IPv6.
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) tls: bool,
    /// For the whole of it.
    pub(super) timeout: Duration,
}

/// The phases in their order, and what one died of.
const CONNECT: &str = "connect";
const TLS: &str = "tls";
const REQUEST: &str = "request";
const FIRST_BYTE: &str = "first_byte";
const BODY: &str = "body";

#[derive(Debug, Default)]
struct Progress {
    done: Vec<(&'static str, Duration)>,
    status: Option<u16>,
    body_bytes: u64,
    kernel: Option<libc::tcp_info>,
}

/// Fetches and says how it went.
pub(super) fn get(address: SocketAddr, request: &Request<'_>) -> Outcome {
    let at_ns = crate::source::clock::realtime_ns();
    let began = Instant::now();
    let mut progress = Progress::default();
    let ended = fetch(address, request, &mut progress);
    let total = began.elapsed();
    let scheme = if request.tls { "https" } else { "http" };
    let what = format!("GET {scheme}://{}{} ({address})", request.host, request.path);
    let phases: Vec<String> =
        progress.done.iter().map(|(phase, time)| format!("{} {}", phase_text(phase), text(*time))).collect();
    let phases = phases.join(", ");
    let (mut summary, died) = match &ended {
        Ok(()) => {
            let status = progress.status.unwrap_or(0);
            (format!("{what}: {status}, {} bytes in {} ({phases}).", progress.body_bytes, text(total)), None)
        }
        Err((phase, error)) => {
            let so_far = if phases.is_empty() { String::new() } else { format!(" ({phases})") };
            let had = match (*phase, progress.body_bytes) {
                (BODY, bytes) => format!(" after {bytes} bytes of it"),
                _ => String::new(),
            };
            (format!("{what} died {}{had}: {}{so_far}.", dying_text(phase), why(error, request.timeout)), Some(*phase))
        }
    };
    if let Some(kernel) = progress.kernel.filter(|kernel| kernel.tcpi_total_retrans > 0) {
        summary.push_str(&format!(
            " {} segments were sent again; segments are {} bytes long.",
            kernel.tcpi_total_retrans, kernel.tcpi_snd_mss
        ));
    }
    let is_fine = ended.is_ok() && progress.status.is_some_and(|status| status < 500);
    let timings: serde_json::Map<String, Value> =
        progress.done.iter().map(|(phase, time)| ((*phase).to_owned(), json!(milliseconds(*time)))).collect();
    let details = json!({
        "died_in": died, "error": ended.as_ref().err().map(|(_, error)| error.to_string()), "status": progress.status,
        "body_bytes": progress.body_bytes, "total_ms": milliseconds(total), "phases_ms": timings,
        "retransmitted": progress.kernel.map(|kernel| kernel.tcpi_total_retrans),
        "segment_bytes": progress.kernel.map(|kernel| kernel.tcpi_snd_mss),
        "received_segment_bytes": progress.kernel.map(|kernel| kernel.tcpi_rcv_mss),
    });
    let rtt_ns = progress.done.iter().filter(|(phase, _)| *phase == CONNECT).map(|(_, time)| time.as_nanos() as u64).collect();
    let answered = u32::from(progress.status.is_some());
    let probe = Probe { at_ns, kind: "http".into(), target: address.to_string(), sent: 1, answered, rtt_ns, summary };
    Outcome { probe, is_fine, details }
}

fn phase_text(phase: &str) -> &str {
    match phase {
        TLS => "TLS",
        REQUEST => "request sent",
        FIRST_BYTE => "first byte",
        other => other,
    }
}

fn dying_text(phase: &str) -> &str {
    match phase {
        CONNECT => "connecting",
        TLS => "in the TLS handshake",
        REQUEST => "sending the request",
        FIRST_BYTE => "waiting for the first byte",
        _ => "in the body",
    }
}

fn why(error: &io::Error, timeout: Duration) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("nothing more came within {}", text(timeout)),
        io::ErrorKind::ConnectionRefused => "refused, nobody listens on the port".into(),
        io::ErrorKind::UnexpectedEof => "the connection ended before everything was there".into(),
        _ => tls::why(error).unwrap_or_else(|| error.to_string()),
    }
}

type Died = (&'static str, io::Error);

fn fetch(address: SocketAddr, request: &Request<'_>, progress: &mut Progress) -> Result<(), Died> {
    let deadline = Instant::now() + request.timeout;
    let began = Instant::now();
    let stream = TcpStream::connect_timeout(&address, request.timeout).map_err(|error| (CONNECT, error))?;
    progress.done.push((CONNECT, began.elapsed()));
    let kernel = stream.try_clone().map_err(|error| (CONNECT, error))?;
    let mut stream = Limited { stream, deadline };
    let result = if request.tls {
        let began = Instant::now();
        let secured = secure(request.host, stream).map_err(|error| (TLS, error));
        secured.and_then(|mut secured| {
            progress.done.push((TLS, began.elapsed()));
            exchange(&mut secured, request, progress)
        })
    } else {
        exchange(&mut stream, request, progress)
    };
    progress.kernel = tcp_info(&kernel).ok();
    result
}

fn secure(host: &str, mut stream: Limited) -> io::Result<StreamOwned<ClientConnection, Limited>> {
    let config = tls::client(None)?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

fn exchange(stream: &mut (impl Read + Write), request: &Request<'_>, progress: &mut Progress) -> Result<(), Died> {
    let began = Instant::now();
    let path = if request.path.starts_with('/') { request.path.to_owned() } else { format!("/{}", request.path) };
    let header = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: dropscope/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        request.host,
        env!("CARGO_PKG_VERSION")
    );
    stream.write_all(header.as_bytes()).and_then(|()| stream.flush()).map_err(|error| (REQUEST, error))?;
    progress.done.push((REQUEST, began.elapsed()));
    let began = Instant::now();
    let mut buffer = vec![0; 64 << 10];
    let mut header = Vec::new();
    let (status, length) = loop {
        let phase = if header.is_empty() { FIRST_BYTE } else { BODY };
        let read = stream.read(&mut buffer).map_err(|error| (phase, error))?;
        if read == 0 || header.len() > MOST_HEADER {
            return Err((phase, io::ErrorKind::UnexpectedEof.into()));
        }
        if header.is_empty() {
            progress.done.push((FIRST_BYTE, began.elapsed()));
        }
        header.extend_from_slice(&buffer[..read]);
        if let Some(end) = header.windows(4).position(|four| four == b"\r\n\r\n") {
            progress.body_bytes = (header.len() - end - 4) as u64;
            break status_and_length(&header[..end]).ok_or((phase, io::Error::other("what came is not HTTP")))?;
        }
    };
    progress.status = Some(status);
    let began = Instant::now();
    while progress.body_bytes < length.unwrap_or(u64::MAX).min(MOST_BODY) {
        match stream.read(&mut buffer) {
            Ok(0) if length.is_some() => return Err((BODY, io::ErrorKind::UnexpectedEof.into())),
            Ok(0) => break,
            Ok(read) => progress.body_bytes += read as u64,
            // Many servers end TLS without saying so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && length.is_none() => break,
            Err(error) => return Err((BODY, error)),
        }
    }
    progress.done.push((BODY, began.elapsed()));
    Ok(())
}

/// The status, and how long the body is where the server says so (not for a chunked one).
fn status_and_length(header: &[u8]) -> Option<(u16, Option<u64>)> {
    let text = String::from_utf8_lossy(header);
    let mut lines = text.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
    };
    Some((status, if matches!(status, 204 | 304) { Some(0) } else { lines.find_map(field) }))
}

/// A connection whose every wait ends at the deadline.
struct Limited {
    stream: TcpStream,
    deadline: Instant,
}

impl Limited {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_how_long_the_body_is() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 12", Some((200, Some(12)))),
            ("HTTP/1.0 404 Not Found", Some((404, None))),
            ("HTTP/1.1 204 No Content", Some((204, Some(0)))),
            ("HTTP/2 200", None),
            ("SSH-2.0-OpenSSH_9.2", None),
        ];
        for (header, expected) in cases {
            assert_eq!(status_and_length(header.as_bytes()), expected, "{header}");
        }
    }
}
