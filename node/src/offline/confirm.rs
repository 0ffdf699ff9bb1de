//! Does a quarantined record really make the step panic?
//!
//! The log is folded up to the record, then the one step that everybody skips
//! is made, as a running node made it. It may overflow the stack, abort or
//! never end: whoever calls this does so in a process that may die.

use std::panic::{self, AssertUnwindSafe};

use vsm_core::{Replay, Role};

use super::{Evidence, OfflineError, fold::FoldError};
use crate::runtime::actor;

/// What a step did that was made although its record is quarantined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// It panicked, as the quarantine says.
    Panicked {
        /// What it said.
        reason: String,
    },
    /// It returned.
    Returned {
        /// How many messages it emitted: what the quarantine held back.
        emitted: usize,
    },
}

/// The step could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The records before it can't be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// That subsystem skips no such record.
    #[error("record {seq} is not quarantined for {system}")]
    NotQuarantined {
        /// Which subsystem.
        system: Role,
        /// Which record.
        seq: u64,
    },
}

impl From<OfflineError> for ConfirmError {
    fn from(error: OfflineError) -> Self {
        Self::Fold(error.into())
    }
}

/// Makes the step that `system` skips at `seq`. `reached` is called when
/// everything before is folded and the step comes next.
///
/// # Errors
/// When the log can't be folded up to there, or nothing is quarantined there.
pub fn step_again(
    evidence: &Evidence,
    system: Role,
    seq: u64,
    reached: impl FnOnce(),
) -> Result<Stepped, ConfirmError> {
    let not_quarantined = || ConfirmError::NotQuarantined { system, seq };
    let mut skipped = evidence.marks.quarantined();
    if !skipped.any(|(address, at)| address.role == system && at.0 == seq) {
        return Err(not_quarantined());
    }
    evidence.whole("stepping again")?;
    let mut replay = Replay::new(
        evidence.log_id(),
        evidence.hosting.clone(),
        evidence.marks.clone(),
    );
    let mut records = evidence.records();
    let record = loop {
        let record = records.next().ok_or_else(not_quarantined)??;
        if record.seq.0 >= seq {
            break record;
        }
        replay.apply(&record).map_err(FoldError::Diverged)?;
    };
    let machines = replay.into_machines().into_iter();
    let mut machine = machines
        .map(|(machine, _)| machine)
        .find(|machine| machine.role() == system && record.seq.0 == seq)
        .ok_or_else(not_quarantined)?;
    let mut emitted = Vec::new();
    reached();
    let stepped = panic::catch_unwind(AssertUnwindSafe(|| {
        fail::fail_point!("node.confirm.step");
        machine.step(&record, &mut emitted);
    }));
    Ok(match stepped {
        Ok(()) => Stepped::Returned {
            emitted: emitted.len(),
        },
        Err(panic) => Stepped::Panicked {
            reason: actor::reason(&*panic),
        },
    })
}
