//! Where to push to: the link that the server printed.

use std::fmt;
use std::str::FromStr;

/// A review server and the right to push to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
    /// Whether it speaks TLS.
    pub(crate) tls: bool,
    /// The owner's token, with which a capture is begun; empty where none was given.
    pub(crate) token: String,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("`{text}` is no link of a review server ({why}); it looks like http://10.0.0.5:4747/#/?k=TOKEN");
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let (tls, usual_port) = match scheme {
            "http" | "ws" => (false, 80),
            "https" | "wss" => (true, 443),
            _ => return Err(wrong("it begins neither with http:// nor with https://")),
        };
        let (authority, route) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong("its port is no number"))?),
            _ => (authority, usual_port),
        };
        let host = host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains('@') {
            return Err(wrong("it names no host"));
        }
        let token = route.split_once('?').and_then(|(_, query)| query.split('&').find_map(|pair| pair.strip_prefix("k=")));
        Ok(Self { host: host.to_owned(), port, tls, token: token.unwrap_or_default().to_owned() })
    }
}

/// The token in a file or a variable: the token alone, or the link that the server printed.
pub(crate) fn token_in(text: &str) -> Result<String, String> {
    let text = text.trim();
    let token = if text.contains("://") { text.parse::<Address>()?.token } else { text.to_owned() };
    if is_token(&token) {
        Ok(token)
    } else {
        Err("what was given as the token for --push is none: it is letters and digits".into())
    }
}

/// Whether it can be a token: what may stand in a header and a link as it is (base64url).
pub(super) fn is_token(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// What a server sent, for people: one line of bounded length, in which nothing moves a cursor or turns text around.
pub(super) fn printable(text: &str) -> String {
    const MOST: usize = 400;
    let is_odd = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut line: String = text.chars().take(MOST).map(|c| if is_odd(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        line.push('…');
    }
    line
}

/// As it stands in a link: `10.0.0.5:4747`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A text as a query may hold it (RFC 3986 section 2.1).
pub(super) fn in_query(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_from_a_file_as_it_is_or_in_its_link() {
        for text in ["abc-_9", " abc-_9\n", "http://10.0.0.5:4747/#/?k=abc-_9\n"] {
            assert_eq!(token_in(text).as_deref(), Ok("abc-_9"), "{text}");
        }
        for text in ["", "\n", "a b", "a\r\nX-Other: b", "http://10.0.0.5:4747/", "ü"] {
            assert!(token_in(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_server_sends_is_one_line() {
        assert_eq!(
            printable("no\r\nWARN all is fine \u{1b}[2J\u{202e}x"),
            "no\u{fffd}\u{fffd}WARN all is fine \u{fffd}[2J\u{fffd}x"
        );
        assert_eq!(printable(&"x".repeat(1000)).chars().count(), 401);
    }

    #[test]
    fn a_server_is_named_by_the_link_it_printed() {
        let read = |text: &str| text.parse::<Address>().map(|address| (address.to_string(), address.tls, address.token));
        let fine = |shown: &str, tls, token: &str| Ok((shown.to_owned(), tls, token.to_owned()));
        assert_eq!(read("http://127.0.0.1:4747/#/?k=abc"), fine("127.0.0.1:4747", false, "abc"));
        assert_eq!(read("http://review.example/#/c/5f2c?x=1&k=abc"), fine("review.example:80", false, "abc"));
        assert_eq!(read("https://review.example/#/?k=a"), fine("review.example:443", true, "a"));
        assert_eq!(read("wss://[::1]:8443/"), fine("[::1]:8443", true, ""));
        assert_eq!(read("http://[::1]:8080"), fine("[::1]:8080", false, ""));
        assert_eq!(read("http://[::1]/"), fine("[::1]:80", false, ""));
        for text in ["", "10.0.0.5:4747", "http://", "http://x:y/", "ftp://review.example/#/?k=a", "http://me@x/"] {
            assert!(read(text).is_err_and(|why| why.contains("http://10.0.0.5:4747")), "{text}");
        }
        assert_eq!(in_query("web-1/eth0, ä"), "web-1%2Feth0%2C%20%C3%A4");
    }
}
