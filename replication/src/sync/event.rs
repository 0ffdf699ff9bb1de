//! What a session is told and what it wants done.

use super::{
    document_id::DocumentId,
    frame::Ephemeral,
    library::VerifiedChange,
    violation::{Refusal, Violation},
};

/// Who this server is, to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The server's peer id: another one for every run.
    pub peer: String,
    /// Names the log. Clients keep what they know about a document under it,
    /// and watch heads by it; it must change when a log goes on after a loss.
    pub storage: String,
}

/// What a session is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// A binary message of the connection.
    Frame(Vec<u8>),
    /// The library shows changes that it did not show before, whoever wrote
    /// them: this session's own ones as well.
    Changed(DocumentId),
    /// The log did not take changes that the session handed out.
    NotLogged(DocumentId),
    /// Another session's ephemeral message.
    Relayed(Ephemeral),
    /// A deadline has come.
    Tick,
}

/// What a session wants done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Send this binary message.
    Send(Vec<u8>),
    /// Append these changes to the log, all or none, and apply them when they
    /// are durable; then tell every session [`Input::Changed`]. What fails to
    /// be logged is told by [`Input::NotLogged`].
    Log {
        /// Which document.
        document: DocumentId,
        /// In causal order.
        changes: Vec<VerifiedChange>,
    },
    /// The client has this peer id. If another session has it, end that one:
    /// the client has come again before its old connection was missed.
    Joined(String),
    /// Give this to every other session.
    Relay(Ephemeral),
    /// Something was dropped. For metrics and the operator.
    Refused {
        /// The document, as the client named it.
        document: String,
        /// Why.
        reason: Refusal,
    },
    /// Close the connection when what was sent before is on its way.
    Close(Violation),
}
