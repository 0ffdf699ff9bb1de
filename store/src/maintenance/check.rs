//! What `verify` demands of redactions and prunings: that what is gone was
//! removed by a record, and that records fit what they are about.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::sign::Record;
use crate::backend::Backend;
use crate::backend::sled::INTENT_FILE;
use crate::backend::volume_name::revisions;
use crate::chain::Chain;
use crate::digest::Digest;
use crate::error::Fault;
use crate::format::entry::Entry;
use crate::format::header::RecordKind;
use crate::format::internal::{Pruned, Redacted};
use crate::format::volume::VolumeHeader;
use crate::log::identity::LogIdentity;
use crate::log::store::frame_holding;

/// What a volume holds that has to do with maintenance.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    removed: Vec<(u64, Bound)>,
    records: Vec<(u64, Record)>,
    last_resumed: Option<u64>,
}

/// What a redacted record binds itself to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    chain_hash: Digest,
    body_commitment: Digest,
}

impl Findings {
    /// Takes an entry in whose chain hash is known.
    pub(crate) fn note(
        &mut self,
        (seq, entry, plain): (u64, &Entry, &[u8]),
        chain_hash: Digest,
        identity: &LogIdentity,
    ) -> Result<(), Fault> {
        if entry.is_removed() {
            let body_commitment = entry.commitment(plain);
            let bound = Bound {
                chain_hash,
                body_commitment,
            };
            self.removed.push((seq, bound));
        }
        if entry.kind == RecordKind::Resumed {
            self.last_resumed = Some(seq);
        }
        let meta = entry.descriptor.meta(entry.descriptor_bytes(plain));
        let record = Record::parse(entry.kind, meta).map_err(|bad| Fault::from((seq, bad)))?;
        if let Some(record) = record {
            if !record.is_signed_by(identity) {
                let what = "record is not signed with the log's node key";
                return Err(Fault::corrupt(seq, what));
            }
            self.records.push((seq, record));
        }
        Ok(())
    }

    /// Whether a record drops what is before `first_seq`.
    pub(crate) fn prune_up_to(&self, first_seq: u64) -> bool {
        self.records.iter().any(
            |(_, record)| matches!(record, Record::Pruned(pruned) if pruned.first_kept >= first_seq),
        )
    }
}

/// The same for the whole log.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    removed: BTreeMap<u64, Bound>,
    redacted: Vec<(u64, Redacted)>,
    pruned: Vec<(u64, Pruned)>,
    last_resumed: Option<u64>,
    /// Where volumes start: time, chain hash and root before.
    boundaries: BTreeMap<u64, (u64, Digest, Digest)>,
}

impl Maintenance {
    /// Takes the next volume in.
    pub(crate) fn take_in(&mut self, header: &VolumeHeader, findings: Findings) {
        let boundary = (
            header.time_before,
            header.hash_before,
            header.frontier.root(),
        );
        self.boundaries.insert(header.first_seq, boundary);
        self.removed.extend(findings.removed);
        self.last_resumed = findings.last_resumed.or(self.last_resumed);
        for (seq, record) in findings.records {
            match record {
                Record::Redacted(record) => self.redacted.push((seq, record)),
                Record::Pruned(record) => self.pruned.push((seq, record)),
            }
        }
    }

    /// Checks records against what they are about; returns the sequences whose
    /// bodies are removed.
    pub(crate) fn check(
        &self,
        backend: &dyn Backend,
        notes: &mut Vec<String>,
    ) -> Result<Vec<u64>, Fault> {
        let first = self.boundaries.keys().next().copied().unwrap_or(0);
        self.check_boundary(first, notes)?;
        let mut recorded = BTreeMap::new();
        for (at, record) in &self.redacted {
            let wrong = || Fault::corrupt(*at, "redacted record does not fit its event");
            if record.seq >= *at {
                return Err(wrong());
            }
            recorded.insert(record.seq, *at);
            if record.seq < first {
                continue;
            }
            let bound = match self.removed.get(&record.seq) {
                Some(bound) => *bound,
                None => {
                    let (seq, at) = (record.seq, *at);
                    notes.push(format!(
                        "the body of sequence {seq} is still there though record {at} removes it"
                    ));
                    self.bound_of(backend, seq)?
                }
            };
            let said = Bound {
                chain_hash: record.chain_hash,
                body_commitment: record.body_commitment,
            };
            if bound != said {
                return Err(wrong());
            }
        }
        for &seq in self.removed.keys() {
            if recorded.contains_key(&seq) {
                continue;
            }
            match self.last_resumed {
                Some(resumed) if resumed > seq => notes.push(format!(
                    "the body of sequence {seq} is removed and no record says so; \
                     the record may have been lost before sequence {resumed}"
                )),
                _ => {
                    let what = "body was removed and no record says so";
                    return Err(Fault::corrupt(seq, what));
                }
            }
        }
        Ok(self.removed.keys().copied().collect())
    }

    fn check_boundary(&self, first: u64, notes: &mut Vec<String>) -> Result<(), Fault> {
        let mut allowed = first == 0;
        for (at, record) in &self.pruned {
            let wrong = || Fault::corrupt(*at, "pruned record does not fit its boundary");
            if record.first_kept >= *at {
                return Err(wrong());
            }
            // What an earlier pruning kept may have been dropped by a later one.
            if record.first_kept < first {
                continue;
            }
            let said = (record.time_before, record.hash_before, record.root_before);
            if self.boundaries.get(&record.first_kept) != Some(&said) {
                return Err(wrong());
            }
            allowed = true;
            if record.first_kept > first {
                let kept = record.first_kept;
                notes.push(format!(
                    "volumes before sequence {kept} are still there though record {at} drops them"
                ));
            }
        }
        if allowed { Ok(()) } else { Err(not_pruned()) }
    }

    /// What a record about an event must be bound to whose body is there.
    fn bound_of(&self, backend: &dyn Backend, seq: u64) -> Result<Bound, Fault> {
        let missing = || Fault::corrupt(seq, "event is missing");
        let volume = self.boundaries.keys().rfind(|start| **start <= seq);
        let volume = backend
            .open(*volume.ok_or_else(missing)?)
            .map_err(Fault::at(seq))?;
        let frame = frame_holding(&*volume, seq)?.ok_or_else(missing)?;
        let mut chain = Chain {
            hash: frame.header.previous,
            time: 0,
        };
        let mut bound = None;
        frame.for_each(|at, entry| {
            let chain_hash = chain.follow(&frame.plain, at, entry, false)?.chain_hash;
            if at == seq {
                let body_commitment = entry.commitment(&frame.plain);
                bound = Some(Bound {
                    chain_hash,
                    body_commitment,
                });
            }
            Ok::<(), Fault>(())
        })?;
        bound.ok_or_else(missing)
    }
}

/// The log does not start at genesis and no record says that it need not.
pub(crate) fn not_pruned() -> Fault {
    Fault::corrupt(0, "the volume that holds it is missing")
}

/// Says which revisions of volumes no longer count, and whether maintenance was
/// cut short.
pub(crate) fn leftovers(dir: &Path) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    for (first_seq, of_one) in revisions(dir)? {
        if of_one.len() > 1 {
            notes.push(format!(
                "volume {first_seq} was rewritten and its old revision is still there"
            ));
        }
    }
    if dir.join(INTENT_FILE).exists() {
        notes.push("maintenance was cut short; opening the log finishes it".to_owned());
    }
    Ok(notes)
}
