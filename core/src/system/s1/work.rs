//! An operation comes, is tried, ends.
//!
//! ```text
//!                 ┌───────────────── no unit is free ◄──────────────┐
//!                 ▼                                                 │
//!   submit ──► accepted ──► dispatched ──► completed | failed       │
//!                 │             │  └──► retrying (back-off) ─────────┤
//!                 │             └──► unit lost ──► retrying ─────────┘
//!                 └─────────────┴──► timed out | cancelled | failed
//! ```
//!
//! An attempt is fenced by (operation, session, attempt): an outcome that names
//! another is told that it is stale and changes nothing. An operation that ends
//! while a unit has it (its time is up, nobody wants it) keeps its place in the
//! unit until the unit answers for it, goes, or the operation is forgotten: the
//! unit may still be at work, and one that never answers is not one to trust
//! with more.

use super::{
    S1,
    operation::{Held, Operation, Waiting},
    rendezvous,
    sessions::{hurt, please},
};
use crate::{
    address::Role,
    id::MessageId,
    message::{Cause, Message},
    name::{Name, Text},
    outbox::Outbox,
    payload::operations::{
        Accepted, Cancel, Closed, Dispatch, OperationState, Outcome, OutcomeAck, Refused,
        RefusedBecause, Status, Submit, Verdict,
    },
    record::Record,
    system::slab::Key,
    time::{Millis, Timestamp},
};

impl S1 {
    pub(super) fn submit(&mut self, record: &Record, submit: &Submit, out: &mut Outbox) {
        match self.admit(record, submit) {
            Admission::New(unit) => self.accept(record, submit, unit, out),
            Admission::Same(key) => self.accept_again(key, record.message.id, out),
            Admission::Refused(reason) => {
                self.counters.refused(&reason);
                out.send(
                    Role::Environment,
                    Refused {
                        operation: record.message.id,
                        reason,
                    },
                )
                .reply_to(record.message.id);
            }
        }
    }

    fn admit(&mut self, record: &Record, submit: &Submit) -> Admission {
        let message = &record.message;
        if let Some(key) = self.operations.find(&message.id) {
            return Admission::Same(key);
        }
        if let Some(idempotency) = &submit.idempotency
            && let Some(used) = self
                .operations
                .by_idempotency(principal(message), &idempotency.key)
        {
            if used.request == idempotency.request {
                return Admission::Same(used.operation);
            }
            let with = self.operations.get(used.operation).map(|it| it.id);
            return Admission::Refused(RefusedBecause::IdempotencyConflict {
                with: with.unwrap_or_default(),
            });
        }
        if message
            .deadline
            .is_some_and(|deadline| deadline <= record.time)
        {
            return Admission::Refused(RefusedBecause::DeadlinePassed);
        }
        if !self.policy.permits(&submit.capability) {
            return Admission::Refused(RefusedBecause::NotPermitted);
        }
        let key = submit.key.as_deref().map(rendezvous::key_of);
        let unit = self.choose(&submit.capability, key, None);
        // What waits out a back-off is bounded too, or failures would pile up.
        let waiting = match unit {
            Some(_) => self.backing_off,
            None => self.queued + self.backing_off,
        };
        if waiting >= u64::from(self.config.queue_max) {
            return Admission::Refused(RefusedBecause::QueueFull {
                retry_after: self.pace.time_for(record.time, waiting / 10 + 1),
            });
        }
        Admission::New(unit)
    }

    fn accept(&mut self, record: &Record, submit: &Submit, unit: Option<Key>, out: &mut Outbox) {
        let message = &record.message;
        let default = || record.time + Millis(self.config.deadline.0.max(1));
        let deadline = message.deadline.unwrap_or_else(default);
        let (text, request) = match &submit.idempotency {
            Some(it) => (Some(Box::new(it.key.clone())), Some(it.request)),
            None => (None, None),
        };
        let operation = self.operations.insert(
            Operation {
                id: message.id,
                state: OperationState::Accepted,
                attempt: 0,
                waiting: Waiting::No,
                held: None,
                counted: None,
                avoid: None,
                deadline,
                armed: deadline,
                capability: submit.capability.clone(),
                unit: None,
                correlation: message.correlation,
                submitted: record.seq,
                time: record.time,
                key: submit.key.as_deref().map(rendezvous::key_of),
                output: None,
                evidence: None,
                ended: None,
                principal: principal(message).cloned(),
                idempotency: text,
            },
            request,
        );
        self.counters.accepted += 1;
        let queued = match unit {
            Some(_) => 0,
            None => self.enqueue(operation),
        };
        out.send(
            Role::Environment,
            Accepted {
                operation: message.id,
                duplicate: false,
                queued: u32::try_from(queued).unwrap_or(u32::MAX),
            },
        )
        .reply_to(message.id);
        if let Some(unit) = unit {
            self.dispatch(operation, unit, out);
        }
    }

    fn accept_again(&mut self, key: Key, submit: MessageId, out: &mut Outbox) {
        self.counters.duplicates += 1;
        let Some(operation) = self.operations.get(key) else {
            return;
        };
        out.send(
            Role::Environment,
            Accepted {
                operation: operation.id,
                duplicate: true,
                queued: 0,
            },
        )
        .reply_to(submit)
        .correlation(operation.correlation);
    }

    /// The unit for an operation.
    fn choose(&mut self, capability: &Name, key: Option<u64>, avoid: Option<Key>) -> Option<Key> {
        let number = self.capabilities.find(capability)?;
        let avoid = avoid
            .and_then(|unit| self.registry.get(unit))
            .and_then(|unit| unit.memberships.iter().find(|it| it.capability == number))
            .map(|membership| membership.slot);
        self.capabilities
            .get_mut(number)?
            .choose(self.config.strategy, key, avoid)
    }

    /// Puts an operation at the end of its capability's queue and says how
    /// many are before it.
    fn enqueue(&mut self, key: Key) -> usize {
        let Some(operation) = self.operations.get_mut(key) else {
            return 0;
        };
        let ticket = self.tickets;
        self.tickets += 1;
        operation.waiting = Waiting::Unit(ticket);
        let deadline = operation.deadline;
        let capability = self.capabilities.intern(&operation.capability);
        self.operations.arm(key, deadline);
        let Some(capability) = self.capabilities.get_mut(capability) else {
            return 0;
        };
        let before = capability.queue.len();
        capability.queue.insert(ticket, key);
        self.queued += 1;
        before
    }

    /// An operation no longer waits.
    fn unwait(&mut self, key: Key) {
        let Some(operation) = self.operations.get_mut(key) else {
            return;
        };
        match std::mem::replace(&mut operation.waiting, Waiting::No) {
            Waiting::No => {}
            Waiting::Backoff => self.backing_off = self.backing_off.saturating_sub(1),
            Waiting::Unit(ticket) => {
                if let Some(number) = self.capabilities.find(&operation.capability) {
                    if let Some(capability) = self.capabilities.get_mut(number) {
                        capability.queue.remove(&ticket);
                    }
                    self.capabilities.forget_idle(number);
                }
                self.queued = self.queued.saturating_sub(1);
            }
        }
    }

    /// Tries an operation now, or as soon as a unit is free.
    fn place(&mut self, key: Key, now: Timestamp, out: &mut Outbox) {
        let Some(operation) = self.operations.get(key) else {
            return;
        };
        if !self.policy.permits(&operation.capability) {
            self.close(
                key,
                OperationState::Failed,
                "not permitted any more",
                now,
                out,
            );
            return;
        }
        let (capability, placement, avoid) =
            (operation.capability.clone(), operation.key, operation.avoid);
        match self.choose(&capability, placement, avoid) {
            Some(unit) => self.dispatch(key, unit, out),
            None => {
                self.enqueue(key);
            }
        }
    }

    /// Gives an operation that waits for nothing to a unit that is free.
    fn dispatch(&mut self, key: Key, unit_key: Key, out: &mut Outbox) {
        let (Some(operation), Some(unit)) = (
            self.operations.get_mut(key),
            self.registry.get_mut(unit_key),
        ) else {
            return;
        };
        operation.attempt = operation.attempt.saturating_add(1);
        operation.state = OperationState::Dispatched;
        operation.unit = Some(unit.name.clone());
        let older = unit.held.replace(key);
        operation.held = Some(Held {
            unit: unit_key,
            session: unit.session,
            attempt: operation.attempt,
            newer: None,
            older,
        });
        unit.in_flight = unit.in_flight.saturating_add(1);
        let deadline = operation.deadline;
        if let Some(held) = older.and_then(|older| self.held_mut(older)) {
            held.newer = Some(key);
        }
        self.operations.arm(key, deadline);
        self.counters.dispatched += 1;
        self.refresh(unit_key);
        self.send_dispatch(key, out);
    }

    fn held_mut(&mut self, key: Key) -> Option<&mut Held> {
        self.operations.get_mut(key)?.held.as_mut()
    }

    /// Tells the unit that has it to do an operation.
    pub(super) fn send_dispatch(&self, key: Key, out: &mut Outbox) {
        let Some(operation) = self.operations.get(key) else {
            return;
        };
        let (Some(held), Some(unit)) = (operation.held, &operation.unit) else {
            return;
        };
        out.send(
            Role::Environment,
            Dispatch {
                operation: operation.id,
                unit: unit.clone(),
                session: held.session,
                attempt: held.attempt,
                capability: operation.capability.clone(),
                payload: operation.submitted,
                deadline: operation.deadline,
            },
        )
        .correlation(operation.correlation)
        .attempt(held.attempt)
        .deadline(operation.deadline);
    }

    /// The operations that a unit holds, the one it got first first.
    pub(super) fn held_by(&self, unit: Key) -> Vec<Key> {
        let mut held = Vec::new();
        let mut next = self.registry.get(unit).and_then(|unit| unit.held);
        while let Some(key) = next {
            held.push(key);
            next = self
                .operations
                .get(key)
                .and_then(|operation| operation.held)
                .and_then(|held| held.older);
        }
        held.reverse();
        held
    }

    /// Takes from a unit that goes what it held, and says what of it has not
    /// ended.
    pub(super) fn take_held(&mut self, unit: Key) -> Vec<Lost> {
        let mut lost = Vec::new();
        for key in self.held_by(unit) {
            let idempotent = self.declared_idempotent(unit, key);
            let Some(operation) = self.operations.get_mut(key) else {
                continue;
            };
            if let Some(held) = operation.held.take()
                && !operation.state.is_final()
            {
                lost.push(Lost {
                    operation: key,
                    held,
                    idempotent,
                });
            }
        }
        lost
    }

    /// Gives a unit its place back that an operation had.
    fn give_back(&mut self, held: Held) {
        if let Some(newer) = held.newer {
            if let Some(it) = self.held_mut(newer) {
                it.older = held.older;
            }
        } else if let Some(unit) = self.registry.get_mut(held.unit) {
            unit.held = held.older;
        }
        if let Some(it) = held.older.and_then(|older| self.held_mut(older)) {
            it.newer = held.newer;
        }
        if let Some(unit) = self.registry.get_mut(held.unit) {
            unit.in_flight = unit.in_flight.saturating_sub(1);
        }
        self.refresh(held.unit);
    }

    /// Gives a unit what waits for it, oldest first, while it is free.
    pub(super) fn feed(&mut self, unit_key: Key, out: &mut Outbox) {
        while self.queued > 0 {
            let Some(unit) = self.registry.get(unit_key) else {
                return;
            };
            if unit.free_at.is_none() {
                return;
            }
            let first = unit
                .memberships
                .iter()
                .filter_map(|it| {
                    self.capabilities
                        .get(it.capability)?
                        .queue
                        .first_key_value()
                })
                .min();
            let Some((_, &operation)) = first else {
                return;
            };
            self.unwait(operation);
            self.dispatch(operation, unit_key, out);
        }
    }

    pub(super) fn outcome(&mut self, record: &Record, outcome: &Outcome, out: &mut Outbox) {
        let now = record.time;
        let found = self.operations.find(&outcome.operation);
        let fence = (outcome.session, outcome.attempt);
        let held = found
            .and_then(|key| self.operations.get(key))
            .filter(|operation| operation.unit.as_ref() == Some(&outcome.unit))
            .and_then(|operation| operation.held)
            .filter(|held| (held.session, held.attempt) == fence);
        let (Some(key), Some(held)) = (found, held) else {
            self.outcome_not_current(record, outcome, found, out);
            if let Some(unit) = self.registry.speaking(&outcome.unit, outcome.session) {
                self.heard(unit, now, out);
            }
            return;
        };
        let counts = self.count_outcome(key, held, record, outcome);
        let verdict = if counts {
            Verdict::Accepted
        } else {
            self.counters.stale += 1;
            Verdict::Stale
        };
        self.send_ack(record, outcome, verdict, Some(key), out);
        if counts {
            self.judge(held.unit, &outcome.unit, outcome.status, out);
        }
        self.give_back(held);
        self.heard(held.unit, now, out);
        self.feed(held.unit, out);
        let ended = self
            .operations
            .get(key)
            .is_some_and(|it| it.state.is_final());
        if counts && ended {
            self.retire(key, now, out);
        }
    }

    /// Whether the outcome of the attempt that is waited for counts: not when
    /// the operation ended before. The unit no longer has it either way.
    fn count_outcome(&mut self, key: Key, held: Held, record: &Record, outcome: &Outcome) -> bool {
        let now = record.time;
        let retry = match outcome.status {
            Status::Completed => None,
            Status::Failed => self.retry_at(key, held, now),
        };
        let Some(operation) = self.operations.get_mut(key) else {
            return false;
        };
        operation.held = None;
        if operation.state.is_final() {
            return false;
        }
        operation.counted = Some((held.session, held.attempt));
        operation.output = Some(record.seq);
        operation.evidence = outcome.evidence;
        match (outcome.status, retry) {
            (Status::Completed, _) => {
                operation.state = OperationState::Completed;
                self.counters.completed += 1;
                self.pace.count(now);
            }
            (Status::Failed, None) => {
                operation.state = OperationState::Failed;
                self.counters.failed += 1;
                self.pace.count(now);
            }
            (Status::Failed, Some(at)) => {
                operation.state = OperationState::Retrying;
                operation.waiting = Waiting::Backoff;
                operation.avoid = Some(held.unit);
                self.operations.arm(key, at);
                self.backing_off += 1;
                self.counters.retried += 1;
            }
        }
        true
    }

    /// When a failed attempt is repeated; `None`: never.
    fn retry_at(&self, key: Key, held: Held, now: Timestamp) -> Option<Timestamp> {
        let operation = self.operations.get(key)?;
        let idempotent = self.declared_idempotent(held.unit, key);
        if !idempotent || operation.attempt >= self.config.attempts_max {
            return None;
        }
        let doublings = operation.attempt.saturating_sub(1).min(32);
        let wait = self.config.backoff.0.saturating_mul(1 << doublings);
        let at = now + Millis(wait.min(self.config.backoff_max.0));
        // An attempt that could only begin too late is none.
        (at < operation.deadline).then_some(at)
    }

    /// Whether a unit says that an operation may be done twice.
    fn declared_idempotent(&self, unit: Key, operation: Key) -> bool {
        let (Some(unit), Some(operation)) =
            (self.registry.get(unit), self.operations.get(operation))
        else {
            return false;
        };
        let number = self.capabilities.find(&operation.capability);
        unit.memberships
            .iter()
            .any(|it| Some(it.capability) == number && it.idempotent)
    }

    /// What an outcome says about the unit.
    fn judge(&mut self, key: Key, name: &Name, status: Status, out: &mut Outbox) {
        let limit = self.policy.failures_pain.max(1);
        let Some(unit) = self.registry.get_mut(key) else {
            return;
        };
        if status == Status::Completed {
            unit.details.completed += 1;
            unit.failures_in_row = 0;
            if std::mem::take(&mut unit.hurting) {
                please(name, "recovered", out);
            }
            return;
        }
        unit.details.failed += 1;
        unit.failures_in_row = unit.failures_in_row.saturating_add(1);
        if unit.failures_in_row >= limit && !unit.hurting {
            unit.hurting = true;
            let what = format!("failed {} times in a row", unit.failures_in_row);
            hurt(&[Role::S5, Role::S3], name, &what, out);
        }
    }

    /// An outcome that is not the one waited for.
    fn outcome_not_current(
        &mut self,
        record: &Record,
        outcome: &Outcome,
        found: Option<Key>,
        out: &mut Outbox,
    ) {
        let fence = Some((outcome.session, outcome.attempt));
        let verdict = match found.and_then(|key| self.operations.get(key)) {
            None => Verdict::Unknown,
            Some(operation) if operation.counted == fence => Verdict::Repeated,
            Some(_) => Verdict::Stale,
        };
        match verdict {
            Verdict::Repeated => self.counters.repeated += 1,
            Verdict::Unknown => self.counters.unknown += 1,
            _ => self.counters.stale += 1,
        }
        self.send_ack(record, outcome, verdict, found, out);
    }

    fn send_ack(
        &self,
        record: &Record,
        outcome: &Outcome,
        verdict: Verdict,
        key: Option<Key>,
        out: &mut Outbox,
    ) {
        let operation = key.and_then(|key| self.operations.get(key));
        let draft = out
            .send(
                Role::Environment,
                OutcomeAck {
                    operation: outcome.operation,
                    unit: outcome.unit.clone(),
                    session: outcome.session,
                    attempt: outcome.attempt,
                    verdict,
                    state: operation.map(|it| it.state),
                    output: operation.and_then(|it| it.output),
                },
            )
            .reply_to(record.message.id);
        if let Some(operation) = operation {
            draft.correlation(operation.correlation);
        }
    }

    pub(super) fn cancel(&mut self, cancel: &Cancel, now: Timestamp, out: &mut Outbox) {
        let open = self.operations.find(&cancel.operation).filter(|key| {
            self.operations
                .get(*key)
                .is_some_and(|operation| !operation.state.is_final())
        });
        if let Some(key) = open {
            self.counters.cancelled += 1;
            self.close(key, OperationState::Cancelled, "cancelled", now, out);
        }
    }

    /// An operation's timer is due.
    pub(super) fn fire_operation(&mut self, key: Key, now: Timestamp, out: &mut Outbox) {
        let Some(operation) = self.operations.get(key) else {
            return;
        };
        if operation.deadline <= now {
            self.counters.timed_out += 1;
            self.close(key, OperationState::TimedOut, "deadline passed", now, out);
            return;
        }
        let deadline = operation.deadline;
        if operation.waiting == Waiting::Backoff {
            self.unwait(key);
            self.place(key, now, out);
        } else {
            self.operations.arm(key, deadline);
        }
    }

    /// The unit that had an operation is gone.
    pub(super) fn lost(&mut self, lost: Lost, now: Timestamp, out: &mut Outbox) {
        let key = lost.operation;
        let Some(operation) = self.operations.get_mut(key) else {
            return;
        };
        let again = lost.idempotent
            && operation.attempt < self.config.attempts_max
            && operation.deadline > now;
        if again {
            operation.state = OperationState::Retrying;
            self.counters.retried += 1;
            self.place(key, now, out);
        } else {
            self.counters.failed += 1;
            let held = Some(lost.held);
            self.close_held(key, held, OperationState::Failed, "unit lost", now, out);
        }
    }

    /// Ends an operation without an outcome that counts.
    pub(super) fn close(
        &mut self,
        key: Key,
        state: OperationState,
        reason: &str,
        now: Timestamp,
        out: &mut Outbox,
    ) {
        let held = self
            .operations
            .get(key)
            .and_then(|operation| operation.held);
        self.close_held(key, held, state, reason, now, out);
    }

    fn close_held(
        &mut self,
        key: Key,
        held: Option<Held>,
        state: OperationState,
        reason: &str,
        now: Timestamp,
        out: &mut Outbox,
    ) {
        self.unwait(key);
        let Some(operation) = self.operations.get_mut(key) else {
            return;
        };
        operation.state = state;
        let held_by = match (held, &operation.unit) {
            (Some(held), Some(unit)) => Some((unit.clone(), held.session, held.attempt)),
            _ => None,
        };
        out.send(
            Role::Environment,
            Closed {
                operation: operation.id,
                state,
                reason: Text::cut(reason),
                held_by,
            },
        )
        .reply_to(operation.id)
        .correlation(operation.correlation);
        self.pace.count(now);
        self.retire(key, now, out);
    }

    /// An operation ended; the oldest that ended may be forgotten for it.
    fn retire(&mut self, key: Key, now: Timestamp, out: &mut Outbox) {
        self.operations.retire(key, now);
        self.forget(out);
    }

    /// Forgets what ended beyond the number remembered.
    pub(super) fn forget(&mut self, out: &mut Outbox) {
        let max = self.config.ended_max as usize;
        while let Some((_, operation)) = self.operations.forget_beyond(max) {
            if let Some(held) = operation.held {
                self.give_back(held);
                self.feed(held.unit, out);
            }
        }
    }
}

/// An operation whose unit goes.
pub(super) struct Lost {
    operation: Key,
    held: Held,
    idempotent: bool,
}

/// What becomes of a submission.
enum Admission {
    /// An operation, for this unit or for the queue.
    New(Option<Key>),
    /// It is an operation that is there already.
    Same(Key),
    /// It is none.
    Refused(RefusedBecause),
}

/// On whose behalf a message is.
fn principal(message: &Message) -> Option<&Name> {
    match &message.cause {
        Cause::Principal(name) => Some(name),
        Cause::Local { .. } | Cause::Remote { .. } => message.principal.as_ref(),
    }
}
