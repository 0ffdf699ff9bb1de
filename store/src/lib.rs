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
//!     key: None,
//!     meta: b"2 units",
//!     body: Some(b"to be delivered to Ada"),
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
//! # Events
//!
//! An event belongs to a **stream**, has a **type**, a **meta** and an optional
//! **body**. Meta is hashed with the event and stays for good. The body is only
//! committed to, under a random salt, so that it can be removed later without
//! breaking the chain and without being guessed from what remains.
//!
//! Events are numbered without a gap. Sequence 0 is genesis, which names the
//! log; yours start at 1. Within its stream each has a version, from 1. Time
//! never goes back.
//!
//! # Appending
//!
//! [`EventLog::append`] takes a [`Batch`]: all of it or none of it gets into
//! the log. It returns a [`Ticket`] at once. One thread per log writes and
//! syncs all that is pending, as often as the disk can; one sync serves
//! everything appended before it. [`Ticket::wait`] returns when the events are
//! on the device; nobody should be told about an event before that.
//!
//! When the disk can't keep up, `append` blocks once
//! [`Options::pending_bytes_max`] is waiting. Who may not block asks
//! [`EventLog::has_room`] and listens with [`EventLog::on_durable`].
//!
//! Two things decide whether a batch is appended at all. [`Batch::expect`] asks
//! for the [version](ExpectedVersion) that streams have just before it, so that
//! what was decided from a stream is appended only if nothing has happened to
//! it since. An idempotency **key** of an event makes a second append of the
//! same batch a [repeat](Ticket::is_repeat): it gets the first one's ticket and
//! appends nothing, also after a restart, for as many events as
//! [`Options::key_window`] says.
//!
//! After a failed write the log is **poisoned**: everything later is refused
//! with [`AppendError::Poisoned`]. A failed sync is never tried again, since
//! the system may by then have dropped what it could not write.
//!
//! # Reading
//!
//! [`EventLog::read`] and [`EventLog::read_back`] give what is durable, from
//! any sequence. Events share the memory of the block they came in.
//! [`Reader::hashed`] also checks each event against the chain. A [`Filter`]
//! leaves out streams and types that are not wanted.
//!
//! [`EventLog::subscribe`] reads on as more becomes durable: a projection that
//! stores [`Subscription::position`] together with what it made of the events
//! goes on from there after a restart, without a gap or a duplicate.
//!
//! With the feature `async`, tickets can be awaited and subscriptions turned
//! into streams, on any runtime; appending itself stays a call that returns at
//! once, or blocks when there is no room.
//!
//! # Closing
//!
//! [`EventLog::close`], or dropping the last handle, makes everything durable
//! and frees the directory. Readers and subscriptions may outlive it: they end,
//! or say [`ReadError::Closed`] if there was more.
//!
//! [`EventLog::read_stream`] and [`EventLog::read_stream_back`] give one stream
//! and read little else: a file beside each volume knows the streams in it and
//! where they are. [`EventLog::read_time`] starts at a time.
//!
//! # Tampering and loss
//!
//! Each event's 128-byte [header](format::header) holds the hash of the header
//! before it; an RFC 6962 Merkle tree stands over all of them. [`verify`]
//! checks a log without touching it and names the first bad sequence.
//!
//! A chain alone does not show that its end is gone. The head file, kept
//! outside of the volumes, names what was durable a moment ago; a log that
//! lacks it is refused with [`OpenError::TailLost`]. Going on regardless takes
//! [`Options::accept_tail_loss`], raises the log's incarnation, and is itself
//! recorded. What this can't show is a whole directory that was replaced by an
//! older copy of itself: for that, keep [`EventLog::head`] somewhere else.
//!
//! # Proofs
//!
//! [`EventLog::checkpoint`] signs the root of the tree: 32 bytes that stand for
//! every event so far. [`EventLog::prove_event`] makes a text from which anybody
//! who has the public key sees that an event is in the log at its place, and
//! [`EventLog::prove_consistency`] one that shows that nothing was changed
//! between two checkpoints. Both are short and cost little, however long the
//! log. Two checkpoints that contradict each other make
//! [evidence](note::ForkEvidence) that convinces third parties. The texts are
//! those of [C2SP](https://c2sp.org): see [`note`].
//!
//! # Snapshots
//!
//! [`EventLog::put_snapshot`] keeps bytes that stand for all events up to a
//! sequence. They are bound to the chain hash there, and refused by a log that
//! does not have that event.
//!
//! # Maintenance
//!
//! [`EventLog::redact`] removes a body for good and keeps the chain,
//! [`EventLog::prune`] drops the oldest volumes, [`EventLog::backup`] copies a
//! running log and [`restore`] brings the copy back. `docs/maintenance.md` says
//! what each of them guarantees, and what a crash in the middle leaves.
//!
//! # On disk
//!
//! A directory of [sled](https://docs.rs/sled) databases, 64 MiB each, of which
//! only the last is open for writing; beside each of the others a file knows the
//! streams in it by hashes of their names. [the format](mod@format) and `docs/log-format.md` draw
//! it to the byte. sled does not sync to the device by itself and does not
//! report a lost tail; this crate does both.

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
pub use log::wakers::TicketFuture;
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
pub use tree::{ProofError, empty_root, leaf_hash, verify_consistency, verify_inclusion};
