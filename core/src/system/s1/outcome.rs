//! A unit says how an attempt went.
//!
//! An attempt is fenced by (operation, session, attempt): an outcome that names
//! another is told that it is stale and changes nothing. Every outcome gets
//! exactly one answer.

use super::{
    S1,
    operation::{Held, Waiting},
    sessions::{hurt, please},
};
use crate::{
    address::Role,
    name::Name,
    outbox::Outbox,
    payload::operations::{OperationState, Outcome, OutcomeAck, Status, Verdict},
    record::Record,
    system::slab::Key,
    time::{Millis, Timestamp},
};

impl S1 {
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
    pub(super) fn declared_idempotent(&self, unit: Key, operation: Key) -> bool {
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
                    output_commitment: record.body_commitment(),
                },
            )
            .reply_to(record.message.id);
        if let Some(operation) = operation {
            draft.correlation(operation.correlation);
        }
    }
}
