//! What is before the first event that a log holds: it was pruned, which a
//! record says, or somebody took it away, which is damage.
//!
//! Whoever reads there is told which. The record may be anywhere in what is
//! left, so that a log which was pruned before it was opened is searched for
//! it, backwards, the first time that somebody asks, and never otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::sign::Record;
use crate::error::{Fault, ReadError};
use crate::log::progress::Progress;
use crate::log::store::Store;
use crate::reader::BackwardReader;

/// What is said of events that are gone without a record.
pub(crate) const NO_RECORD: &str =
    "the volume that holds it is missing, and no record says that it was pruned";

/// What is known of a log's prunings.
#[derive(Default)]
pub(crate) struct Boundary {
    /// A record says that everything before it was pruned.
    pruned_to: AtomicU64,
    /// The last sequence when the log was opened. Later records need no search:
    /// what they say is known once it is done.
    last_at_open: AtomicU64,
    /// A first sequence that no record was found for. A lock, so that two who
    /// ask don't both search.
    unrecorded: Mutex<Option<u64>>,
}

impl Boundary {
    /// The log was opened, and ends there.
    pub(crate) fn opened(&self, last_seq: u64) {
        self.last_at_open.store(last_seq, Ordering::Release);
    }

    /// A record says that what is before `first_kept` was pruned.
    pub(crate) fn pruned(&self, first_kept: u64) {
        self.pruned_to.fetch_max(first_kept, Ordering::AcqRel);
    }

    fn is_pruned_to(&self, first: u64) -> bool {
        self.pruned_to.load(Ordering::Acquire) >= first
    }
}

impl Store {
    /// Whether a record says that everything before the first event that is
    /// there was pruned.
    pub(crate) fn is_pruned_by_record(self: &Arc<Self>) -> Result<bool, Fault> {
        let boundary = &self.boundary;
        let first = self.first_seq();
        if boundary.is_pruned_to(first) {
            return Ok(true);
        }
        let mut unrecorded = boundary.unrecorded.lock();
        if boundary.is_pruned_to(first) {
            return Ok(true);
        }
        if *unrecorded == Some(first) {
            return Ok(false);
        }
        let last_seq = boundary.last_at_open.load(Ordering::Acquire);
        let found = has_record(self, first, last_seq)?;
        if found {
            boundary.pruned(first);
        } else {
            *unrecorded = Some(first);
        }
        Ok(found)
    }

    /// What to say of an event before the first one that is there.
    pub(crate) fn missing_before_first(self: &Arc<Self>, seq: u64) -> ReadError {
        match self.is_pruned_by_record() {
            Ok(true) => ReadError::Pruned {
                first: self.first_seq(),
            },
            Ok(false) => Fault::corrupt(seq, NO_RECORD).into(),
            Err(fault) => fault.into(),
        }
    }
}

/// Looks for a record that says that the log was pruned to `first` or further.
fn has_record(store: &Arc<Store>, first: u64, last_seq: u64) -> Result<bool, Fault> {
    let mut reader = BackwardReader::new(
        Arc::clone(store),
        Arc::new(Progress::new(last_seq)),
        last_seq,
    );
    while let Some(event) = reader.step()? {
        let seq = event.seq();
        let bad = |malformed| Fault::from((seq, malformed));
        let record = Record::parse(event.record_kind(), event.meta()).map_err(bad)?;
        if let Some(Record::Pruned(record)) = record
            && record.first_kept >= first
        {
            return Ok(true);
        }
        // Behind it there is nothing, and asking for it would end up here.
        if seq <= first {
            break;
        }
    }
    Ok(false)
}
