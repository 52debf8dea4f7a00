//! The calls of docs/api.md.

use crate::capture::{Capture, CaptureId, Format};
use crate::download::{blocking, download};
use crate::error::ApiError;
use crate::follow::follow;
use crate::guard::{Guard, watch};
use crate::push;
use crate::store::Store;
use crate::token::{Token, TokenHash};
use crate::upload::upload;
use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The WebSocket subprotocol.
const PROTOCOL: &str = "dropscope.v1";

/// What the server takes on at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one upload.
    pub upload_bytes: u64,
    /// WebSockets that follow captures at one time.
    pub viewers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { upload_bytes: 4 << 30, viewers: 256 }
    }
}

/// What a bearer may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    Owner,
    /// Read this capture.
    Reader(CaptureId),
}

/// The server side of review: its captures, and who may see them.
#[derive(Clone, Debug)]
pub struct Review(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    owner: TokenHash,
    limits: Limits,
    viewers: Arc<Semaphore>,
}

impl Review {
    /// Offers the captures of `store`; whoever bears `owner` may do everything.
    pub fn new(store: Arc<Store>, owner: &Token, limits: Limits) -> Self {
        let viewers = Arc::new(Semaphore::new(limits.viewers));
        Self(Arc::new(Inner { store, owner: owner.hash(), limits, viewers }))
    }

    /// All calls, with `page` for every other path; each of them behind `guard`.
    pub fn router(self, page: Router, guard: Guard) -> Router {
        Router::new()
            .route("/api/session", get(session))
            .route("/api/captures", post(add))
            .route("/api/captures/{id}", get(about).delete(remove))
            .route("/api/captures/{id}/log", get(log))
            .route("/api/captures/{id}/live", get(live))
            .route("/api/captures/{id}/share", post(share))
            .route("/api/captures/{id}/push", get(push_on))
            .route("/api/push", get(push_new))
            .route("/api/{*unknown}", axum::routing::any(unknown))
            .with_state(self)
            .fallback_service(page)
            .layer(axum::middleware::from_fn_with_state(guard, watch))
    }

    /// Waits until nobody follows a capture any more.
    pub async fn all_viewers_gone(&self) {
        let all = u32::try_from(self.0.limits.viewers).unwrap_or(u32::MAX);
        // An error would mean that the semaphore was closed, which nobody does.
        let _ = self.0.viewers.acquire_many(all).await;
    }

    /// How many follow a capture now.
    pub fn viewers(&self) -> usize {
        self.0.limits.viewers.saturating_sub(self.0.viewers.available_permits())
    }

    /// What the bearer of these headers may do; `None` without a token.
    fn rights(&self, headers: &HeaderMap) -> Result<Option<Rights>, ApiError> {
        let Some(presented) = presented_token(headers) else { return Ok(None) };
        let hash = TokenHash::of(presented);
        if hash.matches(&self.0.owner) {
            return Ok(Some(Rights::Owner));
        }
        self.0.store.opened_by(&hash).map(|id| Some(Rights::Reader(id))).ok_or_else(ApiError::token_unknown)
    }

    /// Lets only the owner pass.
    fn owner(&self, headers: &HeaderMap, what: &str) -> Result<(), ApiError> {
        match self.rights(headers)? {
            Some(Rights::Owner) => Ok(()),
            Some(Rights::Reader(_)) => Err(ApiError::not_allowed(what)),
            None => Err(ApiError::token_missing()),
        }
    }

    /// The capture `id`, for a bearer who may read it.
    fn readable(&self, headers: &HeaderMap, id: &str) -> Result<Arc<Capture>, ApiError> {
        let id = known_form(id);
        match (self.rights(headers)?, &id) {
            (None, _) => return Err(ApiError::token_missing()),
            (Some(Rights::Reader(own)), id) if id.as_ref().ok() != Some(&own) => {
                return Err(ApiError::not_allowed("reading another capture"));
            }
            _ => {}
        }
        let id = id?;
        self.0.store.get(&id).ok_or_else(|| ApiError::not_found(&format!("capture {id}")))
    }
}

/// The token a request bears: `Authorization: Bearer T`, or `bearer.T` among a WebSocket's protocols.
fn presented_token(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some((scheme, token)) = authorization.and_then(|text| text.split_once(' ')) {
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim());
    }
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    protocols.flat_map(|text| text.split(',')).find_map(|protocol| protocol.trim().strip_prefix("bearer."))
}

fn known_form(id: &str) -> Result<CaptureId, ApiError> {
    CaptureId::parse(id).ok_or_else(|| ApiError::not_found("such capture"))
}

#[derive(Serialize)]
struct Session {
    version: &'static str,
    captures: Vec<Listed>,
    can_upload: bool,
    max_upload_bytes: u64,
}

#[derive(Serialize)]
struct Listed {
    id: CaptureId,
    name: String,
    live: bool,
    bytes: u64,
    created_ns: i64,
    format: Format,
}

impl Listed {
    fn of(capture: &Capture) -> Self {
        Self {
            id: capture.id.clone(),
            name: capture.name.clone(),
            live: capture.is_live(),
            bytes: capture.grown().bytes,
            created_ns: capture.created_ns,
            format: capture.format,
        }
    }
}

async fn session(State(review): State<Review>, headers: HeaderMap) -> Response {
    // A token that is not known gives no rights; the page learns why from the call that needs them.
    let rights = review.rights(&headers).ok().flatten();
    let store = &review.0.store;
    let captures = match &rights {
        Some(Rights::Owner) => store.all(),
        Some(Rights::Reader(id)) => store.get(id).into_iter().collect(),
        None => Vec::new(),
    };
    fresh(axum::Json(Session {
        version: env!("CARGO_PKG_VERSION"),
        captures: captures.iter().map(|capture| Listed::of(capture)).collect(),
        can_upload: rights == Some(Rights::Owner),
        max_upload_bytes: review.0.limits.upload_bytes,
    }))
}

async fn about(State(review): State<Review>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(fresh(axum::Json(Listed::of(&*review.readable(&headers, &id)?))))
}

async fn log(State(review): State<Review>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    download(&*review.readable(&headers, &id)?, &headers).await
}

#[derive(Deserialize)]
struct From {
    #[serde(default)]
    from: u64,
}

async fn live(
    State(review): State<Review>,
    Path(id): Path<String>,
    Query(From { from }): Query<From>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let capture = review.readable(&headers, &id)?;
    let upgrade = upgrade.map_err(|_| ApiError::websocket_only())?;
    let limit = review.0.limits.viewers;
    let seat = Arc::clone(&review.0.viewers).try_acquire_owned().map_err(|_| ApiError::too_many_viewers(limit))?;
    // A viewer has nothing to say but pongs and a close: what it sends is kept small.
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(4096).max_frame_size(4096);
    Ok(upgrade.on_upgrade(move |socket| async move {
        follow(socket, capture, from).await;
        drop(seat);
    }))
}

/// An agent begins to send a capture.
async fn push_new(
    State(review): State<Review>,
    Query(Named { name }): Query<Named>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    review.owner(&headers, "pushing a capture")?;
    let upgrade = upgrade.map_err(|_| ApiError::websocket_only())?;
    let name = name.map(|name| file_name(&name)).filter(|name| !name.is_empty()).unwrap_or_else(|| "agent".to_owned());
    let store = Arc::clone(&review.0.store);
    let begun = blocking(move || store.begin_push(&name)).await;
    let (id, token) = begun.map_err(|error| ApiError::io("Making room for the capture", &error))?;
    take_in(&review, upgrade, &id, &token.hash(), Some(token))
}

/// An agent goes on sending a capture.
async fn push_on(
    State(review): State<Review>,
    Path(id): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let presented = TokenHash::of(presented_token(&headers).ok_or_else(ApiError::token_missing)?);
    let upgrade = upgrade.map_err(|_| ApiError::websocket_only())?;
    take_in(&review, upgrade, &known_form(&id)?, &presented, None)
}

fn take_in(
    review: &Review,
    upgrade: WebSocketUpgrade,
    id: &CaptureId,
    presented: &TokenHash,
    token: Option<Token>,
) -> Result<Response, ApiError> {
    let (capture, pushed) = review.0.store.pushed(id, presented).ok_or_else(ApiError::token_unknown)?;
    let limit = review.0.limits.upload_bytes;
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(push::LARGEST).max_frame_size(push::LARGEST);
    let (store, id) = (Arc::clone(&review.0.store), id.clone());
    Ok(upgrade.on_upgrade(move |socket| async move {
        let is_first = token.is_some();
        if !push::receive(socket, pushed, capture, token, limit).await && is_first {
            // What cannot be removed now stays as an empty capture, which anybody may delete.
            let _ = blocking(move || store.remove(&id)).await;
        }
    }))
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

#[derive(Serialize)]
struct Added {
    id: CaptureId,
    token: String,
}

async fn add(
    State(review): State<Review>,
    Query(Named { name }): Query<Named>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    review.owner(&headers, "uploading")?;
    let limit = review.0.limits.upload_bytes;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(ApiError::too_large(limit));
    }
    let name = name.map(|name| file_name(&name)).filter(|name| !name.is_empty()).unwrap_or_else(|| "capture".to_owned());
    let (id, token) = upload(&review.0.store, &name, body, limit).await?;
    Ok((StatusCode::CREATED, fresh(axum::Json(Added { id, token: token.as_str().to_owned() }))).into_response())
}

/// What is left of a name somebody sent: its last part, at most 200 characters, nothing that moves a cursor.
fn file_name(sent: &str) -> String {
    let base = sent.rsplit(['/', '\\']).next().unwrap_or(sent);
    base.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[derive(Serialize)]
struct Shared {
    token: String,
}

async fn share(State(review): State<Review>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    review.owner(&headers, "sharing")?;
    let id = known_form(&id)?;
    let (store, shared) = (Arc::clone(&review.0.store), id.clone());
    let token = blocking(move || store.share(&shared)).await.map_err(|error| ApiError::io("Keeping the token", &error))?;
    let token = token.ok_or_else(|| ApiError::not_found(&format!("capture {id}")))?;
    Ok((StatusCode::CREATED, fresh(axum::Json(Shared { token: token.as_str().to_owned() }))).into_response())
}

async fn remove(State(review): State<Review>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    review.owner(&headers, "deleting")?;
    let id = known_form(&id)?;
    let missing = || ApiError::not_found(&format!("capture {id}"));
    if review.0.store.get(&id).ok_or_else(missing)?.is_live() {
        return Err(ApiError::still_recording(id.as_str()));
    }
    let (store, doomed) = (Arc::clone(&review.0.store), id.clone());
    let removed = blocking(move || store.remove(&doomed)).await.map_err(|error| ApiError::io("Deleting the capture", &error))?;
    if removed { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(missing()) }
}

async fn unknown() -> ApiError {
    ApiError::not_found("such call")
}

/// An answer that is true now and that nobody may keep.
fn fresh(body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
