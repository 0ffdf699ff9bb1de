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
    /// The type has no such field.
    #[error("payload of {channel}.{kind} has no field {field:?}")]
    Unknown {
        /// The channel.
        channel: Channel,
        /// The type.
        kind: String,
        /// The field, with those around it.
        field: String,
    },
}

/// Reads a payload from its channel, its type's name and its content.
///
/// # Errors
/// When the channel has no such type, or the content does not fit it: a field
/// that is missing, wrong, or one that the type does not have.
pub fn payload(channel: Channel, kind: &str, given: &Value) -> Result<Payload, PayloadError> {
    if !Payload::types(channel).contains(&kind) {
        return Err(PayloadError::Type {
            channel,
            kind: kind.into(),
        });
    }
    let tagged = json!({ channel.name(): { kind: given } });
    let payload = serde_json::from_value(tagged).map_err(|source| PayloadError::Content {
        channel,
        kind: kind.into(),
        source,
    })?;
    // What the log would not hold must not seem to have been said.
    match ignored(given, &content(&payload)) {
        Some(field) => Err(PayloadError::Unknown {
            channel,
            kind: kind.into(),
            field,
        }),
        None => Ok(payload),
    }
}

/// The first field of `given` that did not get into `taken`.
fn ignored(given: &Value, taken: &Value) -> Option<String> {
    let inside =
        |name: String, given, taken| ignored(given, taken).map(|inner| format!("{name}.{inner}"));
    match (given, taken) {
        (Value::Object(given), Value::Object(taken)) => {
            given
                .iter()
                .find_map(|(name, value)| match taken.get(name) {
                    Some(taken) => inside(name.clone(), value, taken),
                    None => Some(name.clone()),
                })
        }
        (Value::Array(given), Value::Array(taken)) => given
            .iter()
            .zip(taken)
            .enumerate()
            .find_map(|(index, (given, taken))| inside(index.to_string(), given, taken)),
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_survives_its_outside_form() {
        let given = json!({"unit": "u-1", "reason": "noise"});
        let payload = payload(Channel::Command, "suspend", &given).unwrap();
        assert_eq!(payload.kind(), "command.suspend");
        assert_eq!(content(&payload), given);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let of = |kind: &str, given: Value| payload(Channel::Command, kind, &given).unwrap_err();
        assert!(matches!(of("pain", json!({})), PayloadError::Type { .. }));
        assert!(matches!(
            of("resume", json!({})),
            PayloadError::Content { .. }
        ));
        let unknown = of("resume", json!({"unit": "u-1", "force": true}));
        assert!(matches!(unknown, PayloadError::Unknown { field, .. } if field == "force"));
        let register = json!({
            "unit": "u-1", "capacity": 1, "recovery_time": 1, "labels": {}, "resume": null,
            "capabilities": [{"name": "hash"}],
        });
        assert!(payload(Channel::Operations, "register", &register).is_ok());
    }
}
