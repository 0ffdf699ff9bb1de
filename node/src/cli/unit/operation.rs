//! An operation, as a unit is given it.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Which attempt at an operation: id, session, attempt.
pub type Key = (String, u64, u64);

/// An operation, as the node gives it.
#[derive(Debug, Deserialize)]
pub struct Operation {
    /// Which.
    pub id: String,
    /// The session that it was dispatched in.
    pub session: u64,
    /// Which attempt.
    pub attempt: u64,
    /// What is to be done.
    pub capability: String,
    /// With what.
    pub payload: Box<RawValue>,
    /// Why there is no payload any more.
    #[serde(default)]
    pub payload_gone: Option<String>,
    /// By when, in microseconds since the epoch.
    pub deadline: u64,
    /// What it belongs to.
    pub correlation_id: String,
}

impl Operation {
    /// Which attempt at it this is.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.id.clone(), self.session, self.attempt)
    }
}
