//! An operation comes: is it one that was here before, may it be tried, and is
//! there room for it?

use super::{
    S1,
    operation::{Operation, Waiting},
    rendezvous,
};
use crate::{
    address::Role,
    message::{Cause, Message},
    name::Name,
    outbox::Outbox,
    payload::operations::{Accepted, OperationState, Refused, RefusedBecause, Submit},
    record::Record,
    system::slab::Key,
    time::Millis,
};

impl S1 {
    pub(super) fn submit(&mut self, record: &Record, submit: &Submit, out: &mut Outbox) {
        match self.admit(record, submit) {
            Admission::New(unit) => self.accept(record, submit, unit, out),
            Admission::Same(key) => self.accept_again(key, record, out),
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
                payload_commitment: record.body_commitment(),
            },
        )
        .reply_to(message.id);
        if let Some(unit) = unit {
            self.dispatch(operation, unit, out);
        }
    }

    fn accept_again(&mut self, key: Key, record: &Record, out: &mut Outbox) {
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
                // Of the body that came now: it is this one's receipt.
                payload_commitment: record.body_commitment(),
            },
        )
        .reply_to(record.message.id)
        .correlation(operation.correlation);
    }
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
pub(super) fn principal(message: &Message) -> Option<&Name> {
    match &message.cause {
        Cause::Principal(name) => Some(name),
        Cause::Local { .. } | Cause::Remote { .. } => message.principal.as_ref(),
    }
}
