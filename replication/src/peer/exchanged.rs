//! What goes into a session and what comes out of it.

use std::sync::Arc;

use bytes::Bytes;
use vsm_core::{Name, Role, Seq};

use super::{
    alarm::Alarm,
    catch_up::LogPage,
    changes::{CheckedChange, DocumentId, SignedChange},
    hello::{Authenticated, Directory, Hello, Side},
    refusal::Refusal,
    relay::{Cursor, Position, Receipt, Relay, RelayBatch},
    summary::{Have, Summary},
    witness::{Question, Verdict},
};

/// A new connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Which end this is.
    pub side: Side,
    /// Whom the transport authenticated, if it did.
    pub authenticated: Option<Authenticated>,
    /// 32 random bytes, drawn for this connection.
    pub nonce: [u8; 32],
    /// The nodes that are known.
    pub directory: Arc<Directory>,
}

/// What the node's own log knows about a peer, read when the peer is proven.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The last relay of the peer's log that was appended to this node's log,
    /// durable or not; of the latest incarnation there was one of.
    pub appended: Option<Cursor>,
    /// The last one of these that is durable.
    pub durable: Option<Cursor>,
    /// The last receipt of the peer.
    pub receipt: Option<Receipt>,
    /// The last checkpoint of the peer that was believed.
    pub checkpoint: Option<String>,
}

/// What happens to a session.
#[derive(Clone, Debug)]
pub enum Input {
    /// The transport connected. The first input, once.
    Connected(Connection),
    /// The transport received a frame.
    Frame(Vec<u8>),
    /// The transport wrote frames of so many bytes.
    Sent(usize),
    /// A deadline is due.
    Wake,
    /// Other nodes are known than before.
    Directory(Arc<Directory>),
    /// Answers [`Output::Proven`].
    Standing(Box<Standing>),
    /// Changes became durable here, the node's own ones or those of others.
    Changed(Vec<SignedChange>),
    /// Changes became durable here that the session was not told of: it was
    /// too slow. Summaries find them.
    Missed,
    /// Certificates of nodes, for the peer; at most
    /// [`CERTIFICATES_MAX`](super::frame::CERTIFICATES_MAX) of them.
    Members(Vec<Bytes>),
    /// Answers [`Output::ReadSummary`]: what is durable here.
    Summary(Summary),
    /// Answers [`Output::ReadChanges`]; each actor's in the order of their
    /// numbers.
    Changes {
        /// The document that was asked for.
        document: DocumentId,
        /// Durable changes beyond what the peer has.
        changes: Vec<SignedChange>,
        /// What the peer has with these, if there are more.
        rest: Option<Have>,
    },
    /// The documents found two changes under one number.
    Forked(Box<(CheckedChange, CheckedChange)>),
    /// Messages for the peer may have become durable.
    RelaysReady,
    /// Answers [`Output::ReadRelays`].
    Relays {
        /// The durable messages for the peer, in order.
        relays: Vec<Relay>,
        /// Whether there are more.
        more: bool,
    },
    /// Answers [`Output::ReadRelays`]: the log has no such position.
    RelaysUnknown,
    /// Relays of the peer are durable here, up to this position of its log.
    RelaysDurable(Seq),
    /// Answers [`Output::ReadCheckpoint`]; none: there is none yet.
    Checkpoint(Option<String>),
    /// Answers [`Output::ReadConsistency`]; none: they don't agree.
    Consistency(Option<String>),
    /// Answers [`Output::VerifyCheckpoint`].
    CheckpointVerdict(Verdict),
    /// The node wants a range of the peer's log, one at a time.
    FetchLog {
        /// The first position.
        from: Seq,
        /// How many records at most.
        records: u32,
    },
    /// Answers [`Output::ReadLog`].
    LogPage(LogPage),
    /// The node ends the session, with [`Refusal::Closing`] or
    /// [`Refusal::Superseded`].
    Close(Refusal),
}

/// What a session asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The transport shall send this frame, then say [`Input::Sent`].
    Send(Vec<u8>),
    /// The peer has proven who it is; the node answers with
    /// [`Input::Standing`], after it closed every other session with it.
    Proven(Box<Hello>),
    /// Both sides know all they need. Traffic begins.
    Open {
        /// The version that both speak.
        version: u8,
        /// The subsystems that the peer hosts.
        roles: Vec<Role>,
    },
    /// What is durable here of each document? ([`Input::Summary`])
    ReadSummary,
    /// Which changes does the peer lack? ([`Input::Changes`])
    ReadChanges {
        /// In which document.
        document: DocumentId,
        /// What the peer has.
        have: Have,
        /// About how many bytes at most, but one change at least.
        bytes: usize,
    },
    /// Checked changes, for the node to log and apply. Some may be known; some
    /// may build on others that are still to come.
    Log(Vec<CheckedChange>),
    /// Certificates of nodes, not checked.
    Members(Vec<Bytes>),
    /// The peer has changes of a node whose key is not known here.
    UnknownOwner(Name),
    /// Which messages are for the peer? ([`Input::Relays`], or
    /// [`Input::RelaysUnknown`] when the log has no such position)
    ReadRelays {
        /// After which position of this log.
        after: Position,
        /// How many at most.
        count: usize,
        /// About how many bytes at most, but one message at least.
        bytes: usize,
    },
    /// The node appends these in order, if its cursor for the origin is where
    /// they begin, and says [`Input::RelaysDurable`] later. If it is not, it
    /// closes the session as superseded.
    Append(RelayBatch),
    /// The peer has relays durable: evidence, to be kept.
    Receipt(Receipt),
    /// What is this log's newest checkpoint? ([`Input::Checkpoint`])
    ReadCheckpoint,
    /// What proves that one of this log's checkpoints extends the other?
    /// ([`Input::Consistency`])
    ReadConsistency {
        /// The earlier one, as the peer shows it.
        old: String,
        /// The later one.
        new: String,
    },
    /// Is the peer's checkpoint right? The node keeps it if so.
    /// ([`Input::CheckpointVerdict`])
    VerifyCheckpoint(Question),
    /// What stands in this log? ([`Input::LogPage`])
    ReadLog {
        /// The first position.
        from: Seq,
        /// How many records at most.
        records: u32,
        /// About how many bytes at most, but one record at least.
        bytes: usize,
    },
    /// A range of the peer's log, as the node wanted.
    LogPage(LogPage),
    /// Something is wrong; see [`Alarm::culprit`] for whom to quarantine.
    Alarm(Box<Alarm>),
    /// The session is over: the transport writes what it was given, then
    /// closes. The last output.
    Close(Refusal),
}
