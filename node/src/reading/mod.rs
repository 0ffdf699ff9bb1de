//! What people and programs see of a log: pages of it, the records that a
//! filter lets through, one record with its cause and its effects.
//!
//! Works on a running node's log and on a log's files alike; only durable
//! records are ever seen. Every call is bounded in how much it reads, so that
//! whoever asks for something rare can't occupy a thread: it goes on with the
//! next call. All of it blocks on the disk.

pub mod entry;
pub mod filter;
pub mod page;

use serde_json::Value;
use vsm_store::{Event, EventLog, OfflineLog, ReadError, Reader};

pub use self::{
    entry::entry,
    filter::Filter,
    page::{Page, Span, page},
};
use crate::{offline::export, runtime::journal::JournalError};

/// The longest body that is shown, in bytes; `vsm log export` has all of them.
pub const CONTENT_MAX: usize = 64 << 10;

/// A log can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadingError {
    /// It is corrupt, or the system failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It holds something else than a node's messages.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A log that can be read, hashed and compared.
pub trait Source {
    /// Its events from a sequence number on.
    fn events(&self, from: u64) -> Reader;
    /// The first sequence number that is there: 0, or where it was pruned to.
    fn first(&self) -> u64;
    /// The last durable sequence number.
    fn last(&self) -> u64;
}

impl Source for EventLog {
    fn events(&self, from: u64) -> Reader {
        self.read(from).hashed(true)
    }

    fn first(&self) -> u64 {
        self.first_seq()
    }

    fn last(&self) -> u64 {
        self.durable()
    }
}

impl Source for OfflineLog {
    fn events(&self, from: u64) -> Reader {
        self.read(from)
    }

    fn first(&self) -> u64 {
        self.first_seq()
    }

    fn last(&self) -> u64 {
        self.last_seq()
    }
}

/// One event as JSON: the shape of `vsm log export`, long bodies left out.
///
/// # Errors
/// When the event is no message of a node.
pub fn line(event: &Event) -> Result<Value, JournalError> {
    export::line_within(event, false, CONTENT_MAX)
}

/// Bytes that reading an event costs, roughly.
fn cost(event: &Event) -> usize {
    64 + event.meta().len() + event.body().bytes().map_or(0, <[u8]>::len)
}
