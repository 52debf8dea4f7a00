//! Protocols of text lines, of which the first line tells most: HTTP/1, FTP, SMTP, SSH and the like.

use std::fmt::Write;

/// A protocol of text lines.
pub(super) struct TextProtocol {
    pub(super) name: &'static str,
    pub(super) ports: &'static [u16],
    /// What requests begin with; empty where every line is shown.
    requests: &'static [&'static str],
    /// The word that holds a response's three-digit code.
    code_word: usize,
}

const HTTP_REQUESTS: &[&str] = &[
    "GET",
    "PUT",
    "COPY",
    "HEAD",
    "LOCK",
    "MOVE",
    "POLL",
    "POST",
    "BCOPY",
    "BMOVE",
    "MKCOL",
    "TRACE",
    "LABEL",
    "MERGE",
    "DELETE",
    "SEARCH",
    "UNLOCK",
    "REPORT",
    "UPDATE",
    "NOTIFY",
    "BDELETE",
    "CONNECT",
    "OPTIONS",
    "CHECKIN",
    "PROPFIND",
    "CHECKOUT",
    "CCM_POST",
    "SUBSCRIBE",
    "PROPPATCH",
    "BPROPFIND",
    "BPROPPATCH",
    "UNCHECKOUT",
    "MKACTIVITY",
    "MKWORKSPACE",
    "UNSUBSCRIBE",
    "RPC_CONNECT",
    "VERSION-CONTROL",
    "BASELINE-CONTROL",
];
const FTP_REQUESTS: &[&str] = &[
    "ACCT", "APPE", "CWD", "DELE", "EPRT", "EPSV", "HELP", "LIST", "MKD", "MODE", "NLST", "NOOP", "PASS", "PASV", "PORT", "PWD",
    "QUIT", "RETR", "RMD", "SITE", "STAT", "STOR", "STRU", "SYST", "TYPE", "USER",
];
const SMTP_REQUESTS: &[&str] = &["DATA", "EHLO", "HELO", "MAIL", "NOOP", "QUIT", "RCPT", "RSET", "VRFY", "EXPN", "HELP"];
const RTSP_REQUESTS: &[&str] = &[
    "ANNOUNCE",
    "DESCRIBE",
    "GET_PARAMETER",
    "OPTIONS",
    "PAUSE",
    "PLAY",
    "PLAY_NOTIFY",
    "RECORD",
    "REDIRECT",
    "SETUP",
    "SET_PARAMETER",
    "TEARDOWN",
];

/// By well-known port, in tcpdump's order.
pub(super) const PROTOCOLS: &[TextProtocol] = &[
    TextProtocol { name: "SMTP", ports: &[25], requests: SMTP_REQUESTS, code_word: 0 },
    TextProtocol { name: "HTTP", ports: &[80, 8080, 3128], requests: HTTP_REQUESTS, code_word: 1 },
    TextProtocol { name: "RTSP", ports: &[554, 8554], requests: RTSP_REQUESTS, code_word: 1 },
    TextProtocol { name: "SSH", ports: &[22], requests: &[], code_word: 0 },
    TextProtocol { name: "FTP", ports: &[21], requests: FTP_REQUESTS, code_word: 0 },
];

impl TextProtocol {
    /// The name, and the first line where it is a request or a response.
    pub(super) fn write(&self, out: &mut String, captured: &[u8], len: u32) {
        out.push_str(self.name);
        let mut words = captured.split(|byte| byte.is_ascii_whitespace());
        let first = words.next().unwrap_or_default();
        let code = if self.code_word == 0 { first } else { words.next().unwrap_or_default() };
        let is_request = self.requests.iter().any(|request| first.eq_ignore_ascii_case(request.as_bytes()));
        let is_response = code.len() == 3 && code.iter().all(u8::is_ascii_digit);
        if self.requests.is_empty() || is_request || is_response {
            first_line(out, self.name, captured, len);
        }
    }
}

/// Writes the first line if it is printable to its end.
fn first_line(out: &mut String, name: &str, captured: &[u8], len: u32) {
    let end = captured.iter().position(|byte| !(byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t')));
    let line = match end.map(|end| (end, &captured[end..])) {
        Some((end, [b'\n', ..] | [b'\r', b'\n', ..])) => &captured[..end],
        Some(_) => return,
        None => captured,
    };
    let _ = write!(out, ": {}", String::from_utf8_lossy(line));
    if end.is_none() && (captured.len() as u32) < len {
        let _ = write!(out, " [|{}]", name.to_ascii_lowercase());
    }
}
