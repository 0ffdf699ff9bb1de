//! The origin's side of a relay: what is under way to the peer.

use std::collections::VecDeque;

use vsm_core::LogId;

use super::{
    config::Config,
    key::{PublicKey, Signer},
    refusal::Refusal,
    relay::{BATCH_BYTES, IN_FLIGHT_MAX, Position, RELAY_BYTES_MAX, Receipt, Relay, RelayBatch},
};

/// A log in one of its incarnations.
pub(super) type Incarnation = (LogId, u32);

#[derive(Debug)]
pub(super) struct Outgoing {
    origin: Incarnation,
    destination: Incarnation,
    /// Where the destination went on at connect.
    resumed: Position,
    /// The last that was sent.
    sent: Position,
    /// What the last receipt says.
    received: Position,
    /// Sent and without a receipt: where, and how many bytes.
    flight: VecDeque<(Position, usize)>,
    flight_bytes: usize,
    /// There may be more in the log.
    ready: bool,
    /// The log was asked.
    reading: bool,
}

impl Outgoing {
    /// The destination states where to go on and what is durable of it.
    pub(super) fn resume(
        origin: Incarnation,
        destination: Incarnation,
        resume: Position,
        receipt: &Receipt,
        key: &PublicKey,
    ) -> Result<Self, Refusal> {
        let mut outgoing = Self {
            origin,
            destination,
            resumed: resume,
            sent: resume,
            received: Position::default(),
            flight: VecDeque::new(),
            flight_bytes: 0,
            ready: true,
            reading: false,
        };
        outgoing.receipt(receipt, key)?;
        Ok(outgoing)
    }

    /// The log has something new for the destination.
    pub(super) const fn ready(&mut self) {
        self.ready = true;
    }

    /// What to read next, if there is room on the way: after which position,
    /// how many relays and about how many bytes at most.
    pub(super) fn read(&mut self, config: &Config) -> Option<(Position, usize, usize)> {
        let count = config.relays_in_flight_max.min(IN_FLIGHT_MAX / 2);
        let count = count.saturating_sub(self.flight.len());
        let bytes = config
            .relay_bytes_in_flight_max
            .saturating_sub(self.flight_bytes);
        if self.reading || !self.ready || count == 0 || bytes == 0 {
            return None;
        }
        self.reading = true;
        // Whatever becomes durable from now on says so again.
        self.ready = false;
        Some((self.sent, count, bytes.min(BATCH_BYTES)))
    }

    /// What was read; `more`: there is more in the log.
    pub(super) fn send(
        &mut self,
        relays: Vec<Relay>,
        more: bool,
        signer: &impl Signer,
    ) -> Result<Option<RelayBatch>, Refusal> {
        if !std::mem::take(&mut self.reading) {
            return Err(Refusal::Misused("relays that it did not ask for"));
        }
        self.ready |= more && !relays.is_empty();
        if relays.is_empty() {
            return Ok(None);
        }
        let mut last = self.sent.seq;
        let mut bytes = 0;
        for relay in &relays {
            if relay.seq <= last {
                return Err(Refusal::Misused("relays that are not in order"));
            }
            if relay.message.len() > RELAY_BYTES_MAX {
                return Err(Refusal::Misused("a relay that is too long"));
            }
            last = relay.seq;
            bytes += relay.message.len();
        }
        // One that is longer than a batch is alone in it.
        if relays.len() > 1 && bytes > BATCH_BYTES {
            return Err(Refusal::Misused("more relays than it asked for"));
        }
        for relay in &relays {
            self.flight
                .push_back((relay.position(), relay.message.len()));
        }
        self.flight_bytes += bytes;
        let batch = RelayBatch::sign(self.origin, self.destination.0, self.sent, relays, signer);
        self.sent = batch.last();
        Ok(Some(batch))
    }

    /// The destination says what is durable there.
    pub(super) fn receipt(&mut self, receipt: &Receipt, key: &PublicKey) -> Result<(), Refusal> {
        for (expected, found) in [
            (self.origin, (receipt.origin, receipt.incarnation)),
            (
                self.destination,
                (receipt.destination, receipt.destination_incarnation),
            ),
        ] {
            if expected.0 != found.0 {
                let (expected, found) = (expected.0, found.0);
                return Err(Refusal::RelayLog { expected, found });
            }
            if expected.1 != found.1 {
                let (expected, found) = (expected.1, found.1);
                return Err(Refusal::RelayIncarnation { expected, found });
            }
        }
        let upto = receipt.upto;
        // Before where it went on, only the log knows the chain; there and
        // after, it is known here.
        let sent = upto.seq < self.resumed.seq
            || upto == self.resumed
            || upto == self.received
            || self.flight.iter().any(|(at, _)| *at == upto);
        if !sent || upto.seq < self.received.seq {
            return Err(Refusal::ReceiptUnknown(upto.seq));
        }
        if !receipt.is_signed_by(key) {
            return Err(Refusal::ReceiptSignature(upto.seq));
        }
        self.received = upto;
        while let Some((at, bytes)) = self.flight.front().copied()
            && at.seq <= upto.seq
        {
            self.flight.pop_front();
            self.flight_bytes -= bytes;
        }
        Ok(())
    }

    /// The last position sent.
    pub(super) const fn sent(&self) -> Position {
        self.sent
    }
}
