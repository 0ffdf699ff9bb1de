//! Retention: dropping the oldest volumes of a log.

use ed25519_dalek::SigningKey;

use super::error::PruneError;
use super::finish::Asked;
use super::sign::check_key;
use super::unfinished::{append_records, begin, go_on};
use crate::error::{Fault, ReadError};
use crate::format::header::RecordKind;
use crate::format::internal::{Pruned, REASON_BYTES_MAX, SIGNATURE_LEN};
use crate::log::EventLog;

/// What a pruning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneReport {
    /// The first sequence that the log holds now.
    pub first_kept: u64,
    /// Volumes that were dropped.
    pub volumes_dropped: u64,
    /// Events that were dropped.
    pub events_dropped: u64,
    /// The record that says so; `None` if there was nothing to drop.
    pub record: Option<u64>,
}

impl EventLog {
    /// The first sequence that the log holds: 0, or where it was pruned to.
    pub fn first_seq(&self) -> u64 {
        self.shared().store.first_seq()
    }

    /// Drops events before `before_seq`, as far as whole sealed volumes go:
    /// some before it may stay, none from it on is dropped. The volume that is
    /// being written stays.
    ///
    /// A record with the chain hash and the tree's root at the boundary is
    /// appended first, signed with the key that belongs to the log's node key
    /// if it has one. What is left still verifies from there. Reading what was
    /// dropped is [`ReadError::Pruned`].
    pub fn prune(
        &self,
        before_seq: u64,
        reason: &str,
        key: Option<&SigningKey>,
    ) -> Result<PruneReport, PruneError> {
        let (len, max) = (reason.len(), REASON_BYTES_MAX);
        if len > max {
            return Err(PruneError::ReasonTooLong { len, max });
        }
        let shared = self.shared();
        check_key(&shared.identity, key)?;
        let mut unfinished = shared.unfinished.lock();
        go_on(shared, &mut unfinished).map_err(PruneError::Unfinished)?;

        // Volumes that what is durable already would seal count as well.
        shared.progress.readable().map_err(ReadError::from)?;
        let volumes = shared.store.volumes();
        let first = self.first_seq();
        let boundary = volumes
            .iter()
            .rposition(|start| *start <= before_seq)
            .unwrap_or(0);
        let nothing = PruneReport {
            first_kept: first,
            volumes_dropped: 0,
            events_dropped: 0,
            record: None,
        };
        if boundary == 0 {
            return Ok(nothing);
        }
        let first_kept = volumes[boundary];
        let header = shared.store.header(first_kept).map_err(ReadError::from)?;
        let mut record = Pruned {
            first_kept,
            time_before: header.time_before,
            hash_before: header.hash_before,
            root_before: header.frontier.root(),
            reason: reason.to_owned(),
            signature: [0; SIGNATURE_LEN],
        };
        record.sign(&shared.identity, key);
        begin(shared, self).map_err(into_io)?;
        let ticket = append_records(self, RecordKind::Pruned, &[record.encode()])?;
        *unfinished = Asked {
            first_kept,
            ..Asked::default()
        };
        go_on(shared, &mut unfinished).map_err(PruneError::Unfinished)?;
        Ok(PruneReport {
            first_kept,
            volumes_dropped: boundary as u64,
            events_dropped: first_kept - first,
            record: Some(ticket.first),
        })
    }
}

fn into_io(fault: Fault) -> PruneError {
    match fault {
        Fault::Io(error) => PruneError::Io(error),
        fault => PruneError::Read(fault.into()),
    }
}
