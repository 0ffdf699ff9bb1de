//! Resources against accountability.

use serde::{Deserialize, Serialize};

use crate::{
    id::MessageId,
    name::{Name, Text},
    time::Timestamp,
};

channel_payload! {
    /// S1 ↔ S3, S3 ↔ the S3 of another node.
    ResourceBargain {
        /// A unit wants some of a resource.
        Request = "request",
        /// Control's answer.
        Offer = "offer",
        /// The unit takes it.
        Agree = "agree",
        /// The unit gives it back, or does not take it.
        Release = "release",
        /// What is held now, after the last of the above.
        Settled = "settled",
        /// Control lacks rights and asks another node's control for some.
        TransferRequest = "transfer_request",
        /// What the other did; its grant itself is in the shared document.
        TransferAnswer = "transfer_answer",
    }
}

/// A unit wants some of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The bargain.
    pub bargain: MessageId,
    /// The unit.
    pub unit: Name,
    /// Of what.
    pub resource: Name,
    /// How much.
    pub amount: u64,
    /// The least that is of use.
    pub at_least: u64,
}

/// Control's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The bargain.
    pub bargain: MessageId,
    /// The unit.
    pub unit: Name,
    /// What control says.
    pub answer: Answer,
}

/// What control says in a bargain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// This much is set aside until then.
    Offered {
        /// How much.
        amount: u64,
        /// Until when it waits for an agreement.
        until: Timestamp,
    },
    /// This much is the unit's.
    Agreed {
        /// How much.
        amount: u64,
    },
    /// It was given back, or not taken.
    Released,
    /// An offer was not taken in time.
    Expired,
    /// Nothing can be offered.
    Refused {
        /// Why.
        reason: Text,
    },
}

/// The unit takes what was offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agree {
    /// The bargain.
    pub bargain: MessageId,
    /// The unit.
    pub unit: Name,
}

/// The unit gives it back, or does not take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The bargain; `None`: all that the unit holds, because it is gone.
    pub bargain: Option<MessageId>,
    /// The unit.
    pub unit: Name,
}

/// What became of an agreement or a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The bargain.
    pub bargain: MessageId,
    /// The unit.
    pub unit: Name,
    /// What control says.
    pub answer: Answer,
}

/// Control lacks rights and asks another node's control for some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRequest {
    /// Counts up with every request that the asking node makes.
    pub number: u64,
    /// The node that asks.
    pub node: Name,
    /// The incarnation of its log.
    pub incarnation: u32,
    /// Of what.
    pub resource: Name,
    /// How much.
    pub amount: u64,
    /// The least that is of use.
    pub at_least: u64,
}

/// What became of a request for a transfer. Nobody's rights change by this
/// message: a grant counts when the shared document shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferAnswer {
    /// Which request.
    pub number: u64,
    /// The node that answers.
    pub node: Name,
    /// Of what.
    pub resource: Name,
    /// How much was granted; 0: nothing.
    pub amount: u64,
    /// Why not; empty when something was.
    pub reason: Text,
}
