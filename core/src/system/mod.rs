//! The subsystems, each a deterministic Mealy machine over records.

mod bits;
mod maker;
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

pub use maker::Maker;
pub use query::Query;

use self::{s1::S1, s2::S2, s3::S3, s3star::S3Star, s4::S4, s5::S5};
use crate::{address::Role, outbox::Outbox, record::Record, time::Timestamp};

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

/// How the subsystems of this crate are made, in the order of their roles.
/// Others may host more beside them: `vsm-replication` has `Shared`.
pub const SYSTEMS: [Maker; 6] = [
    Maker::of::<S1>(Role::S1),
    Maker::of::<S2>(Role::S2),
    Maker::of::<S3>(Role::S3),
    Maker::of::<S3Star>(Role::S3Star),
    Maker::of::<S4>(Role::S4),
    Maker::of::<S5>(Role::S5),
];

/// How the subsystem of a role of this crate is made.
#[must_use]
pub fn maker(role: Role) -> Option<Maker> {
    SYSTEMS.into_iter().find(|maker| maker.role() == role)
}

/// A view as JSON.
fn json<T: serde::Serialize>(view: &T) -> serde_json::Value {
    // Views have keys that are texts and finite numbers only.
    serde_json::to_value(view).unwrap_or(serde_json::Value::Null)
}
