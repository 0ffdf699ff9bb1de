//! Recovery: fold the log, complete what was left undone, begin a new run.
//!
//! 1. Choose for each subsystem the newest snapshot whose record is on the log.
//! 2. First pass from there: which records are quarantined, which states named.
//! 3. Fold; what was emitted is held against the log.
//! 4. Append the reactions that are missing, under the old run's behaviour and
//!    configuration, until nothing is pending; then `recovered`.
//! 5. `started` opens the new run.
//!
//! A crash anywhere in here leaves a log from which the same begins again.

mod survey;

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
};

use vsm_core::{
    Address, Divergence, Hosting, Machine, Message, Payload, Record, Replay, Role, Seq, Text,
    Timestamp, codec,
    payload::{
        algedonic::Pain,
        lifecycle::{Quarantined, Recovered, Started},
    },
    replay::Marks,
};
use vsm_store::{AppendError, Batch, EventError, EventLog, ReadError, SnapshotError, SnapshotInfo};

use super::{
    Hooks, Root, actor,
    breadcrumb::{Breadcrumb, CHUNK},
    journal::{self, Encoder, JournalError},
    snapshots, wall_clock,
};

/// The node can't begin from this log.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The log does not follow from itself: it was altered, or written by
    /// another behaviour.
    #[error("the log does not follow from itself: {0}; run `vsm log audit` on it")]
    Diverged(#[from] Divergence),
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event of the log is no message.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The log takes nothing more.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What recovery must append does not fit the log.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The snapshots can't be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What a fold would have to begin with was pruned.
    #[error(
        "the log begins at record {first}, where it was pruned to, and no snapshot of {system} from there on is whole: bring the node back from a backup"
    )]
    SnapshotsGone {
        /// The first record that the log holds.
        first: u64,
        /// The subsystem without a snapshot.
        system: Address,
    },
    /// A snapshot's bytes are no state, although their digest is right.
    #[error("the snapshot of {system} at {seq}: {source}")]
    State {
        /// Whose.
        system: Address,
        /// At which record.
        seq: Seq,
        /// What is wrong.
        source: codec::DecodeError,
    },
    /// The log was written by a node of another name.
    #[error(
        "this log is of node {found:?}, the configuration says {configured:?}; give each node its own directory"
    )]
    OtherNode {
        /// The log's.
        found: String,
        /// The configuration's.
        configured: String,
    },
    /// A record's step panics, and so did everything tried against it.
    #[error("{system} panics on record {seq} again and again: {reason}")]
    Poison {
        /// Which subsystem.
        system: Address,
        /// Which record.
        seq: Seq,
        /// What it said.
        reason: String,
    },
    /// The breadcrumb file.
    #[error("the file {path}: {source}")]
    Breadcrumb {
        /// Where.
        path: std::path::PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
}

/// Where the new run begins.
pub struct Begun {
    /// The machines, in the order of the hosted systems, each with the last
    /// record that its state holds.
    pub machines: Vec<(Machine, Seq)>,
    /// The last record; all reactions to records up to here are on the log.
    pub at: Seq,
    /// The records that are skipped.
    pub marks: Marks,
    /// Snapshots that count.
    pub snapshots: BTreeMap<Address, SnapshotInfo>,
    /// How many messages recovery appended.
    pub completed: u64,
}

/// Recovers and begins the run that `started` describes.
///
/// # Errors
/// When the log can't be folded or does not follow from itself. Nothing was
/// appended then but completed reactions and quarantines.
pub fn recover(
    log: &EventLog,
    hosting: &Hosting,
    started: Started,
    hooks: &Hooks,
    breadcrumb: Option<&Breadcrumb>,
) -> Result<Begun, RecoveryError> {
    survey::same_node(log, hosting)?;
    let mut recovery = Recovery {
        log,
        hosting,
        hooks,
        breadcrumb,
        encoder: Encoder::default(),
    };
    let mut panics = BTreeMap::<(Address, Seq), u32>::new();
    recovery.quarantine_what_aborted()?;
    loop {
        match recovery.attempt(&started) {
            Ok(begun) => {
                if let Some(breadcrumb) = breadcrumb {
                    breadcrumb.clear()?;
                }
                return Ok(begun);
            }
            Err(Failure::Error(error)) => return Err(error),
            Err(Failure::Panicked {
                system,
                seq,
                reason,
            }) => {
                tracing::error!(%system, %seq, reason, "a step panicked during recovery");
                let count = panics.entry((system.clone(), seq)).or_default();
                *count += 1;
                match *count {
                    1 => {}
                    2 => recovery.quarantine(system, seq, &reason)?,
                    _ => {
                        return Err(RecoveryError::Poison {
                            system,
                            seq,
                            reason,
                        });
                    }
                }
            }
        }
    }
}

enum Failure {
    Error(RecoveryError),
    Panicked {
        system: Address,
        seq: Seq,
        reason: String,
    },
}

impl<E: Into<RecoveryError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

struct Recovery<'a> {
    log: &'a EventLog,
    hosting: &'a Hosting,
    hooks: &'a Hooks,
    breadcrumb: Option<&'a Breadcrumb>,
    encoder: Encoder,
}

impl Recovery<'_> {
    fn attempt(&mut self, started: &Started) -> Result<Begun, Failure> {
        let last = Seq(self.log.durable());
        let survey = survey::survey(self.log, self.hosting)?;
        let log_id = started.log;
        let mut replay = Replay::new(log_id, self.hosting.clone(), survey.marks.clone());
        let mut snapshots = BTreeMap::new();
        for (system, info) in survey.chosen.into_iter().enumerate() {
            let Some(info) = info else { continue };
            let state = self.log.load_snapshot(&info).map_err(RecoveryError::from)?;
            let address = self.hosting.systems()[system].clone();
            replay
                .restore(system, Seq(info.seq), &state)
                .map_err(|source| RecoveryError::State {
                    system: address.clone(),
                    seq: Seq(info.seq),
                    source,
                })?;
            snapshots.insert(address, info);
        }
        self.fold(&mut replay, survey.since, last)?;

        fail::fail_point!("node.recovery.before_completion");
        let completed = self.complete(&mut replay)?;
        // A first run has nothing to recover.
        if last > Seq(0) {
            let recovered = Recovered {
                upto: last,
                completed,
            };
            self.append(&mut replay, vec![root(Role::All, recovered)])?;
            fail::fail_point!("node.recovery.after_recovered");
            self.complete(&mut replay)?;
        }
        self.append(&mut replay, vec![root(Role::All, started.clone())])?;
        self.complete(&mut replay)?;
        let at = Seq(self.log.appended());
        self.log.wait_durable(at.0).map_err(RecoveryError::from)?;
        fail::fail_point!("node.recovery.after_started");
        Ok(Begun {
            machines: replay.into_machines(),
            at,
            marks: survey.marks,
            snapshots,
            completed,
        })
    }

    fn fold(&self, replay: &mut Replay, since: Seq, last: Seq) -> Result<(), Failure> {
        let careful = self.breadcrumb.and_then(Breadcrumb::suspects);
        for event in self.log.read(since.0 + 1) {
            let event = event.map_err(RecoveryError::from)?;
            if event.seq() > last.0 {
                break;
            }
            let Some(record) = journal::record(&event).map_err(RecoveryError::from)? else {
                continue;
            };
            if let Some(breadcrumb) = self.breadcrumb {
                let seq = record.seq.0;
                if careful
                    .as_ref()
                    .is_some_and(|suspects| suspects.contains(&seq))
                {
                    breadcrumb.drop_at(seq, seq)?;
                } else if seq.is_multiple_of(CHUNK)
                    || seq == since.0 + 1
                    // Whatever dies from here on is none of the suspects.
                    || careful.as_ref().is_some_and(|suspects| suspects.end() + 1 == seq)
                {
                    breadcrumb.drop_at(seq, seq - seq % CHUNK + CHUNK - 1)?;
                }
            }
            self.apply(replay, &record)?;
        }
        Ok(())
    }

    fn apply(&self, replay: &mut Replay, record: &Record) -> Result<(), Failure> {
        let hooks = self.hooks;
        let hosting = self.hosting;
        let applied = panic::catch_unwind(AssertUnwindSafe(|| {
            if hooks.is_set()
                && let Some(system) = hosting.index_of(&record.message.to)
                && !replay.skips(system, record.seq)
            {
                hooks.before_step(&hosting.systems()[system], record);
            }
            replay.apply(record)
        }));
        match applied {
            Ok(done) => Ok(done.map_err(RecoveryError::from)?),
            Err(panic) => {
                let system = replay.stepping().map_or_else(
                    || Address {
                        instance: None,
                        ..record.message.to.clone()
                    },
                    |system| hosting.systems()[system].clone(),
                );
                Err(Failure::Panicked {
                    system,
                    seq: record.seq,
                    reason: actor::reason(&*panic),
                })
            }
        }
    }

    /// Appends pending reactions, and the reactions to these, until there are
    /// none.
    fn complete(&mut self, replay: &mut Replay) -> Result<u64, Failure> {
        let mut completed = 0;
        loop {
            let pending: Vec<Message> = replay.pending().cloned().collect();
            if pending.is_empty() {
                return Ok(completed);
            }
            completed += pending.len() as u64;
            self.append(replay, pending)?;
        }
    }

    fn append(&mut self, replay: &mut Replay, messages: Vec<Message>) -> Result<(), Failure> {
        let mut batch = Batch::new();
        let mut bodies = Vec::new();
        for message in &messages {
            bodies.push(
                self.encoder
                    .push(&mut batch, message, None)
                    .map_err(RecoveryError::from)?,
            );
        }
        let ticket = self.log.append(&batch).map_err(RecoveryError::from)?;
        // Each must be durable before the next depends on it.
        self.log
            .wait_durable(ticket.last)
            .map_err(RecoveryError::from)?;
        fail::fail_point!("node.recovery.during_completion");
        for ((seq, message), body) in (ticket.first..).zip(messages).zip(bodies) {
            let record = Record {
                seq: Seq(seq),
                time: Timestamp(ticket.time),
                message,
                body,
            };
            self.apply(replay, &record)?;
        }
        Ok(())
    }

    /// Records that killed the process more than once while being folded.
    fn quarantine_what_aborted(&mut self) -> Result<(), RecoveryError> {
        let Some(breadcrumb) = self.breadcrumb else {
            return Ok(());
        };
        let Some(seq) = breadcrumb.condemned() else {
            return Ok(());
        };
        let Some(event) = self.log.event(seq)? else {
            return Ok(());
        };
        if let Some(record) = journal::record(&event)? {
            let systems: Vec<_> = match record.message.to.role {
                Role::All => self.hosting.systems().to_vec(),
                _ => self
                    .hosting
                    .index_of(&record.message.to)
                    .map(|system| self.hosting.systems()[system].clone())
                    .into_iter()
                    .collect(),
            };
            for system in systems {
                self.quarantine(
                    system,
                    record.seq,
                    "the process died while folding it, twice",
                )?;
            }
        }
        breadcrumb.clear()
    }

    fn quarantine(&mut self, system: Address, seq: Seq, reason: &str) -> Result<(), RecoveryError> {
        let pain = Pain {
            unit: None,
            reason: Text::cut(&format!("{system} skips record {seq}: {reason}")),
            evidence: Some(seq),
        };
        let quarantined = Quarantined {
            system,
            seq,
            reason: Text::cut(reason),
        };
        let mut batch = Batch::new();
        for message in [root(Role::Node, quarantined), root(Role::S5, pain)] {
            self.encoder.push(&mut batch, &message, None)?;
        }
        let ticket = self.log.append(&batch)?;
        self.log.wait_durable(ticket.last)?;
        Ok(())
    }
}

fn root(to: Role, payload: impl Into<Payload>) -> Message {
    Root::by_node(to, payload).into_message(wall_clock()).0
}
