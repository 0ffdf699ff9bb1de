//! Redaction: removing the bodies of events for good.

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;

use super::error::RedactError;
use super::finish::Asked;
use super::sign::check_key;
use super::unfinished::{append_records, begin, go_on};
use crate::error::{Fault, ReadError};
use crate::event::Body;
use crate::format::header::RecordKind;
use crate::format::internal::{REASON_BYTES_MAX, Redacted, SIGNATURE_LEN};
use crate::log::EventLog;
use crate::snapshot::SnapshotInfo;

/// The most events that one call redacts.
pub const REDACTIONS_MAX: usize = 4096;

/// One removed body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redaction {
    /// The event whose body was removed.
    pub seq: u64,
    /// The record that says so.
    pub record: u64,
}

/// What a redaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedactReport {
    /// The removed bodies, by sequence.
    pub redactions: Vec<Redaction>,
    /// Volumes that were rewritten.
    pub volumes_rewritten: u64,
    /// Snapshots that were taken after one of the events. Whoever put them
    /// there knows whether they hold what was in the bodies; this crate does
    /// not, and leaves them.
    pub snapshots: Vec<SnapshotInfo>,
}

impl EventLog {
    /// Removes the body of one event for good. See
    /// [`redact_all`](Self::redact_all).
    pub fn redact(
        &self,
        seq: u64,
        reason: &str,
        key: Option<&SigningKey>,
    ) -> Result<RedactReport, RedactError> {
        self.redact_all(&[(seq, reason)], key)
    }

    /// Removes the bodies of events for good, each with a reason of at most
    /// [`REASON_BYTES_MAX`] bytes. Salt and body go; header, meta, chain, tree
    /// and all proofs stay as they are, and what is read there is
    /// [`Body::Removed`]. A record of each is appended, signed with the key
    /// that belongs to the log's node key if it has one.
    ///
    /// When this returns, no file of the log holds the bodies. Readers that
    /// are at work on such a volume finish on what they have open. Appending
    /// goes on meanwhile. All bodies of one call are gone after rewriting each
    /// volume once, so that one call for many is far cheaper than many calls.
    ///
    /// A reason stays for good: it must not say what it removes. Neither
    /// metas, backups, exports, nor snapshots are changed, see
    /// [`RedactReport::snapshots`].
    pub fn redact_all(
        &self,
        redactions: &[(u64, &str)],
        key: Option<&SigningKey>,
    ) -> Result<RedactReport, RedactError> {
        check(redactions)?;
        let shared = self.shared();
        check_key(&shared.identity, key)?;
        let mut unfinished = shared.unfinished.lock();
        let recorded = unfinished.redacted.clone();
        let mut volumes_rewritten =
            go_on(shared, &mut unfinished).map_err(RedactError::Unfinished)?;

        let (mut done, mut records) = (Vec::new(), Vec::new());
        for (seq, reason) in redactions {
            match recorded.get(seq) {
                // An earlier call did not get to the end of it.
                Some(&record) => done.push(Redaction { seq: *seq, record }),
                None => {
                    let mut record = self.record_of(*seq, reason)?;
                    record.sign(&shared.identity, key);
                    records.push(record);
                }
            }
        }
        if !records.is_empty() {
            begin(shared, self).map_err(into_io)?;
            let metas: Vec<_> = records.iter().map(Redacted::encode).collect();
            let ticket = append_records(self, RecordKind::Redacted, &metas)?;
            let new = records.iter().map(|record| record.seq).zip(ticket.first..);
            *unfinished = Asked {
                redacted: new.clone().collect(),
                ..Asked::default()
            };
            volumes_rewritten += go_on(shared, &mut unfinished).map_err(RedactError::Unfinished)?;
            done.extend(new.map(|(seq, record)| Redaction { seq, record }));
        }
        done.sort_unstable_by_key(|redaction| redaction.seq);
        let from = done.first().map_or(0, |redaction| redaction.seq);
        Ok(RedactReport {
            redactions: done,
            volumes_rewritten,
            snapshots: shared.snapshots.taken_from(from).map_err(ReadError::Io)?,
        })
    }

    /// What is to be recorded of an event, if its body can be removed.
    fn record_of(&self, seq: u64, reason: &str) -> Result<Redacted, RedactError> {
        let (durable, first) = (self.durable(), self.first_seq());
        if seq > durable {
            return Err(RedactError::NotDurable { seq, durable });
        }
        if seq < first {
            return Err(match self.shared().store.missing_before_first(seq) {
                ReadError::Pruned { first } => RedactError::Pruned { seq, first },
                error => error.into(),
            });
        }
        let event = self.read(seq).hashed(true).next().transpose()?;
        let event = event.ok_or_else(|| Fault::corrupt(seq, "event is missing"));
        let event = event.map_err(ReadError::from)?;
        if event.record_kind() != RecordKind::Event {
            return Err(RedactError::OwnRecord { seq });
        }
        match event.body() {
            Body::Present(_) => {}
            Body::Removed => return Err(RedactError::AlreadyRemoved { seq }),
            Body::None => return Err(RedactError::NoBody { seq }),
        }
        Ok(Redacted {
            seq,
            chain_hash: event.chain_hash().unwrap_or_default(),
            body_commitment: event.body_commitment().unwrap_or_default(),
            reason: reason.to_owned(),
            signature: [0; SIGNATURE_LEN],
        })
    }
}

fn check(redactions: &[(u64, &str)]) -> Result<(), RedactError> {
    let (count, max) = (redactions.len(), REDACTIONS_MAX);
    if count == 0 {
        return Err(RedactError::Empty);
    }
    if count > max {
        return Err(RedactError::TooMany { count, max });
    }
    let mut seen = BTreeSet::new();
    for (seq, reason) in redactions {
        let (seq, len, max) = (*seq, reason.len(), REASON_BYTES_MAX);
        if len > max {
            return Err(RedactError::ReasonTooLong { seq, len, max });
        }
        if !seen.insert(seq) {
            return Err(RedactError::Twice { seq });
        }
    }
    Ok(())
}

fn into_io(fault: Fault) -> RedactError {
    match fault {
        Fault::Io(error) => RedactError::Io(error),
        fault => RedactError::Read(fault.into()),
    }
}
