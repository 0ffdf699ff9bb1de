//! What an append returns at once.

use std::fmt;
use std::sync::Arc;

use crate::error::AppendError;
use crate::log::progress::Progress;

/// Where appended events are in the log. They are durable when
/// [`wait`](Ticket::wait) returns; nobody should be told of them before that.
///
/// With the feature `async` a ticket can be awaited instead.
#[derive(Clone)]
#[must_use = "events are durable only once the ticket says so"]
pub struct Ticket {
    /// The first event's sequence.
    pub first: u64,
    /// The last event's sequence.
    pub last: u64,
    /// The time of all of them, in microseconds since the epoch.
    pub time: u64,
    pub(crate) repeat: bool,
    pub(crate) progress: Arc<Progress>,
}

impl Ticket {
    /// Blocks until the events are durable.
    pub fn wait(&self) -> Result<(), AppendError> {
        self.progress.wait(self.last)
    }

    /// Whether the events are durable.
    pub fn is_durable(&self) -> bool {
        self.progress.durable() >= self.last
    }

    /// Whether this append repeated an earlier one, going by an idempotency
    /// key. Nothing was appended then, and the ticket is the one of the events
    /// that are in the log already.
    pub fn is_repeat(&self) -> bool {
        self.repeat
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("first", &self.first)
            .field("last", &self.last)
            .field("time", &self.time)
            .field("repeat", &self.repeat)
            .finish_non_exhaustive()
    }
}
