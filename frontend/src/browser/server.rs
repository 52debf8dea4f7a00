//! The server the page came from, where there is one: docs/api.md.

use super::window;
use crate::state::{Server, ServerCapture, Trouble};
use crate::text::t;
use crate::url::escape;
use gloo::events::EventListener;
use js_sys::{Function, Promise, Reflect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, Headers, Request, RequestInit, Response, XmlHttpRequest};
use yew::Callback;

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorText,
}

#[derive(Deserialize)]
struct ErrorText {
    message: String,
    #[serde(default)]
    what_to_do: String,
}

#[derive(Deserialize)]
struct SessionBody {
    #[serde(default)]
    captures: Vec<ServerCapture>,
    #[serde(default)]
    can_upload: bool,
    #[serde(default)]
    max_upload_bytes: u64,
}

/// What an upload or a share gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Shared {
    /// The capture's id; empty in the answer to a share.
    #[serde(default)]
    pub id: String,
    /// The reader's token.
    pub token: String,
}

/// What this bearer may do; a server that does not answer is no server (the page may lie on any static host).
pub async fn session(token: &str) -> Server {
    match call::<SessionBody>("GET", "/api/session", token).await {
        Ok(body) => Server {
            present: true,
            captures: body.captures,
            can_upload: body.can_upload,
            max_upload_bytes: body.max_upload_bytes,
        },
        Err(_) => Server::default(),
    }
}

/// One capture's name, size and whether it grows.
pub async fn capture(id: &str, token: &str) -> Result<ServerCapture, Trouble> {
    call("GET", &format!("/api/captures/{}", escape(id)), token).await
}

/// A reader's token for a capture.
pub async fn share(id: &str, token: &str) -> Result<Shared, Trouble> {
    call("POST", &format!("/api/captures/{}/share", escape(id)), token).await
}

async fn call<T: DeserializeOwned>(method: &str, path: &str, token: &str) -> Result<T, Trouble> {
    let unreachable = |_: JsValue| Trouble { what: t("server-unreachable"), what_to_do: t("server-unreachable-what-to-do") };
    let headers = Headers::new().map_err(unreachable)?;
    if !token.is_empty() {
        headers.set("Authorization", &format!("Bearer {token}")).map_err(unreachable)?;
    }
    let init = RequestInit::new();
    init.set_method(method);
    init.set_headers(&headers);
    let request = Request::new_with_str_and_init(path, &init).map_err(unreachable)?;
    let response: Response = JsFuture::from(window().fetch_with_request(&request)).await.map_err(unreachable)?.unchecked_into();
    let body = JsFuture::from(response.text().map_err(unreachable)?).await.map_err(unreachable)?.as_string().unwrap_or_default();
    understand(response.status(), &body)
}

fn understand<T: DeserializeOwned>(status: u16, body: &str) -> Result<T, Trouble> {
    if (200..300).contains(&status)
        && let Ok(value) = serde_json::from_str(body)
    {
        return Ok(value);
    }
    Err(match serde_json::from_str::<ErrorBody>(body) {
        Ok(ErrorBody { error }) => Trouble { what: error.message, what_to_do: error.what_to_do },
        Err(_) => {
            Trouble { what: format!("{} ({status})", t("server-unreadable")), what_to_do: t("server-unreachable-what-to-do") }
        }
    })
}

/// Uploads a file; `sent` hears the bytes sent so far. (`fetch` cannot tell progress of an upload.)
pub async fn upload(file: File, token: &str, sent: Callback<u64>) -> Result<Shared, Trouble> {
    let failed = |_: JsValue| Trouble { what: t("upload-cut"), what_to_do: t("upload-cut-what-to-do") };
    let request = XmlHttpRequest::new().map_err(failed)?;
    request.open("POST", &format!("/api/captures?name={}", escape(&file.name()))).map_err(failed)?;
    request.set_request_header("Authorization", &format!("Bearer {token}")).map_err(failed)?;
    let progress = request.upload().ok().map(|upload| {
        EventListener::new(&upload, "progress", move |event| {
            let loaded = Reflect::get(event, &"loaded".into()).ok().and_then(|n| n.as_f64()).unwrap_or_default();
            sent.emit(loaded as u64);
        })
    });
    let ended = Promise::new(&mut |resolve: Function, _| request.set_onloadend(Some(&resolve)));
    request.send_with_opt_blob(Some(&file)).map_err(failed)?;
    JsFuture::from(ended).await.map_err(failed)?;
    drop(progress);
    let status = request.status().map_err(failed)?;
    if status == 0 {
        return Err(failed(JsValue::NULL));
    }
    understand(status, &request.response_text().ok().flatten().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_the_servers_own_words() {
        let body = r#"{"error":{"code":"not_found","message":"There is no capture x here.","what_to_do":"Ask for a new link."}}"#;
        let trouble = understand::<Shared>(404, body).expect_err("a 404 is an error");
        assert_eq!((trouble.what.as_str(), trouble.what_to_do.as_str()), ("There is no capture x here.", "Ask for a new link."));
        assert_eq!(understand::<Shared>(201, r#"{"token":"t"}"#).expect("a token").token, "t");
        assert!(understand::<Shared>(200, "<html>").is_err());
    }
}
