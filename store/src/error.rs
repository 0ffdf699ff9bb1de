//! What can go wrong, one enum per operation.
//!
//! Corruption is never an I/O error and the other way round: corruption names
//! the first bad sequence, I/O names what the system said.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::BackendError;
use crate::expected::ExpectedVersion;

/// Why an event can't be put into a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A stream, type or key is empty.
    #[error("{what} name is empty")]
    NameEmpty {
        /// Which one.
        what: &'static str,
    },
    /// A stream, type or key is too long.
    #[error("{what} name is {len} bytes long, the limit is {max}")]
    NameTooLong {
        /// Which one.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The meta is too long.
    #[error("meta is {len} bytes long, the limit is {max}")]
    MetaTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The body is too long for any log.
    #[error("body is {len} bytes long, the limit is {max}")]
    BodyTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The batch has as many conditions as it may have.
    #[error("the batch has {max} conditions already; more need another batch")]
    TooManyConditions {
        /// The limit.
        max: usize,
    },
}

/// Why a batch was not appended, or will never be durable.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A write or sync failed earlier. What was not durable then may or may not
    /// be on disk; nothing more is accepted until the log is opened again.
    #[error("the log is poisoned since a write failed: {0}")]
    Poisoned(Arc<str>),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// The batch holds no event.
    #[error("the batch is empty")]
    Empty,
    /// A body is longer than this log's options allow.
    #[error("a body is {len} bytes long, this log's limit is {max}")]
    BodyTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The version of a stream could not be looked up in the sealed volumes.
    #[error("can't look up the version of a stream: {0}")]
    Lookup(Arc<ReadError>),
    /// A stream is not at the version that the batch expects. Read the stream
    /// on from what you know, decide again, and append what follows from that.
    #[error("stream {stream:?} is at version {actual}, expected is {expected}")]
    WrongVersion {
        /// The stream.
        stream: Arc<str>,
        /// What the batch expects.
        expected: ExpectedVersion,
        /// The stream's version; 0 if it does not exist.
        actual: u64,
    },
    /// An idempotency key was used for something else within
    /// [`Options::key_window`](crate::Options::key_window): the batch differs
    /// from the group that was appended with it.
    #[error("key \"{}\" was used for another request at sequence {seq}", .key.escape_ascii())]
    KeyReused {
        /// The key.
        key: Arc<[u8]>,
        /// The event that has it.
        seq: u64,
    },
    /// Two events of the batch have the same idempotency key.
    #[error("key \"{}\" stands twice in the batch; each event needs its own", .key.escape_ascii())]
    KeyTwice {
        /// The key.
        key: Arc<[u8]>,
    },
    /// The events whose idempotency keys are in force could not be read, so
    /// that it is not known whether the batch is a repeat. Batches without keys
    /// are still taken; an
    /// [`Options::key_window`](crate::Options::key_window) of 0 gives up on
    /// keys.
    #[error("can't read which keys are in force: {0}")]
    KeysUnknown(Arc<ReadError>),
    /// The event that has one of the batch's idempotency keys could not be
    /// read, so that it is not known whether the batch repeats it.
    #[error("can't read event {seq}, which has a key of the batch: {source}")]
    Repeat {
        /// The event.
        seq: u64,
        /// Why it can't be read.
        source: Arc<ReadError>,
    },
}

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another handle in this one, has the log open.
    #[error("the log in {} is in use", .0.display())]
    InUse(PathBuf),
    /// The path is something else than a directory.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// There is no log and creating one was not asked for.
    #[error("there is no log in {}", .0.display())]
    Missing(PathBuf),
    /// The directory holds a backup, or a log that is being restored, that was
    /// not finished. Back up into it again, or delete it and restore again.
    #[error("{} holds {what} that was not finished", dir.display())]
    Unfinished {
        /// The directory.
        dir: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The directory holds something that is not a log. Nothing was written.
    #[error("{} holds other files than those of a log", .0.display())]
    Foreign(PathBuf),
    /// The log was written by a later version of this crate.
    #[error("the log has format {found}, this version knows up to {supported}")]
    NewerFormat {
        /// The log's format.
        found: u16,
        /// The highest that is known.
        supported: u16,
    },
    /// The system does not let us write there.
    #[error("no permission to write in {}: {source}", dir.display())]
    Denied {
        /// The log's directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log is known to have held events that are gone. Restore a copy, or
    /// go on without them with
    /// [`Options::accept_tail_loss`](crate::Options::accept_tail_loss).
    #[error("the log has lost its tail: sequences {from} to {to} were durable and are gone")]
    TailLost {
        /// The first sequence that is gone.
        from: u64,
        /// The last sequence that is known to have been durable.
        to: u64,
    },
    /// The head file is missing or unreadable though the log holds events, so
    /// that a lost tail could go unnoticed. Can be accepted like a lost tail.
    #[error("the head file is missing or damaged; the log holds events up to {last} at least")]
    HeadMissing {
        /// The last complete event that was found.
        last: u64,
    },
    /// The log is damaged where it may not be.
    #[error("the log is corrupt from sequence {seq}: {what}")]
    Corrupt {
        /// The first bad sequence.
        seq: u64,
        /// What is wrong.
        what: String,
    },
    /// The system failed.
    #[error("can't open the log: {0}")]
    Io(#[from] io::Error),
}

/// Why events could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The events were dropped by a pruning, as a record in the log says. If
    /// none does, their volume was taken away: that is
    /// [`Corrupt`](Self::Corrupt).
    #[error("everything before sequence {first} was pruned")]
    Pruned {
        /// The first sequence that the log holds.
        first: u64,
    },
    /// The event is not durable yet; wait for it.
    #[error("sequence {seq} is not durable, the log is at {durable}")]
    NotDurable {
        /// The event.
        seq: u64,
        /// The last durable sequence.
        durable: u64,
    },
    /// What is stored is not what was written.
    #[error("the log is corrupt at sequence {seq}: {what}")]
    Corrupt {
        /// The first bad sequence.
        seq: u64,
        /// What is wrong.
        what: String,
    },
    /// The system failed.
    #[error("can't read the log: {0}")]
    Io(#[from] io::Error),
    /// The log was closed while there was more to read. Open it again and go
    /// on from where this ended.
    #[error("the log is closed")]
    Closed,
    /// A write or sync failed earlier, so that nothing more will become
    /// durable. Everything that is durable has been read.
    #[error("the log is poisoned since a write failed: {0}")]
    Poisoned(Arc<str>),
}

/// Why a snapshot was not kept or not given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The name is not 1 to 64 of `a-z A-Z 0-9 . _ -`, or starts with a dot.
    #[error("{0:?} can't name a snapshot: 1 to 64 of a-z A-Z 0-9 . _ - and no dot in front")]
    Name(String),
    /// The sequence is not durable yet.
    #[error("sequence {seq} is not durable, the log is at {durable}")]
    NotDurable {
        /// The snapshot's sequence.
        seq: u64,
        /// The last durable sequence.
        durable: u64,
    },
    /// There is no such snapshot (any more).
    #[error("there is no snapshot {name} at sequence {seq}")]
    Missing {
        /// The snapshot's name.
        name: String,
        /// The snapshot's sequence.
        seq: u64,
    },
    /// The snapshot belongs to another log, or to events that were lost.
    #[error("snapshot {name} at sequence {seq} does not belong to this chain")]
    OtherChain {
        /// The snapshot's name.
        name: String,
        /// The snapshot's sequence.
        seq: u64,
    },
    /// The snapshot's file is damaged.
    #[error("snapshot {name} at sequence {seq} is damaged: {what}")]
    Damaged {
        /// The snapshot's name.
        name: String,
        /// The snapshot's sequence.
        seq: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The event it is bound to can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The system failed.
    #[error("can't store or load a snapshot: {0}")]
    Io(#[from] io::Error),
}

/// Something that is wrong at a sequence; becomes the operation's own error.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    Closed,
    Corrupt { seq: u64, what: String },
}

impl Fault {
    pub(crate) fn corrupt(seq: u64, what: impl Into<String>) -> Self {
        Self::Corrupt {
            seq,
            what: what.into(),
        }
    }

    /// A backend's error that occurred while looking for `seq`.
    pub(crate) fn at(seq: u64) -> impl Fn(BackendError) -> Self {
        move |error| match error {
            BackendError::Io(error) => Self::Io(error),
            BackendError::Corrupt(what) => Self::Corrupt { seq, what },
            BackendError::Closed => Self::Closed,
        }
    }
}

impl From<(u64, crate::format::Malformed)> for Fault {
    fn from((seq, malformed): (u64, crate::format::Malformed)) -> Self {
        Self::corrupt(seq, malformed.0)
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(error) => Self::Io(error),
            Fault::Closed => Self::Closed,
            Fault::Corrupt { seq, what } => Self::Corrupt { seq, what },
        }
    }
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(error) => Self::Io(error),
            // Nobody can close a log that is being opened.
            Fault::Closed => Self::Io(io::Error::other("the log was closed")),
            Fault::Corrupt { seq, what } => Self::Corrupt { seq, what },
        }
    }
}

impl From<Fault> for BackendError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(error) => Self::Io(error),
            Fault::Closed => Self::Closed,
            Fault::Corrupt { seq, what } => Self::Corrupt(format!("at sequence {seq}: {what}")),
        }
    }
}
