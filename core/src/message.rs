//! The message: what subsystems exchange, and all that a step sees of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    address::Address,
    channel::Channel,
    id::{LogId, MessageId, Seq},
    name::{Name, Text},
    payload::Payload,
    time::Timestamp,
};

/// Why a message exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A subsystem emitted it in the step on a record of this log.
    Local {
        /// That record.
        seq: Seq,
        /// The how-manieth message of that step it is, from 0.
        index: u32,
    },
    /// Another node relayed it.
    Remote {
        /// The other node's log.
        log: LogId,
        /// Its incarnation.
        incarnation: u32,
        /// Where it stands there.
        seq: Seq,
    },
    /// Somebody outside did something.
    Principal(Name),
}

/// Which of an emitter's two orders a message belongs to. The algedonic lane
/// is numbered first; within a lane, messages are numbered as they were
/// emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Pain and pleasure.
    Algedonic,
    /// Everything else.
    Ordinary,
}

/// A message. All of it is hashed with the record and never redacted; what a
/// user may want removed is in the record's body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its identity.
    pub id: MessageId,
    /// From whom.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// Channel, type and content.
    pub payload: Payload,
    /// When it was made: for an emitted message the time of its cause's record.
    pub timestamp: Timestamp,
    /// What it belongs to: the id of the first message of the conversation,
    /// or what the client gave.
    pub correlation: MessageId,
    /// Why it exists.
    pub cause: Cause,
    /// How many messages lie between it and the outside.
    pub hops: u16,
    /// Which attempt, where something is tried more than once; else 0.
    pub attempt: u32,
    /// On whose behalf, when that is not the cause itself.
    pub principal: Option<Name>,
    /// By when it makes sense.
    pub deadline: Option<Timestamp>,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// Whatever else the sender wants kept with it.
    pub metadata: BTreeMap<Name, Text>,
}

impl Message {
    /// The most entries in `metadata`.
    pub const METADATA_MAX: usize = 16;

    /// A message from outside, with nothing optional set.
    #[must_use]
    pub fn root(
        id: MessageId,
        from: impl Into<Address>,
        to: impl Into<Address>,
        payload: impl Into<Payload>,
        timestamp: Timestamp,
        principal: Name,
    ) -> Self {
        Self {
            id,
            from: from.into(),
            to: to.into(),
            payload: payload.into(),
            timestamp,
            correlation: id,
            cause: Cause::Principal(principal),
            hops: 0,
            attempt: 0,
            principal: None,
            deadline: None,
            reply_to: None,
            metadata: BTreeMap::new(),
        }
    }

    /// The channel that carries it.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.payload.channel()
    }

    /// Its lane.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self.channel() {
            Channel::Algedonic => Lane::Algedonic,
            _ => Lane::Ordinary,
        }
    }

    /// Who emitted it: the sender, or the sender of the refused message that
    /// it stands for.
    #[must_use]
    pub fn emitter(&self) -> &Address {
        use crate::payload::{Lifecycle, Payload};
        match &self.payload {
            Payload::Lifecycle(Lifecycle::MessageRefused(refused)) => &refused.from,
            _ => &self.from,
        }
    }

    /// The lane its emitter emitted it in.
    #[must_use]
    pub fn emitted_lane(&self) -> Lane {
        use crate::payload::{Lifecycle, Payload};
        match &self.payload {
            Payload::Lifecycle(Lifecycle::MessageRefused(refused))
                if refused.channel == Channel::Algedonic =>
            {
                Lane::Algedonic
            }
            _ => self.lane(),
        }
    }
}
