//! The operations: where each stands, and those that ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{
    id::{Digest, MessageId, Seq},
    name::{Name, Text},
    payload::operations::{OperationState, Session},
    system::slab::{Key, Slab},
    time::Timestamp,
};

/// With whom an operation is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) unit: Key,
    /// The session it was dispatched in: what an outcome is fenced by, also
    /// after the unit resumed under another.
    pub(super) session: Session,
    pub(super) attempt: u32,
    /// The operations before and after it that the same unit holds.
    pub(super) newer: Option<Key>,
    pub(super) older: Option<Key>,
}

/// What an operation waits for, when it is with nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Waiting {
    /// Nothing: it is with a unit, or it ended.
    No,
    /// A unit: its place in the capability's queue.
    Unit(u64),
    /// The end of its back-off.
    Backoff,
}

/// An operation.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Operation {
    /// The id of the message that submitted it.
    pub(super) id: MessageId,
    pub(super) state: OperationState,
    /// How often it was dispatched.
    pub(super) attempt: u32,
    pub(super) waiting: Waiting,
    pub(super) held: Option<Held>,
    /// The attempt whose outcome counted last.
    pub(super) counted: Option<(Session, u32)>,
    /// The unit that failed last, while it is there.
    pub(super) avoid: Option<Key>,
    pub(super) deadline: Timestamp,
    /// The instant its timer stands at, while it has not ended.
    pub(super) armed: Timestamp,
    pub(super) capability: Name,
    /// The unit it was dispatched to last.
    pub(super) unit: Option<Name>,
    pub(super) correlation: MessageId,
    /// The record that submitted it, whose body is its payload.
    pub(super) submitted: Seq,
    pub(super) time: Timestamp,
    /// Its placement key.
    pub(super) key: Option<u64>,
    /// The outcome that counted last.
    pub(super) output: Option<Seq>,
    pub(super) evidence: Option<Digest>,
    pub(super) ended: Option<Timestamp>,
    pub(super) principal: Option<Name>,
    /// Whether it is in `keys` under its principal and this.
    pub(super) idempotency: Option<Box<Text>>,
}

/// Who used an idempotency key for what.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeyUse {
    pub(super) request: Digest,
    pub(super) operation: Key,
}

/// The operations, found by id, by idempotency key and by when they are due.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Operations {
    slab: Slab<Operation>,
    ids: BTreeMap<MessageId, Key>,
    /// One entry per operation that has not ended: its deadline, or the end of
    /// its back-off.
    timers: BTreeSet<(Timestamp, Key)>,
    keys: BTreeMap<(Option<Name>, Text), KeyUse>,
    /// Those that ended, oldest first.
    ended: VecDeque<Key>,
}

impl Operations {
    /// Takes an operation in.
    pub(super) fn insert(&mut self, operation: Operation, request: Option<Digest>) -> Key {
        let (id, armed) = (operation.id, operation.armed);
        let name = operation
            .idempotency
            .as_deref()
            .map(|key| (operation.principal.clone(), key.clone()));
        let key = self.slab.insert(operation);
        self.ids.insert(id, key);
        self.timers.insert((armed, key));
        if let (Some(name), Some(request)) = (name, request) {
            let operation = key;
            self.keys.insert(name, KeyUse { request, operation });
        }
        key
    }

    /// Moves the timer of an operation that has not ended.
    pub(super) fn arm(&mut self, key: Key, at: Timestamp) {
        if let Some(operation) = self.slab.get_mut(key)
            && operation.armed != at
        {
            self.timers.remove(&(operation.armed, key));
            operation.armed = at;
            self.timers.insert((at, key));
        }
    }

    /// The timer that is due first.
    pub(super) fn first_timer(&self) -> Option<(Timestamp, Key)> {
        self.timers.first().copied()
    }

    /// An operation ended; it is remembered for a while.
    pub(super) fn retire(&mut self, key: Key, now: Timestamp) {
        if let Some(operation) = self.slab.get_mut(key) {
            self.timers.remove(&(operation.armed, key));
            operation.ended = Some(now);
            self.ended.push_back(key);
        }
    }

    /// Forgets the operation that ended first, when more than `max` are
    /// remembered.
    pub(super) fn forget_beyond(&mut self, max: usize) -> Option<(Key, Operation)> {
        if self.ended.len() <= max {
            return None;
        }
        let key = self.ended.pop_front()?;
        let operation = self.slab.remove(key)?;
        self.ids.remove(&operation.id);
        if let Some(text) = operation.idempotency.as_deref() {
            self.keys
                .remove(&(operation.principal.clone(), text.clone()));
        }
        Some((key, operation))
    }

    pub(super) fn find(&self, id: &MessageId) -> Option<Key> {
        self.ids.get(id).copied()
    }

    pub(super) fn by_idempotency(&self, principal: Option<&Name>, key: &Text) -> Option<&KeyUse> {
        // The lookup owns its key; only submissions with one pay for it.
        self.keys.get(&(principal.cloned(), key.clone()))
    }

    pub(super) fn get(&self, key: Key) -> Option<&Operation> {
        self.slab.get(key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Operation> {
        self.slab.get_mut(key)
    }

    /// Those that ended, oldest first.
    pub(super) fn ended(&self) -> impl Iterator<Item = &Operation> {
        self.ended.iter().filter_map(|key| self.slab.get(*key))
    }

    /// All, by falling id: youngest first, as ids begin with their time.
    pub(super) fn youngest(&self) -> impl Iterator<Item = &Operation> {
        self.ids
            .values()
            .rev()
            .filter_map(|key| self.slab.get(*key))
    }

    /// The record that submitted the oldest one that has not ended.
    pub(super) fn oldest_open(&self) -> Option<Seq> {
        let open = self
            .timers
            .iter()
            .filter_map(|(_, key)| self.slab.get(*key));
        open.map(|operation| operation.submitted).min()
    }

    /// How many have not ended.
    pub(super) fn open(&self) -> usize {
        self.slab.len().saturating_sub(self.ended.len())
    }

    /// How many are remembered after their end.
    pub(super) fn remembered(&self) -> usize {
        self.ended.len()
    }
}
