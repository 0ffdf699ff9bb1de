//! Requests that become WebSockets.

use axum::{
    extract::{FromRequestParts, WebSocketUpgrade},
    http::request::Parts,
};

use super::{
    Shared,
    problem::{Kind, Problem},
};

/// A request to become a WebSocket, if it is one: whether the caller may comes
/// first.
pub struct Upgrade(Result<WebSocketUpgrade, Problem>);

impl Upgrade {
    /// The WebSocket to be.
    ///
    /// # Errors
    /// 400 when the request is an ordinary one.
    pub fn wanted(self) -> Result<WebSocketUpgrade, Problem> {
        self.0
    }
}

impl FromRequestParts<Shared> for Upgrade {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Self::Rejection> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, api).await;
        Ok(Self(upgrade.map_err(|rejection| {
            let detail = format!("this path is a WebSocket: {}", rejection.body_text());
            Problem::new(Kind::BadRequest, detail)
        })))
    }
}

/// Whether a message was not read because it is longer than it may be.
pub(crate) fn is_too_long(error: &axum::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error;
    let mut source = std::error::Error::source(error);
    while let Some(it) = source {
        if matches!(it.downcast_ref::<Error>(), Some(Error::Capacity(_))) {
            return true;
        }
        source = it.source();
    }
    false
}
