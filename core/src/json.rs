//! The outside form of messages and records: JSON.
//!
//! A payload is `channel`, `type` and `payload` there, where the log has two
//! nested enums.

use serde_json::{Map, Value, json};

use crate::{channel::Channel, message::Message, payload::Payload, record::Record};

/// A payload could not be read from JSON.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The channel has no such type.
    #[error("channel {channel} has no type {kind:?}; it has {}", Payload::types(*channel).join(", "))]
    Type {
        /// The channel.
        channel: Channel,
        /// What was asked for.
        kind: String,
    },
    /// The content does not fit the type.
    #[error("payload of {channel}.{kind}: {source}")]
    Content {
        /// The channel.
        channel: Channel,
        /// The type.
        kind: String,
        /// What does not fit.
        source: serde_json::Error,
    },
}

/// Reads a payload from its channel, its type's name and its content.
///
/// # Errors
/// When the channel has no such type, or the content does not fit it.
pub fn payload(channel: Channel, kind: &str, content: Value) -> Result<Payload, PayloadError> {
    if !Payload::types(channel).contains(&kind) {
        return Err(PayloadError::Type {
            channel,
            kind: kind.into(),
        });
    }
    let tagged = json!({ channel.name(): { kind: content } });
    serde_json::from_value(tagged).map_err(|source| PayloadError::Content {
        channel,
        kind: kind.into(),
        source,
    })
}

/// A payload's content.
#[must_use]
pub fn content(payload: &Payload) -> Value {
    let mut value = value(payload);
    // Two externally tagged enums: {"channel": {"type": content}}.
    for _ in 0..2 {
        value = match value {
            Value::Object(map) => map
                .into_iter()
                .next()
                .map_or(Value::Null, |(_, inner)| inner),
            other => other,
        };
    }
    value
}

/// A message.
#[must_use]
pub fn message(message: &Message) -> Value {
    let mut object = match value(message) {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    object.insert("from".into(), message.from.to_string().into());
    object.insert("to".into(), message.to.to_string().into());
    object.insert("channel".into(), message.channel().name().into());
    object.insert("type".into(), message.payload.type_name().into());
    object.insert("payload".into(), content(&message.payload));
    if let Some(correlation) = object.remove("correlation") {
        object.insert("correlation_id".into(), correlation);
    }
    Value::Object(object)
}

/// A record: its message, its place, and its body's length and digest.
#[must_use]
pub fn record(record: &Record) -> Value {
    let mut object = match message(&record.message) {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    object.insert("seq".into(), record.seq.0.into());
    object.insert("time".into(), record.time.0.into());
    object.insert("body".into(), value(&record.body));
    Value::Object(object)
}

fn value<T: serde::Serialize>(of: &T) -> Value {
    // The types of this crate have string keys and finite numbers only.
    serde_json::to_value(of).unwrap_or(Value::Null)
}
