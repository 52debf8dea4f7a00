//! HTTP/1 (RFC 9112): the start line and the fields of the header, where a segment begins with one.

use super::Fields;
use crate::dissect::tree::fields::text;
use httparse::{EMPTY_HEADER, ParserConfig, Request, Response};

/// More than browsers send; of a longer header nothing is shown.
const MOST_FIELDS: usize = 256;

pub(super) fn http(fields: &mut Fields<'_>) -> Option<()> {
    let bytes = fields.rest(0);
    let mut headers = [EMPTY_HEADER; MOST_FIELDS];
    // A line that cannot be right is left out, as scanners send them, and what is around it shown.
    let mut reading = ParserConfig::default();
    reading.ignore_invalid_headers_in_requests(true).ignore_invalid_headers_in_responses(true);
    let is_response = bytes.starts_with(b"HTTP/");
    // A word of capitals must come first, so that no other protocol is tried in vain.
    if !is_response && !bytes.iter().take_while(|byte| **byte != b' ').all(u8::is_ascii_uppercase) {
        return None;
    }
    let line_end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    if is_response {
        let mut response = Response::new(&mut headers);
        reading.parse_response(&mut response, bytes).ok()?;
        let (version, code) = (response.version?, response.code?);
        fields.named("Hypertext Transfer Protocol", "http", text(bytes[..line_end].trim_ascii()), bytes.len());
        fields.add(0, 8.min(line_end), "Response Version", "http.response.version", format_args!("HTTP/1.{version}"));
        fields.add(9, 3, "Status Code", "http.response.code", code);
    } else {
        let mut request = Request::new(&mut headers);
        reading.parse_request(&mut request, bytes).ok()?;
        let (method, path) = (request.method?, request.path?);
        // Without a version it may be anything.
        request.version?;
        fields.named("Hypertext Transfer Protocol", "http", text(bytes[..line_end].trim_ascii()), bytes.len());
        fields.add(0, method.len(), "Request Method", "http.request.method", method);
        fields.add(method.len() + 1, path.len(), "Request URI", "http.request.uri", text(path.as_bytes()));
    }
    for header in headers.iter().take_while(|header| !header.name.is_empty()) {
        // A name is a part of `bytes`.
        let at = header.name.as_ptr().addr().saturating_sub(bytes.as_ptr().addr());
        let rest = bytes.get(at..).unwrap_or_default();
        let len = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let field = match header.name.to_ascii_lowercase().as_str() {
            "host" => "http.host",
            "user-agent" => "http.user_agent",
            "content-type" => "http.content_type",
            "content-length" => "http.content_length_header",
            "server" => "http.server",
            "location" => "http.location",
            "connection" => "http.connection",
            _ => "",
        };
        fields.add(at, len, header.name, field, text(header.value));
    }
    Some(())
}
