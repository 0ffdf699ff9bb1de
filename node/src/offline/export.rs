//! Export: a log as lines of JSON.

use serde_json::{Map, Value, json};
use vsm_core::json;
use vsm_store::{Body, Boundary, Event};

use crate::runtime::journal::{self, JournalError};

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// One event. With `raw`, also the bytes that an independent verifier needs:
/// the 128 bytes of the header, the descriptor, the salt and the body.
///
/// # Errors
/// When the event is no message of a node.
pub fn line(event: &Event, raw: bool) -> Result<Value, JournalError> {
    line_within(event, raw, usize::MAX)
}

/// As [`line()`], but of a body that is longer than `content_max` bytes only the
/// length: as `content_omitted`.
///
/// # Errors
/// When the event is no message of a node.
pub fn line_within(event: &Event, raw: bool, content_max: usize) -> Result<Value, JournalError> {
    let mut object = match journal::record(event)? {
        Some(record) => match json::record(&record) {
            Value::Object(object) => object,
            _ => Map::new(),
        },
        None => Map::new(),
    };
    object.insert("seq".into(), event.seq().into());
    object.insert("time".into(), event.time().into());
    object.insert(
        "record_kind".into(),
        format!("{:?}", event.record_kind()).to_lowercase().into(),
    );
    object.insert("stream".into(), event.stream().into());
    object.insert("kind".into(), event.kind().into());
    object.insert("stream_version".into(), event.stream_version().into());
    if let Some(hash) = event.chain_hash() {
        object.insert("chain_hash".into(), hex(&hash.0).into());
    }
    match event.body() {
        Body::None => {}
        Body::Present(body) if body.len() <= content_max => {
            object.insert("content".into(), content(body));
        }
        Body::Present(body) => {
            object.insert("content_omitted".into(), body.len().into());
        }
        _ => {
            object.insert("body_state".into(), "removed".into());
        }
    }
    if raw {
        let bytes = json!({
            "header": event.header().map(|header| hex(header)),
            "descriptor": hex(event.descriptor()),
            "salt": event.salt().map(|salt| hex(salt)),
            "body": event.body().bytes().map(hex),
        });
        object.insert("raw".into(), bytes);
    }
    Ok(Value::Object(object))
}

/// What stands before the events of a log whose past was dropped: the state of
/// chain and tree that a verifier begins with.
#[must_use]
pub fn boundary(boundary: &Boundary) -> Value {
    let frontier = boundary.frontier.iter().map(|hash| hex(&hash.0));
    json!({"boundary": {
        "seq": boundary.seq,
        "time": boundary.time,
        "incarnation": boundary.incarnation,
        "chain_hash": hex(&boundary.chain_hash.0),
        "log_id": hex(&boundary.log_id.0),
        "frontier": frontier.collect::<Vec<_>>(),
    }})
}

/// A body, as readable as it is: JSON, text, or hexadecimal digits.
#[must_use]
pub fn content(body: &[u8]) -> Value {
    match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into())),
        Err(_) => json!({ "hex": hex(body) }),
    }
}
