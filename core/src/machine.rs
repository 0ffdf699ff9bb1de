//! A subsystem as a node hosts it: a state, and one call that steps it.
//!
//! The machine gives what its subsystem emits identity, time and cause, all
//! derived from the record being stepped, and bounds a step's emissions.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{
    address::{Address, Role},
    codec::{self, DecodeError},
    id::{Digest, LogId, MessageId},
    message::{Cause, Message},
    outbox::{Draft, Outbox},
    record::Record,
    system::{Maker, Query, System},
    time::Timestamp,
};

/// The most messages one step lets out.
pub const EMITTED_MAX: usize = 64;

/// The format of [`Machine::state`].
pub const STATE_FORMAT: u32 = 1;

/// Whose machine it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The log whose records it steps on.
    pub log: LogId,
    /// Its address.
    pub address: Address,
}

/// A hosted subsystem.
pub struct Machine {
    identity: Identity,
    system: Box<dyn System>,
    outbox: Outbox,
    /// What earlier steps emitted beyond the bound, oldest first.
    held: VecDeque<Draft>,
}

/// The parts of a machine's state, as a snapshot holds them.
#[derive(Serialize, Deserialize)]
struct State {
    held: VecDeque<Draft>,
    system: Vec<u8>,
}

impl Machine {
    /// The machine of a subsystem before its first record.
    #[must_use]
    pub fn new(identity: Identity, maker: &Maker) -> Self {
        Self {
            identity,
            system: maker.create(),
            outbox: Outbox::default(),
            held: VecDeque::new(),
        }
    }

    /// The machine with a state that [`Machine::state`] gave.
    ///
    /// # Errors
    /// When the bytes are no state of this subsystem.
    pub fn restore(identity: Identity, maker: &Maker, state: &[u8]) -> Result<Self, DecodeError> {
        let State { held, system } = codec::decode_state(state)?;
        let system = maker.restore(&system)?;
        Ok(Self {
            identity,
            system,
            outbox: Outbox::default(),
            held,
        })
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.identity.address
    }

    /// Its role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.identity.address.role
    }

    /// The version of its behaviour.
    #[must_use]
    pub fn behaviour(&self) -> u32 {
        self.system.behaviour()
    }

    /// Steps on a record and appends what that emits to `emitted`.
    ///
    /// Deadlines that are due at the record's time fire first.
    pub fn step(&mut self, record: &Record, emitted: &mut Vec<Message>) {
        self.system.step(record, &mut self.outbox);
        let correlation = record.message.correlation;
        let fresh = self.outbox.drafts.drain(..).map(|mut draft| {
            draft.correlation.get_or_insert(correlation);
            draft
        });
        if self.held.is_empty() && fresh.len() <= EMITTED_MAX {
            // The usual case, without a detour through the queue.
            for (index, draft) in fresh.enumerate() {
                emitted.push(finish(&self.identity, record, index, draft));
            }
            return;
        }
        self.held.extend(fresh);
        for index in 0..self.held.len().min(EMITTED_MAX) {
            if let Some(draft) = self.held.pop_front() {
                emitted.push(finish(&self.identity, record, index, draft));
            }
        }
    }

    /// When it wants a tick if nothing else comes. [`Timestamp::ZERO`]: now.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.held.is_empty() {
            self.system.next_deadline()
        } else {
            Some(Timestamp::ZERO)
        }
    }

    /// Its state: the same bytes for the same records, on any machine.
    #[must_use]
    pub fn state(&self) -> Vec<u8> {
        let mut system = Vec::new();
        self.system.encode(&mut system);
        codec::encode(&State {
            held: self.held.clone(),
            system,
        })
    }

    /// The bytes that the subsystem itself encoded, from those that
    /// [`Machine::state`] gave: for read models that begin where a state ends.
    ///
    /// # Errors
    /// When the bytes are no state.
    pub fn system_state(state: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let State { system, .. } = codec::decode_state(state)?;
        Ok(system)
    }

    /// The digest of [`Machine::state`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.state())
    }

    /// Its state for people and programs.
    #[must_use]
    pub fn view(&self) -> serde_json::Value {
        self.system.view()
    }

    /// Part of its state for people and programs.
    #[must_use]
    pub fn query(&self, query: &Query) -> serde_json::Value {
        self.system.query(query)
    }
}

fn finish(identity: &Identity, record: &Record, index: usize, draft: Draft) -> Message {
    // EMITTED_MAX bounds it.
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    Message {
        id: MessageId::derived(identity.log, record.seq, record.time, index),
        from: identity.address.clone(),
        to: draft.to,
        payload: draft.payload,
        timestamp: record.time,
        correlation: draft.correlation.unwrap_or(record.message.correlation),
        cause: Cause::Local {
            seq: record.seq,
            index,
        },
        hops: record.message.hops.saturating_add(1),
        attempt: draft.attempt,
        principal: record.message.principal.clone(),
        deadline: draft.deadline,
        reply_to: draft.reply_to,
        metadata: draft.metadata,
    }
}
