//! The calls of docs/api.md.

use crate::caller::{Caller, Rights};
use crate::capture::{Capture, CaptureId, Format};
use crate::download::{blocking, download};
use crate::error::ApiError;
use crate::follow::follow;
use crate::guard::{Guard, watch};
use crate::name;
use crate::push;
use crate::seats::Seats;
use crate::store::Store;
use crate::token::{Token, TokenHash};
use crate::tokens;
use crate::upload::upload;
use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The WebSocket subprotocol.
const PROTOCOL: &str = "dropscope.v1";
/// What a viewer may send in one message: it has nothing to say but pongs and a close.
const VIEWER_MESSAGE: usize = 4096;

/// What the server takes on at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one upload.
    pub upload_bytes: u64,
    /// WebSockets that follow captures, and downloads, at one time. The last sixteenth is the owner's.
    pub viewers: usize,
    /// Of these, those that bear one reader's token.
    pub viewers_per_token: usize,
    /// Bytes of captures in memory on their way to all of them.
    pub viewer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { upload_bytes: 4 << 30, viewers: 256, viewers_per_token: 64, viewer_bytes: 32 << 20 }
    }
}

/// The server side of review: its captures, and who may see them.
#[derive(Clone, Debug)]
pub struct Review(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    owner: TokenHash,
    limits: Limits,
    seats: Arc<Seats>,
}

impl Review {
    /// Offers the captures of `store`; whoever bears `owner` may do everything.
    pub fn new(store: Arc<Store>, owner: &Token, limits: Limits) -> Self {
        let seats = Seats::new(limits.viewers, limits.viewers_per_token, limits.viewer_bytes);
        Self(Arc::new(Inner { store, owner: owner.hash(), limits, seats }))
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
            .route("/api/tokens", get(list_tokens).post(add_token))
            .route("/api/tokens/{id}", delete(revoke_token))
            .route("/api/{*unknown}", axum::routing::any(unknown))
            .with_state(self)
            .fallback_service(page)
            .layer(axum::middleware::from_fn_with_state(guard, watch))
    }

    /// Waits until nobody follows a capture any more.
    pub async fn all_viewers_gone(&self) {
        self.0.seats.nobody_follows().await;
    }

    /// How many follow a capture now.
    pub fn viewers(&self) -> usize {
        self.0.seats.followers()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn seats(&self) -> &Arc<Seats> {
        &self.0.seats
    }

    /// What a token allows.
    pub(crate) fn rights_of(&self, presented: &TokenHash) -> Option<Rights> {
        if presented.matches(&self.0.owner) { Some(Rights::Owner) } else { self.0.store.rights_of(presented) }
    }
}

fn known_form(id: &str) -> Result<CaptureId, ApiError> {
    CaptureId::parse(id).ok_or_else(|| ApiError::not_found("such capture"))
}

#[derive(Serialize)]
struct Session {
    version: &'static str,
    /// What the bearer is: `owner`, `reader`, `agent`, `pusher`, or `nobody`.
    role: &'static str,
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

async fn session(State(review): State<Review>, caller: Caller) -> Response {
    // A token that is not known gives no rights; the page learns why from the call that needs them.
    let rights = caller.rights();
    let store = review.store();
    let captures = match rights {
        Some(Rights::Owner) => store.all(),
        Some(Rights::Reader(id)) => store.get(id).into_iter().collect(),
        Some(Rights::Agent(_) | Rights::Pusher) | None => Vec::new(),
    };
    let role = match rights {
        Some(Rights::Owner) => "owner",
        Some(Rights::Reader(_)) => "reader",
        Some(Rights::Agent(_)) => "agent",
        Some(Rights::Pusher) => "pusher",
        None => "nobody",
    };
    fresh(axum::Json(Session {
        version: env!("CARGO_PKG_VERSION"),
        role,
        captures: captures.iter().map(|capture| Listed::of(capture)).collect(),
        can_upload: rights == Some(&Rights::Owner),
        max_upload_bytes: review.0.limits.upload_bytes,
    }))
}

async fn about(State(review): State<Review>, Path(id): Path<String>, caller: Caller) -> Result<Response, ApiError> {
    let (capture, _) = caller.must_read(&review, &id)?;
    Ok(fresh(axum::Json(Listed::of(&capture))))
}

async fn log(
    State(review): State<Review>,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (capture, access) = caller.must_read(&review, &id)?;
    download(&capture, &headers, access).await
}

#[derive(Deserialize)]
struct From {
    #[serde(default)]
    from: u64,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

impl Named {
    /// What somebody called a file, as far as that is a name.
    fn file_or(&self, otherwise: &str) -> String {
        self.name.as_deref().and_then(name::of_file).unwrap_or_else(|| otherwise.to_owned())
    }
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

async fn live(
    State(review): State<Review>,
    Path(id): Path<String>,
    Query(From { from }): Query<From>,
    caller: Caller,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let (capture, access) = caller.must_read(&review, &id)?;
    let upgrade = upgrade.map_err(|_| ApiError::websocket_only())?;
    let seat = access.seat(true)?;
    // Buffers are kept small: there are many viewers, and each says little.
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(VIEWER_MESSAGE).max_frame_size(VIEWER_MESSAGE);
    let upgrade = upgrade.read_buffer_size(VIEWER_MESSAGE).write_buffer_size(0);
    Ok(upgrade.on_upgrade(move |socket| follow(socket, capture, from, seat, access)))
}

/// An agent begins to send a capture.
async fn push_new(
    State(review): State<Review>,
    Query(named): Query<Named>,
    caller: Caller,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    caller.must_be_pusher()?;
    let upgrade = upgrade.map_err(|_| ApiError::websocket_only())?;
    let name = named.file_or("agent");
    let store = Arc::clone(&review.0.store);
    let begun = blocking(move || store.begin_push(&name)).await;
    let (id, token) = begun.map_err(|error| ApiError::io("Making room for the capture", &error))?;
    take_in(&review, upgrade, &id, &token.hash(), Some(token))
}

/// An agent goes on sending a capture.
async fn push_on(
    State(review): State<Review>,
    Path(id): Path<String>,
    caller: Caller,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let (id, presented) = caller.must_be_agent_of(&id)?;
    let upgrade = upgrade.map_err(|_| ApiError::websocket_only())?;
    take_in(&review, upgrade, &id, &presented, None)
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
            // What cannot be removed now stays as an empty capture, which the owner may delete.
            let _ = blocking(move || store.forget(&id)).await;
        }
    }))
}

#[derive(Serialize)]
struct Added {
    id: CaptureId,
    token: String,
}

async fn add(
    State(review): State<Review>,
    Query(named): Query<Named>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    caller.must_be_owner("uploading")?;
    let limit = review.0.limits.upload_bytes;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(ApiError::too_large(limit));
    }
    let name = named.file_or("capture");
    let (id, token) = upload(&review.0.store, &name, body, limit).await?;
    Ok((StatusCode::CREATED, fresh(axum::Json(Added { id, token: token.as_str().to_owned() }))).into_response())
}

#[derive(Serialize)]
struct Shared {
    token: String,
}

async fn share(State(review): State<Review>, Path(id): Path<String>, caller: Caller) -> Result<Response, ApiError> {
    caller.must_be_owner("sharing")?;
    let id = known_form(&id)?;
    let (store, shared) = (Arc::clone(&review.0.store), id.clone());
    let token = blocking(move || store.share(&shared)).await.map_err(|error| ApiError::io("Keeping the token", &error))?;
    let token = token.ok_or_else(|| ApiError::not_found(&format!("capture {id}")))?;
    Ok((StatusCode::CREATED, fresh(axum::Json(Shared { token: token.as_str().to_owned() }))).into_response())
}

async fn remove(State(review): State<Review>, Path(id): Path<String>, caller: Caller) -> Result<Response, ApiError> {
    caller.must_be_owner("deleting")?;
    let id = known_form(&id)?;
    let missing = || ApiError::not_found(&format!("capture {id}"));
    // One that is pushed may go at any time: its agent is sent away. One that is recorded here would go on being written.
    if review.0.store.get(&id).ok_or_else(missing)?.is_live() && !review.0.store.is_pushed(&id) {
        return Err(ApiError::still_recording(id.as_str()));
    }
    let (store, doomed) = (Arc::clone(&review.0.store), id.clone());
    let removed = blocking(move || store.remove(&doomed)).await.map_err(|error| ApiError::io("Deleting the capture", &error))?;
    if removed { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(missing()) }
}

#[derive(Serialize)]
struct AllTokens {
    tokens: Vec<tokens::Listed>,
}

async fn list_tokens(State(review): State<Review>, caller: Caller) -> Result<Response, ApiError> {
    caller.must_be_owner("listing tokens")?;
    Ok(fresh(axum::Json(AllTokens { tokens: review.0.store.list_tokens() })))
}

#[derive(Serialize)]
struct NewToken {
    id: String,
    token: String,
}

async fn add_token(State(review): State<Review>, Query(named): Query<Named>, caller: Caller) -> Result<Response, ApiError> {
    caller.must_be_owner("making tokens")?;
    if review.0.store.beside().is_some() {
        return Err(ApiError::not_alone());
    }
    let name = name::clean(&named.name.unwrap_or_default());
    let store = Arc::clone(&review.0.store);
    let token = blocking(move || store.add_push_token(&name)).await;
    let token = token.map_err(|error| ApiError::io("Keeping the token", &error))?;
    let made = NewToken { id: token.hash().id(), token: token.as_str().to_owned() };
    Ok((StatusCode::CREATED, fresh(axum::Json(made))).into_response())
}

async fn revoke_token(State(review): State<Review>, Path(id): Path<String>, caller: Caller) -> Result<Response, ApiError> {
    caller.must_be_owner("revoking tokens")?;
    let store = Arc::clone(&review.0.store);
    let revoked = blocking(move || store.revoke(&id)).await.map_err(|error| ApiError::io("Revoking the token", &error))?;
    if revoked { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(ApiError::not_found("such token")) }
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
