//! Audit: does the log follow from itself?
//!
//! Two passes. The first finds what a fold must know beforehand: the records
//! that are quarantined and the states whose digests the log names. The second
//! folds every record under the behaviour that wrote it and holds every
//! emitted message, every refusal, every named state and what nodes keep to
//! against the log.

use std::collections::BTreeSet;

use serde::Serialize;
use vsm_core::{
    Divergence, LogId, Payload, Record, Replay, Role, payload::Lifecycle, replay::Counts,
};

use super::{Evidence, OfflineError, fold::FoldError};

/// A log that follows from itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Passed {
    /// Which log.
    pub log: LogId,
    /// What was counted.
    pub counts: Counts,
    /// Records that their recipient skipped, in the order in which the log
    /// says so. Whether the steps really panic is [`super::confirm`]'s to find.
    pub quarantined: Vec<Quarantine>,
    /// Reactions that the log's end leaves undone: after a crash, or when the
    /// copy was made from a running node. The next start completes them.
    pub pending: usize,
}

/// A record that a subsystem skips, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quarantine {
    /// Which subsystem.
    pub system: Role,
    /// Which record.
    pub seq: u64,
    /// The record that says so.
    pub noted_at: u64,
    /// What it says the step did.
    pub reason: String,
    /// The program of the last run that had begun before it.
    pub program: String,
}

/// Audits a log. `noted` is called with the number of records taken in.
///
/// # Errors
/// When the log can't be read, or with the first record that does not follow.
pub fn audit(evidence: &Evidence, mut noted: impl FnMut(u64)) -> Result<Passed, FoldError> {
    evidence.whole("an audit")?;
    let mut replay = Replay::strict(
        evidence.log_id(),
        evidence.hosting.clone(),
        evidence.marks.clone(),
    );
    let mut quarantines = Quarantines::default();
    for event in evidence.events(0) {
        let event = event.map_err(OfflineError::from)?;
        if let Some(genesis) = event.genesis() {
            replay.incarnation(vsm_core::Seq(event.seq()), genesis.identity.incarnation);
        } else if let Some(resumed) = event.resumed() {
            replay.incarnation(vsm_core::Seq(event.seq()), resumed.incarnation);
        }
        let record = crate::runtime::journal::record(&event).map_err(OfflineError::from)?;
        if let Some(record) = record {
            replay.apply(&record).map_err(FoldError::Diverged)?;
            quarantines.note(&record);
            noted(record.seq.0);
        }
    }
    Ok(Passed {
        log: evidence.log_id(),
        counts: replay.counts().clone(),
        quarantined: quarantines.found,
        pending: replay.pending().count(),
    })
}

/// Gathers what the log says of quarantines.
#[derive(Default)]
struct Quarantines {
    program: String,
    known: BTreeSet<(Role, u64)>,
    found: Vec<Quarantine>,
}

impl Quarantines {
    fn note(&mut self, record: &Record) {
        match &record.message.payload {
            Payload::Lifecycle(Lifecycle::Started(started)) => {
                self.program = started.program.to_string();
            }
            // A start that was cut short may say it again.
            Payload::Lifecycle(Lifecycle::Quarantined(it))
                if self.known.insert((it.system.role, it.seq.0)) =>
            {
                self.found.push(Quarantine {
                    system: it.system.role,
                    seq: it.seq.0,
                    noted_at: record.seq.0,
                    reason: it.reason.to_string(),
                    program: self.program.clone(),
                });
            }
            _ => {}
        }
    }
}

/// A divergence, for programs.
#[must_use]
pub fn finding(divergence: &Divergence) -> serde_json::Value {
    serde_json::json!({
        "verdict": "diverged",
        "seq": divergence.seq().0,
        "kind": divergence.name(),
        "finding": divergence.to_string(),
        "details": divergence,
    })
}
