//! Working on a log's files, without a node: fold, audit, export.
//!
//! Everything reads private copies ([`vsm_store::OfflineLog`]); the evidence
//! is not touched.

pub mod audit;
pub mod between;
pub mod confirm;
pub mod export;
pub mod fold;

use std::{collections::BTreeSet, path::Path};

use vsm_core::{
    Address, Digest, Hosting, LogId, Payload, Record, Replay, Seq, codec,
    payload::{Lifecycle, lifecycle::SnapshotTaken},
    replay::Marks,
};
use vsm_store::{Event, OfflineLog, OpenError, ReadError, SnapshotError, SnapshotInfo};

use crate::{
    model,
    runtime::{
        journal::{self, JournalError},
        snapshots,
    },
};

/// A log could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It can't be read, or is corrupt.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It holds something else than a node's messages.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its first records are gone, and a fold needs them.
    #[error(
        "the log was pruned: it begins at record {first}, and {what} needs all of it; `vsm log verify` checks what is there, and a backup from before the pruning can be folded"
    )]
    Pruned {
        /// The first record that it holds.
        first: u64,
        /// What was asked for.
        what: &'static str,
    },
    /// Its first records are gone, and what is left does not say whose it is.
    #[error(
        "the log was pruned and begins at record {first}, in the middle of a run that goes on: it can be folded once the node was started again"
    )]
    NoRunKept {
        /// The first record that it holds.
        first: u64,
    },
    /// What is asked for lies before what can be folded.
    #[error(
        "the log was pruned: states can be told from record {possible} on, where the oldest snapshots were taken"
    )]
    BeforeStates {
        /// The first record at which all states are known.
        possible: u64,
    },
    /// The snapshots can't be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A snapshot's bytes are no state, although their digest is right.
    #[error("the snapshot of {system} at {seq}: {source}")]
    State {
        /// Whose.
        system: Address,
        /// At which record.
        seq: u64,
        /// What is wrong.
        source: codec::DecodeError,
    },
    /// No run ever began on it.
    #[error("the log holds no run: it was not written by a node, or the node never started")]
    NoRun,
}

impl OfflineError {
    /// Whether the log itself is not what was written.
    #[must_use]
    pub const fn is_corruption(&self) -> bool {
        matches!(
            self,
            Self::Open(
                OpenError::Corrupt { .. }
                    | OpenError::TailLost { .. }
                    | OpenError::HeadMissing { .. }
            ) | Self::Read(ReadError::Corrupt { .. })
                | Self::Journal(_)
        )
    }
}

/// Where a fold begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// The record before the first that is folded.
    pub after: u64,
    /// The record from which on every subsystem's state is known.
    pub complete_from: u64,
}

/// A log that is folded from its files.
pub struct Evidence {
    log: OfflineLog,
    /// States that the log names, of a log whose first records are gone.
    taken: Vec<SnapshotTaken>,
    /// What the first pass found.
    pub marks: Marks,
    /// What the node hosted.
    pub hosting: Hosting,
}

impl Evidence {
    /// Opens a log and makes the first pass over its lifecycle.
    ///
    /// # Errors
    /// When the log can't be read, or no run ever began on it.
    pub fn open(directory: &Path) -> Result<Self, OfflineError> {
        let log = OfflineLog::open(directory)?;
        let mut marks = Marks::default();
        let mut node = None;
        let mut roles = BTreeSet::new();
        let mut taken = Vec::new();
        let first = log.first_seq();
        for event in log.read(first.max(1)) {
            let event = event?;
            if !journal::is_lifecycle(&event) {
                continue;
            }
            let Some(record) = journal::record(&event)? else {
                continue;
            };
            marks.note(&record.message);
            match record.message.payload {
                Payload::Lifecycle(Lifecycle::Started(started)) => {
                    node.get_or_insert(started.node);
                    roles.extend(started.behaviours.into_keys());
                }
                Payload::Lifecycle(Lifecycle::SnapshotTaken(it)) if first > 0 => taken.push(it),
                _ => {}
            }
        }
        let node = node.ok_or(match first {
            0 => OfflineError::NoRun,
            first => OfflineError::NoRunKept { first },
        })?;
        let hosting = model::hosting_of(node, &roles);
        Ok(Self {
            log,
            taken,
            marks,
            hosting,
        })
    }

    /// Which log.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        LogId(self.log.identity().log_id.0)
    }

    /// The last sequence number.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.log.last_seq()
    }

    /// The log's events, hashed and compared, from a sequence number on.
    pub fn events(&self, from: u64) -> impl Iterator<Item = Result<Event, ReadError>> + '_ {
        self.log.read(from)
    }

    /// Refuses a log whose first records are gone.
    ///
    /// # Errors
    /// When they are; `what` needs them.
    pub fn whole(&self, what: &'static str) -> Result<(), OfflineError> {
        match self.log.first_seq() {
            0 => Ok(()),
            first => Err(OfflineError::Pruned { first, what }),
        }
    }

    /// A fold, and the record that it begins after. Of a log whose first
    /// records are gone it begins with the oldest states that were kept.
    ///
    /// # Errors
    /// When a subsystem has none of them, or one can't be read.
    pub fn replay(&self) -> Result<(Replay, Begin), OfflineError> {
        let mut replay = Replay::new(self.log_id(), self.hosting.clone(), self.marks.clone());
        let first = self.log.first_seq();
        let mut begin = Begin::default();
        if first == 0 {
            return Ok((replay, begin));
        }
        begin.after = u64::MAX;
        for (index, system) in self.hosting.systems().iter().enumerate() {
            let (info, state) = self.oldest_state(system)?;
            replay
                .restore(index, Seq(info.seq), &state)
                .map_err(|source| OfflineError::State {
                    system: system.clone(),
                    seq: info.seq,
                    source,
                })?;
            begin.after = begin.after.min(info.seq);
            begin.complete_from = begin.complete_from.max(info.seq);
        }
        Ok((replay, begin))
    }

    fn oldest_state(&self, system: &Address) -> Result<(SnapshotInfo, Vec<u8>), OfflineError> {
        let first = self.log.first_seq();
        let infos = self.log.snapshots(&snapshots::name(system))?;
        for info in infos.into_iter().rev().filter(|info| info.seq + 1 >= first) {
            let named = |it: &&SnapshotTaken| it.system == *system && it.seq.0 == info.seq;
            if let Some(taken) = self.taken.iter().find(named)
                && let Ok(state) = self.log.load_snapshot(&info)
                && Digest::of(&state) == taken.state
            {
                return Ok((info, state));
            }
        }
        let what = "a replay without snapshots that count";
        Err(OfflineError::Pruned { first, what })
    }

    /// The log's messages.
    pub fn records(&self) -> impl Iterator<Item = Result<Record, OfflineError>> + '_ {
        self.records_after(0)
    }

    /// The log's messages after a record.
    pub fn records_after(
        &self,
        seq: u64,
    ) -> impl Iterator<Item = Result<Record, OfflineError>> + '_ {
        self.events(seq + 1).filter_map(|event| match event {
            Ok(event) => journal::record(&event)
                .map_err(OfflineError::from)
                .transpose(),
            Err(error) => Some(Err(error.into())),
        })
    }
}
