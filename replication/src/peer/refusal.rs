//! Why a session ends.

use vsm_core::{LogId, Millis, Name, Seq, Text};

use super::{
    catch_up::PAGE_RECORDS_MAX,
    changes::DocumentId,
    frame::{FRAME_BYTES_MAX, VERSIONS},
    key::PublicKey,
    relay::RELAY_BYTES_MAX,
    witness::CHECKPOINT_BYTES_MAX,
};
use crate::{actor::Actor, change::CHANGE_BYTES_MAX};

/// Why a session ended. The other side is told the code and the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each message says what its fields are")]
pub enum Refusal {
    /// This node closes the connection, to stop or to connect anew.
    #[error("the node closes the connection: {0}")]
    Closing(Text),
    /// The other side refused.
    #[error("the peer refused (code {code}): {text}")]
    ByPeer { code: u16, text: Text },
    /// A frame is too long.
    #[error("a frame has {0} bytes, the most is {FRAME_BYTES_MAX}")]
    FrameLength(usize),
    /// A frame could not be read.
    #[error("malformed frame: {0}")]
    Malformed(String),
    /// A frame of a version that was not agreed on.
    #[error("a frame of version {found}; agreed on: {agreed:?}")]
    FrameVersion { found: u8, agreed: Option<u8> },
    /// A frame that has no place here.
    #[error("{0} has no place at this point of the session")]
    Unexpected(&'static str),
    /// No version in common.
    #[error("the peer speaks versions {theirs:?}, this node {VERSIONS:?}; upgrade the older node")]
    Versions { theirs: Vec<u8> },
    /// The peer says that it is this node.
    #[error(
        "the peer says that it is this node, {0}; give each node its own name and key, and don't list a node among its own peers"
    )]
    Oneself(Name),
    /// The peer says another name or key than the transport authenticated.
    #[error("the peer says that it is {said}; its certificate says {authenticated}")]
    NotAuthenticated { said: Name, authenticated: Name },
    /// A known name with another key.
    #[error(
        "{node} has the key {known}, the peer shows {shown}; if the node was replaced, an operator must remove the old one first"
    )]
    KeyMismatch {
        node: Name,
        known: PublicKey,
        shown: PublicKey,
    },
    /// A known key under another name.
    #[error("the key of {known} is shown by {said}; each node needs a key of its own")]
    KeyOfAnother { said: Name, known: Name },
    /// Nobody knows it, and no transport vouches for it.
    #[error("{0} is not a member of this cluster; join it with a token first")]
    UnknownNode(Name),
    /// It misbehaved earlier.
    #[error("{0} is in quarantine; an operator must look at the alarm and lift it")]
    Quarantined(Name),
    /// It could not prove that it has the key it shows.
    #[error("{0} did not prove that it has its key")]
    Unproven(Name),
    /// What it says of itself contradicts itself.
    #[error("the peer's hello is inconsistent: {0}")]
    Hello(&'static str),
    /// The handshake took too long.
    #[error("the handshake took longer than {} ms", .0.0)]
    HandshakeTime(Millis),
    /// Nothing came for too long.
    #[error("nothing came from the peer for {} ms", .0.0)]
    Idle(Millis),
    /// A question was not answered.
    #[error("the peer did not answer a request for {what} within {} ms", within.0)]
    Unanswered { what: &'static str, within: Millis },
    /// Too many questions at once.
    #[error("the peer asks for {0} again before the last answer")]
    TooManyRequests(&'static str),
    /// An answer that nobody asked for.
    #[error("the peer sent {0} that nobody asked for")]
    Unrequested(&'static str),
    /// A list is too long.
    #[error("{count} {what} in a frame, the most is {max}")]
    TooMany {
        what: &'static str,
        count: usize,
        max: usize,
    },
    /// A change is too long.
    #[error("a change of {owner} in {document} has {bytes} bytes, the most is {CHANGE_BYTES_MAX}")]
    ChangeLength {
        owner: Name,
        document: DocumentId,
        bytes: usize,
    },
    /// Its owner did not sign it.
    #[error("a change in {document} is not signed by {owner}, its owner")]
    ChangeSignature { owner: Name, document: DocumentId },
    /// It is no change.
    #[error("a change of {owner} in {document} is malformed: {reason}")]
    ChangeMalformed {
        owner: Name,
        document: DocumentId,
        reason: String,
    },
    /// Its actor is another node's or another run's.
    #[error("a change in {document} by actor {actor}, which is not {owner}'s in the run it names")]
    ForeignActor {
        owner: Name,
        document: DocumentId,
        actor: Actor,
    },
    /// One number, two changes.
    #[error("actor {actor} has two changes number {number} in {document}: a cloned node")]
    ChangeForked {
        document: DocumentId,
        actor: Actor,
        number: u64,
    },
    /// A relayed message is too long.
    #[error("relayed message {seq} has {bytes} bytes, the most is {RELAY_BYTES_MAX}")]
    RelayLength { seq: Seq, bytes: usize },
    /// Relays that don't go on where the last ones ended.
    #[error("relays go on after {found}, expected after {expected}")]
    RelayOrder { expected: Seq, found: Seq },
    /// Relays of another log, or for another.
    #[error("relays or a receipt name log {found}, expected {expected}")]
    RelayLog { expected: LogId, found: LogId },
    /// Relays or a receipt of another incarnation.
    #[error("relays or a receipt name incarnation {found}, expected {expected}")]
    RelayIncarnation { expected: u32, found: u32 },
    /// The origin did not sign them.
    #[error("relays after {0} are not signed by their origin")]
    RelaySignature(Seq),
    /// More than may be under way.
    #[error("{0} relays are under way, the most is {max}", max = super::relay::IN_FLIGHT_MAX)]
    RelayWindow(usize),
    /// The destination did not sign it.
    #[error("the receipt up to {0} is not signed by the destination")]
    ReceiptSignature(Seq),
    /// A receipt for what was not sent, or one that takes back another.
    #[error("a receipt up to {0}, which was not sent or is already taken back")]
    ReceiptUnknown(Seq),
    /// The peer goes on from a position that this log doesn't have.
    #[error(
        "the peer has relays of this log up to {0}, which this log does not have: this log lost its tail; restore it as a new incarnation"
    )]
    CursorUnknown(Seq),
    /// The peer's log is an incarnation that was left behind.
    #[error(
        "the peer's log is at incarnation {found}, it was at {seen} before: a clone or a rollback"
    )]
    IncarnationWentBack { seen: u32, found: u32 },
    /// The peer doesn't say where an incarnation began.
    #[error("the peer does not say where its log's incarnation {0} began")]
    ForkPointUnknown(u32),
    /// Another session with this peer took over.
    #[error("another session with the peer took over")]
    Superseded,
    /// A checkpoint or proof is too long.
    #[error("a checkpoint or proof has {0} bytes, the most is {CHECKPOINT_BYTES_MAX}")]
    CheckpointLength(usize),
    /// A checkpoint that its node did not sign.
    #[error("the peer's checkpoint is not valid: {0}")]
    CheckpointInvalid(String),
    /// A log with two histories.
    #[error("the peer's log has forked: two of its checkpoints contradict each other")]
    LogForked,
    /// A log that became shorter.
    #[error("the peer's log went back behind a checkpoint it had signed")]
    LogRolledBack,
    /// Only auditors read logs.
    #[error("{0} has no auditor's role here; a log's ranges are for auditors")]
    NotAuditor(Name),
    /// A page that doesn't answer the request.
    #[error(
        "a page of the log from {found}, asked for {asked} and at most {PAGE_RECORDS_MAX} records"
    )]
    PageRange { asked: Seq, found: Seq },
    /// This node handed its own session what can't be sent: a defect.
    #[error("this node handed its session {0}; that is a defect, please report it")]
    Misused(&'static str),
}

impl Refusal {
    /// Whether nothing is wrong: a side stops, or another session took over.
    #[must_use]
    pub const fn is_farewell(&self) -> bool {
        let code = match self {
            Self::ByPeer { code, .. } => *code,
            other => other.code(),
        };
        matches!(code, 1 | 38)
    }

    /// The refusal's number on the wire. Never reused.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Closing(_) => 1,
            Self::ByPeer { .. } => 2,
            Self::FrameLength(_) => 3,
            Self::Malformed(_) => 4,
            Self::FrameVersion { .. } => 5,
            Self::Unexpected(_) => 6,
            Self::Versions { .. } => 7,
            Self::Oneself(_) => 8,
            Self::NotAuthenticated { .. } => 9,
            Self::KeyMismatch { .. } => 10,
            Self::KeyOfAnother { .. } => 11,
            Self::UnknownNode(_) => 12,
            Self::Quarantined(_) => 13,
            Self::Unproven(_) => 14,
            Self::Hello(_) => 15,
            Self::HandshakeTime(_) => 16,
            Self::Idle(_) => 17,
            Self::Unanswered { .. } => 18,
            Self::TooManyRequests(_) => 19,
            Self::Unrequested(_) => 20,
            Self::TooMany { .. } => 21,
            Self::ChangeLength { .. } => 22,
            Self::ChangeSignature { .. } => 23,
            Self::ChangeMalformed { .. } => 24,
            Self::ForeignActor { .. } => 25,
            Self::ChangeForked { .. } => 26,
            Self::RelayLength { .. } => 27,
            Self::RelayOrder { .. } => 28,
            Self::RelayLog { .. } => 29,
            Self::RelayIncarnation { .. } => 30,
            Self::RelaySignature(_) => 31,
            Self::RelayWindow(_) => 32,
            Self::ReceiptSignature(_) => 33,
            Self::ReceiptUnknown(_) => 34,
            Self::CursorUnknown(_) => 35,
            Self::IncarnationWentBack { .. } => 36,
            Self::ForkPointUnknown(_) => 37,
            Self::Superseded => 38,
            Self::CheckpointLength(_) => 39,
            Self::CheckpointInvalid(_) => 40,
            Self::LogForked => 41,
            Self::LogRolledBack => 42,
            Self::NotAuditor(_) => 43,
            Self::PageRange { .. } => 44,
            Self::Misused(_) => 45,
        }
    }
}
