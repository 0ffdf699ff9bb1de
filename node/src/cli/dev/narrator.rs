//! What the demonstration tells on stderr, from the log's records alone.

use std::{collections::HashMap, sync::Arc, time::Instant};

use parking_lot::Mutex;
use vsm_core::{
    Name, Payload, Record, Role, Seq, Timestamp,
    payload::{
        Algedonic, Audit, Command, Operations, ResourceBargain, operations::Status,
        resource_bargain::Answer,
    },
};

use crate::telemetry::Telemetry;

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Records on the log.
    pub records: u64,
    /// Operations that were accepted.
    pub accepted: u64,
    /// Operations that have ended, and how many of these were not completed.
    pub ended: u64,
    /// Operations that ended otherwise than completed.
    pub not_completed: u64,
    /// Attempts that failed.
    pub attempts_failed: u64,
    /// Bargains that were agreed.
    pub agreed: u64,
    /// Requests that control refused.
    pub refused: u64,
    /// Pain that reached a person.
    pub pains: u64,
    /// The record at which the first pain reached a person.
    pub first_pain: Option<Seq>,
}

impl Tally {
    /// Operations that have not ended.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.accepted.saturating_sub(self.ended)
    }
}

/// Sees every record and tells what matters.
pub struct Narrator {
    begun: Instant,
    tally: Arc<Mutex<Tally>>,
    /// When units were last heard to fail.
    failed: HashMap<Name, Timestamp>,
}

impl Narrator {
    /// Counts in `tally`.
    #[must_use]
    pub fn new(tally: Arc<Mutex<Tally>>) -> Self {
        Self {
            begun: Instant::now(),
            tally,
            failed: HashMap::new(),
        }
    }

    fn say(&self, what: &str) {
        say(self.begun, what);
    }

    fn operations(&mut self, record: &Record, payload: &Operations, tally: &mut Tally) {
        match payload {
            Operations::Accepted(it) if !it.duplicate => tally.accepted += 1,
            Operations::Outcome(it) if it.status == Status::Failed => {
                tally.attempts_failed += 1;
                self.failed.insert(it.unit.clone(), record.time);
            }
            Operations::OutcomeAck(it) => {
                // The unit and a waiting client are told the same.
                let ended = it.state.is_some_and(|state| state.is_final())
                    && it.verdict == vsm_core::payload::operations::Verdict::Accepted;
                if ended {
                    tally.ended += 1;
                    let completed = vsm_core::payload::operations::OperationState::Completed;
                    tally.not_completed += u64::from(it.state != Some(completed));
                }
            }
            Operations::Closed(_) => {
                tally.ended += 1;
                tally.not_completed += 1;
            }
            Operations::Registered(it) => {
                self.say(&format!("unit      {} is taken on by S1", it.unit));
            }
            _ => {}
        }
    }

    fn algedonic(&self, record: &Record, payload: &Algedonic, tally: &mut Tally) {
        match payload {
            Algedonic::Escalation(it) => {
                tally.pains += 1;
                tally.first_pain.get_or_insert(record.seq);
                let since = it.unit.as_ref().and_then(|unit| self.failed.get(unit));
                let took = since.map_or_else(String::new, |since| {
                    let micros = record.time.0.saturating_sub(since.0);
                    let millis = std::time::Duration::from_micros(micros).as_secs_f64() * 1e3;
                    format!("; S5 passed it on {millis:.1} ms after the last failure")
                });
                self.say(&format!(
                    "PAIN      {}{took} (record {})",
                    it.reason, record.seq
                ));
            }
            Algedonic::Pleasure(it) if record.message.to.role == Role::Operator => {
                self.say(&format!("relief    {}", it.reason));
            }
            _ => {}
        }
    }
}

/// Says something, with the time since the beginning.
pub fn say(begun: Instant, what: &str) {
    eprintln!("{:6.1}s  {what}", begun.elapsed().as_secs_f64());
}

impl Telemetry for Narrator {
    fn on_record(&mut self, record: &Record) {
        let tally = self.tally.clone();
        let mut tally = tally.lock();
        tally.records += 1;
        match &record.message.payload {
            Payload::Operations(it) => self.operations(record, it, &mut tally),
            Payload::Algedonic(it) => self.algedonic(record, it, &mut tally),
            Payload::ResourceBargain(ResourceBargain::Offer(it)) => {
                tally.refused += u64::from(matches!(it.answer, Answer::Refused { .. }));
            }
            Payload::ResourceBargain(ResourceBargain::Settled(it)) => {
                tally.agreed += u64::from(matches!(it.answer, Answer::Agreed { .. }));
            }
            Payload::Audit(Audit::Finding(it)) => self.say(&format!(
                "audit     S3★ looked at {}: {}, {} results compared, {} not shown",
                it.unit,
                format!("{:?}", it.conclusion).to_lowercase(),
                it.compared,
                it.missing
            )),
            Payload::Command(Command::Suspend(it)) if record.message.to.role == Role::S1 => {
                self.say(&format!("control   S3 suspends {}: {}", it.unit, it.reason));
            }
            _ => {}
        }
    }
}
