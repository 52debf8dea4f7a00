//! The server the page came from, where there is one: docs/api.md.

use super::address;
use super::files::LocalCapture;
use super::json::Json;
use super::window;
use crate::state::{Server, ServerCapture, Shared, Trouble};
use crate::text::t;
use crate::url::{Source, UrlState, escape, print};
use gloo::events::EventListener;
use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, RequestInit, Response, XmlHttpRequest};
use yew::Callback;

/// What this bearer may do; a server that does not answer is no server (the page may lie on any static host).
pub async fn session(token: &str) -> Server {
    let read = |body: &Json| {
        Some(Server {
            present: true,
            captures: body.items("captures").unwrap_or_default().iter().filter_map(read_capture).collect(),
            can_upload: body.truth("can_upload").unwrap_or_default(),
            max_upload_bytes: body.count("max_upload_bytes").unwrap_or_default(),
        })
    };
    call("GET", "/api/session", token, read).await.unwrap_or_default()
}

/// One capture's name, size and whether it grows.
pub async fn capture(id: &str, token: &str) -> Result<ServerCapture, Trouble> {
    call("GET", &format!("/api/captures/{}", escape(id)), token, read_capture).await
}

/// A reader's token for a capture.
pub async fn share(id: &str, token: &str) -> Result<Shared, Trouble> {
    call("POST", &format!("/api/captures/{}/share", escape(id)), token, read_shared).await
}

/// A link to exactly this screen, to be passed on: it holds no more rights than to read what it shows. `owner`: whether the
/// bearer's own token may do more than that.
pub async fn link(url: &UrlState, owner: bool) -> Result<String, Trouble> {
    let token = match &url.source {
        Source::Capture(id) if owner => share(id, &url.token).await?.token,
        Source::Capture(_) => url.token.clone(),
        // Nothing of it lies on the server.
        _ => String::new(),
    };
    Ok(address::with_fragment(&print(&UrlState { token, ..url.clone() })))
}

fn read_capture(body: &Json) -> Option<ServerCapture> {
    Some(ServerCapture {
        id: body.text("id")?,
        name: body.text("name")?,
        live: body.truth("live").unwrap_or_default(),
        bytes: body.count("bytes").unwrap_or_default(),
    })
}

fn read_shared(body: &Json) -> Option<Shared> {
    Some(Shared { id: body.text("id").unwrap_or_default(), token: body.text("token")? })
}

async fn call<T>(method: &str, path: &str, token: &str, read: impl Fn(&Json) -> Option<T>) -> Result<T, Trouble> {
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
    understand(response.status(), &body, read)
}

fn understand<T>(status: u16, body: &str, read: impl Fn(&Json) -> Option<T>) -> Result<T, Trouble> {
    let body = Json::parse(body);
    if (200..300).contains(&status)
        && let Some(value) = body.as_ref().and_then(read)
    {
        return Ok(value);
    }
    let error = body.and_then(|body| body.member("error"));
    Err(match error.and_then(|error| Some((error.text("message")?, error.text("what_to_do").unwrap_or_default()))) {
        Some((what, what_to_do)) => Trouble { what, what_to_do },
        None => {
            Trouble { what: format!("{} ({status})", t("server-unreadable")), what_to_do: t("server-unreachable-what-to-do") }
        }
    })
}

/// Uploads a capture; `sent` hears the bytes sent so far. (`fetch` cannot tell progress of an upload.)
pub async fn upload(capture: &LocalCapture, token: &str, sent: Callback<u64>) -> Result<Shared, Trouble> {
    let failed = |_: JsValue| Trouble { what: t("upload-cut"), what_to_do: t("upload-cut-what-to-do") };
    let request = XmlHttpRequest::new().map_err(failed)?;
    request.open("POST", &format!("/api/captures?name={}", escape(&capture.name))).map_err(failed)?;
    request.set_request_header("Authorization", &format!("Bearer {token}")).map_err(failed)?;
    let progress = request.upload().ok().map(|upload| {
        EventListener::new(&upload, "progress", move |event| {
            let loaded = Reflect::get(event, &"loaded".into()).ok().and_then(|n| n.as_f64()).unwrap_or_default();
            sent.emit(loaded as u64);
        })
    });
    let ended = Promise::new(&mut |resolve: Function, _| request.set_onloadend(Some(&resolve)));
    request.send_with_opt_blob(Some(&capture.bytes)).map_err(failed)?;
    JsFuture::from(ended).await.map_err(failed)?;
    drop(progress);
    let status = request.status().map_err(failed)?;
    if status == 0 {
        return Err(failed(JsValue::NULL));
    }
    understand(status, &request.response_text().ok().flatten().unwrap_or_default(), read_shared)
}

/// In a browser, whose JSON this is.
#[cfg(all(test, target_arch = "wasm32"))]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn an_error_keeps_the_servers_own_words() {
        let body = r#"{"error":{"code":"not_found","message":"There is no capture x here.","what_to_do":"Ask for a new link."}}"#;
        let trouble = understand(404, body, read_shared).expect_err("a 404 is an error");
        assert_eq!((trouble.what.as_str(), trouble.what_to_do.as_str()), ("There is no capture x here.", "Ask for a new link."));
        assert_eq!(understand(201, r#"{"token":"t"}"#, read_shared).expect("a token").token, "t");
        assert!(understand(200, "<html>", read_shared).is_err());
    }
}
