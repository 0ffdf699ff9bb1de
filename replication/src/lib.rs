//! Shared documents for VSM Core nodes, without IO.
//!
//! A [`Document`] is a CRDT (Automerge) that several nodes write at the same
//! time and that is equal on all of them once all changes have reached all of
//! them, in whatever order. This crate makes and applies changes; it opens no
//! socket, reads no clock and never sees the log: whoever uses it appends a
//! change's bytes to a log before the change counts.
//!
//! One document per [`Topic`]. Entries are spread over buckets, because the
//! cost of applying a change grows with the object that it touches.
//!
//! [`Shared`] is the subsystem that holds the documents: a fold over the log
//! like the others, so that the log reproduces them.
//!
//! A [`Catalogue`] reads the same log, holds no document, and says what of them
//! is durable, to whoever shows that to others.
//!
//! Browsers and other Automerge clients take part through [`sync`].
//!
//! Two nodes exchange changes, relay messages and witness each other's logs in
//! a [`peer::Session`].
//!
//! Not here yet: epochs.

pub mod actor;
pub mod catalogue;
pub mod change;
pub mod columns;
pub mod document;
mod held;
pub mod history;
pub mod intake;
pub mod members;
pub mod peer;
mod reader;
mod shared;
mod skeleton;
pub mod sync;
pub mod topic;
mod touched;
pub mod voucher;

pub use actor::Actor;
pub use catalogue::Catalogue;
pub use change::{CHANGE_BYTES_MAX, ChangeError, Checked};
pub use document::Document;
pub use history::{Have, History};
pub use intake::Intake;
pub use members::Members;
pub use shared::{SHARED, Shared};
pub use topic::Topic;
pub use voucher::{Owner, Voucher};
