//! What a unit is given, and what it gives back.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use vsm_core::{MessageId, Name, Timestamp};

use super::voice::Voice;

/// An operation to do, and what can be said meanwhile.
#[derive(Clone, Debug)]
pub struct Work {
    /// The operation.
    pub operation: MessageId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// What is to be done.
    pub capability: Name,
    /// With what, as it was submitted; nothing when nothing was.
    pub payload: Bytes,
    /// By when.
    pub deadline: Timestamp,
    /// What it belongs to.
    pub correlation: MessageId,
    pub(super) cancelled: CancellationToken,
    pub(super) voice: Voice,
}

impl Work {
    /// The payload.
    ///
    /// # Errors
    /// When it is something else; that is a failure to give back.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let bytes = match self.payload.as_ref() {
            b"" => b"null",
            bytes => bytes,
        };
        serde_json::from_slice(bytes).map_err(|error| Failure::new(format!("the payload: {error}")))
    }

    /// Set when the operation is no longer wanted: it was cancelled, its time
    /// is up, or the node stops and has waited long enough.
    #[must_use]
    pub const fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// What the unit can say: bargain, plan, feel, report.
    #[must_use]
    pub const fn voice(&self) -> &Voice {
        &self.voice
    }
}

/// What came of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    pub(super) body: Bytes,
    pub(super) evidence: Option<String>,
    pub(super) usage: BTreeMap<Name, u64>,
}

impl Output {
    /// Something as JSON.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn json(output: impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self {
            body: serde_json::to_vec(&output)?.into(),
            ..Self::default()
        })
    }

    /// With evidence that an auditor may ask for later. The unit binds itself
    /// to it now, before anybody knows what is drawn.
    #[must_use]
    pub fn evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = Some(evidence.into());
        self
    }

    /// With what it used of a resource.
    #[must_use]
    pub fn used(mut self, resource: Name, amount: u64) -> Self {
        self.usage.insert(resource, amount);
        self
    }
}

impl From<Value> for Output {
    fn from(output: Value) -> Self {
        Self {
            body: output.to_string().into(),
            ..Self::default()
        }
    }
}

/// Why an operation could not be done. Any error becomes one with `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    output: Value,
}

impl Failure {
    /// For a reason.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self {
            output: json!({"error": reason.to_string()}),
        }
    }

    /// With whatever the client shall see.
    #[must_use]
    pub const fn with_output(output: Value) -> Self {
        Self { output }
    }

    pub(super) fn body(&self) -> Bytes {
        self.output.to_string().into()
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_failures() {
        fn f() -> Result<u8, Failure> {
            Ok("x".parse::<u8>()?)
        }
        let failure = f().unwrap_err();
        assert_eq!(
            failure.body(),
            r#"{"error":"invalid digit found in string"}"#
        );
    }
}
