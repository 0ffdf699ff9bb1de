//! Pain and pleasure, past the hierarchy.

use serde::{Deserialize, Serialize};

use crate::{
    id::MessageId,
    name::{Name, Text},
    time::Timestamp,
};

channel_payload! {
    /// S1 → S5 and S3, S2/S3/S3★/S4 → S5, Node → S5, S5 → S1, S5 → Operator.
    Algedonic {
        /// Something hurts. The alarm's id is this message's id.
        Pain = "pain",
        /// It no longer does, or something goes better than it ever did.
        Pleasure = "pleasure",
        /// The policy function passes it to a person.
        Escalation = "escalation",
    }
}

/// Something hurts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pain {
    /// Whom; `None`: the subsystem that says it.
    pub unit: Option<Name>,
    /// What.
    pub reason: Text,
    /// Which record it was noticed by, when it is not the cause itself.
    pub evidence: Option<crate::id::Seq>,
}

/// Something no longer hurts, or goes better than it ever did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pleasure {
    /// Whom.
    pub unit: Option<Name>,
    /// What.
    pub reason: Text,
}

/// The policy function passes pain to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// The alarm.
    pub alarm: MessageId,
    /// Whom it hurts.
    pub unit: Option<Name>,
    /// What.
    pub reason: Text,
    /// Since when.
    pub since: Timestamp,
}
