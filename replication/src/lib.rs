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
//! Two nodes exchange changes, relay messages and witness each other's logs in
//! a [`peer::Session`].
//!
//! Not here yet: epochs and quotas.

pub mod actor;
pub mod document;
pub mod peer;
pub mod topic;

pub use actor::actor_of;
pub use document::{ChangeError, Document};
pub use topic::Topic;
