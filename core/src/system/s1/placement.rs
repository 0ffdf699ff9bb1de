//! An operation is given to a unit, or waits for one.
//!
//! A queue holds something only while no unit of its capability is free, so a
//! unit that gets free takes the oldest of what waits for any of its
//! capabilities, and a submission takes a free unit past nobody.

use super::{
    S1,
    operation::{Held, Waiting},
};
use crate::{
    address::Role,
    name::Name,
    outbox::Outbox,
    payload::operations::{Dispatch, OperationState},
    system::slab::Key,
    time::Timestamp,
};

impl S1 {
    /// The unit for an operation.
    pub(super) fn choose(
        &mut self,
        capability: &Name,
        key: Option<u64>,
        avoid: Option<Key>,
    ) -> Option<Key> {
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
    pub(super) fn enqueue(&mut self, key: Key) -> usize {
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
    pub(super) fn unwait(&mut self, key: Key) {
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
    pub(super) fn place(&mut self, key: Key, now: Timestamp, out: &mut Outbox) {
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
    pub(super) fn dispatch(&mut self, key: Key, unit_key: Key, out: &mut Outbox) {
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
    pub(super) fn give_back(&mut self, held: Held) {
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
}

/// An operation whose unit goes.
pub(super) struct Lost {
    pub(super) operation: Key,
    /// Where and as which attempt.
    pub(super) held: Held,
    /// Whether the unit said that it may be done twice.
    pub(super) idempotent: bool,
}
