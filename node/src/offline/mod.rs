//! Working on a log's files, without a node: fold, audit, export.
//!
//! Everything reads private copies ([`vsm_store::OfflineLog`]); the evidence
//! is not touched.

pub mod audit;
pub mod confirm;
pub mod export;
pub mod fold;

use std::path::Path;

use vsm_core::{Address, Hosting, LogId, Payload, Record, Role, payload::Lifecycle, replay::Marks};
use vsm_store::{Event, OfflineLog, OpenError, ReadError};

use crate::runtime::journal::{self, JournalError};

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

/// A log that is folded from its files.
pub struct Evidence {
    log: OfflineLog,
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
        let mut hosting = None;
        for event in log.read(1) {
            let event = event?;
            if !journal::is_lifecycle(&event) {
                continue;
            }
            let Some(record) = journal::record(&event)? else {
                continue;
            };
            marks.note(&record.message);
            if let Payload::Lifecycle(Lifecycle::Started(started)) = record.message.payload {
                hosting.get_or_insert_with(|| {
                    Hosting::new(started.node, Role::SYSTEMS.map(Address::root))
                });
            }
        }
        let hosting = hosting.ok_or(OfflineError::NoRun)?;
        Ok(Self {
            log,
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

    /// The log's messages.
    pub fn records(&self) -> impl Iterator<Item = Result<Record, OfflineError>> + '_ {
        self.events(1).filter_map(|event| match event {
            Ok(event) => journal::record(&event)
                .map_err(OfflineError::from)
                .transpose(),
            Err(error) => Some(Err(error.into())),
        })
    }
}
