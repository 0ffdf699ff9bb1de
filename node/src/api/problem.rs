//! Errors as clients see them: `application/problem+json` (RFC 9457).
//!
//! `type` and `status` of each are a contract; `detail` is for people.

use std::fmt;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use vsm_core::Refusal;

use crate::{
    runtime::SendError,
    security::{Action, Role},
};

/// What kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The body is no JSON.
    MalformedJson,
    /// The JSON is nested deeper than it may be.
    TooDeep,
    /// The request can't be read otherwise.
    BadRequest,
    /// The connection is in plain text, and must not be.
    TlsRequired,
    /// There is no token, or nobody has this one.
    Unauthorized,
    /// The token's role does not permit it.
    Forbidden,
    /// The route matrix does not permit it.
    RouteRefused,
    /// Policy does not permit it.
    NotPermitted,
    /// There is no such thing.
    NotFound,
    /// There is such a thing, but this can't be done to it.
    MethodNotAllowed,
    /// The client sent too slowly.
    RequestTimeout,
    /// The idempotency key was used for another request.
    IdempotencyConflict,
    /// What is asked for no longer fits the state of things.
    Conflict,
    /// The body is longer than it may be.
    TooLarge,
    /// A field's value makes no sense.
    InvalidField,
    /// As many as may wait are waiting.
    QueueFull,
    /// As many requests as may be are under way.
    Overloaded,
    /// The node is stopping, or its log takes nothing more.
    Unavailable,
    /// No answer came in time.
    NoAnswer,
    /// The node failed.
    Internal,
}

impl Kind {
    /// Every kind, for the documentation and its test.
    pub const ALL: [Self; 20] = [
        Self::MalformedJson,
        Self::TooDeep,
        Self::BadRequest,
        Self::TlsRequired,
        Self::Unauthorized,
        Self::Forbidden,
        Self::RouteRefused,
        Self::NotPermitted,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::IdempotencyConflict,
        Self::Conflict,
        Self::TooLarge,
        Self::InvalidField,
        Self::QueueFull,
        Self::Overloaded,
        Self::Unavailable,
        Self::NoAnswer,
        Self::Internal,
    ];

    /// The status and the name in `type`.
    #[must_use]
    pub const fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::MalformedJson => (StatusCode::BAD_REQUEST, "malformed-json"),
            Self::TooDeep => (StatusCode::BAD_REQUEST, "too-deep"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request"),
            Self::TlsRequired => (StatusCode::BAD_REQUEST, "tls-required"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::RouteRefused => (StatusCode::FORBIDDEN, "route-refused"),
            Self::NotPermitted => (StatusCode::FORBIDDEN, "not-permitted"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request-timeout"),
            Self::IdempotencyConflict => (StatusCode::CONFLICT, "idempotency-conflict"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::InvalidField => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-field"),
            Self::QueueFull => (StatusCode::TOO_MANY_REQUESTS, "queue-full"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::NoAnswer => (StatusCode::GATEWAY_TIMEOUT, "no-answer"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

/// An error as a client sees it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Which.
    pub kind: Kind,
    /// What happened, and what to do.
    pub detail: String,
    more: Map<String, Value>,
    retry_after_ms: Option<u64>,
}

impl Problem {
    /// A problem.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            more: Map::new(),
            retry_after_ms: None,
        }
    }

    /// With a member of its own.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.into(), value.into());
        self
    }

    /// Worth trying again after so long.
    #[must_use]
    pub fn retry_after_ms(mut self, millis: u64) -> Self {
        self.retry_after_ms = Some(millis);
        self.with("retry_after_ms", millis)
    }

    /// A field is wrong.
    pub fn field(field: &str, detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidField, detail).with("field", field)
    }

    /// There is no such thing.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(Kind::NotFound, what.to_string())
    }

    /// The role does not permit it.
    #[must_use]
    pub fn forbidden(role: Role, action: Action) -> Self {
        let that_may: Vec<_> = Role::that_may(action).map(Role::name).collect();
        let detail = format!(
            "a token of role {role} may not {}; roles that may: {}",
            action.name(),
            that_may.join(", ")
        );
        Self::new(Kind::Forbidden, detail)
    }

    /// It as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let (status, name) = self.kind.parts();
        let mut body = json!({
            "type": format!("urn:vsm:problem:{name}"),
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.detail,
        });
        if let Value::Object(body) = &mut body {
            body.extend(self.more.clone());
        }
        body
    }
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        let kind = match &error {
            SendError::Refused(Refusal::Length(_)) => Kind::TooLarge,
            SendError::Refused(_) => Kind::RouteRefused,
            SendError::BodyLength { .. } => Kind::TooLarge,
            SendError::Metadata(_) => {
                return Self::field("metadata", error.to_string());
            }
            SendError::NoAnswer(_) | SendError::Silent(_) => Kind::NoAnswer,
            SendError::NotHosted(_) => Kind::NotFound,
            SendError::Log(_) | SendError::Stopped(_) | SendError::Closing => Kind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, _) = self.kind.parts();
        let mut response = (status, Json(self.json())).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(millis) = self.retry_after_ms {
            // Whole seconds; zero would mean "at once".
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(millis.div_ceil(1_000).max(1)),
            );
        }
        response
    }
}
