//! The session between two nodes, without IO.
//!
//! ```text
//!        the node's log                                     the peer
//!   Input │        ▲ Output                                    │
//!         ▼        │                                           │
//!   ┌─────────── Session ───────────┐        frames            │
//!   │ hello    who is it            │ ◄──────────────────────► │
//!   │ exchange changes              │   one authenticated      │
//!   │ relay    messages             │   WebSocket              │
//!   │ witness  checkpoints          │                          │
//!   │ catch_up ranges of the log    │                          │
//!   └───────────────────────────────┘
//! ```
//!
//! A [`Session`] lives as long as one connection. Whatever outlives it is on
//! the node's log, and the session asks for it: so a new session knows exactly
//! what a crash left. It holds no document, no log and no clock; each call of
//! [`Session::handle`] takes what happened and gives what is to be done.
//!
//! How a node uses it:
//!
//! 1. [`Input::Connected`] when the transport is. [`Output::Send`] goes to the
//!    transport, which says [`Input::Sent`] once a frame is written; that is
//!    all the flow control there is towards the peer. Against a peer that
//!    sends too fast the transport stops reading.
//! 2. [`Output::Proven`]: the node ends every other session with that peer
//!    ([`Refusal::Superseded`]) and answers with [`Input::Standing`].
//! 3. From then on it answers each question once, in any order, and tells
//!    what became durable. Only what is durable is ever handed in to be sent.
//! 4. [`Output::Close`]: the transport closes. [`Backoff`] says when to try
//!    again.
//!
//! What a session never does: deliver something that it did not check, hand on
//! a part of a frame of which another part is refused, or hold more than its
//! [`Config`] says.

pub mod alarm;
pub mod backoff;
pub mod catch_up;
pub mod changes;
pub mod config;
mod desk;
mod exchange;
pub mod exchanged;
pub mod frame;
pub mod hello;
mod incoming;
pub mod key;
mod open;
mod outgoing;
mod queue;
mod recent;
pub mod refusal;
pub mod relay;
pub mod session;
pub mod summary;
pub mod witness;

pub use crate::actor::Actor;
pub use alarm::Alarm;
pub use backoff::Backoff;
pub use catch_up::LogPage;
pub use changes::{CheckedChange, DocumentId, SignedChange};
pub use config::{Config, Known};
pub use exchanged::{Connection, Input, Output, Standing};
pub use frame::{FRAME_BYTES_MAX, Frame, Greeting, SUBPROTOCOL};
pub use hello::{Authenticated, Directory, Hello, Identity, Member, Side};
pub use key::{PublicKey, Signature, Signer};
pub use refusal::Refusal;
pub use relay::{Cursor, ForkPoint, Position, Receipt, Relay, RelayBatch};
pub use session::Session;
pub use summary::{Have, Summary};
pub use witness::{Question, Verdict};
