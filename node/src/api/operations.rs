//! `/v1/operations`: work comes in, and what became of it.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use vsm_core::{
    Digest, MessageId, Millis, Name, Payload, Record, Role, Text,
    payload::{
        Operations,
        operations::{Accepted, Cancel, Idempotency, OperationState, RefusedBecause, Submit},
    },
    system,
};

use super::{
    Answer, Shared, body,
    caller::{CORRELATION, Caller},
    json, messages, output,
    params::{Named, Params},
    problem::{Kind, Problem},
    waiting::Waiting,
};
use crate::{
    runtime::{Root, hub::OperationEnd, root::draw_id, wall_clock},
    security::{Action, Principal},
};

/// The most operations in a list.
const LIST_MAX: usize = 1_000;
/// How many are listed when nobody says.
const LIST: usize = 50;

/// What a client submits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// What a unit must be capable of.
    pub capability: Name,
    /// What the unit gets, byte for byte.
    #[serde(default)]
    pub payload: Option<Box<RawValue>>,
    /// What the operation is placed by.
    #[serde(default)]
    pub key: Option<Text>,
    /// A second submission under the same key is the first one.
    #[serde(default)]
    pub idempotency_key: Option<Text>,
    /// How long it makes sense, from now.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// Whatever else is to be kept with it on the log.
    #[serde(default)]
    pub metadata: BTreeMap<Name, Text>,
}

/// `POST /v1/operations`
///
/// # Errors
/// 403, 409, 413, 422, 429, 503.
pub async fn submit(
    State(api): State<Shared>,
    caller: Caller,
    Params(waiting): Params<Waiting>,
    headers: HeaderMap,
    request: Request,
) -> Answer {
    let principal = caller.may(Action::Submit)?;
    let wait = waiting.span(&api)?;
    let submission = body::read(request, &api).await?;
    let (root, operation) = root(&api, &caller, principal, &headers, submission)?;
    let body = root.body.clone();
    let end = wait.map(|_| api.handle.end_of(operation));
    let reply = api.handle.shared().hub.reply_to(operation);
    let receipt = messages::admitted(&api, root).await??;
    if let Some(body) = body {
        api.bodies.keep(receipt.seq, body);
    }
    let limit = Duration::from_millis(api.config.api.answer_ms);
    let reply = tokio::time::timeout(limit, reply)
        .await
        .map_err(|_| {
            Problem::new(
                Kind::NoAnswer,
                format!("no answer within {limit:?}; the submission is on the log"),
            )
            .with("id", operation.to_string())
        })?
        .map_err(|_| stopped())?;
    let accepted = accepted(&reply)?;
    let correlation = reply.message.correlation;
    let mut response = match (wait, end) {
        (Some(wait), Some(end)) => {
            let end = if accepted.duplicate {
                api.handle.end_of(accepted.operation)
            } else {
                end
            };
            waited(&api, accepted, correlation, wait, end).await?
        }
        _ => pending(accepted, correlation),
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&correlation.to_string()) {
        headers.insert(CORRELATION, value);
    }
    if let Ok(value) = HeaderValue::from_str(&format!("/v1/operations/{}", accepted.operation)) {
        headers.insert(header::LOCATION, value);
    }
    Ok(response)
}

fn stopped() -> Problem {
    Problem::new(Kind::Unavailable, "the node stopped before it could answer")
}

fn root(
    api: &Shared,
    caller: &Caller,
    principal: &Principal,
    headers: &HeaderMap,
    submission: Submission,
) -> Answer<(Root, MessageId)> {
    let key = match (&submission.idempotency_key, headers.get("idempotency-key")) {
        (Some(key), _) => Some(key.clone()),
        (None, Some(value)) => {
            let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
            Some(parsed.ok_or_else(|| {
                let detail = format!("Idempotency-Key is at most {} bytes of text", Text::LEN_MAX);
                Problem::field("idempotency_key", detail)
            })?)
        }
        (None, None) => None,
    };
    let idempotency = key.map(|key| Idempotency {
        key,
        request: digest(&api.request_key, &submission),
    });
    let operation = draw_id();
    // A conversation of its own, unless the client has one.
    let correlation = match &caller.traceparent {
        Some(_) => caller.correlation,
        None => operation,
    };
    let metadata = caller.metadata(submission.metadata);
    let payload = Submit {
        capability: submission.capability,
        key: submission.key,
        idempotency,
    };
    let mut root = Root::operations(payload, principal.name.clone()).correlation(correlation);
    root.id = Some(operation);
    root.metadata = metadata;
    root.body = submission
        .payload
        .map(|raw| Bytes::from(Box::<str>::from(raw).into_boxed_bytes()));
    root.deadline = submission
        .deadline_ms
        .map(|millis| wall_clock() + Millis(millis));
    Ok((root, operation))
}

/// What tells one request from another under the same idempotency key. Keyed,
/// so that the log does not give guesses of a removed payload away.
fn digest(key: &[u8; 32], submission: &Submission) -> Digest {
    let mut hasher = blake3::Hasher::new_keyed(key);
    let mut part = |bytes: Option<&[u8]>| {
        hasher.update(&(bytes.map_or(u64::MAX, |bytes| bytes.len() as u64)).to_le_bytes());
        hasher.update(bytes.unwrap_or_default());
    };
    part(Some(submission.capability.as_bytes()));
    part(submission.key.as_deref().map(str::as_bytes));
    part(
        submission
            .payload
            .as_deref()
            .map(|raw| raw.get().as_bytes()),
    );
    Digest(*hasher.finalize().as_bytes())
}

fn accepted(reply: &Record) -> Answer<&Accepted> {
    match &reply.message.payload {
        Payload::Operations(Operations::Accepted(it)) => Ok(it),
        Payload::Operations(Operations::Refused(it)) => Err(refused(&it.reason)),
        _ => Err(Problem::new(Kind::Internal, "an answer of another kind")),
    }
}

fn refused(reason: &RefusedBecause) -> Problem {
    match reason {
        RefusedBecause::QueueFull { retry_after } => Problem::new(
            Kind::QueueFull,
            "as many operations as may wait are waiting (model.operations.queue_max)",
        )
        .retry_after_ms(retry_after.0),
        RefusedBecause::IdempotencyConflict { with } => Problem::new(
            Kind::IdempotencyConflict,
            format!("the idempotency key was used for another request, operation {with}"),
        )
        .with("with", with.to_string()),
        RefusedBecause::DeadlinePassed => {
            Problem::field("deadline_ms", "the deadline had passed on arrival")
        }
        RefusedBecause::NotPermitted => {
            Problem::new(Kind::NotPermitted, "policy does not permit the capability")
        }
    }
}

fn pending(it: &Accepted, correlation: MessageId) -> Response {
    let body = json!({
        "id": it.operation.to_string(),
        "state": "accepted",
        "duplicate": it.duplicate,
        "queued": it.queued,
        "payload_commitment": it.payload_commitment,
        "correlation_id": correlation.to_string(),
    });
    json(StatusCode::ACCEPTED, body)
}

/// Waits for an operation's end. When it does not come in time, the answer is
/// where the operation stands, with status 202.
async fn waited(
    api: &Shared,
    it: &Accepted,
    correlation: MessageId,
    wait: Duration,
    end: tokio::sync::oneshot::Receiver<OperationEnd>,
) -> Answer {
    if it.duplicate {
        // It may have ended too long ago for the hub to remember.
        let found = view(api, it.operation).await?;
        if is_final(&found) {
            let found = output::with_output(api, found).await?;
            return Ok(json(StatusCode::OK, with_receipt(found, it)));
        }
    }
    let ended = tokio::select! {
        ended = tokio::time::timeout(wait, end) => ended.ok(),
        () = api.stopping.cancelled() => None,
    };
    match ended {
        Some(Ok(end)) => {
            let mut body = json!({
                "id": end.operation.to_string(),
                "state": end.state,
                "payload_commitment": it.payload_commitment,
                "correlation_id": correlation.to_string(),
            });
            if let (Value::Object(body), Some(reason)) = (&mut body, end.reason) {
                body.insert("reason".into(), reason.into());
            }
            output::add(api, &mut body, end.output).await?;
            Ok(json(StatusCode::OK, body))
        }
        Some(Err(_)) => Err(stopped()),
        None => {
            api.handle.shared().hub.forget_closed(it.operation);
            let found = view(api, it.operation).await?;
            Ok(json(StatusCode::ACCEPTED, with_receipt(found, it)))
        }
    }
}

/// What is known of an operation, with the receipt for the payload that the
/// client sent now.
fn with_receipt(mut view: Value, it: &Accepted) -> Value {
    if let Value::Object(view) = &mut view {
        view.insert("payload_commitment".into(), json!(it.payload_commitment));
    }
    view
}

async fn view(api: &Shared, id: MessageId) -> Answer<Value> {
    let (value, _) = api
        .handle
        .query(Role::S1, system::Query::Operation(id))
        .await?;
    Ok(value)
}

fn state(view: &Value) -> Option<OperationState> {
    serde_json::from_value(view.get("state")?.clone()).ok()
}

fn is_final(view: &Value) -> bool {
    state(view).is_some_and(OperationState::is_final)
}

/// The operation, if the caller may see it.
async fn visible(api: &Shared, caller: &Caller, id: &str) -> Answer<(MessageId, Value)> {
    let principal = caller.known()?;
    let all = principal.role.may(Action::ReadOperations);
    if !all {
        caller.may(Action::Submit)?;
    }
    let unknown = || {
        Problem::not_found(format!(
            "there is no operation {id:?}, or it ended long ago; the log has it"
        ))
    };
    let id: MessageId = id.parse().map_err(|_| unknown())?;
    let found = view(api, id).await?;
    // Whose it is, is nobody else's business: neither is that there is one.
    if found.is_null() || (!all && found["principal"] != json!(principal.name)) {
        return Err(unknown());
    }
    Ok((id, found))
}

/// `GET /v1/operations/{id}`
///
/// # Errors
/// 404 when there is none, or it is somebody else's.
pub async fn show(
    State(api): State<Shared>,
    caller: Caller,
    Named(id): Named,
    Params(waiting): Params<Waiting>,
) -> Answer {
    let (id, mut found) = visible(&api, &caller, &id).await?;
    if let Some(wait) = waiting.span(&api)?
        && !is_final(&found)
    {
        let end = api.handle.end_of(id);
        // It may have ended between the two.
        found = view(&api, id).await?;
        if !is_final(&found) {
            tokio::select! {
                _ = tokio::time::timeout(wait, end) => {}
                () = api.stopping.cancelled() => {}
            }
            api.handle.shared().hub.forget_closed(id);
            found = view(&api, id).await?;
        }
    }
    let found = output::with_output(&api, found).await?;
    Ok(json(StatusCode::OK, found))
}

/// `?limit=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    limit: Option<usize>,
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// `GET /v1/operations`
///
/// # Errors
/// 403.
pub async fn list(
    State(api): State<Shared>,
    caller: Caller,
    Params(limit): Params<Limit>,
) -> Answer {
    caller.may(Action::ReadOperations)?;
    let limit = limit.limit.unwrap_or(LIST).min(LIST_MAX);
    let (operations, seq) = api
        .handle
        .query(Role::S1, system::Query::Operations { limit })
        .await?;
    Ok(json(
        StatusCode::OK,
        json!({"operations": operations, "seq": seq}),
    ))
}

/// `POST /v1/operations/{id}/cancel`
///
/// # Errors
/// 404 when there is none, 409 when it has ended.
pub async fn cancel(State(api): State<Shared>, caller: Caller, Named(id): Named) -> Answer {
    let (id, found) = visible(&api, &caller, &id).await?;
    let principal = caller.may(Action::Submit)?;
    let ended = |found: &Value| {
        Problem::new(
            Kind::Conflict,
            format!(
                "operation {id} has ended: {}",
                found["state"].as_str().unwrap_or("?")
            ),
        )
        .with("state", found["state"].clone())
    };
    if is_final(&found) {
        return Err(ended(&found));
    }
    let end = api.handle.end_of(id);
    let correlation = found["correlation_id"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(caller.correlation);
    let root =
        Root::operations(Cancel { operation: id }, principal.name.clone()).correlation(correlation);
    messages::admitted(&api, root).await??;
    let limit = Duration::from_millis(api.config.api.answer_ms);
    let end = tokio::time::timeout(limit, end)
        .await
        .map_err(|_| Problem::new(Kind::NoAnswer, "the cancellation is on the log"))?
        .map_err(|_| stopped())?;
    let found = view(&api, id).await?;
    if end.state != OperationState::Cancelled {
        return Err(ended(&found));
    }
    Ok(output::with_output(&api, found)
        .await
        .map(|found| json(StatusCode::OK, found))?
        .into_response())
}
