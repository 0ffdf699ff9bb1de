//! A tamper-evident, durable, replayable event log in a directory.

pub(crate) mod backend;
pub(crate) mod batch;
mod chain;
pub(crate) mod digest;
mod directory;
pub(crate) mod error;
pub(crate) mod event;
mod fault;
pub mod format;
mod import;
pub(crate) mod log;
mod offline;
mod options;
mod reader;
mod salt;
mod snapshot;
mod tree;

pub use batch::{Batch, NewEvent};
pub use digest::{Digest, body_commitment, chain_hash, descriptor_digest};
pub use error::{AppendError, EventError, OpenError, ReadError, SnapshotError};
pub use event::{Body, Event};
pub use format::descriptor::{META_BYTES_MAX, NAME_BYTES_MAX};
pub use format::entry::BODY_BYTES_HARD_MAX;
pub use format::header::{Header, RecordKind};
pub use format::internal::{Genesis, Resumed};
pub use import::{ImportError, ImportEvent, Importer};
pub use log::identity::{LogId, LogIdentity};
pub use log::shared::Head;
pub use log::{EventLog, Ticket};
pub use offline::OfflineLog;
pub use offline::verify::{VerifyError, VerifyOptions, VerifyProgress, VerifyReport, verify};
pub use options::{Clock, Options};
pub use reader::{BackwardReader, Reader};
pub use snapshot::SnapshotInfo;
