//! Messages between subsystems of the two nodes, both ways, and the receipts
//! for them.

use std::time::{Duration, Instant};

use vsm_core::{Role, Seq, payload::sharing::Receipted};
use vsm_replication::peer::{Alarm, Cursor, Input, Position, Receipt, Refusal, RelayBatch};

use super::{
    super::{
        inbox::{self, InboxError},
        outbox::{self, Outgoing},
    },
    Link, closing,
};
use crate::runtime::Root;

/// How often at most a receipt is logged.
const RECEIPT_EVERY: Duration = Duration::from_secs(1);

impl Link<'_> {
    /// The peer's messages are on disk up to here.
    pub(super) fn durable(&mut self, cursor: Cursor) {
        if self.origin == Some((cursor.log, cursor.incarnation)) {
            self.handle(Input::RelaysDurable(cursor.at.seq));
        }
    }

    /// News were missed: what they were about is looked up.
    pub(super) fn look_again(&mut self) {
        let cursor = self.peering.members.lock().cursor(&self.node);
        if let Some(cursor) = cursor {
            self.durable(cursor);
        }
        self.handle(Input::RelaysReady);
    }

    pub(super) async fn read_relays(&mut self, after: Position, count: usize, bytes: usize) {
        let log = self.peering.handle.log().clone();
        let (own, node) = (self.peering.identity.node.clone(), self.node.clone());
        let goes_on = self.outbox;
        let reading = move || outbox::read(&log, (&own, &node), after, (count, bytes), goes_on);
        let input = match tokio::task::spawn_blocking(reading).await {
            Ok(Ok(Outgoing::Relays(relays, more, next))) => {
                self.outbox = Some(next);
                Input::Relays { relays, more }
            }
            Ok(Ok(Outgoing::Unknown)) => Input::RelaysUnknown,
            Ok(Err(error)) => closing(&error.to_string()),
            Err(error) => closing(&error.to_string()),
        };
        self.handle(input);
    }

    /// Appends the peer's messages. What no node sends is evidence.
    pub(super) async fn append(&mut self, batch: RelayBatch) {
        match self.peering.append(&self.node, &batch, self.tenure).await {
            Ok(()) => {}
            Err(InboxError::Refused(refusal @ Refusal::Superseded)) => {
                self.handle(Input::Close(refusal));
            }
            Err(InboxError::Refused(refusal)) => {
                let alarm = Alarm::Relays {
                    refusal: refusal.clone(),
                    batch: Box::new(batch),
                };
                self.peering.alarm(&self.node, &alarm).await;
                self.handle(Input::Close(refusal));
            }
            Err(InboxError::Send(error)) => self.handle(closing(&error.to_string())),
        }
    }

    /// Whether the log has this receipt from before.
    fn is_kept(&self, receipt: &Receipt) -> bool {
        let members = self.peering.members.lock();
        let kept = members.receipt(&self.node, receipt.origin);
        kept.is_some_and(|kept| kept.upto == receipt.upto)
    }

    /// Keeps what the peer signed to have. It signs as often as its disk syncs;
    /// one a second is evidence enough.
    pub(super) async fn keep_receipt(&mut self, now: bool) {
        let Some(receipt) = &self.receipt else { return };
        let due = match &self.receipted {
            None => receipt.upto.seq > Seq(0) && !self.is_kept(receipt),
            Some((last, at)) => last.upto != receipt.upto && (now || at.elapsed() >= RECEIPT_EVERY),
        };
        if due {
            let receipt = receipt.clone();
            let receipted = Receipted {
                node: self.node.clone(),
                incarnation: receipt.incarnation,
                upto: inbox::place(receipt.upto),
                log: receipt.destination,
                log_incarnation: receipt.destination_incarnation,
                signature: receipt.signature.to_bytes(),
            };
            let root = Root::new(Role::Node, Role::Shared, receipted, self.node.clone());
            self.peering.tell(root).await;
            self.receipted = Some((receipt, Instant::now()));
        }
    }
}
