//! One record: decoded, with its hashes, its cause and its effects.

use serde_json::{Map, Value, json};
use vsm_core::{Cause, Record, json};
use vsm_store::{Body, Event};

use super::{ReadingError, Source, cost, line};
use crate::{offline::export::hex, runtime::journal};

/// Records after it in which effects are looked for, at most.
pub const EFFECTS_SCANNED_MAX: usize = 10_000;
/// Bytes read in doing so, at most.
const EFFECTS_BYTES_MAX: usize = 32 << 20;
/// Effects that are shown at most.
const EFFECTS_MAX: usize = 256;

/// A record of a log; `None` when there is none of that number, or it is not
/// durable yet.
///
/// ```text
/// { …as in `vsm log export`…,
///   "body_state": "none" | "present" | "removed",
///   "hashes": { chain_hash, previous, descriptor, body_commitment, salt, header },
///   "caused_by": { "principal": … } | { "record": …, "index": … } | { "remote": … }
///              | { "pruned": seq, "index": … },
///   "effects": [ … ], "effects_complete": bool, "effects_scanned_to": seq }
/// ```
///
/// # Errors
/// When the log can't be read.
pub fn entry(source: &impl Source, seq: u64) -> Result<Option<Value>, ReadingError> {
    if seq > source.last() {
        return Ok(None);
    }
    let Some(event) = source.events(seq).next().transpose()? else {
        return Ok(None);
    };
    let mut object = match line(&event)? {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    object.insert("body_state".into(), body_state(&event).into());
    object.insert("hashes".into(), hashes(&event));
    if let Some(record) = journal::record(&event)? {
        object.insert("caused_by".into(), caused_by(source, &record)?);
        effects(source, seq, &mut object)?;
    }
    Ok(Some(Value::Object(object)))
}

fn body_state(event: &Event) -> &'static str {
    match event.body() {
        Body::None => "none",
        Body::Present(_) => "present",
        _ => "removed",
    }
}

/// What a verifier recomputes: the header's 128 bytes are all that the chain
/// hash is over, and they hold the other digests.
fn hashes(event: &Event) -> Value {
    let part = |from: usize, to: usize| {
        event
            .header()
            .and_then(|header| header.get(from..to))
            .map(hex)
    };
    json!({
        "chain_hash": event.chain_hash().map(|hash| hex(&hash.0)),
        "previous": part(96, 128),
        "descriptor": part(32, 64),
        "body_commitment": event.body_commitment().map(|digest| hex(&digest.0)),
        "salt": event.salt().map(|salt| hex(salt)),
        "header": event.header().map(|header| hex(header)),
    })
}

fn caused_by(source: &impl Source, record: &Record) -> Result<Value, ReadingError> {
    Ok(match &record.message.cause {
        Cause::Principal(name) => json!({ "principal": name }),
        Cause::Remote { .. } => json!({ "remote": record.message.cause }),
        Cause::Local { seq, index } => {
            if seq.0 < source.first() {
                return Ok(json!({ "pruned": seq, "index": index }));
            }
            let event = source.events(seq.0).next().transpose()?;
            let found = match &event {
                Some(event) => journal::record(event)?,
                None => None,
            };
            json!({ "record": found.as_ref().map(brief), "index": index })
        }
    })
}

/// Adds the records whose cause this one is.
fn effects(
    source: &impl Source,
    seq: u64,
    object: &mut Map<String, Value>,
) -> Result<(), ReadingError> {
    let mut effects = Vec::new();
    let (mut scanned_to, mut bytes) = (seq, 0);
    let last = source.last();
    for event in source.events(seq + 1).take(EFFECTS_SCANNED_MAX) {
        if bytes >= EFFECTS_BYTES_MAX || effects.len() >= EFFECTS_MAX {
            break;
        }
        let event = event?;
        scanned_to = event.seq();
        bytes += cost(&event);
        let Some(record) = journal::record(&event)? else {
            continue;
        };
        if let Cause::Local { seq: cause, index } = record.message.cause
            && cause.0 == seq
        {
            let mut effect = brief(&record);
            effect["index"] = index.into();
            effects.push(effect);
        }
    }
    object.insert("effects".into(), effects.into());
    object.insert("effects_complete".into(), (scanned_to >= last).into());
    object.insert("effects_scanned_to".into(), scanned_to.into());
    Ok(())
}

/// A record in a line.
fn brief(record: &Record) -> Value {
    let message = &record.message;
    json!({
        "seq": record.seq,
        "time": record.time,
        "id": message.id,
        "channel": message.channel(),
        "type": message.payload.type_name(),
        "from": message.from.to_string(),
        "to": message.to.to_string(),
        "payload": json::content(&message.payload),
    })
}
