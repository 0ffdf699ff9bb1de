//! What must hold of a log after any crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use vsm_core::{
    Payload,
    payload::{Lifecycle, Operations},
    replay::Counts,
};
use vsm_node::{
    offline::{Evidence, OfflineError, audit::audit},
    runtime::journal,
};
use vsm_store::{EventLog, Options, VerifyOptions};

/// What a log says of its operations.
#[derive(Debug, Default)]
pub struct Story {
    /// Submitted and accepted.
    pub accepted: BTreeSet<String>,
    /// How often each was announced to have ended.
    pub ends: BTreeMap<String, u32>,
    /// Records.
    pub records: u64,
    /// Runs.
    pub runs: u64,
}

impl Story {
    /// Reads a log that nobody has open.
    ///
    /// # Panics
    /// When the log can't be opened or read: that is what tests are to find.
    #[must_use]
    pub fn read(log: &Path, volume_bytes: u64) -> Self {
        let log =
            EventLog::open(log, Options::new().volume_bytes(volume_bytes)).expect("the log opens");
        let mut story = Self::default();
        for event in log.read(1) {
            let event = event.expect("every record can be read");
            let Some(record) = journal::record(&event).expect("every record is a message") else {
                continue;
            };
            story.records += 1;
            match &record.message.payload {
                Payload::Operations(Operations::Accepted(it)) => {
                    let new = story.accepted.insert(it.operation.to_string());
                    assert!(new || it.duplicate, "{} was accepted twice", it.operation);
                }
                Payload::Operations(Operations::OutcomeAck(it))
                    if it.verdict == vsm_core::payload::operations::Verdict::Accepted
                        && it.state.is_some_and(
                            vsm_core::payload::operations::OperationState::is_final,
                        ) =>
                {
                    *story.ends.entry(it.operation.to_string()).or_default() += 1;
                }
                Payload::Operations(Operations::Closed(it)) => {
                    *story.ends.entry(it.operation.to_string()).or_default() += 1;
                }
                Payload::Lifecycle(Lifecycle::Started(_)) => story.runs += 1,
                _ => {}
            }
        }
        story
    }

    /// Every operation ended at most once.
    ///
    /// # Panics
    /// When one ended twice.
    pub fn check_ends(&self) {
        for (operation, ends) in &self.ends {
            assert_eq!(*ends, 1, "{operation} ended {ends} times");
        }
    }
}

/// The chain is whole, and every reaction on the log follows from what is
/// before it: none missing, none doubled, none different.
///
/// # Panics
/// When that is not so.
pub fn check_log(log: &Path) -> Counts {
    vsm_store::verify(log, &VerifyOptions::default()).expect("the chain is whole");
    match Evidence::open(log) {
        Ok(evidence) => {
            audit(&evidence, |_| {})
                .expect("the log follows from itself")
                .counts
        }
        // Killed before its first run began.
        Err(OfflineError::NoRun) => Counts::default(),
        Err(error) => panic!("the log opens: {error}"),
    }
}
