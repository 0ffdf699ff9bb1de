//! Where a step puts what it emits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    address::Address,
    id::MessageId,
    name::{Name, Text},
    payload::Payload,
    time::Timestamp,
};

/// A message as a subsystem writes it; the [`Machine`](crate::Machine) adds
/// identity, time and cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    pub(crate) to: Address,
    pub(crate) payload: Payload,
    pub(crate) correlation: Option<MessageId>,
    pub(crate) attempt: u32,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) reply_to: Option<MessageId>,
    pub(crate) metadata: BTreeMap<Name, Text>,
}

impl Draft {
    /// The conversation it belongs to, when that is not its cause's.
    pub const fn correlation(&mut self, correlation: MessageId) -> &mut Self {
        self.correlation = Some(correlation);
        self
    }

    /// Which attempt it is.
    pub const fn attempt(&mut self, attempt: u32) -> &mut Self {
        self.attempt = attempt;
        self
    }

    /// By when it makes sense.
    pub const fn deadline(&mut self, deadline: Timestamp) -> &mut Self {
        self.deadline = Some(deadline);
        self
    }

    /// The message it answers.
    pub const fn reply_to(&mut self, message: MessageId) -> &mut Self {
        self.reply_to = Some(message);
        self
    }
}

/// What a step emits, in order. A step may emit as much as its state is able
/// to; the [`Machine`](crate::Machine) lets out 64 messages at a time and
/// keeps the rest for a deadline that is due at once.
#[derive(Debug, Default)]
pub struct Outbox {
    pub(crate) drafts: Vec<Draft>,
}

impl Outbox {
    /// Emits a message; the answer sets what is optional.
    pub fn send(&mut self, to: impl Into<Address>, payload: impl Into<Payload>) -> &mut Draft {
        let at = self.drafts.len();
        self.drafts.push(Draft {
            to: to.into(),
            payload: payload.into(),
            correlation: None,
            attempt: 0,
            deadline: None,
            reply_to: None,
            metadata: BTreeMap::new(),
        });
        &mut self.drafts[at]
    }

    /// What was emitted so far: recipient and payload. For tests of a step.
    pub fn sent(&self) -> impl ExactSizeIterator<Item = (&Address, &Payload)> {
        self.drafts.iter().map(|draft| (&draft.to, &draft.payload))
    }
}
