//! Why a session ends, and what it refuses without ending.
//!
//! What an honest client can't send ends the connection: the stock client
//! comes again after some seconds with a fresh state. What an honest client
//! may well send without knowing better (a write to a document that it may
//! only read) is dropped and reported to the node, because ending the
//! connection would only make it come back and do the same for ever.

use automerge::ChangeHash;

use super::{chunk::ChunkError, frame::FrameError, message::MessageError};
use crate::{actor::Actor, change::CHANGE_BYTES_MAX};

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// Longer than [`Limits::frame_bytes_max`](super::Limits::frame_bytes_max).
    #[error("a frame has {length} bytes, the most is {most}; send fewer changes at a time")]
    FrameLength {
        /// Its bytes.
        length: usize,
        /// The most.
        most: usize,
    },
    /// Not a frame of the protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Something else came before `join`.
    #[error("the first message must be join")]
    NotJoined,
    /// No `join` came in time.
    #[error("no join came in time")]
    JoinTimeout,
    /// The client speaks other versions of the protocol.
    #[error("unsupported protocol version; this server speaks version 1")]
    ProtocolVersion,
    /// The sender isn't the peer of this connection.
    #[error("senderId {0:?} is not the peer of this connection")]
    ForeignSender(String),
    /// The frame is for another peer.
    #[error("targetId {0:?} is not this server")]
    ForeignTarget(String),
    /// The sync message inside a frame is malformed or out of bounds.
    #[error("sync message: {0}")]
    Message(#[from] MessageError),
    /// A chunk is no acceptable change.
    #[error("change: {0}")]
    Chunk(#[from] ChunkError),
    /// An actor used a number for two changes.
    #[error("actor {actor} has another change number {number}; a client needs an actor of its own")]
    Forked {
        /// Which actor.
        actor: Actor,
        /// Which number.
        number: u64,
    },
    /// An actor left a number out.
    #[error("actor {actor} has a change number {number} after number {last}")]
    SequenceGap {
        /// Which actor.
        actor: Actor,
        /// The change's number.
        number: u64,
        /// The last one here.
        last: u64,
    },
    /// An operation counter that no honest writer uses. Counters are finite,
    /// and one change could use them all up for everybody.
    #[error("a change begins at operation {start}, where {least} to {most} are possible")]
    OperationCounter {
        /// Its first operation.
        start: u64,
        /// One above what it builds on.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// Too much waits for changes that are not here.
    #[error("{held} changes of {bytes} bytes wait for changes that were not sent")]
    HeldOverflow {
        /// How many wait.
        held: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// A change waited too long for what it builds on.
    #[error("what change {0} builds on did not come in time")]
    MissingDependencies(ChangeHash),
    /// Automerge refused the change on a fork.
    #[error("the document refuses the change: {0}")]
    Invalid(String),
    /// Automerge panicked on a fork. The fork is gone, the document unharmed.
    #[error("the change can't be applied")]
    Panicked,
    /// The client sends without waiting for the log.
    #[error("too much waits for the log; wait for answers")]
    Overrun,
    /// The log did not take the changes.
    #[error("the log did not take the changes; try again later")]
    NotLogged,
    /// The client has too many documents open.
    #[error("more than {0} documents are open")]
    Documents(usize),
    /// The client says too often that it lost everything.
    #[error("the document was asked for from the start more than {0} times")]
    Resets(u32),
    /// The client said `error`.
    #[error("the client reports an error: {0}")]
    PeerError(String),
    /// The client said `leave`. Not a fault.
    #[error("the client left")]
    Left,
}

impl Violation {
    /// Whether the client is told by an `error` frame before the end.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        !matches!(self, Self::Left | Self::PeerError(_))
    }
}

/// What was dropped; the session goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The principal may not write the document.
    #[error("the document may be read only")]
    ReadOnly,
    /// A change is longer than a change may be.
    #[error("a change has {0} bytes uncompressed, or more; the most is {CHANGE_BYTES_MAX}")]
    ChangeLength(usize),
    /// The node's rules refuse it.
    #[error("change {hash} is refused: {reason}")]
    Unauthorised {
        /// Which change.
        hash: ChangeHash,
        /// Why.
        reason: String,
    },
    /// It builds on a refused change.
    #[error("change {0} builds on a refused change")]
    BuildsOnRefused(ChangeHash),
    /// An ephemeral message is too long.
    #[error("an ephemeral message has {0} bytes")]
    EphemeralLength(usize),
    /// Ephemeral messages come too fast.
    #[error("ephemeral messages come too fast")]
    EphemeralRate,
    /// The document isn't open in this session.
    #[error("the document is not open")]
    NotOpen,
}
