//! Browsers and other Automerge clients: the automerge-repo wire protocol,
//! version 1, on the side of the server, without IO.
//!
//! ```text
//!  frame ─► length ─► CBOR ─► sender ─► sync message ─► chunks ─► known? ─► deps?
//!                                                                  drop     hold
//!   ─► sequence, counter, authorise ─► try on a fork ─► Output::Log ┄┄► log
//!                                                                        ┊
//!  frame ◄─ sync message ◄─ what the peer lacks ◄──── Input::Changed ◄┄┄┄┘
//! ```
//!
//! A [`Session`] is one connection. Nothing that a client sends counts before
//! the node has logged it: the session hands verified changes out and answers
//! with heads that hold them only when the [`Library`] does. So a client that
//! sees its change under the server's heads knows that it is durable.
//!
//! The protocol is described in the README of
//! `@automerge/automerge-repo-network-websocket`; the sync messages inside it
//! in the documentation of [`automerge::sync`] and in Kleppmann and Howard,
//! "Byzantine Eventual Consistency and the Fundamental Limits of Peer-to-Peer
//! Databases" (arXiv:2012.00472). Messages are read and made here, because the
//! library's own receiver trusts the sender and walks the whole history for
//! every message; its bloom filter and its changes are used as they are.
//!
//! Left out on purpose: creating documents from outside, gossip about other
//! clients' heads, and whole-document messages (clients send them only to
//! peers that announce flags, and a session announces none).

pub mod chunk;
pub mod document_id;
pub mod event;
pub mod exchange;
pub mod frame;
pub mod intake;
pub mod library;
pub mod limits;
pub mod memory;
pub mod message;
pub mod places;
mod rate;
pub mod session;
pub mod shelf;
pub mod trial;
pub mod violation;

pub use document_id::{Directory, DocumentId};
pub use event::{Identity, Input, Output};
pub use frame::Ephemeral;
pub use library::{Access, Library, ProbeError, VerifiedChange};
pub use limits::Limits;
pub use memory::MemoryLibrary;
pub use places::Places;
pub use session::Session;
pub use shelf::Shelf;
pub use trial::Trial;
pub use violation::{Refusal, Violation};
