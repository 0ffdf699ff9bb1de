//! Folding over a log: recovery, time travel and audit.
//!
//! A replay steps every hosted machine on its records, in order, and holds
//! what they emit against what the log says they emitted. Emitted messages are
//! compared whole (identity, time, cause, content); the sequence numbers they
//! happened to get are not part of the comparison.
//!
//! ```text
//!  record ──► does it follow? ──► step its recipient ──► expected messages,
//!             (pop the front of                           per emitter and lane
//!              its emitter's lane)                              │
//!                    ▲──────────────────────────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use crate::{
    address::{Address, Role},
    codec::DecodeError,
    hosting::Hosting,
    id::{Digest, LogId, Seq},
    machine::{Identity, Machine},
    message::{Cause, Lane, Message},
    payload::{Lifecycle, Payload},
    record::Record,
    time::{Millis, Timestamp},
};

/// The log does not follow from itself.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Divergence {
    /// A subsystem emitted another message than the log says.
    #[error("record {seq}: {} emitted another message than the one on the log", expected.from)]
    Altered {
        /// The record.
        seq: Seq,
        /// What the fold emitted.
        expected: Box<Message>,
        /// What the log says.
        found: Box<Message>,
    },
    /// A message that a subsystem emitted is not on the log where it must be.
    #[error("before record {seq}: a message of {} is missing ({} caused by record {})", expected.from, expected.payload.kind(), cause(expected))]
    Missing {
        /// The first record that stands where it should.
        seq: Seq,
        /// What the fold emitted.
        expected: Box<Message>,
    },
    /// The log says that a subsystem emitted what it did not.
    #[error("record {seq}: {} did not emit this message", found.from)]
    Invented {
        /// The record.
        seq: Seq,
        /// What the log says.
        found: Box<Message>,
    },
    /// A kept state is not what the fold gives.
    #[error(
        "record {seq}: the state of {system} at {at} has digest {expected}, the log says {found}"
    )]
    State {
        /// The record that names the digest.
        seq: Seq,
        /// Whose state.
        system: Address,
        /// Up to which record.
        at: Seq,
        /// What the fold gives.
        expected: Digest,
        /// What the log says.
        found: Digest,
    },
    /// The log was written by a behaviour that this program does not have.
    #[error(
        "record {seq}: {role} ran behaviour {found}, this program has {known}; use the program that wrote the log"
    )]
    Behaviour {
        /// The record.
        seq: Seq,
        /// Which subsystem.
        role: Role,
        /// The log's version.
        found: u32,
        /// This program's version.
        known: u32,
    },
    /// A run says it belongs to another log.
    #[error("record {seq}: a run of log {found} on log {expected}")]
    Log {
        /// The record.
        seq: Seq,
        /// This log.
        expected: LogId,
        /// What the record says.
        found: LogId,
    },
}

fn cause(message: &Message) -> Seq {
    match message.cause {
        Cause::Local { seq, .. } => seq,
        _ => Seq(0),
    }
}

impl Divergence {
    /// The first record that does not follow.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        match self {
            Self::Altered { seq, .. }
            | Self::Missing { seq, .. }
            | Self::Invented { seq, .. }
            | Self::State { seq, .. }
            | Self::Behaviour { seq, .. }
            | Self::Log { seq, .. } => *seq,
        }
    }
}

/// What a first pass over the log has to find before a fold: the records to
/// skip, and the states to take the digest of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    quarantined: BTreeSet<(Address, Seq)>,
    digests: BTreeSet<(Address, Seq)>,
}

impl Marks {
    /// Takes in a record of the first pass. Only those of the lifecycle count.
    pub fn note(&mut self, message: &Message) {
        match &message.payload {
            Payload::Lifecycle(Lifecycle::Quarantined(it)) => {
                self.quarantined.insert((it.system.clone(), it.seq));
            }
            Payload::Lifecycle(Lifecycle::SnapshotTaken(it)) => {
                self.digests.insert((it.system.clone(), it.seq));
            }
            _ => {}
        }
    }

    /// Whether `system` skips record `seq`.
    #[must_use]
    pub fn is_quarantined(&self, system: &Address, seq: Seq) -> bool {
        // Nearly always empty; then the key need not be made.
        !self.quarantined.is_empty() && self.quarantined.contains(&(system.clone(), seq))
    }

    /// The records that are skipped, and by whom.
    pub fn quarantined(&self) -> impl Iterator<Item = &(Address, Seq)> {
        self.quarantined.iter()
    }

    fn wants_digest(&self, system: &Address, seq: Seq) -> bool {
        !self.digests.is_empty() && self.digests.contains(&(system.clone(), seq))
    }
}

/// What a fold counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records taken in.
    pub records: u64,
    /// Of these, emitted by subsystems and compared.
    pub reactions: u64,
    /// Of these, injected under a subsystem's name by somebody outside.
    pub injected: u64,
    /// Steps made.
    pub steps: u64,
    /// States compared with their digest on the log.
    pub states: u64,
    /// Records skipped by their recipient.
    pub quarantined: u64,
    /// Runs begun.
    pub runs: u64,
    /// How late a due deadline fired, at the worst.
    pub lateness_max: Millis,
}

struct Hosted {
    machine: Machine,
    /// The last record its state holds.
    at: Seq,
    /// Where its fold began: reactions to records up to here are on the log.
    since: Seq,
    /// Emitted and not yet seen on the log.
    algedonic: VecDeque<Message>,
    ordinary: VecDeque<Message>,
}

impl Hosted {
    const fn lane(&mut self, lane: Lane) -> &mut VecDeque<Message> {
        match lane {
            Lane::Algedonic => &mut self.algedonic,
            Lane::Ordinary => &mut self.ordinary,
        }
    }
}

/// A fold over a log.
pub struct Replay {
    log: LogId,
    hosting: Hosting,
    hosted: Vec<Hosted>,
    marks: Marks,
    digests: BTreeMap<(Address, Seq), Digest>,
    counts: Counts,
    emitted: Vec<Message>,
    stepping: Option<usize>,
}

impl Replay {
    /// A fold from the first record.
    #[must_use]
    pub fn new(log: LogId, hosting: Hosting, marks: Marks) -> Self {
        let hosted = hosting
            .systems()
            .iter()
            .filter_map(|address| {
                Machine::new(Identity {
                    log,
                    address: address.clone(),
                })
            })
            .map(|machine| Hosted {
                machine,
                at: Seq(0),
                since: Seq(0),
                algedonic: VecDeque::new(),
                ordinary: VecDeque::new(),
            })
            .collect::<Vec<_>>();
        // `Hosting` is made of roles that have a machine.
        debug_assert_eq!(hosted.len(), hosting.systems().len());
        Self {
            log,
            hosting,
            hosted,
            marks,
            digests: BTreeMap::new(),
            counts: Counts::default(),
            emitted: Vec::new(),
            stepping: None,
        }
    }

    /// Puts a kept state in the place of a subsystem's fold up to `seq`.
    ///
    /// # Errors
    /// When the bytes are no state of that subsystem.
    pub fn restore(&mut self, system: usize, seq: Seq, state: &[u8]) -> Result<(), DecodeError> {
        let identity = Identity {
            log: self.log,
            address: self.hosting.systems()[system].clone(),
        };
        let hosted = &mut self.hosted[system];
        hosted.machine = Machine::restore(identity, state)?;
        hosted.at = seq;
        hosted.since = seq;
        Ok(())
    }

    /// Takes in the next record.
    ///
    /// # Errors
    /// When it does not follow. The fold is of no further use then.
    pub fn apply(&mut self, record: &Record) -> Result<(), Divergence> {
        self.counts.records += 1;
        self.follows(record)?;
        let message = &record.message;
        match message.to.role {
            Role::All => {
                for system in 0..self.hosted.len() {
                    if self.hosting.systems()[system].path == message.to.path {
                        self.step(system, record);
                    }
                }
            }
            _ => {
                if let Some(system) = self.hosting.index_of(&message.to) {
                    self.step(system, record);
                }
            }
        }
        Ok(())
    }

    fn follows(&mut self, record: &Record) -> Result<(), Divergence> {
        let message = &record.message;
        if let Cause::Local { seq, index } = message.cause {
            return self.follows_emission(record, (seq, index));
        }
        match &message.payload {
            Payload::Lifecycle(Lifecycle::Started(started)) => {
                self.counts.runs += 1;
                if started.log != self.log {
                    return Err(Divergence::Log {
                        seq: record.seq,
                        expected: self.log,
                        found: started.log,
                    });
                }
                for hosted in &self.hosted {
                    let role = hosted.machine.role();
                    let known = hosted.machine.behaviour();
                    if let Some(&found) = started.behaviours.get(&role)
                        && found != known
                    {
                        return Err(Divergence::Behaviour {
                            seq: record.seq,
                            role,
                            found,
                            known,
                        });
                    }
                }
                self.nothing_is_missing(record.seq)
            }
            Payload::Lifecycle(Lifecycle::Recovered(_) | Lifecycle::Stopped(_)) => {
                self.nothing_is_missing(record.seq)
            }
            Payload::Lifecycle(Lifecycle::SnapshotTaken(taken)) => {
                match self.digests.remove(&(taken.system.clone(), taken.seq)) {
                    Some(expected) if expected != taken.state => Err(Divergence::State {
                        seq: record.seq,
                        system: taken.system.clone(),
                        at: taken.seq,
                        expected,
                        found: taken.state,
                    }),
                    Some(_) => {
                        self.counts.states += 1;
                        Ok(())
                    }
                    // Before this fold began.
                    None => Ok(()),
                }
            }
            _ => {
                if self.hosting.index_of(&message.from).is_some() {
                    self.counts.injected += 1;
                }
                Ok(())
            }
        }
    }

    fn follows_emission(&mut self, record: &Record, cause: (Seq, u32)) -> Result<(), Divergence> {
        let found = &record.message;
        let invented = || Divergence::Invented {
            seq: record.seq,
            found: Box::new(found.clone()),
        };
        let system = self
            .hosting
            .index_of(found.emitter())
            .ok_or_else(invented)?;
        let hosted = &mut self.hosted[system];
        if cause.0 <= hosted.since {
            return Ok(());
        }
        self.counts.reactions += 1;
        let lane = hosted.lane(found.emitted_lane());
        let Some(expected) = lane.front() else {
            return Err(invented());
        };
        if expected == found && record.body.is_none() {
            lane.pop_front();
            return Ok(());
        }
        let Cause::Local { seq, index } = expected.cause else {
            return Err(invented());
        };
        let expected = Box::new(expected.clone());
        Err(match (seq, index).cmp(&cause) {
            std::cmp::Ordering::Less => Divergence::Missing {
                seq: record.seq,
                expected,
            },
            std::cmp::Ordering::Equal => Divergence::Altered {
                seq: record.seq,
                expected,
                found: Box::new(found.clone()),
            },
            std::cmp::Ordering::Greater => invented(),
        })
    }

    /// Every emitted message is on the log.
    ///
    /// # Errors
    /// The first that is not.
    pub fn nothing_is_missing(&self, seq: Seq) -> Result<(), Divergence> {
        self.pending().next().map_or(Ok(()), |expected| {
            Err(Divergence::Missing {
                seq,
                expected: Box::new(expected.clone()),
            })
        })
    }

    fn step(&mut self, system: usize, record: &Record) {
        let hosted = &mut self.hosted[system];
        if record.seq <= hosted.at {
            return;
        }
        hosted.at = record.seq;
        let address = &self.hosting.systems()[system];
        if self.marks.is_quarantined(address, record.seq) {
            self.counts.quarantined += 1;
            return;
        }
        self.counts.steps += 1;
        if let Some(deadline) = hosted.machine.next_deadline()
            && deadline != Timestamp::ZERO
        {
            let lateness = record.time.since(deadline);
            self.counts.lateness_max = self.counts.lateness_max.max(lateness);
        }
        self.stepping = Some(system);
        hosted.machine.step(record, &mut self.emitted);
        self.stepping = None;
        for message in self.emitted.drain(..) {
            let message = self.hosting.settle(message);
            hosted.lane(message.emitted_lane()).push_back(message);
        }
        if self.marks.wants_digest(address, record.seq) {
            self.digests
                .insert((address.clone(), record.seq), hosted.machine.digest());
        }
    }

    /// What was emitted and is not on the log: alarms first, each emitter's
    /// messages in their order. Recovery appends it.
    pub fn pending(&self) -> impl Iterator<Item = &Message> {
        let alarms = self.hosted.iter().flat_map(|hosted| &hosted.algedonic);
        alarms.chain(self.hosted.iter().flat_map(|hosted| &hosted.ordinary))
    }

    /// The subsystems' machines as they stand, each with the last record its
    /// state holds, in the order of [`Hosting::systems`].
    #[must_use]
    pub fn into_machines(self) -> Vec<(Machine, Seq)> {
        self.hosted
            .into_iter()
            .map(|hosted| (hosted.machine, hosted.at))
            .collect()
    }

    /// The subsystems' machines, in the order of [`Hosting::systems`].
    pub fn machines(&self) -> impl Iterator<Item = (&Machine, Seq)> {
        self.hosted
            .iter()
            .map(|hosted| (&hosted.machine, hosted.at))
    }

    /// Whose step panicked, for whoever caught that in [`Replay::apply`]. The
    /// fold is of no further use then.
    #[must_use]
    pub const fn stepping(&self) -> Option<usize> {
        self.stepping
    }

    /// Whether a subsystem skips a record: it is quarantined, or the state that
    /// was restored holds it.
    #[must_use]
    pub fn skips(&self, system: usize, seq: Seq) -> bool {
        seq <= self.hosted[system].at
            || self
                .marks
                .is_quarantined(&self.hosting.systems()[system], seq)
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }
}
