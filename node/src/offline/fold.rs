//! Time travel: the state of every subsystem at a record or a time.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use vsm_core::{Digest, Divergence, Role, Timestamp};

use super::{Begin, Evidence, OfflineError};

/// Where to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At the log's end.
    End,
    /// After this record.
    Seq(u64),
    /// After the last record at or before this time.
    Time(Timestamp),
}

/// The model at a point of its history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// The last record taken in.
    pub seq: u64,
    /// Its time, in microseconds since the epoch.
    pub time: u64,
    /// The digest of every message that was emitted up to here, in the order
    /// of the records that caused them; `None` when the log's first records
    /// were pruned.
    pub emitted: Option<Digest>,
    /// The subsystems.
    pub systems: BTreeMap<Role, SystemMoment>,
}

/// A subsystem at a point of its history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SystemMoment {
    /// The last record of its own.
    pub at: u64,
    /// The digest of its state's bytes.
    pub digest: Digest,
    /// Its state.
    pub state: Value,
}

/// A fold failed.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] OfflineError),
    /// A record does not follow from those before it.
    #[error(transparent)]
    Diverged(#[from] Divergence),
}

/// Folds up to a point. `noted` is called with the number of records taken in.
///
/// # Errors
/// When the log can't be read or does not follow from itself.
pub fn fold(
    evidence: &Evidence,
    until: Until,
    mut noted: impl FnMut(u64),
) -> Result<Moment, FoldError> {
    let (mut replay, begin) = evidence.replay()?;
    // What was emitted before a kept state is not known.
    if begin == Begin::default() {
        replay = replay.with_emissions();
    }
    let mut last = (0, 0);
    for (count, record) in (1..).zip(evidence.records_after(begin.after)) {
        let record = record?;
        let beyond = match until {
            Until::End => false,
            Until::Seq(seq) => record.seq.0 > seq,
            Until::Time(time) => record.time > time,
        };
        if beyond {
            break;
        }
        replay.apply(&record)?;
        last = (record.seq.0, record.time.0);
        noted(count);
    }
    if last.0 < begin.complete_from {
        let possible = begin.complete_from;
        return Err(OfflineError::BeforeStates { possible }.into());
    }
    let systems = replay
        .machines()
        .map(|(machine, at)| {
            let moment = SystemMoment {
                at: at.0,
                digest: machine.digest(),
                state: machine.view(),
            };
            (machine.role(), moment)
        })
        .collect();
    Ok(Moment {
        seq: last.0,
        time: last.1,
        emitted: replay.emissions(),
        systems,
    })
}
