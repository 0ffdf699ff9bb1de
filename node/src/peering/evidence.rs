//! Alarms of sessions: what the log keeps, and whom it is held against.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use vsm_core::{Digest, Text};
use vsm_replication::peer::{Alarm, Receipt, RelayBatch, Signature, SignedChange};

/// What an alarm says, for people.
pub(super) fn reason(alarm: &Alarm) -> Text {
    let text = match alarm {
        Alarm::Identity(refusal)
        | Alarm::Change { refusal, .. }
        | Alarm::Relays { refusal, .. }
        | Alarm::Receipt { refusal, .. }
        | Alarm::Incarnation { refusal, .. } => refusal.to_string(),
        Alarm::ChangeForked {
            document,
            actor,
            number,
            ..
        } => format!("actor {actor} has two changes number {number} in {document}"),
        Alarm::ReceiptWithdrawn { receipt, resume } => format!(
            "the peer signed that it had relays up to {}, and goes on from {}: it lost its tail",
            receipt.upto.seq, resume.seq
        ),
        Alarm::CursorUnknown { resume, .. } => format!(
            "the peer has relays up to {} of this log, which this log does not have",
            resume.seq
        ),
        Alarm::CheckpointInvalid { reason, .. } => {
            format!("the peer's checkpoint is not valid: {reason}")
        }
        Alarm::LogForked { .. } => "the peer's log has two histories".into(),
        Alarm::LogRolledBack { .. } => "the peer's log became shorter".into(),
    };
    Text::cut(&text)
}

/// All that an alarm rests on, as JSON: whoever has the nodes' keys can check
/// it again.
pub(super) fn evidence(alarm: &Alarm) -> Vec<u8> {
    let value = match alarm {
        Alarm::Identity(_) => json!({"kind": "identity"}),
        Alarm::Change { change, .. } => json!({"kind": "change", "change": of_change(change)}),
        Alarm::ChangeForked { first, second, .. } => json!({
            "kind": "change_forked",
            "first": of_change(first),
            "second": of_change(second),
        }),
        Alarm::Relays { batch, .. } => json!({"kind": "relays", "batch": of_batch(batch)}),
        Alarm::Receipt { receipt, .. } => {
            json!({"kind": "receipt", "receipt": of_receipt(receipt)})
        }
        Alarm::ReceiptWithdrawn { receipt, resume } => json!({
            "kind": "receipt_withdrawn",
            "receipt": of_receipt(receipt),
            "resume": resume,
        }),
        Alarm::CursorUnknown { resume, receipt } => json!({
            "kind": "cursor_unknown",
            "resume": resume,
            "receipt": of_receipt(receipt),
        }),
        Alarm::Incarnation { cursor, .. } => json!({
            "kind": "incarnation",
            "log": cursor.log,
            "incarnation": cursor.incarnation,
            "at": cursor.at,
        }),
        Alarm::CheckpointInvalid { checkpoint, .. } => {
            json!({"kind": "checkpoint_invalid", "checkpoint": checkpoint})
        }
        Alarm::LogForked { old, new } => json!({"kind": "log_forked", "old": old, "new": new}),
        Alarm::LogRolledBack { old, new } => {
            json!({"kind": "log_rolled_back", "old": old, "new": new})
        }
    };
    value.to_string().into_bytes()
}

fn of_change(change: &SignedChange) -> Value {
    json!({
        "document": change.document.to_string(),
        "owner": change.owner,
        "run": change.run,
        "bytes": STANDARD.encode(&change.bytes),
        "signature": signature(&change.signature),
    })
}

fn of_receipt(receipt: &Receipt) -> Value {
    json!({
        "origin": receipt.origin,
        "incarnation": receipt.incarnation,
        "destination": receipt.destination,
        "destination_incarnation": receipt.destination_incarnation,
        "upto": receipt.upto,
        "signature": signature(&receipt.signature),
    })
}

/// With the digests of its messages, which is what the origin signed.
fn of_batch(batch: &RelayBatch) -> Value {
    let relays = batch.relays.iter().map(|relay| {
        json!({
            "at": relay.position(),
            "digest": Digest::of(&relay.message),
        })
    });
    json!({
        "origin": batch.origin,
        "incarnation": batch.incarnation,
        "destination": batch.destination,
        "after": batch.after,
        "relays": relays.collect::<Vec<_>>(),
        "signature": signature(&batch.signature),
    })
}

fn signature(signature: &Signature) -> String {
    STANDARD.encode(signature.to_bytes())
}
