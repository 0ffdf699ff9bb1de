//! The destination's side of a relay: what came and is not durable yet.

use std::collections::VecDeque;

use vsm_core::Seq;

use super::{
    key::{PublicKey, Signer},
    outgoing::Incarnation,
    refusal::Refusal,
    relay::{IN_FLIGHT_MAX, Position, RELAY_BYTES_MAX, Receipt, RelayBatch},
};

#[derive(Debug)]
pub(super) struct Incoming {
    origin: Incarnation,
    destination: Incarnation,
    /// The last that was handed to the node.
    at: Position,
    durable: Position,
    /// Handed over and not durable.
    pending: VecDeque<Position>,
    /// Something became durable since the last receipt.
    owed: bool,
}

impl Incoming {
    /// Goes on after what the node appended. What it has durable may be less.
    pub(super) fn new(
        origin: Incarnation,
        destination: Incarnation,
        appended: Position,
        durable: Position,
    ) -> Self {
        let mut pending = VecDeque::new();
        if durable.seq < appended.seq {
            pending.push_back(appended);
        }
        Self {
            origin,
            destination,
            at: appended,
            durable: durable.min(appended),
            pending,
            owed: false,
        }
    }

    /// A batch came: it goes on where the last one ended, and its origin
    /// signed it.
    pub(super) fn accept(&mut self, batch: &RelayBatch, key: &PublicKey) -> Result<(), Refusal> {
        for (expected, found) in [
            (self.origin.0, batch.origin),
            (self.destination.0, batch.destination),
        ] {
            if expected != found {
                return Err(Refusal::RelayLog { expected, found });
            }
        }
        if batch.incarnation != self.origin.1 {
            let (expected, found) = (self.origin.1, batch.incarnation);
            return Err(Refusal::RelayIncarnation { expected, found });
        }
        if batch.after != self.at {
            let (expected, found) = (self.at.seq, batch.after.seq);
            return Err(Refusal::RelayOrder { expected, found });
        }
        let pending = self.pending.len() + batch.relays.len();
        if pending > IN_FLIGHT_MAX {
            return Err(Refusal::RelayWindow(pending));
        }
        let mut expected = batch.after.seq;
        for relay in &batch.relays {
            let (seq, bytes) = (relay.seq, relay.message.len());
            if seq <= expected {
                let found = seq;
                return Err(Refusal::RelayOrder { expected, found });
            }
            if bytes > RELAY_BYTES_MAX {
                return Err(Refusal::RelayLength { seq, bytes });
            }
            expected = seq;
        }
        if batch.relays.is_empty() || !batch.is_signed_by(key) {
            return Err(Refusal::RelaySignature(batch.after.seq));
        }
        self.at = batch.last();
        let positions = batch.relays.iter().map(|relay| relay.position());
        self.pending.extend(positions);
        Ok(())
    }

    /// Everything up to this position of the origin's log is durable here.
    pub(super) fn durable(&mut self, upto: Seq) -> Result<(), Refusal> {
        if upto > self.at.seq {
            return Err(Refusal::Misused("a durable relay that never came"));
        }
        while let Some(position) = self.pending.front().copied()
            && position.seq <= upto
        {
            self.pending.pop_front();
            self.durable = position;
            self.owed = true;
        }
        Ok(())
    }

    /// The last position that was handed to the node.
    pub(super) const fn at(&self) -> Position {
        self.at
    }

    /// A receipt for what is durable.
    pub(super) fn receipt(&mut self, signer: &impl Signer) -> Receipt {
        self.owed = false;
        Receipt::sign(self.origin, self.durable, self.destination, signer)
    }

    /// A receipt, if one is owed.
    pub(super) fn owed(&mut self, signer: &impl Signer) -> Option<Receipt> {
        self.owed.then(|| self.receipt(signer))
    }
}
