//! The model's configuration: all that a step depends on beside the records.
//!
//! It is on the log in every `started` record, so a fold never looks elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{name::Name, time::Millis};

/// Configuration of every subsystem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Operations.
    pub operations: OperationsConfig,
    /// Coordination.
    pub coordination: CoordinationConfig,
    /// Control.
    pub control: ControlConfig,
    /// Audit.
    pub audit: AuditConfig,
    /// Intelligence.
    pub intelligence: IntelligenceConfig,
}

/// How a unit is chosen for an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the smallest share of its capacity in use.
    LeastLoaded,
    /// By the operation's key, so that the same key goes to the same unit
    /// while it is there (Thaler & Ravishankar 1998). Operations without a
    /// key are placed round robin.
    Rendezvous,
}

/// Configuration of S1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperationsConfig {
    /// How a unit is chosen.
    pub strategy: Strategy,
    /// How many operations may wait for a unit.
    pub queue_max: u32,
    /// How many units there may be.
    pub units_max: u32,
    /// A unit that is not heard for three of these is gone.
    pub heartbeat: Millis,
    /// An operation's deadline when it names none.
    pub deadline: Millis,
    /// How often an operation of an idempotent capability is tried.
    pub attempts_max: u32,
    /// How long until the second attempt; doubles with each.
    pub backoff: Millis,
    /// Where that doubling ends.
    pub backoff_max: Millis,
    /// How many ended operations are remembered, for clients that ask and for
    /// idempotency keys.
    pub ended_max: u32,
}

impl Default for OperationsConfig {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            queue_max: 10_000,
            units_max: 100_000,
            heartbeat: Millis(5_000),
            deadline: Millis(60_000),
            attempts_max: 3,
            backoff: Millis(200),
            backoff_max: Millis(10_000),
            ended_max: 10_000,
        }
    }
}

/// Configuration of S2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoordinationConfig {
    /// How many slots may be held at a time.
    pub slots_max: u32,
    /// The longest slot.
    pub slot_max: Millis,
}

impl Default for CoordinationConfig {
    fn default() -> Self {
        Self {
            slots_max: 10_000,
            slot_max: Millis(86_400_000),
        }
    }
}

/// Configuration of S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlConfig {
    /// How much there is of each resource.
    pub pools: BTreeMap<Name, u64>,
    /// How long an offer waits for an agreement.
    pub offer: Millis,
    /// How many bargains may be open at a time.
    pub bargains_max: u32,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            pools: BTreeMap::new(),
            offer: Millis(10_000),
            bargains_max: 100_000,
        }
    }
}

/// Configuration of S3★.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// How many results an audit looks at.
    pub sample: u32,
    /// How long a unit has to show its evidence.
    pub patience: Millis,
    /// How many audits may be open at a time.
    pub audits_max: u32,
    /// How many findings are remembered.
    pub findings_max: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            sample: 8,
            patience: Millis(10_000),
            audits_max: 1_000,
            findings_max: 1_000,
        }
    }
}

/// Configuration of S4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntelligenceConfig {
    /// How many signals are followed.
    pub signals_max: u32,
    /// How many values of each are kept.
    pub values_max: u32,
}

impl Default for IntelligenceConfig {
    fn default() -> Self {
        Self {
            signals_max: 10_000,
            values_max: 64,
        }
    }
}
