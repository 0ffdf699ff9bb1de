//! Who calls, and what the call belongs to.
//!
//! Every request passes here first. It gets a correlation id: the trace of a
//! W3C `traceparent`, or a fresh one; the response carries it. A bearer token
//! (or `?token=`, for browsers' WebSockets) says who calls.

use std::collections::BTreeMap;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use vsm_core::{Digest, MessageId, Name, Text};

use super::{
    Api, Shared,
    problem::{Kind, Problem},
};
use crate::{
    runtime::{root::draw_id, wall_clock},
    security::{Action, Principal},
};

/// The response's header that carries the correlation id.
pub const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Result<Principal, Unknown>,
    /// The digest of its token, if it needed one.
    token: Option<Digest>,
    /// What the call belongs to.
    pub correlation: MessageId,
    /// The client's `traceparent`, when it sent one.
    pub traceparent: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Unknown {
    Missing,
    Wrong,
}

impl Caller {
    /// The principal, if its role permits `action`.
    ///
    /// # Errors
    /// 401 without a principal, 403 when the role does not permit it.
    pub fn may(&self, action: Action) -> Result<&Principal, Problem> {
        let principal = self.known()?;
        if principal.role.may(action) {
            Ok(principal)
        } else {
            Err(Problem::forbidden(principal.role, action))
        }
    }

    /// The principal.
    ///
    /// # Errors
    /// 401 without one.
    pub fn known(&self) -> Result<&Principal, Problem> {
        self.principal.as_ref().map_err(|unknown| {
            let detail = match unknown {
                Unknown::Missing => {
                    "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN"
                }
                Unknown::Wrong => "the token is unknown or has expired",
            };
            Problem::new(Kind::Unauthorized, detail)
        })
    }
}

impl Caller {
    /// What says, as long as a connection lasts, whether its principal may
    /// still be there.
    ///
    /// # Errors
    /// 401 without a principal.
    pub(crate) fn pass(&self) -> Result<Pass, Problem> {
        Ok(Pass {
            principal: self.known()?.clone(),
            token: self.token,
        })
    }

    /// The metadata of what the caller sends: what it gave, and the trace that
    /// it is part of.
    #[must_use]
    pub fn metadata(&self, given: BTreeMap<Name, Text>) -> Vec<(Name, Text)> {
        let mut metadata: Vec<_> = given.into_iter().collect();
        if let Some(trace) = &self.traceparent
            && let Ok(name) = "traceparent".parse()
        {
            metadata.push((name, Text::cut(trace)));
        }
        metadata
    }
}

/// A principal on a connection that outlives the request that it began as.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    /// Who it is.
    pub(crate) principal: Principal,
    token: Option<Digest>,
}

impl Pass {
    /// Whether the token is still known, has not expired, and is for the same.
    pub(crate) fn is_good(&self, api: &Api) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let known = api.tokens.read().holder(token, wall_clock());
        known.is_some_and(|it| it == self.principal)
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        // `identify` wraps every route.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::new(Kind::Internal, "the caller was not identified"))
    }
}

/// Identifies the caller, bounds how many requests are under way, and stamps
/// the response.
pub async fn identify(State(api): State<Shared>, mut request: Request, next: Next) -> Response {
    let traceparent = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .filter(|text| trace(text).is_some())
        .map(str::to_owned);
    let correlation = traceparent
        .as_deref()
        .and_then(trace)
        .unwrap_or_else(draw_id);
    let token = token(request.headers(), request.uri());
    let caller = Caller {
        principal: principal(&api, token),
        token: token.map(|token| Digest::of(token.as_bytes())),
        correlation,
        traceparent: traceparent.clone(),
    };
    request.extensions_mut().insert(caller);
    // Whoever watches the node must see that it lives when it is full.
    let watched = matches!(request.uri().path(), "/healthz" | "/readyz");
    let mut response = match api.requests.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) if watched => next.run(request).await,
        Err(_) => Problem::new(
            Kind::Overloaded,
            "as many requests as may be are under way (api.requests_max); try again",
        )
        .retry_after_ms(1_000)
        .into_response(),
    };
    let headers = response.headers_mut();
    if !headers.contains_key(CORRELATION)
        && let Ok(value) = HeaderValue::from_str(&correlation.to_string())
    {
        headers.insert(CORRELATION, value);
    }
    if let Some(value) = traceparent.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert("traceparent", value);
    }
    response
}

fn token<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        });
    // Tokens have letters, digits and '_' only: nothing is percent-encoded.
    bearer.or_else(|| {
        uri.query()?
            .split('&')
            .find_map(|pair| pair.strip_prefix("token="))
    })
}

fn principal(api: &Shared, token: Option<&str>) -> Result<Principal, Unknown> {
    match token {
        Some(token) => api
            .tokens
            .read()
            .principal(token, wall_clock())
            .ok_or(Unknown::Wrong),
        None if !api.config.security.require_token => Ok(Principal::anonymous()),
        None => Err(Unknown::Missing),
    }
}

/// The trace id of a `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`.
fn trace(text: &str) -> Option<MessageId> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len: usize| {
        text.len() == len
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let known = version != "00" || parts.next().is_none();
    if !known || !hex(version, 2) || version == "ff" || !hex(flags, 2) {
        return None;
    }
    if !hex(trace, 32) || zero(trace) || !hex(parent, 16) || zero(parent) {
        return None;
    }
    let id = u128::from_str_radix(trace, 16).ok()?;
    Some(MessageId(id.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces() {
        let id = trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(id.to_string(), "4bf92f35-77b3-4da6-a3ce-929d0e0e4736");
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(trace(text), None, "{text}");
        }
    }
}
