//! The subsystems, each a deterministic Mealy machine over records.

mod bits;
mod query;
mod s1;
mod s2;
mod s3;
mod s3star;
mod s4;
mod s5;
mod slab;
#[cfg(test)]
mod testing;

pub use query::Query;

use serde::de::DeserializeOwned;

use self::{s1::S1, s2::S2, s3::S3, s3star::S3Star, s4::S4, s5::S5};
use crate::{
    address::Role,
    codec::{self, DecodeError},
    outbox::Outbox,
    record::Record,
    time::Timestamp,
};

/// A subsystem. Same records in, same messages out.
///
/// An implementation reads nothing but the records: no clock, no randomness,
/// no unordered map. It never panics on any record, however odd; what makes no
/// sense is answered or ignored.
pub trait System: Send {
    /// Takes in a record. Every own deadline at or before `record.time` fires
    /// first; then the record itself counts. Once
    /// [`EMITTED_MAX`](crate::machine::EMITTED_MAX) messages are emitted, what
    /// else is due may stay due for the next step.
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

    /// Part of the state as JSON; `null` when there is no such part.
    fn query(&self, query: &Query) -> serde_json::Value {
        match query {
            Query::Whole | Query::Summary => self.view(),
            _ => serde_json::Value::Null,
        }
    }
}

/// A subsystem before its first record; `None` when this crate has none of
/// that role.
#[must_use]
pub fn create(role: Role) -> Option<Box<dyn System>> {
    match role {
        Role::S1 => Some(Box::new(S1::default())),
        Role::S2 => Some(Box::new(S2::default())),
        Role::S3 => Some(Box::new(S3::default())),
        Role::S3Star => Some(Box::new(S3Star::default())),
        Role::S4 => Some(Box::new(S4::default())),
        Role::S5 => Some(Box::new(S5::default())),
        _ => None,
    }
}

/// A subsystem with the state that [`System::encode`] gave.
///
/// # Errors
/// When the bytes are no state of that role.
pub fn restore(role: Role, state: &[u8]) -> Result<Box<dyn System>, DecodeError> {
    fn boxed<S: System + DeserializeOwned + 'static>(
        state: &[u8],
    ) -> Result<Box<dyn System>, DecodeError> {
        Ok(Box::new(codec::decode_state::<S>(state)?))
    }
    match role {
        Role::S1 => boxed::<S1>(state),
        Role::S2 => boxed::<S2>(state),
        Role::S3 => boxed::<S3>(state),
        Role::S3Star => boxed::<S3Star>(state),
        Role::S4 => boxed::<S4>(state),
        Role::S5 => boxed::<S5>(state),
        // A role without a state of its own has no bytes either.
        _ => Err(DecodeError::Trailing(state.len())),
    }
}

/// A view as JSON.
fn json<T: serde::Serialize>(view: &T) -> serde_json::Value {
    // Views have keys that are texts and finite numbers only.
    serde_json::to_value(view).unwrap_or(serde_json::Value::Null)
}
