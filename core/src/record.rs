//! A message as the log holds it and a step sees it.

use serde::{Deserialize, Serialize};

use crate::{
    id::{Digest, Seq},
    message::Message,
    time::Timestamp,
};

/// A message with its place in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Where.
    pub seq: Seq,
    /// When it was numbered; never less than the record before.
    pub time: Timestamp,
    /// The message.
    pub message: Message,
    /// What a step may know of its body.
    pub body: Option<BodyRef>,
}

/// What a step may know of a body: enough to refer to it, nothing that a
/// redaction would take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRef {
    /// Its length in bytes.
    pub len: u32,
    /// The log's commitment to its salt and to it: part of the record's hashed
    /// header, and still there when the body is removed.
    pub digest: Digest,
}

impl Record {
    /// The commitment to its body, if it has one.
    #[must_use]
    pub fn body_commitment(&self) -> Option<Digest> {
        self.body.map(|body| body.digest)
    }
}
