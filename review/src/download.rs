//! A capture's bytes over HTTP, whole or one range of them (RFC 9110 section 14).

use crate::caller::Access;
use crate::capture::Capture;
use crate::error::ApiError;
use crate::files::Reader;
use crate::seats::{Grant, Seat};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use std::io;
use std::sync::Arc;

/// Answers with the capture's bytes, or with the range that was asked for.
pub(crate) async fn download(capture: &Capture, headers: &HeaderMap, access: Access) -> Result<Response, ApiError> {
    let seat = access.seat(false)?;
    // What is flushed now; what comes later is for the next call.
    let size = capture.grown().bytes;
    let etag = etag(capture, size).await;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // A range of another version than the client has parts of would be glued to the wrong bytes (RFC 9110 section 13.1.5).
    let is_same = headers.get(header::IF_RANGE).is_none() || (etag.is_some() && text(header::IF_RANGE) == etag.as_deref());
    let wanted = text(header::RANGE).filter(|_| is_same);
    let (status, first, end) = match wanted.map_or(Range::Whole, |text| range(text, size)) {
        Range::Whole => (StatusCode::OK, 0, size),
        Range::Part { first, end } => (StatusCode::PARTIAL_CONTENT, first, end),
        Range::Beyond => return Err(ApiError::range(size)),
    };
    let files = capture.files.clone();
    let file = blocking(move || files.open()).await.map_err(|error| ApiError::io("Opening the capture", &error))?;

    let source = Arc::new(Source { file: Arc::new(file), seat, access });
    let mut response = (status, Body::from_stream(pieces(source, first, end))).into_response();
    let answer = response.headers_mut();
    if let Some(value) = etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
        answer.insert(header::ETAG, value);
    }
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(capture.format.media_type()));
    answer.insert(header::CONTENT_LENGTH, HeaderValue::from(end - first));
    answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = HeaderValue::from_str(&format!("bytes {first}-{}/{size}", end - 1))
    {
        answer.insert(header::CONTENT_RANGE, value);
    }
    if let Ok(value) = HeaderValue::from_str(&disposition(&capture.name)) {
        answer.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// Reads up to `length` bytes at `offset`; fewer only at the end of the capture.
pub(crate) async fn read_at(file: &Arc<Reader>, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let file = Arc::clone(file);
    blocking(move || file.read_at(offset, length)).await
}

/// Runs what may wait for the disk where it holds up nobody else.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// What a download reads from, for as long as it may.
struct Source {
    file: Arc<Reader>,
    seat: Seat,
    access: Access,
}

/// Bytes that give back what they take of the budget when they are sent.
struct Granted {
    bytes: Vec<u8>,
    _grant: Grant,
}

impl AsRef<[u8]> for Granted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn pieces(source: Arc<Source>, first: u64, end: u64) -> impl stream::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(first, move |at| {
        let source = Arc::clone(&source);
        async move {
            if at >= end {
                return Ok(None);
            }
            if !source.access.holds() {
                return Err(io::Error::other("the token was revoked or the capture deleted"));
            }
            let grant = source.seat.grant();
            let length = usize::try_from(end - at).unwrap_or(grant.bytes).min(grant.bytes);
            let bytes = read_at(&source.file, at, length).await?;
            if bytes.len() < length {
                // Breaking off is the only way left to say so: the length was promised already.
                return Err(io::Error::other("the capture's file became shorter while it was read"));
            }
            Ok(Some((Bytes::from_owner(Granted { bytes, _grant: grant }), at + length as u64)))
        }
    })
}

/// What tells one version of a finished capture from another, as an opened file may be replaced. None while it grows.
async fn etag(capture: &Capture, size: u64) -> Option<String> {
    if capture.is_live() {
        return None;
    }
    let files = capture.files.clone();
    let changed = blocking(move || files.last_changed()).await.ok()?;
    Some(format!("\"{}-{size}-{changed}\"", capture.id))
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// From `first` up to, not with, `end`; never empty.
    Part {
        first: u64,
        end: u64,
    },
    Beyond,
}

/// What a `Range` header asks of `size` bytes. One that is not understood, or that asks for several ranges, may be ignored
/// (RFC 9110 section 14.2).
fn range(text: &str, size: u64) -> Range {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|rest| rest.trim().split_once('-')) else {
        return Range::Whole;
    };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => Range::Whole,
        (Ok(first), _) if first >= size => Range::Beyond,
        (Ok(first), Ok(last)) => Range::Part { first, end: size.min(last.saturating_add(1)) },
        (Ok(first), Err(_)) if last.trim().is_empty() => Range::Part { first, end: size },
        (Err(_), Ok(0)) if first.trim().is_empty() => Range::Beyond,
        (Err(_), Ok(_)) if first.trim().is_empty() && size == 0 => Range::Beyond,
        (Err(_), Ok(length)) if first.trim().is_empty() => Range::Part { first: size.saturating_sub(length), end: size },
        _ => Range::Whole,
    }
}

/// A download's name: plain ASCII for old clients, the true one beside it (RFC 6266).
fn disposition(name: &str) -> String {
    let base = crate::name::of_file(name).unwrap_or_else(|| "capture".to_owned());
    let named = if base.contains('.') { base } else { format!("{base}.pcapng") };
    let plain: String =
        named.chars().map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%' | ';') { c } else { '_' }).collect();
    let full: String = named
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let part = |first, end| Range::Part { first, end };
        let cases = [
            ("bytes=0-0", part(0, 1)),
            ("bytes=10-19", part(10, 20)),
            ("bytes=90-500", part(90, 100)),
            ("bytes=90-", part(90, 100)),
            ("bytes=-10", part(90, 100)),
            ("bytes=-500", part(0, 100)),
            ("bytes=100-", Range::Beyond),
            ("bytes=-0", Range::Beyond),
            ("bytes=5-4", Range::Whole),
            ("bytes=0-1,5-6", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("bytes=-", Range::Whole),
            ("lines=1-2", Range::Whole),
            ("bytes=0-18446744073709551615", part(0, 100)),
        ];
        for (text, expected) in cases {
            assert_eq!(range(text, 100), expected, "{text}");
        }
        assert_eq!(range("bytes=-10", 0), Range::Beyond);
    }

    #[test]
    fn a_downloads_name_cannot_break_out_of_its_header() {
        assert_eq!(disposition("eth0"), "attachment; filename=\"eth0.pcapng\"; filename*=UTF-8''eth0.pcapng");
        assert_eq!(disposition("../a\"b\r\nü.pcap"), "attachment; filename=\"a_b_.pcap\"; filename*=UTF-8''a%22b%C3%BC.pcap");
    }
}
