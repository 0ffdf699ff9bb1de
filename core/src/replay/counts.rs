//! What a fold counted.

use serde::Serialize;

use crate::{id::Seq, time::Millis};

/// What a fold counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records taken in.
    pub records: u64,
    /// Of these, emitted by subsystems and compared.
    pub reactions: u64,
    /// Of these, injected under a subsystem's name by somebody outside.
    pub injected: u64,
    /// Of these, relayed by other nodes.
    pub relayed: u64,
    /// Of these, that a message was refused.
    pub refusals: u64,
    /// Of these, ticks.
    pub ticks: u64,
    /// Ticks that could not be held against what the subsystem wanted.
    pub ticks_unproven: u64,
    /// Steps made.
    pub steps: u64,
    /// States compared with their digest on the log.
    pub states: u64,
    /// Records skipped by their recipient.
    pub quarantined: u64,
    /// Runs begun.
    pub runs: u64,
    /// Runs that ended with nothing left undone.
    pub stops: u64,
    /// Recoveries.
    pub recoveries: u64,
    /// Reactions that recoveries appended.
    pub completed: u64,
    /// How often the wall clock jumped.
    pub clock_jumps: u64,
    /// How late a due deadline fired while the node ran, at the worst.
    pub lateness_max: Millis,
    /// The record that it was due before.
    pub lateness_at: Seq,
}
