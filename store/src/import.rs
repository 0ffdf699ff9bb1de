//! Writing a log again from what was read out of one: restoring an export,
//! moving to other settings, leaving something out.
//!
//! Kinds, times, groups and salts are taken over; sequences, stream versions
//! and the chain are computed anew. What is imported unchanged therefore comes
//! out with the same chain hashes, and what is changed with other ones.

use std::fmt;
use std::io;
use std::path::Path;

use crate::backend::sled::SledBackend;
use crate::backend::{Backend, BackendError};
use crate::batch::{Batch, name_fits};
use crate::digest::Digest;
use crate::directory::{self, Found};
use crate::error::{EventError, OpenError};
use crate::event::{Body, Event};
use crate::format::entry::Draft;
use crate::format::header::RecordKind;
use crate::format::internal::{Genesis, Redacted, Resumed};
use crate::log::open::{self, Bare};
use crate::log::shared::Head;
use crate::options::Options;

/// Bytes after which an import writes, at the next end of a group.
const WRITE_AT: usize = 1024 * 1024;

/// One record to import, as an [`Event`] has it.
#[derive(Debug, Clone, Copy)]
pub struct ImportEvent<'a> {
    /// What the record is to the log. The first one is genesis.
    pub record_kind: RecordKind,
    /// Microseconds since the epoch.
    pub time: u64,
    /// Whether its group ends with it.
    pub last_of_group: bool,
    /// The stream.
    pub stream: &'a str,
    /// The name of the type.
    pub kind: &'a str,
    /// The idempotency key.
    pub key: Option<&'a [u8]>,
    /// The meta.
    pub meta: &'a [u8],
    /// The body, or what is left of it.
    pub body: ImportBody<'a>,
}

/// The body of a record to import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportBody<'a> {
    /// It never had one. An empty body is none.
    None,
    /// A body that is there.
    Present {
        /// The salt of its commitment.
        salt: &'a [u8; 16],
        /// The body.
        body: &'a [u8],
    },
    /// A body that a redaction removed.
    Removed {
        /// Its length in bytes, at least 1.
        len: u32,
        /// The commitment to it.
        commitment: Digest,
    },
}

impl<'a> From<Option<(&'a [u8; 16], &'a [u8])>> for ImportBody<'a> {
    fn from(body: Option<(&'a [u8; 16], &'a [u8])>) -> Self {
        body.map_or(Self::None, |(salt, body)| Self::Present { salt, body })
    }
}

impl<'a> ImportEvent<'a> {
    /// The record that an event was, with the salt of its body.
    pub fn of(event: &'a Event) -> Self {
        Self {
            record_kind: event.record_kind(),
            time: event.time(),
            last_of_group: event.is_last_of_group(),
            stream: event.stream(),
            kind: event.kind(),
            key: event.key(),
            meta: event.meta(),
            body: match event.body_commitment() {
                Some(commitment) if event.body() == Body::Removed => ImportBody::Removed {
                    len: event.body_len(),
                    commitment,
                },
                _ => event.salt().zip(event.body().bytes()).into(),
            },
        }
    }
}

impl ImportEvent<'_> {
    /// Whether the names are such as an event, or a record of the log's own,
    /// can have.
    fn check_shape(&self, seq: u64) -> Result<(), ImportError> {
        if self.record_kind == RecordKind::Event {
            name_fits("stream", self.stream.as_bytes())?;
            name_fits("type", self.kind.as_bytes())?;
            return Ok(self.key.map_or(Ok(()), |key| name_fits("key", key))?);
        }
        let bare = self.stream.is_empty()
            && self.kind.is_empty()
            && self.key.is_none()
            && !matches!(self.body, ImportBody::Present { body, .. } if !body.is_empty());
        if !bare {
            return Err(ImportError::Internal { seq });
        }
        Ok(())
    }
}

/// Why an import failed. The directory holds an unfinished log then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There is a log already.
    #[error("there is a log already")]
    Exists,
    /// The first record is not genesis, or a later one is.
    #[error("genesis has to be the first record and only that; a pruned log can't be imported")]
    Genesis,
    /// A record of the log's own has a meta that can't be read, or a stream, a
    /// type, a key or a body, which such records don't have.
    #[error("record {seq} is of an unknown form")]
    Internal {
        /// Its sequence.
        seq: u64,
    },
    /// The record says that what came before it was pruned. What is left of a
    /// pruned log can't be imported: it has no genesis, and sequences would
    /// start anew. Back the directory up, and restore it, instead.
    #[error("record {seq} is of a pruned log: back it up and restore it instead of importing it")]
    Pruned {
        /// Its sequence.
        seq: u64,
    },
    /// A line of an export that is no event, or another than it says.
    #[error("line {line} of the export can't be imported: {what}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A removed body has no length, or the record is one of the log's own.
    #[error("record {seq} can't have had a body of {len} bytes")]
    Removed {
        /// Its sequence.
        seq: u64,
        /// The length that was given.
        len: u32,
    },
    /// A resumed record has an incarnation that is not above the one before.
    #[error("record {seq} does not raise the incarnation")]
    Incarnation {
        /// Its sequence.
        seq: u64,
    },
    /// Time goes back.
    #[error("record {seq} is earlier than the one before")]
    Time {
        /// Its sequence.
        seq: u64,
    },
    /// The last group does not end.
    #[error("the last group does not end")]
    Unfinished,
    /// An event does not fit.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The directory can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system failed.
    #[error("can't import: {0}")]
    Io(#[from] io::Error),
}

impl From<BackendError> for ImportError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Io(error) => Self::Io(error),
            error => Self::Io(io::Error::other(error.to_string())),
        }
    }
}

/// Writes a new log from records.
pub struct Importer {
    options: Options,
    backend: Option<Box<dyn Backend>>,
    running: Option<Bare>,
    batch: Batch,
    group_open: bool,
    lock: Option<std::fs::File>,
}

impl Importer {
    /// Starts a log in a directory that is empty or not there.
    pub fn create(dir: impl AsRef<Path>, options: Options) -> Result<Self, ImportError> {
        let dir = dir.as_ref();
        if directory::inspect(dir)? != Found::Nothing {
            return Err(ImportError::Exists);
        }
        let lock = directory::lock(dir)?;
        let backend = SledBackend::new(dir, options.cache_bytes);
        Ok(Self::over(Box::new(backend), Some(lock), options))
    }

    /// Starts a log in a backend that is empty.
    pub(crate) fn over(
        backend: Box<dyn Backend>,
        lock: Option<std::fs::File>,
        options: Options,
    ) -> Self {
        Self {
            options,
            backend: Some(backend),
            running: None,
            batch: Batch::new(),
            group_open: true,
            lock,
        }
    }

    /// Adds the next record and returns its sequence.
    pub fn push(&mut self, event: &ImportEvent<'_>) -> Result<u64, ImportError> {
        let is_genesis = event.record_kind == RecordKind::Genesis;
        let seq = (self.running.as_ref()).map_or(0, |running| running.numbering.next_seq);
        event.check_shape(seq)?;
        let Some(running) = &mut self.running else {
            let backend = self.backend.take().filter(|_| is_genesis);
            let backend = backend.ok_or(ImportError::Genesis)?;
            let genesis = Genesis::parse(event.meta);
            let genesis = genesis.map_err(|_| ImportError::Internal { seq: 0 })?;
            let imported = Some((event.time, !event.last_of_group));
            let identity = &genesis.identity;
            let running = open::create(backend, &self.options, identity, event.meta, imported)?;
            self.running = Some(running);
            self.group_open = !event.last_of_group;
            return Ok(0);
        };
        if is_genesis {
            return Err(ImportError::Genesis);
        }
        if event.time < running.numbering.last_time {
            return Err(ImportError::Time { seq });
        }
        let internal = || ImportError::Internal { seq };
        let resumed = match event.record_kind {
            RecordKind::Pruned => return Err(ImportError::Pruned { seq }),
            RecordKind::Redacted => {
                Redacted::parse(event.meta).map_err(|_| internal())?;
                None
            }
            RecordKind::Resumed => Some(Resumed::parse(event.meta).map_err(|_| internal())?),
            RecordKind::Event | RecordKind::Genesis => None,
        };
        if let Some(resumed) = resumed {
            if self.group_open {
                return Err(ImportError::Unfinished);
            }
            if resumed.incarnation <= running.writer.identity.incarnation {
                return Err(ImportError::Incarnation { seq });
            }
        }
        self.batch.clear();
        let draft = Draft {
            kind: event.record_kind,
            stream: event.stream.as_bytes(),
            type_name: event.kind.as_bytes(),
            key: event.key.unwrap_or_default(),
            meta: event.meta,
            body: match event.body {
                ImportBody::Present { salt, body } if !body.is_empty() => Some((salt, body)),
                _ => None,
            },
        };
        match event.body {
            ImportBody::Removed { len, commitment } => {
                if len == 0 || event.record_kind != RecordKind::Event {
                    return Err(ImportError::Removed { seq, len });
                }
                self.batch.push_removed(&draft, len, commitment)?;
            }
            _ => self.batch.push_draft(&draft)?,
        }
        // Nothing is refused from here on.
        if let Some(resumed) = resumed {
            // What comes before is still of the incarnation before.
            running.write()?;
            running.writer.identity.incarnation = resumed.incarnation;
            running.head_file.incarnation = resumed.incarnation;
        }
        running
            .numbering
            .number(&self.batch, event.time, !event.last_of_group);
        self.group_open = !event.last_of_group;
        if event.last_of_group && running.numbering.pending.entries.len() >= WRITE_AT {
            running.write()?;
        }
        Ok(seq)
    }

    /// The chain hash of the last record.
    pub(crate) fn last_hash(&self) -> Digest {
        let running = self.running.as_ref();
        running.map_or(Digest::ZERO, |running| running.numbering.last_hash)
    }

    /// Makes everything durable and names the end in the head file.
    pub fn finish(mut self) -> Result<Head, ImportError> {
        // Held until the log is closed again.
        let _lock = self.lock.take();
        let (running, _) = self.finished()?;
        Ok(running.writer.written().head(running.head_file.incarnation))
    }

    /// The log that was written, and what it was to be written with.
    pub(crate) fn finished(self) -> Result<(Bare, Options), ImportError> {
        let mut running = self.running.ok_or(ImportError::Genesis)?;
        if self.group_open {
            return Err(ImportError::Unfinished);
        }
        running.finish()?;
        Ok((running, self.options))
    }
}

impl fmt::Debug for Importer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next_seq = self.running.as_ref().map(|bare| bare.numbering.next_seq);
        f.debug_struct("Importer")
            .field("next_seq", &next_seq.unwrap_or_default())
            .field("group_open", &self.group_open)
            .finish_non_exhaustive()
    }
}
