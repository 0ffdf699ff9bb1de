//! The subsystems, each a deterministic Mealy machine over records.

mod query;

pub use query::Query;

use crate::{address::Role, codec::DecodeError, outbox::Outbox, record::Record, time::Timestamp};

/// A subsystem. Same records in, same messages out.
///
/// An implementation reads nothing but the records: no clock, no randomness,
/// no unordered map. It never panics on any record, however odd; what makes no
/// sense is answered or ignored.
pub trait System: Send {
    /// Takes in a record. Every own deadline at or before `record.time` fires
    /// first; then the record itself counts.
    fn step(&mut self, record: &Record, out: &mut Outbox);

    /// The earliest own deadline.
    fn next_deadline(&self) -> Option<Timestamp>;

    /// The version of this behaviour; raised with every change that emits
    /// other messages, or keeps another state, for the same records.
    fn behaviour(&self) -> u32;

    /// Appends the state's bytes.
    fn encode(&self, bytes: &mut Vec<u8>);

    /// The state as JSON.
    fn view(&self) -> serde_json::Value;

    /// A part of the state as JSON.
    fn query(&self, query: &Query) -> serde_json::Value {
        match query {
            Query::Whole => self.view(),
            _ => serde_json::Value::Null,
        }
    }
}

/// A subsystem before its first record; `None` when this crate has none of
/// that role.
#[must_use]
pub fn create(_role: Role) -> Option<Box<dyn System>> {
    None
}

/// A subsystem with the state that [`System::encode`] gave.
///
/// # Errors
/// When the bytes are no state of that role.
pub fn restore(_role: Role, _state: &[u8]) -> Result<Box<dyn System>, DecodeError> {
    Err(DecodeError::Trailing(0))
}
