//! Slots of what units share.

use serde::{Deserialize, Serialize};

use crate::{
    id::MessageId,
    name::{Name, Text},
    time::Timestamp,
};

channel_payload! {
    /// S2 ↔ S1.
    Coordination {
        /// A unit wants something for itself for a while.
        Claim = "claim",
        /// Whether it gets it.
        Slot = "slot",
        /// It no longer needs it.
        Release = "release",
    }
}

/// A unit wants something for itself for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The plan it comes from.
    pub plan: MessageId,
    /// The unit.
    pub unit: Name,
    /// What.
    pub resource: Name,
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
}

/// Whether a claim was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The plan.
    pub plan: MessageId,
    /// The unit.
    pub unit: Name,
    /// What coordination said.
    pub answer: SlotAnswer,
}

/// What coordination says of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotAnswer {
    /// It is the unit's.
    Granted {
        /// From when.
        start: Timestamp,
        /// Until when.
        end: Timestamp,
    },
    /// Another unit has it; the next time a slot of that length is free.
    Taken {
        /// Who has it.
        by: Name,
        /// From when it could be had.
        next_free: Timestamp,
    },
    /// It makes no sense as claimed.
    Refused {
        /// Why.
        reason: Text,
    },
}

/// A slot is given back before its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The plan.
    pub plan: MessageId,
    /// The unit.
    pub unit: Name,
}
