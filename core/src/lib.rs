//! The Viable System Model as pure, deterministic state machines.
//!
//! This crate holds the messages that Stafford Beer's subsystems exchange, the
//! channels that carry them, the matrix of routes that are allowed, and one
//! Mealy machine per subsystem. It does **no** IO, reads no clock, draws no
//! random number, spawns nothing and iterates over no unordered map: given the
//! same [`Record`]s a machine emits the same [`Message`]s, on any machine, in
//! any build. Running, recovery, time travel and audit are therefore all the
//! same call: [`Machine::step`].
//!
//! ```text
//!   record (sequence, time, message, body's length and digest)
//!      │
//!      ▼
//!   Machine::step ──► emitted messages (id, time and cause derive from the record)
//! ```
//!
//! What the crate leaves out: numbering, storage and delivery (the node's bus
//! and the log do that), and the *body* of a message. A step sees a body's
//! length and digest only, so removing a body never changes what a fold does.

pub mod address;
pub mod channel;
pub mod codec;
pub mod config;
pub mod hosting;
pub mod id;
pub mod json;
pub mod machine;
pub mod matrix;
pub mod message;
pub mod name;
pub mod outbox;
pub mod payload;
pub mod policy;
pub mod record;
pub mod replay;
pub mod system;
pub mod time;

pub use address::{Address, Path, Role};
pub use channel::Channel;
pub use config::ModelConfig;
pub use hosting::Hosting;
pub use id::{Digest, LogId, MessageId, Seq};
pub use machine::{Identity, Machine};
pub use matrix::{Refusal, RefusalReason};
pub use message::{Cause, Lane, Message};
pub use name::{Name, Text};
pub use outbox::Outbox;
pub use payload::Payload;
pub use policy::Policy;
pub use record::{BodyRef, Record};
pub use replay::{Divergence, Replay};
pub use system::System;
pub use time::{Millis, Timestamp};
