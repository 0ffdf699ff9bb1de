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

mod conduct;
mod counts;
mod deadlines;
mod divergence;
mod follow;
mod marks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::{conduct::Conduct, deadlines::Deadlines, follow::conduct_of};
pub use self::{
    counts::Counts,
    divergence::{Breach, Divergence, FieldName},
    marks::Marks,
};
use crate::{
    address::{Address, Role},
    codec::{self, DecodeError},
    hosting::Hosting,
    id::{Digest, LogId, Seq},
    machine::Machine,
    message::{Cause, Lane, Message},
    payload::{Lifecycle, Payload},
    record::Record,
    time::{Millis, Timestamp},
};

struct Hosted {
    machine: Machine,
    /// The last record its state holds.
    at: Seq,
    /// Where its fold began: reactions to records up to here are on the log.
    since: Seq,
    /// Emitted and not yet seen on the log.
    algedonic: VecDeque<Message>,
    ordinary: VecDeque<Message>,
    /// When it wants a tick.
    deadline: Option<Timestamp>,
    /// When it ever wanted one.
    deadlines: Deadlines,
}

impl Hosted {
    const fn lane(&mut self, lane: Lane) -> &mut VecDeque<Message> {
        match lane {
            Lane::Algedonic => &mut self.algedonic,
            Lane::Ordinary => &mut self.ordinary,
        }
    }

    /// The first record of which a reaction is not on the log.
    fn first_cause(&self) -> Option<Seq> {
        let fronts = [self.algedonic.front(), self.ordinary.front()];
        let causes = fronts.into_iter().flatten().map(|it| match it.cause {
            Cause::Local { seq, .. } => seq,
            _ => Seq(0),
        });
        causes.min()
    }

    fn late(&self, time: Timestamp) -> Millis {
        match self.deadline {
            Some(deadline) if deadline != Timestamp::ZERO => time.since(deadline),
            _ => Millis(0),
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
    skipped: BTreeSet<(Address, Seq)>,
    counts: Counts,
    emitted: Vec<Message>,
    stepping: Option<usize>,
    /// Set when the fold is strict.
    conduct: Option<Conduct>,
    /// Everything emitted so far, when somebody wants its digest.
    emissions: Option<blake3::Hasher>,
    /// Between the end of a run and the `recovered` that completes it.
    recovering: bool,
    last: (Seq, Timestamp),
}

impl Replay {
    /// A fold from the first record, or from kept states: it holds emitted
    /// messages and kept states against the log.
    #[must_use]
    pub fn new(log: LogId, hosting: Hosting, marks: Marks) -> Self {
        let hosted = (0..hosting.systems().len())
            .map(|system| hosting.machine(system, log))
            .map(|machine| Hosted {
                deadline: machine.next_deadline(),
                machine,
                at: Seq(0),
                since: Seq(0),
                algedonic: VecDeque::new(),
                ordinary: VecDeque::new(),
                deadlines: Deadlines::default(),
            })
            .collect();
        Self {
            log,
            hosting,
            hosted,
            marks,
            digests: BTreeMap::new(),
            skipped: BTreeSet::new(),
            counts: Counts::default(),
            emitted: Vec::new(),
            stepping: None,
            conduct: None,
            emissions: None,
            recovering: false,
            last: (Seq(0), Timestamp::ZERO),
        }
    }

    /// A fold that also holds every record against what a node keeps to: for
    /// audit, and only from a log's first record.
    #[must_use]
    pub fn strict(log: LogId, hosting: Hosting, marks: Marks) -> Self {
        let mut replay = Self::new(log, hosting, marks);
        replay.conduct = Some(Conduct::new(replay.marks.backwards_max()));
        for hosted in &mut replay.hosted {
            hosted.deadlines.note_state(hosted.deadline);
        }
        replay
    }

    /// Also takes the digest of everything that is emitted.
    #[must_use]
    pub fn with_emissions(mut self) -> Self {
        self.emissions = Some(blake3::Hasher::new());
        self
    }

    /// The log begins (at 0) or goes on at `seq` under this incarnation. Only a
    /// strict fold needs to know.
    pub fn incarnation(&mut self, seq: Seq, incarnation: u32) {
        if let Some(conduct) = &mut self.conduct {
            conduct.incarnation(seq, incarnation);
        }
    }

    /// Puts a kept state in the place of a subsystem's fold up to `seq`.
    ///
    /// # Errors
    /// When the bytes are no state of that subsystem.
    pub fn restore(&mut self, system: usize, seq: Seq, state: &[u8]) -> Result<(), DecodeError> {
        let machine = self.hosting.restore(system, self.log, state)?;
        let hosted = &mut self.hosted[system];
        hosted.machine = machine;
        hosted.deadline = hosted.machine.next_deadline();
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
        self.watch_time(record);
        if let Some(conduct) = &mut self.conduct {
            conduct
                .check(record, &self.hosting)
                .map_err(|breach| conduct_of(record, breach))?;
        }
        self.follows(record)?;
        let message = &record.message;
        match message.to.role {
            Role::All => {
                for system in 0..self.hosted.len() {
                    if self.hosting.systems()[system].path == message.to.path {
                        self.step(system, record);
                    }
                }
                if let Payload::Lifecycle(Lifecycle::Recovered(_)) = message.payload {
                    self.recovering = false;
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

    /// Time that passes while no node runs makes nothing late.
    fn watch_time(&mut self, record: &Record) {
        let (seq, time) = std::mem::replace(&mut self.last, (record.seq, record.time));
        if self.marks.recovers_after(seq) {
            self.recovering = true;
            for system in 0..self.hosted.len() {
                let late = self.hosted[system].late(time);
                self.note_lateness(late, seq);
            }
        }
    }

    fn note_lateness(&mut self, late: Millis, seq: Seq) {
        if late > self.counts.lateness_max {
            self.counts.lateness_max = late;
            self.counts.lateness_at = seq;
        }
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
        let wants_digest = self.marks.wants_digest(address, record.seq);
        if self.marks.is_quarantined(address, record.seq) {
            self.counts.quarantined += 1;
            self.skipped.insert((address.clone(), record.seq));
        } else {
            self.counts.steps += 1;
            let late = hosted.late(record.time);
            self.stepping = Some(system);
            hosted.machine.step(record, &mut self.emitted);
            self.stepping = None;
            hosted.deadline = hosted.machine.next_deadline();
            if self.conduct.is_some() {
                hosted.deadlines.note(hosted.deadline);
            }
            for message in self.emitted.drain(..) {
                let message = self.hosting.settle(message);
                if let Some(emissions) = &mut self.emissions {
                    emissions.update(&codec::encode(&message));
                }
                hosted.lane(message.emitted_lane()).push_back(message);
            }
            if !self.recovering {
                self.note_lateness(late, record.seq);
            }
        }
        if wants_digest {
            let hosted = &mut self.hosted[system];
            hosted.deadlines.note_state(hosted.deadline);
            let address = self.hosting.systems()[system].clone();
            self.digests
                .insert((address, record.seq), hosted.machine.digest());
        }
    }

    /// What was emitted and is not on the log: alarms first, each emitter's
    /// messages in their order. Recovery appends it.
    pub fn pending(&self) -> impl Iterator<Item = &Message> {
        let alarms = self.hosted.iter().flat_map(|hosted| &hosted.algedonic);
        alarms.chain(self.hosted.iter().flat_map(|hosted| &hosted.ordinary))
    }

    /// The digest of everything emitted so far, in the order of the fold;
    /// `None` unless it was asked for.
    #[must_use]
    pub fn emissions(&self) -> Option<Digest> {
        let hasher = self.emissions.as_ref()?;
        Some(Digest(*hasher.finalize().as_bytes()))
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
