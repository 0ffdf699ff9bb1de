//! Messages as the log's events, and back.
//!
//! A message is an event of the stream named after its recipient, or after the
//! node when a certain one's subsystem is meant, of the type
//! `channel.type`, whose meta is the message's encoding. The log can then be
//! filtered by recipient and type without decoding anything.

use std::borrow::Cow;

use vsm_core::{BodyRef, Digest, Message, Name, Record, Seq, Timestamp, codec};
use vsm_store::{Batch, Event, EventError, NewEvent, RecordKind};

/// An event of the log is no message.
#[derive(Debug, thiserror::Error)]
#[error("record {seq} is no message: {source}")]
pub struct JournalError {
    /// Where.
    pub seq: Seq,
    /// What is wrong with it.
    pub source: codec::DecodeError,
}

/// Encodes messages into batches, with a buffer that is kept.
#[derive(Default)]
pub struct Encoder {
    meta: Vec<u8>,
}

impl Encoder {
    /// Appends a message and its body to a batch; the answer is what steps
    /// will know of the body.
    ///
    /// # Errors
    /// When the message or its body is larger than the log takes.
    pub fn push(
        &mut self,
        batch: &mut Batch,
        message: &Message,
        body: Option<&[u8]>,
    ) -> Result<Option<BodyRef>, EventError> {
        self.meta.clear();
        codec::encode_into(message, &mut self.meta);
        let index = batch.len();
        batch.push(&NewEvent {
            stream: &stream(message),
            kind: message.payload.kind(),
            key: None,
            meta: &self.meta,
            body,
        })?;
        let digest = batch.body_commitment(index);
        Ok(body.zip(digest).map(|(body, digest)| BodyRef {
            // The log takes no body that long.
            len: u32::try_from(body.len()).unwrap_or(u32::MAX),
            digest: Digest(digest.0),
        }))
    }
}

/// The stream of a message. Those for a named node are one stream, which is
/// what is sent to it.
fn stream(message: &Message) -> Cow<'static, str> {
    match &message.to.instance {
        None => message.to.text(),
        Some(node) => Cow::Owned(stream_for(node)),
    }
}

/// The stream of messages for subsystems of `node`.
#[must_use]
pub fn stream_for(node: &Name) -> String {
    format!("@{node}")
}

/// The record that an event holds; `None` for the log's own events.
///
/// # Errors
/// When the event is no message: the log was written by something else.
pub fn record(event: &Event) -> Result<Option<Record>, JournalError> {
    if event.record_kind() != RecordKind::Event {
        return Ok(None);
    }
    let seq = Seq(event.seq());
    let message = codec::decode(event.meta()).map_err(|source| JournalError { seq, source })?;
    let body = event.body_commitment().map(|digest| BodyRef {
        len: event.body_len(),
        digest: Digest(digest.0),
    });
    Ok(Some(Record {
        seq,
        time: Timestamp(event.time()),
        message,
        body,
    }))
}

/// Whether an event belongs to the lifecycle, without decoding it.
#[must_use]
pub fn is_lifecycle(event: &Event) -> bool {
    event.kind().starts_with("lifecycle.")
}
