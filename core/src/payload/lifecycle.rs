//! The node tells its subsystems about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    address::{Address, Role},
    channel::Channel,
    config::ModelConfig,
    id::{Digest, LogId, MessageId, Seq},
    matrix::RefusalReason,
    name::{Name, Text},
    time::Timestamp,
};

channel_payload! {
    /// Node → every subsystem, or Node → Node for what is only recorded.
    Lifecycle {
        /// A run begins. Everything that a step depends on beside the records.
        Started = "started",
        /// What a run had left undone was completed.
        Recovered = "recovered",
        /// A run ended with nothing left undone.
        Stopped = "stopped",
        /// Time passed and nothing else came.
        Tick = "tick",
        /// The wall clock jumped.
        ClockJumped = "clock_jumped",
        /// A subsystem's state was kept.
        SnapshotTaken = "snapshot_taken",
        /// A record is skipped from now on.
        Quarantined = "quarantined",
        /// A message was refused.
        MessageRefused = "message_refused",
        /// The auditor shall look at a unit; the node drew it.
        AuditDue = "audit_due",
        /// The node is a member of a cluster.
        Member = "member",
    }
}

/// A run begins. Everything that a step depends on beside the records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Drawn anew for every run.
    pub run: Digest,
    /// This node.
    pub node: Name,
    /// Its log.
    pub log: LogId,
    /// Raised when a log goes on after a lost tail or a restore.
    pub incarnation: u32,
    /// The version of the program, for people.
    pub program: Text,
    /// The version of the route matrix.
    pub matrix: u32,
    /// The version of each hosted subsystem's behaviour.
    pub behaviours: BTreeMap<Role, u32>,
    /// The model's configuration.
    pub model: ModelConfig,
}

/// What a run had left undone was completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// The last record of the run that ended.
    pub upto: Seq,
    /// How many messages recovery had to append.
    pub completed: u64,
}

/// A run ended: every reaction to every earlier record is on the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Why.
    pub reason: Text,
}

/// Time passed, and a deadline is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The deadline.
    pub deadline: Timestamp,
}

/// The wall clock jumped against the monotonic one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockJumped {
    /// By how much, in microseconds; negative: backwards.
    pub micros: i64,
}

/// A subsystem's state was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotTaken {
    /// Whose.
    pub system: Address,
    /// The state holds every record of this subsystem up to here, and every
    /// reaction to them is on the log.
    pub seq: Seq,
    /// The behaviour that made it.
    pub behaviour: u32,
    /// The format of the bytes.
    pub format: u32,
    /// Their digest.
    pub state: Digest,
}

/// A record is skipped from now on by the subsystem it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Which subsystem.
    pub system: Address,
    /// Which record.
    pub seq: Seq,
    /// What it did.
    pub reason: Text,
}

/// A message was refused; this stands in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRefused {
    /// The message.
    pub message: MessageId,
    /// From whom.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// Its channel.
    pub channel: Channel,
    /// Its type.
    pub kind: Text,
    /// Why.
    pub reason: RefusalReason,
    /// How many more were refused and not recorded since the last one that
    /// was: refusals from outside are recorded at a limited rate.
    pub unrecorded: u64,
}

/// The auditor shall look at a unit; the node drew it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditDue {
    /// The unit.
    pub unit: Name,
    /// How many results at most.
    pub sample: u32,
    /// What picks them.
    pub draw: u64,
}

/// The node is a member of a cluster: what it does may depend on other nodes,
/// and other nodes on it. Told in every run, right after its start and before
/// anything from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The cluster.
    pub cluster: Name,
}
