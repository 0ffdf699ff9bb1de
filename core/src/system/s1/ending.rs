//! An operation ends without an outcome that counts: its time is up, nobody
//! wants it, its unit is gone.
//!
//! When a unit has it then, the unit keeps its place occupied until it answers
//! for it, goes, or the operation is forgotten: it may still be at work, and one
//! that never answers is not one to trust with more.

use super::{
    S1,
    operation::{Held, Waiting},
    placement::Lost,
};
use crate::{
    address::Role,
    name::Text,
    outbox::Outbox,
    payload::operations::{Cancel, Closed, OperationState},
    system::slab::Key,
    time::Timestamp,
};

impl S1 {
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
    pub(super) fn retire(&mut self, key: Key, now: Timestamp, out: &mut Outbox) {
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
