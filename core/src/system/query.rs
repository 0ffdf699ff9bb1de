//! What can be asked of a subsystem's state without taking all of it.

use crate::{id::MessageId, name::Name};

/// A question to a subsystem's state. The answer is JSON, `null` when the
/// subsystem has no such thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// One operation (S1).
    Operation(MessageId),
    /// The youngest operations, youngest first (S1).
    Operations {
        /// How many at most.
        limit: usize,
    },
    /// Every unit (S1).
    Units,
    /// One unit (S1).
    Unit(Name),
    /// The record that submitted the oldest operation that has not ended (S1):
    /// from there on the log is needed for dispatches.
    OldestOpen,
    /// Counters and lengths; as cheap with 100,000 units as with ten.
    Summary,
    /// All of it: [`System::view`](crate::System::view).
    Whole,
}
