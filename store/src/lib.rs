//! A tamper-evident, durable, replayable event log in a directory.
//!
//! No server, no runtime, no knowledge of what is in the events: bytes in,
//! bytes out, in order, for good.
//!
//! # A first log
//!
//! ```
//! use vsm_store::{Batch, EventLog, NewEvent, Options};
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let log = EventLog::open(dir, Options::new())?;
//!
//! let mut batch = Batch::new();
//! batch.push(&NewEvent {
//!     stream: "orders/17",
//!     kind: "placed",
//!     meta: b"2 units",
//!     body: Some(b"to be delivered to Ada"),
//!     ..NewEvent::default()
//! })?;
//! let ticket = log.append(&batch)?; // has its place: sequence 1
//! ticket.wait()?;                   // is on the device
//!
//! for event in log.read(1) {
//!     let event = event?;
//!     println!("{} {} {:?}", event.seq(), event.stream(), event.body());
//! }
//! log.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it is, and what it isn't
//!
//! - Acknowledged is durable: a [`Ticket`] resolves when its events are on the
//!   device, and one sync serves all who wait.
//! - Each event's 128-byte [header](format::header) holds the hash of the
//!   header before it, and a Merkle tree (RFC 6962) stands over all of them:
//!   altering, inserting, removing or reordering shows, and proofs of a few
//!   hundred bytes show it to others.
//! - A log that has lost its end says so, and is not opened before it is told
//!   how to go on.
//! - Bodies can be removed for good without breaking any of this.
//! - It is no server: one process has a log open, through any number of
//!   handles. It is not replicated, has no queries but by sequence, stream and
//!   time, does not encrypt, and leaves the encoding of events to you.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | event | what you append: stream, type, key, meta, body |
//! | record | an event, or one of the log's own, such as genesis; all are numbered alike |
//! | sequence | place in the log, from 0, which is genesis, without a gap |
//! | version | place in a stream, from 1, without a gap |
//! | group | what was appended by one call; it is in the log as a whole or not at all |
//! | durable | on the device |
//! | chain hash | stands for an event and everything before it |
//! | head | the last durable event, its chain hash, the root of the tree |
//! | volume | a part of the log of some 16 MiB; all but the last are sealed |
//! | incarnation | 1, and one more each time a log goes on without something that it once said |
//! | time | microseconds since 1970; never goes back |
//!
//! # The guide
//!
//! | page | calls |
//! |---|---|
//! | [appending](guide::appending) | [`Batch`], [`EventLog::append`], [`Ticket`], [`ExpectedVersion`] |
//! | [reading](guide::reading) | [`EventLog::read`], [`EventLog::read_stream`], [`Filter`], [`EventLog::subscribe`], [`EventLog::put_snapshot`] |
//! | [trusting](guide::trusting) | [`verify`], [`OfflineLog`], [`EventLog::prover`], [`Prover`], [`note`] |
//! | [maintaining](guide::maintaining) | [`EventLog::redact`], [`EventLog::prune`], [`EventLog::backup`], [`restore`] |
//! | [limits and costs](guide::limits) | [`Options`] |
//!
//! # Opening and closing
//!
//! [`EventLog::open`] creates what is not there and recovers what a crash left.
//! [`EventLog::in_memory`] is the same log without a directory, for tests and
//! for what need not last. [`EventLog::close`], or dropping the last handle,
//! makes everything durable and frees the directory. Readers and subscriptions
//! may outlive it: they end, or say [`ReadError::Closed`] if there was more.
//!
//! # Threads
//!
//! All types are [`Send`] and [`Sync`]. A log has two threads of its own: one
//! encodes and writes while the other syncs. No call needs an async runtime; the
//! feature `async` makes tickets awaitable and subscriptions streams, on any.
//!
//! # Errors
//!
//! One enum per operation, all `#[non_exhaustive]`. Damage is never an I/O
//! error and the other way round: `Corrupt` names the first bad sequence, `Io`
//! what the system said. Bad input is refused by a named error before anything
//! is done. Panics are bugs, but for what your own callbacks do.
//!
//! # On disk
//!
//! A directory of [sled](https://docs.rs/sled) databases, the volumes, of which
//! only the last is open for writing; beside each of the others a file knows the
//! streams in it by hashes of their names. [The format](mod@format) is frozen;
//! `docs/log-format.md` draws it to the byte. sled does not sync to the device
//! by itself and does not report a lost tail; this crate does both.

mod backend;
mod batch;
mod chain;
mod digest;
mod directory;
mod error;
mod event;
mod expected;
mod export;
mod fault;
mod filter;
pub mod format;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod guide;
mod import;
mod index;
mod log;
mod maintenance;
pub mod note;
mod offline;
mod options;
mod reader;
mod salt;
mod snapshot;
mod stream_reader;
mod subscription;
#[cfg(feature = "async")]
mod subscription_stream;
mod tree;

pub use batch::{Batch, CONDITIONS_MAX, NewEvent};
pub use digest::{Digest, HexError, body_commitment, chain_hash, descriptor_digest};
/// The private key of a node: for [`EventLog::redact`], [`EventLog::prune`] and
/// [`NoteSigner::from_key`](note::NoteSigner::from_key).
pub use ed25519_dalek::SigningKey;
pub use error::{AppendError, EventError, OpenError, ReadError, SnapshotError};
pub use event::{Body, Event};
pub use expected::ExpectedVersion;
pub use export::{Boundary, ExportError, import_export};
pub use filter::Filter;
pub use format::descriptor::{META_BYTES_MAX, NAME_BYTES_MAX};
pub use format::entry::BODY_BYTES_MAX;
pub use format::header::{Header, RecordKind};
pub use format::internal::{Genesis, Pruned, REASON_BYTES_MAX, Redacted, Resumed};
pub use import::{ImportBody, ImportError, ImportEvent, Importer};
pub use log::EventLog;
pub use log::identity::{LogId, LogIdentity};
pub use log::shared::Head;
pub use log::ticket::Ticket;
#[cfg(feature = "async")]
pub use log::ticket_future::TicketFuture;
pub use maintenance::backup::{BackupOptions, BackupProgress, BackupReport};
pub use maintenance::error::{BackupError, PruneError, RedactError, RestoreError, SignError};
pub use maintenance::prune::PruneReport;
pub use maintenance::redact::{REDACTIONS_MAX, RedactReport, Redaction};
pub use maintenance::restore::{RestoreOptions, RestoreReport, restore};
pub use offline::OfflineLog;
pub use offline::verify::{VerifyError, VerifyOptions, VerifyProgress, VerifyReport, verify};
pub use options::{Clock, KEY_WINDOW_MAX, Options};
pub use reader::{BackwardReader, Reader};
pub use snapshot::SnapshotInfo;
pub use stream_reader::{BackwardStreamReader, StreamReader};
pub use subscription::{SettledPosition, Subscription};
#[cfg(feature = "async")]
pub use subscription_stream::SubscriptionStream;
pub use tree::{ProofError, Prover, empty_root, leaf_hash, verify_consistency, verify_inclusion};
