//! What an operator must see, with the evidence.

use vsm_core::Name;

use super::{
    changes::{DocumentId, SignedChange},
    refusal::Refusal,
    relay::{Cursor, Position, Receipt, RelayBatch},
};
use crate::actor::Actor;

/// Something is wrong with a node, and this shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The peer is not who it says it is.
    Identity(Refusal),
    /// The peer sent a change that is not its owner's.
    Change {
        /// What is wrong with it.
        refusal: Refusal,
        /// The change.
        change: Box<SignedChange>,
    },
    /// An actor used a number for two changes: a clone, or a lost tail under
    /// the same run. Each is signed by its owner: the node whose actor it is,
    /// or, if it is a client's actor, whoever let the change in.
    ChangeForked {
        /// The document.
        document: DocumentId,
        /// The actor.
        actor: Actor,
        /// The number.
        number: u64,
        /// The one that came first.
        first: Box<SignedChange>,
        /// The other one.
        second: Box<SignedChange>,
    },
    /// Relays that are not their origin's, or not in order.
    Relays {
        /// What is wrong with them.
        refusal: Refusal,
        /// The batch.
        batch: Box<RelayBatch>,
    },
    /// A receipt that is not the destination's, or for what was not sent.
    Receipt {
        /// What is wrong with it.
        refusal: Refusal,
        /// The receipt.
        receipt: Box<Receipt>,
    },
    /// The peer signed that it had relays durable, and now goes on before
    /// them, in the same incarnation of its log: it lost its tail and does not
    /// say so. They are sent again.
    ReceiptWithdrawn {
        /// What it signed.
        receipt: Box<Receipt>,
        /// Where it goes on.
        resume: Position,
    },
    /// The peer has relays of this node's log that this log doesn't have: this
    /// log went back. Or the peer lies; its receipt shows which.
    CursorUnknown {
        /// Where the peer goes on.
        resume: Position,
        /// What it signed at connect.
        receipt: Box<Receipt>,
    },
    /// The peer's log is an incarnation that was left behind, or does not say
    /// how it came to be.
    Incarnation {
        /// What is wrong.
        refusal: Refusal,
        /// What this node had from the log before.
        cursor: Cursor,
    },
    /// A checkpoint that the peer did not sign, or none.
    CheckpointInvalid {
        /// The text.
        checkpoint: String,
        /// Why.
        reason: String,
    },
    /// The peer's log has two histories.
    LogForked {
        /// The checkpoint that was believed.
        old: String,
        /// The one that contradicts it.
        new: String,
    },
    /// The peer's log became shorter.
    LogRolledBack {
        /// The checkpoint that was believed.
        old: String,
        /// The shorter one.
        new: String,
    },
}

impl Alarm {
    /// The node to be put in quarantine, if the evidence is against one, given
    /// the peer's name. An impostor at a connection is no evidence against the
    /// node it imitates, two changes of a client are none against the nodes
    /// that let them in, a peer that says itself that it lost its tail needs an
    /// operator but no fence, and a cursor ahead of this log is this log's
    /// fault more likely than the peer's.
    #[must_use]
    pub fn culprit<'a>(&'a self, peer: &'a Name) -> Option<&'a Name> {
        match self {
            Self::Identity(_) | Self::ReceiptWithdrawn { .. } | Self::CursorUnknown { .. } => None,
            Self::ChangeForked { actor, first, .. } => actor.is_node().then_some(&first.owner),
            Self::Change { .. }
            | Self::Relays { .. }
            | Self::Receipt { .. }
            | Self::Incarnation { .. }
            | Self::CheckpointInvalid { .. }
            | Self::LogForked { .. }
            | Self::LogRolledBack { .. } => Some(peer),
        }
    }
}

/// How a session ends: with a refusal, and maybe with an alarm.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) refusal: Refusal,
    pub(super) alarm: Option<Box<Alarm>>,
}

impl Ending {
    pub(super) fn alarming(refusal: Refusal, alarm: Alarm) -> Self {
        Self {
            refusal,
            alarm: Some(Box::new(alarm)),
        }
    }
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        let alarm = match &refusal {
            Refusal::NotAuthenticated { .. }
            | Refusal::KeyMismatch { .. }
            | Refusal::KeyOfAnother { .. }
            | Refusal::Unproven(_) => Some(Box::new(Alarm::Identity(refusal.clone()))),
            _ => None,
        };
        Self { refusal, alarm }
    }
}
