//! Messages that begin something: from a client, a unit, a person, the node.

use bytes::Bytes;
use vsm_core::{Address, Message, MessageId, Name, Payload, Role, Seq, Text, Timestamp};

/// A message from outside, before it has an identity.
#[derive(Clone, Debug)]
pub struct Root {
    /// From whom.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// What.
    pub payload: Payload,
    /// What a user may want removed one day.
    pub body: Option<Bytes>,
    /// Who caused it.
    pub principal: Name,
    /// Its identity; drawn when `None`.
    pub id: Option<MessageId>,
    /// What it belongs to; itself when `None`.
    pub correlation: Option<MessageId>,
    /// By when it makes sense.
    pub deadline: Option<Timestamp>,
    /// Whatever else the sender wants kept with it.
    pub metadata: Vec<(Name, Text)>,
}

impl Root {
    /// A message with nothing optional set.
    pub fn new(
        from: impl Into<Address>,
        to: impl Into<Address>,
        payload: impl Into<Payload>,
        principal: Name,
    ) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            payload: payload.into(),
            body: None,
            principal,
            id: None,
            correlation: None,
            deadline: None,
            metadata: Vec::new(),
        }
    }

    /// A message from the environment to operations.
    #[must_use]
    pub fn operations(payload: impl Into<Payload>, principal: Name) -> Self {
        Self::new(Role::Environment, Role::S1, payload, principal)
    }

    /// A message of the node itself.
    pub(crate) fn by_node(to: Role, payload: impl Into<Payload>) -> Self {
        Self::new(Role::Node, to, payload, node_principal())
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Part of a conversation.
    #[must_use]
    pub const fn correlation(mut self, correlation: MessageId) -> Self {
        self.correlation = Some(correlation);
        self
    }

    /// By when it makes sense.
    #[must_use]
    pub const fn deadline(mut self, deadline: Timestamp) -> Self {
        self.deadline = Some(deadline);
        self
    }

    pub(crate) fn into_message(self, now: Timestamp) -> (Message, Option<Bytes>) {
        let id = self.id.unwrap_or_else(|| MessageId::v7(now, random()));
        let mut message = Message::root(id, self.from, self.to, self.payload, now, self.principal);
        message.correlation = self.correlation.unwrap_or(id);
        message.deadline = self.deadline;
        message.metadata = self.metadata.into_iter().collect();
        (message, self.body)
    }
}

/// The principal of what the node itself causes.
fn node_principal() -> Name {
    // A constant that is a name.
    "node"
        .parse()
        .unwrap_or_else(|_| unreachable!("\"node\" is a name"))
}

/// A new identity for a message from outside.
#[must_use]
pub fn draw_id() -> MessageId {
    MessageId::v7(super::wall_clock(), random())
}

fn random() -> [u8; 10] {
    let uuid = uuid::Uuid::new_v4();
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&uuid.as_bytes()[6..]);
    // The two nibbles that say "version 4, variant 1" are not random; the
    // first bytes of the same draw are.
    bytes[0] ^= uuid.as_bytes()[0];
    bytes[2] ^= uuid.as_bytes()[1];
    bytes
}

/// Where a message got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its identity.
    pub id: MessageId,
    /// Its place in the log. Not durable yet: wait for that.
    pub seq: Seq,
    /// When it was numbered.
    pub time: Timestamp,
}
