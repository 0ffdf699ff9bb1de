//! Policy directives and control of the units.

use serde::{Deserialize, Serialize};

use crate::{
    name::{Name, Text},
    policy::Policy,
};

channel_payload! {
    /// S5 → S3 and S4, S3 → S1, Operator → S5 and S3, S5 and S3 → Operator.
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
        /// A node takes over the rights of a dead one.
        Reclaim = "reclaim",
        /// A resource that two wrote for is offered again.
        Unfreeze = "unfreeze",
        /// What became of a command about rights.
        RightsSet = "rights_set",
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

/// A node takes over the rights that a dead one has left of a resource. Whoever
/// says it promises that the dead one is stopped for good; see docs/quotas.md.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reclaim {
    /// The resource.
    pub resource: Name,
    /// The dead node; this node itself for what an earlier incarnation of its
    /// log had.
    pub node: Name,
    /// The incarnation of its log.
    pub incarnation: u32,
    /// The fence: how much it has granted to others in all, the highest figure
    /// that any node that lives shows.
    pub granted: u64,
    /// How much of it is in use nevertheless; `None`: what the document shows.
    pub used: Option<u64>,
}

/// A resource that was frozen because two nodes wrote as this one is offered
/// again: the other is stopped for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfreeze {
    /// The resource.
    pub resource: Name,
}

/// What became of a command about rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightsSet {
    /// The resource.
    pub resource: Name,
    /// Whether it was done.
    pub accepted: bool,
    /// How much this node may use of it now that it could not before.
    pub amount: u64,
    /// Why not; empty when it was done.
    pub reason: Text,
}
