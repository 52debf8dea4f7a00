//! Who makes a call: the token that it bears, and what that token allows.

use crate::api::Review;
use crate::capture::{Capture, CaptureId};
use crate::connection::{Connection, Standing};
use crate::error::ApiError;
use crate::seats::Seat;
use crate::token::TokenHash;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use std::convert::Infallible;
use std::sync::Arc;

/// What a bearer may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    Owner,
    /// Read this capture.
    Reader(CaptureId),
    /// Send this capture.
    Agent(CaptureId),
    /// Begin captures that are pushed.
    Pusher,
}

/// Whoever makes a call.
#[derive(Debug)]
pub(crate) struct Caller(Token);

#[derive(Debug)]
enum Token {
    Missing,
    Unknown,
    /// That of a capture that was deleted, or one that was revoked.
    Gone,
    Known(TokenHash, Rights),
}

/// What lets somebody read a capture, for as long as it does: tokens are revoked and captures deleted while they are read.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    review: Review,
    bearer: TokenHash,
    id: CaptureId,
}

impl FromRequestParts<Review> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, review: &Review) -> Result<Self, Infallible> {
        let Some(presented) = presented_token(&parts.headers) else { return Ok(Self(Token::Missing)) };
        let hash = TokenHash::of(presented);
        let token = match review.rights_of(&hash) {
            Some(rights) => Token::Known(hash, rights),
            None if review.store().is_gone(&hash) => Token::Gone,
            None => Token::Unknown,
        };
        if let (Token::Known(_, rights), Some(connection)) = (&token, parts.extensions.get::<Arc<Connection>>()) {
            connection.raise(match rights {
                Rights::Owner | Rights::Agent(_) => Standing::Trusted,
                Rights::Reader(_) | Rights::Pusher => Standing::Reader,
            });
        }
        Ok(Self(token))
    }
}

impl Caller {
    /// What the token allows; `None` without one that is known.
    pub(crate) fn rights(&self) -> Option<&Rights> {
        match &self.0 {
            Token::Known(_, rights) => Some(rights),
            Token::Missing | Token::Unknown | Token::Gone => None,
        }
    }

    fn known(&self) -> Result<(&TokenHash, &Rights), ApiError> {
        match &self.0 {
            Token::Known(hash, rights) => Ok((hash, rights)),
            Token::Missing => Err(ApiError::token_missing()),
            Token::Unknown => Err(ApiError::token_unknown()),
            Token::Gone => Err(ApiError::gone()),
        }
    }

    /// Lets only the owner pass.
    pub(crate) fn must_be_owner(&self, what: &str) -> Result<(), ApiError> {
        match self.known()?.1 {
            Rights::Owner => Ok(()),
            Rights::Reader(_) | Rights::Agent(_) | Rights::Pusher => Err(ApiError::not_allowed(what)),
        }
    }

    /// Lets those pass who may begin a push.
    pub(crate) fn must_be_pusher(&self) -> Result<(), ApiError> {
        match self.known()?.1 {
            Rights::Owner | Rights::Pusher => Ok(()),
            Rights::Reader(_) | Rights::Agent(_) => Err(ApiError::not_allowed("pushing a capture")),
        }
    }

    /// The hash of the token that lets its bearer send the capture `id`.
    pub(crate) fn must_be_agent_of(&self, id: &str) -> Result<(CaptureId, TokenHash), ApiError> {
        match self.known()? {
            (hash, Rights::Agent(own)) if own.as_str() == id => Ok((own.clone(), *hash)),
            _ => Err(ApiError::not_allowed("sending this capture")),
        }
    }

    /// The capture `id`, for a bearer who may read it.
    pub(crate) fn must_read(&self, review: &Review, id: &str) -> Result<(Arc<Capture>, Access), ApiError> {
        let (hash, rights) = self.known()?;
        match rights {
            Rights::Owner => {}
            Rights::Reader(own) if own.as_str() == id => {}
            Rights::Reader(_) => return Err(ApiError::not_allowed("reading another capture")),
            Rights::Agent(_) | Rights::Pusher => return Err(ApiError::not_allowed("reading captures")),
        }
        let id = CaptureId::parse(id).ok_or_else(|| ApiError::not_found("such capture"))?;
        let capture = review.store().get(&id).ok_or_else(|| ApiError::not_found(&format!("capture {id}")))?;
        Ok((capture, Access { review: review.clone(), bearer: *hash, id }))
    }
}

impl Access {
    /// A seat among those who read; one who follows is counted as a viewer.
    pub(crate) fn seat(&self, follows: bool) -> Result<Seat, ApiError> {
        let is_owner = self.review.rights_of(&self.bearer) == Some(Rights::Owner);
        self.review.seats().take(self.bearer, is_owner, follows).ok_or_else(ApiError::too_many_viewers)
    }

    /// Whether it still may be read.
    pub(crate) fn holds(&self) -> bool {
        let is_allowed = match self.review.rights_of(&self.bearer) {
            Some(Rights::Owner) => true,
            Some(Rights::Reader(own)) => own == self.id,
            Some(Rights::Agent(_) | Rights::Pusher) | None => false,
        };
        is_allowed && self.review.store().get(&self.id).is_some()
    }

    /// Waits until it may not be read any more.
    pub(crate) async fn ended(&self) {
        let mut changes = self.review.store().revocations();
        // An error would mean that the store is gone, and it is a part of this.
        while self.holds() && changes.changed().await.is_ok() {}
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
