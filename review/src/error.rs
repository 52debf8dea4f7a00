//! What a call answers when it cannot do what was asked: a status, a word for programs, two sentences for people.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An error as docs/api.md lists them.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    what_to_do: &'static str,
    /// For 416: the size there is.
    size: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>, what_to_do: &'static str) -> Self {
        Self { status, code, message: message.into(), what_to_do, size: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>, what_to_do: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message, what_to_do)
    }

    pub(crate) fn websocket_only() -> Self {
        Self::bad_request("This address speaks WebSocket only.", "Ask /log for the bytes, or connect with a WebSocket.")
    }

    pub(crate) fn not_a_capture(found: &[u8]) -> Self {
        let found: String = found.iter().map(|byte| format!(" {byte:02x}")).collect();
        Self::new(
            StatusCode::BAD_REQUEST,
            "not_a_capture",
            match found.as_str() {
                "" => "The file is empty.".to_owned(),
                _ => format!("The file begins with the bytes{found}, as no pcap, pcapng, gzip, zstd or lz4 file does."),
            },
            "Send a capture as tcpdump, Wireshark or dropscope writes it.",
        )
    }

    pub(crate) fn token_missing() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "token_missing",
            "This needs a token, and none was sent.",
            "Open the whole link that the server printed or that you were sent: the token is its part after k=.",
        )
    }

    pub(crate) fn token_unknown() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "token_unknown",
            "This token is not known here: the server was restarted since, or the capture was deleted.",
            "Use the link that the server printed when it last started, or ask for a new one.",
        )
    }

    pub(crate) fn gone() -> Self {
        Self::new(
            StatusCode::GONE,
            "gone",
            "This token was revoked, or the capture that it was for was deleted.",
            "Ask the owner of the server for a new one.",
        )
    }

    pub(crate) fn not_allowed(what: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "not_allowed",
            format!("This link does not allow {what}."),
            "Use the link that the server printed at its start.",
        )
    }

    pub(crate) fn foreign_host(host: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "foreign_host",
            format!("This server is not called `{host}`."),
            "Use the address it printed, or start it with --name followed by that name.",
        )
    }

    pub(crate) fn foreign_origin(origin: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            format!("A page of `{origin}` may not use this server."),
            "Open this server's own page.",
        )
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("There is no {what} here."),
            "Ask whoever sent the link for a new one.",
        )
    }

    pub(crate) fn still_recording(id: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "still_recording",
            format!("Capture {id} is being written and cannot be deleted."),
            "Stop the recording first.",
        )
    }

    pub(crate) fn too_large(limit: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("The file is larger than the {limit} bytes this server takes."),
            "Cut the capture (editcap -A -B, or a filter), or start the server with a larger --max-upload.",
        )
    }

    pub(crate) fn range(size: u64) -> Self {
        Self {
            size: Some(size),
            ..Self::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range",
                format!("The capture has {size} bytes; the range asked for begins after them."),
                "Ask for a range that begins before the end.",
            )
        }
    }

    pub(crate) fn too_many_viewers() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_viewers",
            "No more captures can be read at one time: all seats of this server, or of this link, are taken.",
            "Close one of them, or wait and try again.",
        )
    }

    /// What the framework refused by itself: a method that an address does not take, a parameter that is no number.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                "method_not_allowed",
                "This address does not take that method.",
                "See the header Allow for those it takes.",
            ),
            _ => Self::new(
                status,
                "bad_request",
                "This call is not understood.",
                "See docs/api.md for how its path and parameters are written.",
            ),
        }
    }

    pub(crate) fn not_alone() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "not_alone",
            "Another dropscope uses this server's data folder, so tokens cannot be kept here.",
            "Ask that one, or start this one with another --data folder.",
        )
    }

    /// Something failed on this side: the cause goes to the server's log, and to the bearer only as far as it helps.
    pub(crate) fn io(doing: &str, error: &std::io::Error) -> Self {
        tracing::warn!("{doing}: {error}");
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "The server's disk is full.",
                "Delete captures that are no longer needed, or start the server with another --data folder.",
            ),
            std::io::ErrorKind::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "The capture's file is no longer where it was.",
                "Put it back, or open it again.",
            ),
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                format!("{doing} failed: {error}."),
                "See the server's own output.",
            ),
        }
    }

    /// The word for programs.
    #[cfg(test)]
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    code: &'a str,
    message: &'a str,
    what_to_do: &'a str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let inner = Inner { code: self.code, message: &self.message, what_to_do: self.what_to_do };
        let mut response = (self.status, axum::Json(Body { error: inner })).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(size) = self.size
            && let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}"))
        {
            response.headers_mut().insert(header::CONTENT_RANGE, value);
        }
        response
    }
}
