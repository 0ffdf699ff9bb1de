//! Audit: does the log follow from itself?
//!
//! Two passes. The first finds what a fold must know beforehand: the records
//! that are quarantined and the states whose digests the log names. The second
//! folds every record under the behaviour that wrote it and holds every
//! emitted message, every refusal, every named state and what nodes keep to
//! against the log.

use serde::Serialize;
use vsm_core::{Divergence, LogId, Replay, replay::Counts};

use super::{Evidence, OfflineError, fold::FoldError};

/// A log that follows from itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Passed {
    /// Which log.
    pub log: LogId,
    /// What was counted.
    pub counts: Counts,
    /// Records that their recipient skipped, and why that is not a finding:
    /// nothing yet steps on them again.
    pub quarantined: Vec<(String, u64)>,
    /// Reactions that the log's end leaves undone: after a crash, or when the
    /// copy was made from a running node. The next start completes them.
    pub pending: usize,
}

/// Audits a log. `noted` is called with the number of records taken in.
///
/// # Errors
/// When the log can't be read, or with the first record that does not follow.
pub fn audit(evidence: &Evidence, mut noted: impl FnMut(u64)) -> Result<Passed, FoldError> {
    let mut replay = Replay::strict(
        evidence.log_id(),
        evidence.hosting.clone(),
        evidence.marks.clone(),
    );
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
            noted(record.seq.0);
        }
    }
    Ok(Passed {
        log: evidence.log_id(),
        counts: replay.counts().clone(),
        quarantined: evidence
            .marks
            .quarantined()
            .map(|(system, seq)| (system.to_string(), seq.0))
            .collect(),
        pending: replay.pending().count(),
    })
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
