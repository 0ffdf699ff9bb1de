//! Why maintenance was refused or did not get to its end.

use std::io;
use std::path::PathBuf;

use crate::error::{AppendError, OpenError, ReadError, SnapshotError};
use crate::offline::verify::VerifyError;

/// Why a record can't be signed with what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The log has a node key, and no key was given.
    #[error("the log has a node key: give the signing key that belongs to it")]
    Missing,
    /// The log has a node key, and another key was given.
    #[error("the signing key is not the one of the log's node key")]
    OtherKey,
    /// The log has no node key, so that nobody could check a signature.
    #[error("the log has no node key: give no signing key")]
    NoNodeKey,
}

/// Why bodies were not removed. Unless it is
/// [`Unfinished`](RedactError::Unfinished), nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedactError {
    /// No event was named.
    #[error("no event was named to redact")]
    Empty,
    /// More events than one call takes.
    #[error("{count} redactions at once, the limit is {max}: make several calls")]
    TooMany {
        /// How many there were.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A reason is too long.
    #[error("the reason for sequence {seq} is {len} bytes long, the limit is {max}")]
    ReasonTooLong {
        /// The event.
        seq: u64,
        /// The reason's length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// An event is named twice.
    #[error("sequence {seq} is named twice")]
    Twice {
        /// The event.
        seq: u64,
    },
    /// The event is not durable yet, or does not exist.
    #[error("sequence {seq} is not durable, the log is at {durable}")]
    NotDurable {
        /// The event.
        seq: u64,
        /// The last durable sequence.
        durable: u64,
    },
    /// The event was dropped with everything before `first`.
    #[error("sequence {seq} was pruned, the log starts at {first}")]
    Pruned {
        /// The event.
        seq: u64,
        /// The first sequence that is kept.
        first: u64,
    },
    /// The record is one of the log's own.
    #[error("sequence {seq} is a record of the log's own")]
    OwnRecord {
        /// The record.
        seq: u64,
    },
    /// The event never had a body.
    #[error("the event at sequence {seq} has no body")]
    NoBody {
        /// The event.
        seq: u64,
    },
    /// The body was removed earlier.
    #[error("the body of sequence {seq} is removed already")]
    AlreadyRemoved {
        /// The event.
        seq: u64,
    },
    /// The records can't be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The records were not appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// An event can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log could not take down what it was about to do.
    #[error("can't prepare the redaction: {0}")]
    Io(#[from] io::Error),
    /// The records are in the log, and bodies are still in files. Another call,
    /// or opening the log again, goes on with it.
    #[error("the redaction is recorded and bodies are still in files: {0}")]
    Unfinished(ReadError),
}

/// Why events were not dropped. Unless it is
/// [`Unfinished`](PruneError::Unfinished), nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The reason is too long.
    #[error("the reason is {len} bytes long, the limit is {max}")]
    ReasonTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The record can't be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The record was not appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The boundary can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log could not take down what it was about to do.
    #[error("can't prepare the pruning: {0}")]
    Io(#[from] io::Error),
    /// The record is in the log, and volumes before the boundary are still
    /// there. Another call, or opening the log again, goes on with it.
    #[error("the pruning is recorded and volumes are still there: {0}")]
    Unfinished(ReadError),
}

/// Why a backup was not made, or not finished. The target says that it is
/// unfinished, and another backup into it goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The target holds something else than an earlier backup of this log.
    #[error("{} is not empty and not an earlier backup of this log: {why}", dir.display())]
    Target {
        /// The target.
        dir: PathBuf,
        /// What it is.
        why: String,
    },
    /// The target can't be used as a log's directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log can't be read, or the target not be written.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The system failed.
    #[error("can't write the backup: {0}")]
    Io(#[from] io::Error),
    /// A snapshot can't be copied.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// Why a backup was not restored. A target that was begun says that it is
/// unfinished: delete it and restore again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The backup is not in order.
    #[error("the backup does not pass: {0}")]
    Verify(#[from] VerifyError),
    /// The target is not empty.
    #[error("{} is not empty: restore into a directory that is", .0.display())]
    Exists(PathBuf),
    /// The backup does not hold the event that the known head names.
    #[error("the backup is of another history: it has another chain hash at {seq} than is known")]
    OtherChain {
        /// The known head's sequence.
        seq: u64,
    },
    /// The known head lies before what the backup still holds.
    #[error("the known head {seq} was pruned from the backup, which starts at {first}")]
    KnownHeadPruned {
        /// The known head's sequence.
        seq: u64,
        /// The first sequence that the backup holds.
        first: u64,
    },
    /// The backup can't be read, or the restored log not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An event can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The system failed.
    #[error("can't restore: {0}")]
    Io(#[from] io::Error),
}
