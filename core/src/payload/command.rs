//! Policy directives and control of the units.

use serde::{Deserialize, Serialize};

use crate::{
    name::{Name, Text},
    policy::Policy,
};

channel_payload! {
    /// S5 → S3 and S4, S3 → S1, Operator → S5 and S3, S5 → Operator.
    Command {
        /// An operator gives S5 a policy.
        SetPolicy = "set_policy",
        /// S5's policy, as it binds those below.
        Directive = "directive",
        /// What of the policy units and operations must obey.
        Reconfigure = "reconfigure",
        /// A unit gets no more work.
        Suspend = "suspend",
        /// It does again.
        Resume = "resume",
        /// A unit's session ends.
        Stop = "stop",
        /// A unit takes so many operations at a time.
        SetCapacity = "set_capacity",
        /// A pool has this size.
        SetPool = "set_pool",
        /// What became of a policy that an operator gave.
        PolicySet = "policy_set",
    }
}

/// An operator gives S5 a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPolicy {
    /// All of it; its version must be the last one's plus one.
    pub policy: Policy,
}

/// S5's policy, as it binds those below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directive {
    /// All of it.
    pub policy: Policy,
}

/// What of the policy units and operations must obey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconfigure {
    /// All of it.
    pub policy: Policy,
}

/// A unit gets no more work; what it has it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspend {
    /// The unit.
    pub unit: Name,
    /// Why.
    pub reason: Text,
}

/// A unit gets work again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The unit.
    pub unit: Name,
}

/// A unit's session ends; what it has is tried elsewhere where that is safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The unit.
    pub unit: Name,
    /// Why.
    pub reason: Text,
}

/// A unit takes so many operations at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetCapacity {
    /// The unit.
    pub unit: Name,
    /// How many.
    pub capacity: u32,
}

/// A pool has this size. It never takes what was allocated: until enough is
/// released, nothing more is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPool {
    /// The resource.
    pub resource: Name,
    /// How much there is.
    pub total: u64,
}

/// What became of a policy that an operator gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySet {
    /// The version it named.
    pub version: u64,
    /// Whether it is the policy now.
    pub accepted: bool,
    /// Why not; empty when it is.
    pub reason: Text,
}
