//! Does a record follow from those before it?
//!
//! Reactions are held against what their emitter was seen to emit; what the
//! node says of its own life against the state of the fold. What nodes keep to
//! whatever the state is in [`super::conduct`].

use super::{Breach, Divergence, Replay, deadlines::Asked};
use crate::{
    id::Seq,
    machine::STATE_FORMAT,
    message::Cause,
    payload::{
        Lifecycle, Payload,
        lifecycle::{Quarantined, SnapshotTaken, Started, Tick},
    },
    record::Record,
};

impl Replay {
    pub(super) fn follows(&mut self, record: &Record) -> Result<(), Divergence> {
        let message = &record.message;
        match message.cause {
            Cause::Local { seq, index } => return self.follows_emission(record, (seq, index)),
            Cause::Remote { .. } => self.counts.relayed += 1,
            Cause::Principal(_) => {}
        }
        if let Payload::Lifecycle(lifecycle) = &message.payload {
            return self.follows_lifecycle(record, lifecycle);
        }
        if self.hosting.index_of(&message.from).is_some() {
            self.counts.injected += 1;
        }
        Ok(())
    }

    fn follows_lifecycle(
        &mut self,
        record: &Record,
        lifecycle: &Lifecycle,
    ) -> Result<(), Divergence> {
        match lifecycle {
            Lifecycle::Started(started) => {
                self.counts.runs += 1;
                self.started(record.seq, started)?;
                self.nothing_is_missing(record.seq)
            }
            Lifecycle::Recovered(recovered) => {
                self.counts.recoveries += 1;
                self.counts.completed = self.counts.completed.saturating_add(recovered.completed);
                self.nothing_is_missing(record.seq)
            }
            Lifecycle::Stopped(_) => {
                self.counts.stops += 1;
                self.nothing_is_missing(record.seq)
            }
            Lifecycle::Tick(tick) => {
                self.counts.ticks += 1;
                self.tick(record, tick)
            }
            Lifecycle::ClockJumped(_) => {
                self.counts.clock_jumps += 1;
                Ok(())
            }
            Lifecycle::SnapshotTaken(taken) => self.snapshot(record, taken),
            Lifecycle::Quarantined(quarantined) => self.quarantined(record, quarantined),
            Lifecycle::MessageRefused(_) => {
                self.counts.refusals += 1;
                Ok(())
            }
            Lifecycle::AuditDue(_) | Lifecycle::Member(_) => Ok(()),
        }
    }

    fn started(&self, seq: Seq, started: &Started) -> Result<(), Divergence> {
        if started.log != self.log {
            return Err(Divergence::Log {
                seq,
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
                    seq,
                    role,
                    found,
                    known,
                });
            }
        }
        Ok(())
    }

    fn tick(&mut self, record: &Record, tick: &Tick) -> Result<(), Divergence> {
        if self.conduct.is_none() {
            return Ok(());
        }
        let to = &record.message.to;
        let Some(system) = self.hosting.index_of(to) else {
            return Err(conduct_of(record, Breach::NoSuchSystem(to.clone())));
        };
        if tick.deadline > record.time + self.marks.backwards_max() {
            let breach = Breach::TickEarly {
                time: record.time,
                deadline: tick.deadline,
            };
            return Err(conduct_of(record, breach));
        }
        let deadlines = &mut self.hosted[system].deadlines;
        match deadlines.asked(tick.deadline) {
            Asked::Yes => Ok(()),
            Asked::Unknown => {
                self.counts.ticks_unproven += 1;
                Ok(())
            }
            Asked::No => {
                let breach = Breach::Tick {
                    system: to.clone(),
                    deadline: tick.deadline,
                    had: deadlines.last(),
                };
                Err(conduct_of(record, breach))
            }
        }
    }

    fn snapshot(&mut self, record: &Record, taken: &SnapshotTaken) -> Result<(), Divergence> {
        let system = &taken.system;
        let digest = self.digests.get(&(system.clone(), taken.seq)).copied();
        if self.conduct.is_some() {
            let index = self.hosting.index_of(system).ok_or_else(|| {
                let breach = Breach::NoSuchSystem(system.clone());
                conduct_of(record, breach)
            })?;
            let hosted = &self.hosted[index];
            if taken.behaviour != hosted.machine.behaviour() || taken.format != STATE_FORMAT {
                let breach = Breach::StateKind {
                    behaviour: taken.behaviour,
                    format: taken.format,
                };
                return Err(conduct_of(record, breach));
            }
            if digest.is_none() {
                let breach = Breach::NeverStepped {
                    system: system.clone(),
                    at: taken.seq,
                };
                return Err(conduct_of(record, breach));
            }
            if let Some(cause) = hosted.first_cause()
                && cause <= taken.seq
            {
                let at = taken.seq;
                return Err(conduct_of(record, Breach::StateEarly { at, cause }));
            }
        }
        match digest {
            Some(expected) if expected != taken.state => Err(Divergence::State {
                seq: record.seq,
                system: system.clone(),
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

    fn quarantined(&self, record: &Record, quarantined: &Quarantined) -> Result<(), Divergence> {
        let key = (quarantined.system.clone(), quarantined.seq);
        if self.conduct.is_some() && !self.skipped.contains(&key) {
            let (system, at) = key;
            return Err(conduct_of(record, Breach::NotSkipped { system, at }));
        }
        Ok(())
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
        // Messages are numbered from 1: a reaction to 0 is nobody's.
        if cause.0 <= hosted.since && cause.0 > Seq(0) {
            return Ok(());
        }
        self.counts.reactions += 1;
        let lane = hosted.lane(found.emitted_lane());
        let Some(expected) = lane.front() else {
            return Err(invented());
        };
        if expected == found {
            if record.body.is_some() {
                return Err(conduct_of(record, Breach::Body));
            }
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
}

pub(super) fn conduct_of(record: &Record, breach: Breach) -> Divergence {
    Divergence::Conduct {
        seq: record.seq,
        breach,
        found: Box::new(record.message.clone()),
    }
}
