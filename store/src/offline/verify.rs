//! Checking a whole log.
//!
//! Every volume is checked by itself, several at a time; then they are joined:
//! chain, times, tree, stream versions, identity, and what the head file says.
//! The first bad sequence of the log is what is reported, whichever volume was
//! checked first.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::copy::CopyBackend;
use super::index::{KnownStreams, damage, strays};
use super::look;
use super::tiles::TileCheck;
pub use super::verify_options::{VerifyOptions, VerifyProgress};
use super::volume::{Checked, check};
use crate::backend::Backend;
use crate::backend::sled::{HEAD_FILE, read_head};
use crate::backend::volume_name::list_volumes;
use crate::digest::Digest;
use crate::error::{Fault, OpenError};
use crate::format::FORMAT_VERSION;
use crate::format::slot::{Slot, SlotError};
use crate::log::identity::LogIdentity;
use crate::log::redo::Found;
use crate::maintenance::check::{Maintenance, leftovers, not_pruned};
use crate::snapshot::SnapshotShelf;

/// What a log was found to hold; everything in it fits together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Who the log is.
    pub identity: LogIdentity,
    /// Events that are there, genesis included.
    pub events: u64,
    /// The first sequence: 0, or where the log was pruned to.
    pub first_seq: u64,
    /// The last sequence.
    pub last_seq: u64,
    /// Its chain hash.
    pub chain_hash: Digest,
    /// The root of the tree over all events.
    pub tree_root: Digest,
    /// Volumes that the log consists of.
    pub volumes: u64,
    /// Sequences whose bodies were removed, ascending; a record in the log says
    /// so of each.
    pub redacted: Vec<u64>,
    /// What is unusual without being wrong, as after a crash.
    pub notes: Vec<String>,
}

/// Why a log did not pass, or could not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The log is not what was written.
    #[error("the log is corrupt at sequence {seq}: {what}")]
    Corrupt {
        /// The first bad sequence.
        seq: u64,
        /// What is wrong.
        what: String,
    },
    /// The log ends before what is known to have been durable.
    #[error("the log has lost its tail: sequences {from} to {to} were durable and are gone")]
    TailLost {
        /// The first sequence that is gone.
        from: u64,
        /// The last sequence that is known to have been durable.
        to: u64,
    },
    /// There is no log that could be checked, or somebody writes it.
    #[error(transparent)]
    Open(OpenError),
    /// The system failed; this says nothing about the log.
    #[error("can't check the log: {0}")]
    Io(#[from] io::Error),
}

impl VerifyError {
    /// The first bad sequence, if the log is bad.
    pub fn first_bad_seq(&self) -> Option<u64> {
        match self {
            Self::Corrupt { seq, .. } => Some(*seq),
            Self::TailLost { from, .. } => Some(*from),
            Self::Open(_) | Self::Io(_) => None,
        }
    }
}

impl From<Fault> for VerifyError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(error) => Self::Io(error),
            // Only a running log is closed.
            Fault::Closed => Self::Io(io::Error::other("the log was closed")),
            Fault::Corrupt { seq, what } => Self::Corrupt { seq, what },
        }
    }
}

type Outcome = Result<Checked, Fault>;

/// Checks the log in a directory from genesis to its end, without writing
/// there.
pub fn verify(dir: impl AsRef<Path>, options: &VerifyOptions) -> Result<VerifyReport, VerifyError> {
    let dir = dir.as_ref();
    let _lock = look(dir).map_err(into_verify_error)?;
    let mut notes = Vec::new();
    let slots = read_slots(dir, &mut notes)?;
    notes.extend(SnapshotShelf::directory(dir).damaged()?);
    let volumes = list_volumes(dir)?;
    notes.extend(strays(dir, &volumes)?);
    notes.extend(leftovers(dir)?);
    let tiles = TileCheck::new(dir);
    let backend = CopyBackend::new(dir, options.scratch.clone());
    Found::read(&backend).map_err(into_verify_error)?;
    let outcomes = check_all(&backend, &volumes, &slots, &tiles, options);
    let mut report = join(&volumes, outcomes, &slots, notes, &backend)?;
    report.notes.extend(tiles.notes(report.last_seq + 1)?);
    Ok(report)
}

fn into_verify_error(error: OpenError) -> VerifyError {
    match error {
        OpenError::Io(error) => VerifyError::Io(error),
        other => VerifyError::Open(other),
    }
}

fn read_slots(dir: &Path, notes: &mut Vec<String>) -> Result<Vec<Slot>, VerifyError> {
    let mut slots = Vec::new();
    let Some(head) = read_head(dir)? else {
        notes.push("the head file is missing".to_owned());
        return Ok(slots);
    };
    if std::fs::metadata(dir.join(HEAD_FILE))?.len() != 2 * head[0].len() as u64 {
        notes.push("the head file has another length than it should".to_owned());
    }
    for (index, bytes) in (0u64..).zip(&head) {
        match Slot::parse(bytes) {
            Ok(slot) if slot.generation % 2 == index => slots.push(slot),
            Ok(_) => notes.push(format!("head slot {index} holds the other slot's content")),
            Err(SlotError::Newer(found)) => {
                let supported = FORMAT_VERSION;
                return Err(VerifyError::Open(OpenError::NewerFormat {
                    found,
                    supported,
                }));
            }
            Err(SlotError::Foreign | SlotError::Damaged) => {
                notes.push(format!("head slot {index} is damaged"));
            }
        }
    }
    Ok(slots)
}

fn check_all(
    backend: &CopyBackend,
    volumes: &[u64],
    slots: &[Slot],
    tiles: &TileCheck,
    options: &VerifyOptions,
) -> Vec<Option<Outcome>> {
    let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(volumes.iter().map(|_| None).collect());
    let (turn, events, done) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let tell = || {
        if let Some(call) = &options.on_progress {
            call(VerifyProgress {
                events: events.load(Ordering::Relaxed),
                volumes: done.load(Ordering::Relaxed),
                volumes_total: volumes.len() as u64,
            });
        }
    };
    let count = |more: u64| {
        let before = events.fetch_add(more, Ordering::Relaxed);
        // About every 64 thousand events.
        if (before + more) >> 16 != before >> 16 {
            tell();
        }
    };
    let work = || {
        loop {
            let index = turn.fetch_add(1, Ordering::Relaxed);
            let Some(&first_seq) = volumes.get(index) else {
                break;
            };
            let outcome = check_one(backend, first_seq, slots, tiles, &count);
            outcomes.lock()[index] = Some(outcome);
            done.fetch_add(1, Ordering::Relaxed);
            tell();
        }
    };
    thread::scope(|scope| {
        for _ in 1..options.threads.min(volumes.len()) {
            scope.spawn(work);
        }
        work();
    });
    outcomes.into_inner()
}

/// Checks one volume; sled may panic on what is corrupt.
fn check_one(
    backend: &CopyBackend,
    first_seq: u64,
    slots: &[Slot],
    tiles: &TileCheck,
    count: &dyn Fn(u64),
) -> Outcome {
    let work = AssertUnwindSafe(|| {
        let volume = backend.open(first_seq).map_err(Fault::at(first_seq))?;
        let mut checked = check(&*volume, first_seq, slots, tiles, count)?;
        if let Some(expected) = checked.index_checksum {
            checked.index_note = damage(backend, first_seq, &expected)?;
        }
        Ok(checked)
    });
    catch_unwind(work)
        .unwrap_or_else(|_| Err(Fault::corrupt(first_seq, "the volume's database panicked")))
}

/// Joins what the volumes were found to hold.
fn join(
    volumes: &[u64],
    outcomes: Vec<Option<Outcome>>,
    slots: &[Slot],
    mut notes: Vec<String>,
    backend: &CopyBackend,
) -> Result<VerifyReport, VerifyError> {
    let mut joined: Option<Joined> = None;
    let named = slots.iter().map(|slot| slot.seq).max();
    let count = volumes.len();
    let start = volumes.first().copied().unwrap_or(0);
    let pruned =
        |it: &Option<Outcome>| matches!(it, Some(Ok(it)) if it.findings.prune_up_to(start));
    if start > 0 && !outcomes.iter().any(pruned) {
        return Err(not_pruned().into());
    }
    for (index, (outcome, &first_seq)) in outcomes.into_iter().zip(volumes).enumerate() {
        let next = joined
            .as_ref()
            .map_or(start, |joined| joined.last.end.seq + 1);
        if first_seq != next {
            return Err(Fault::corrupt(next, "the volume that holds it is missing").into());
        }
        let missing = || Err(Fault::corrupt(first_seq, "volume was not checked"));
        let mut checked = outcome.unwrap_or_else(missing)?;
        notes.extend(checked.index_note.take());
        if index + 1 < count && !checked.sealed {
            let seq = checked.end.seq.wrapping_add(1);
            return Err(Fault::corrupt(seq, "volume ends without a seal").into());
        }
        match &mut joined {
            Some(joined) => joined.go_on(checked, slots)?,
            None => {
                let (streams, noted) = KnownStreams::of_pruned(backend, start)?;
                notes.extend(noted);
                joined = Some(Joined::start(checked, streams, slots)?);
            }
        }
    }
    let joined = joined.ok_or_else(|| Fault::corrupt(0, "the log has no volume"))?;
    joined.report(count as u64, named, slots, notes, backend)
}

/// The log up to some volume.
struct Joined {
    identity: LogIdentity,
    last: Checked,
    /// Where every stream was last.
    streams: KnownStreams,
    first_seq: u64,
    maintenance: Maintenance,
}

impl Joined {
    fn start(checked: Checked, streams: KnownStreams, slots: &[Slot]) -> Result<Self, Fault> {
        let header = &checked.header;
        let (identity, first_seq) = (header.identity, header.first_seq);
        if first_seq == 0 {
            let Some(genesis) = checked.genesis else {
                return Err(Fault::corrupt(0, "genesis is missing"));
            };
            if checked.end.frontier.size() == 0 {
                return Err(Fault::corrupt(0, "the group of genesis does not end"));
            }
            let from_nothing = header.hash_before.is_zero() && header.time_before == 0;
            if genesis.identity != identity || !from_nothing {
                return Err(Fault::corrupt(
                    0,
                    "genesis does not fit its volume's header",
                ));
            }
        }
        let mut joined = Self {
            identity,
            last: checked,
            streams,
            first_seq,
            maintenance: Maintenance::default(),
        };
        joined.take_in(slots)?;
        Ok(joined)
    }

    fn go_on(&mut self, checked: Checked, slots: &[Slot]) -> Result<(), Fault> {
        let (before, header) = (&self.last.end, &checked.header);
        let first_seq = header.first_seq;
        let identity = LogIdentity {
            incarnation: self.last.incarnation,
            ..self.identity
        };
        if header.hash_before != before.chain.hash || header.time_before != before.chain.time {
            return Err(Fault::corrupt(
                first_seq,
                "volume does not continue the chain",
            ));
        }
        if header.frontier != before.frontier {
            return Err(Fault::corrupt(
                first_seq,
                "volume does not continue the tree",
            ));
        }
        if header.identity != identity {
            return Err(Fault::corrupt(first_seq, "volume belongs to another log"));
        }
        self.last = checked;
        self.take_in(slots)
    }

    /// Checks what only the whole log up to here can tell about its last
    /// volume.
    fn take_in(&mut self, slots: &[Slot]) -> Result<(), Fault> {
        let findings = std::mem::take(&mut self.last.findings);
        self.maintenance.take_in(&self.last.header, findings);
        let last = &self.last;
        let log_id = self.identity.log_id;
        self.streams.take_in(log_id, last)?;
        for (generation, chain_hash, root) in &last.at_slots {
            let slot = slots.iter().find(|slot| slot.generation == *generation);
            let Some(slot) = slot else { continue };
            if slot.chain_hash != *chain_hash {
                let what = "chain hash is not the one in the head file";
                return Err(Fault::corrupt(slot.seq, what));
            }
            if slot.root != *root {
                let what = "tree root is not the one in the head file";
                return Err(Fault::corrupt(slot.seq, what));
            }
        }
        Ok(())
    }

    fn report(
        self,
        volumes: u64,
        named: Option<u64>,
        slots: &[Slot],
        mut notes: Vec<String>,
        backend: &CopyBackend,
    ) -> Result<VerifyReport, VerifyError> {
        let last = self.last;
        if let Some(to) = named
            && to > last.end.seq
        {
            return Err(VerifyError::TailLost {
                from: last.end.seq + 1,
                to,
            });
        }
        if slots.is_empty() {
            let what = "the head file is missing or damaged, what comes after can't be known";
            return Err(Fault::corrupt(last.end.seq + 1, what).into());
        }
        if slots.iter().any(|slot| slot.log_id != self.identity.log_id) {
            return Err(Fault::corrupt(0, "the head file belongs to another log").into());
        }
        let count = backend.journaled();
        if count > 0 {
            notes.push(format!(
                "the last {count} events are in the journal and not yet in a volume"
            ));
        }
        if last.incomplete > 0 {
            let (count, seq) = (last.incomplete, last.end.seq);
            notes.push(format!(
                "{count} events of an unfinished group follow sequence {seq}"
            ));
        }
        if last.torn {
            let seq = last.end.seq;
            notes.push(format!(
                "a frame that was not written whole follows sequence {seq}"
            ));
        }
        let redacted = self.maintenance.check(backend, &mut notes)?;
        Ok(VerifyReport {
            identity: LogIdentity {
                incarnation: last.incarnation,
                ..self.identity
            },
            events: last.end.seq + 1 - self.first_seq,
            first_seq: self.first_seq,
            last_seq: last.end.seq,
            chain_hash: last.end.chain.hash,
            tree_root: last.end.frontier.root(),
            volumes,
            redacted,
            notes,
        })
    }
}
