//! Messages of another node for subsystems here: appended once, in order,
//! together with how far this log has got.

use vsm_core::{
    Cause, Message, Name, Role, codec,
    payload::sharing::{Place, Relayed},
};
use vsm_replication::peer::{Position, Refusal, RelayBatch};

use super::Peering;
use crate::runtime::{Root, SendError, wall_clock};

/// How many messages are appended at a time.
const AT_A_TIME: usize = 256;

/// Why messages were not appended.
#[derive(Debug, thiserror::Error)]
pub(super) enum InboxError {
    /// They are not what a node sends.
    #[error(transparent)]
    Refused(Refusal),
    /// The log takes nothing.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl Peering {
    /// Appends a batch. All of its messages are looked at before the first is
    /// appended.
    pub(super) async fn append(
        &self,
        node: &Name,
        batch: &RelayBatch,
        tenure: u64,
    ) -> Result<(), InboxError> {
        let messages = batch
            .relays
            .iter()
            .map(|relay| self.incoming(node, batch, relay));
        let messages: Vec<_> = messages.collect::<Result<_, _>>()?;
        let mut after = batch.after;
        let mut places = batch.relays.iter().map(|relay| relay.position());
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let mut lot: Vec<Message> = messages.by_ref().take(AT_A_TIME).collect();
            let upto = places.by_ref().take(lot.len()).last().unwrap_or(after);
            let relayed = Relayed {
                node: node.clone(),
                log: batch.origin,
                incarnation: batch.incarnation,
                after: place(after),
                upto: place(upto),
                messages: u32::try_from(lot.len()).unwrap_or(u32::MAX),
                signature: batch.signature.to_bytes(),
            };
            let cursor = vsm_replication::members::cursor(&relayed);
            let root = Root::new(Role::Node, Role::Shared, relayed, node.clone());
            lot.push(root.into_message(wall_clock()).0);
            // Nobody else appends for this node meanwhile, and what a link that
            // was superseded had under way is not appended after the next one
            // said where it goes on.
            let mut appended = self.appended.lock().await;
            let holder = appended.entry(node.clone()).or_default();
            if holder.tenure != tenure {
                return Err(InboxError::Refused(Refusal::Superseded));
            }
            self.handle.relay(lot).await?;
            holder.cursor = Some(cursor);
            drop(appended);
            after = upto;
        }
        Ok(())
    }

    /// A relayed message as this log holds it: with the other log as its cause.
    fn incoming(
        &self,
        node: &Name,
        batch: &RelayBatch,
        relay: &vsm_replication::peer::Relay,
    ) -> Result<Message, InboxError> {
        let malformed = |what: String| InboxError::Refused(Refusal::Malformed(what));
        let mut message: Message = codec::decode(&relay.message)
            .map_err(|error| malformed(format!("relayed message {}: {error}", relay.seq)))?;
        if message.from.instance.as_ref() != Some(node) {
            let from = &message.from;
            return Err(malformed(format!(
                "relayed message {} is from {from}",
                relay.seq
            )));
        }
        let own = &self.identity.node;
        let to = &message.to;
        let between_systems =
            Role::SYSTEMS.contains(&message.from.role) && Role::SYSTEMS.contains(&to.role);
        if to.instance.as_ref() != Some(own) || !between_systems {
            return Err(malformed(format!(
                "relayed message {} from {} is for {to}",
                relay.seq, message.from
            )));
        }
        message.cause = Cause::Remote {
            log: batch.origin,
            incarnation: batch.incarnation,
            seq: relay.seq,
        };
        Ok(message)
    }
}

pub(super) const fn place(position: Position) -> Place {
    Place {
        seq: position.seq,
        chain: position.chain,
    }
}
