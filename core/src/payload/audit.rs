//! S3★ looks at the work itself.

use serde::{Deserialize, Serialize};

use crate::{
    id::{Digest, MessageId},
    name::{Name, Text},
};

channel_payload! {
    /// S3 → S3★ → S1 → S3★ → S3.
    Audit {
        /// Control wants a unit looked at.
        Order = "order",
        /// The auditor asks operations for a sample of a unit's results.
        SampleRequest = "sample_request",
        /// What the unit had bound itself to, per sampled operation.
        Sample = "sample",
        /// What the unit showed.
        Shown = "shown",
        /// What the auditor found.
        Finding = "finding",
    }
}

/// Control wants a unit looked at. The audit's id is this message's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The unit.
    pub unit: Name,
    /// How many of its results at most.
    pub sample: u32,
    /// Why.
    pub reason: Text,
}

/// The auditor asks operations for a sample of a unit's results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRequest {
    /// The audit.
    pub audit: MessageId,
    /// The unit.
    pub unit: Name,
    /// How many at most.
    pub sample: u32,
    /// What picks them: logged before the results are known to be asked for.
    pub draw: u64,
}

/// One sampled result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampled {
    /// The operation.
    pub operation: MessageId,
    /// What the unit bound itself to with the result.
    pub evidence: Option<Digest>,
}

/// What the unit had bound itself to, per sampled operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The audit.
    pub audit: MessageId,
    /// The unit.
    pub unit: Name,
    /// At most 32 results.
    pub results: Vec<Sampled>,
}

/// What the unit showed for one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The audit.
    pub audit: MessageId,
    /// The unit.
    pub unit: Name,
    /// The operation.
    pub operation: MessageId,
    /// The digest of what it showed; `None`: it has nothing to show.
    pub digest: Option<Digest>,
}

/// What an audit comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// All that was shown is what the unit had bound itself to.
    Consistent,
    /// Something shown is not.
    Mismatch,
    /// Nothing to compare: no results, no commitments, or nothing shown.
    /// Lost evidence is never an accusation.
    Inconclusive,
}

/// What the auditor found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The audit.
    pub audit: MessageId,
    /// The unit.
    pub unit: Name,
    /// What it comes to.
    pub conclusion: Conclusion,
    /// How many results were compared.
    pub compared: u32,
    /// The operations whose evidence is not what the unit had bound itself to.
    pub mismatched: Vec<MessageId>,
    /// How many were asked for and not shown.
    pub missing: u32,
}
