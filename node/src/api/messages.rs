//! `POST /v1/messages`: a message into a channel.
//!
//! The route matrix decides as it does for subsystems; what it refuses is on
//! the log. Who may speak as whom is in [`super::claims`].

use std::{collections::BTreeMap, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode},
    response::Response,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use vsm_core::{
    Address, Channel, MessageId, Millis, Name, Payload, Record, Seq, Text, json,
    json::PayloadError,
    matrix::{self, Relation},
};

use super::{
    Answer, Shared, body,
    caller::{CORRELATION, Caller},
    claims, json,
    params::Params,
    problem::{Kind, Problem},
    waiting::Waiting,
};
use crate::{
    runtime::{Receipt, Root, SendError, root::draw_id, wall_clock},
    security::Action,
};

/// What a caller says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saying {
    /// On which channel.
    pub channel: String,
    /// As whom.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Which of the channel's types.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the type holds.
    pub payload: Value,
    /// What stays removable: kept beside the message, byte for byte.
    #[serde(default)]
    pub body: Option<Box<RawValue>>,
    /// The conversation that it is part of; one of its own when not given.
    #[serde(default)]
    pub correlation_id: Option<MessageId>,
    /// The message that moved the caller. Kept as metadata: the cause on the
    /// log is the principal, which nobody can make up.
    #[serde(default)]
    pub causation: Option<MessageId>,
    /// Kept as metadata. Nothing overtakes but alarms, by their channel.
    #[serde(default)]
    pub priority: Option<Priority>,
    /// How long it makes sense, from now.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// Whatever else is to be kept with it.
    #[serde(default)]
    pub metadata: BTreeMap<Name, Text>,
}

/// How urgent a caller finds it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Less than usual.
    Low,
    /// As usual.
    Normal,
    /// More than usual.
    High,
}

impl Priority {
    const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// `POST /v1/messages`
///
/// # Errors
/// 401, 403, 413, 422, 503.
pub async fn send(
    State(api): State<Shared>,
    caller: Caller,
    Params(waiting): Params<Waiting>,
    request: Request,
) -> Answer {
    caller.may(Action::SendMessages)?;
    let wait = waiting.span(&api)?;
    let saying = body::read(request, &api).await?;
    let root = root(&caller, saying)?;
    let (id, correlation) = (identity(&root), root.correlation);
    let correlation = correlation.unwrap_or(id);
    let reply = wait.map(|wait| (wait, api.handle.shared().hub.reply_to(id)));
    let receipt = deliver(&api, root).await?;
    let mut answer = told(&receipt, correlation);
    let mut status = StatusCode::ACCEPTED;
    if let Some((wait, reply)) = reply {
        let reply = tokio::select! {
            reply = tokio::time::timeout(wait, reply) => reply.ok().and_then(Result::ok),
            () = api.stopping.cancelled() => None,
        };
        if reply.is_some() {
            status = StatusCode::OK;
        }
        answer["reply"] = reply.map_or(Value::Null, |record| json::record(&record as &Record));
    }
    Ok(stamped(json(status, answer), correlation))
}

/// What a caller is told of its message, which is durable.
pub(super) fn told(receipt: &Receipt, correlation: MessageId) -> Value {
    json!({"id": receipt.id, "seq": receipt.seq, "correlation_id": correlation})
}

/// With the correlation id that the message has.
pub(super) fn stamped(mut response: Response, correlation: MessageId) -> Response {
    if let Ok(value) = HeaderValue::from_str(&correlation.to_string()) {
        response.headers_mut().insert(CORRELATION, value);
    }
    response
}

/// Sends a message and waits until it is durable. So is the refusal, when the
/// answer says that it was refused.
///
/// # Errors
/// As [`crate::runtime::Handle::send`], and 503 when there is no room.
pub(super) async fn deliver(api: &Shared, root: Root) -> Answer<Receipt> {
    let sent = admitted(api, root).await?;
    let seq = match &sent {
        Ok(receipt) => receipt.seq,
        Err(SendError::Refused(_)) => Seq(api.handle.log().appended()),
        Err(_) => Seq(0),
    };
    api.handle.durable(seq).await.map_err(SendError::from)?;
    Ok(sent?)
}

/// Sends a message, as soon as there is room.
///
/// # Errors
/// 503 when there is none in time.
pub(super) async fn admitted(api: &Shared, root: Root) -> Answer<Result<Receipt, SendError>> {
    let limit = Duration::from_millis(api.config.api.answer_ms);
    let sent = tokio::time::timeout(limit, api.handle.send(root)).await;
    sent.map_err(|_| {
        let detail = format!("no room for another message within {limit:?}; nothing was sent");
        Problem::new(Kind::Overloaded, detail).retry_after_ms(1_000)
    })
}

fn identity(root: &Root) -> MessageId {
    root.id.unwrap_or_default()
}

fn root(caller: &Caller, saying: Saying) -> Answer<Root> {
    let invalid = |field: &str, error: String| Problem::field(field, error);
    let channel: Channel = saying
        .channel
        .parse()
        .map_err(|error| invalid("channel", format!("{error}")))?;
    let address = |field: &str, text: &str| {
        text.parse::<Address>()
            .map_err(|error| invalid(field, error.to_string()))
    };
    let from = address("from", &saying.from)?;
    let to = address("to", &saying.to)?;
    let payload = json::payload(channel, &saying.kind, &saying.payload).map_err(content)?;
    let principal = caller.may(claims::action(from.role, &payload))?;
    if routed(&from, &to, &payload) {
        claims::permitted(&from, &to)?;
    }
    let id = draw_id();
    let mut root = Root::new(from, to, payload, principal.name.clone());
    root.id = Some(id);
    root.correlation = saying.correlation_id.or_else(|| {
        let traced = caller.traceparent.is_some();
        traced.then_some(caller.correlation)
    });
    root.body = saying
        .body
        .map(|raw| Bytes::from(Box::<str>::from(raw).into_boxed_bytes()));
    root.deadline = saying
        .deadline_ms
        .map(|millis| wall_clock() + Millis(millis));
    root.metadata = caller.metadata(saying.metadata);
    let mut keep = |name: &str, text: String| {
        if let Ok(name) = name.parse() {
            root.metadata.push((name, Text::cut(&text)));
        }
    };
    if let Some(causation) = saying.causation {
        keep("causation", causation.to_string());
    }
    if let Some(priority) = saying.priority {
        keep("priority", priority.name().to_owned());
    }
    Ok(root)
}

fn routed(from: &Address, to: &Address, payload: &Payload) -> bool {
    let relation = Relation::between(&from.path, &to.path);
    matrix::allows(
        payload.channel(),
        payload.tag(),
        from.role,
        to.role,
        relation,
    )
}

fn content(error: PayloadError) -> Problem {
    let detail = error.to_string();
    match error {
        PayloadError::Type { .. } => Problem::field("type", detail),
        PayloadError::Unknown { field, .. } => Problem::field(&format!("payload.{field}"), detail),
        PayloadError::Content { source, .. } => {
            let field = match body::named(&source.to_string()) {
                Some(field) => format!("payload.{field}"),
                None => "payload".to_owned(),
            };
            Problem::field(&field, detail)
        }
    }
}
