//! Messages for subsystems on another node: exactly once in effect, in order.
//!
//! The outbox of a node is its log. The *origin* sends the records that are for
//! a destination, in order, once they are durable; the *destination* appends
//! each to its own log and keeps as its **cursor** the position of the last one
//! in the origin's log. The cursor is not stored apart: it is read from the
//! destination's log, where each relayed message names its origin. So it goes
//! back when that log loses its tail, together with what was appended, and the
//! origin sends that again.
//!
//! # Where to go on
//!
//! At connect the destination states the position of the last relay that it
//! *appended*, durable or not; else what waits for its disk would be appended
//! twice. Its receipts say what is *durable*; only that may be forgotten.
//!
//! When an origin's log goes on after it lost its tail or was restored, its
//! incarnation is raised and its hello says where each one began: the fork
//! point, the last position that the old and the new history share.
//!
//! ```text
//!   incarnation 0   1 ── 2 ── 3 ── 4 ── 5        lost: 4, 5
//!   incarnation 1             └─── 4'─── 5'      forked after 3
//! ```
//!
//! **The rule:** a cursor `c` of incarnation `j` is, for a log at incarnation
//! `i`, the smallest of `c` and the fork points of `j + 1 … i`. What lies at or
//! below it is the same in both histories and was appended; what lies above it
//! in the new history was never appended, and is sent. What was appended from
//! the lost part stays: it happened, and its receipt shows that it did. A
//! cursor of a *later* incarnation than the origin's is evidence of a clone or
//! a rollback, as is a cursor that the origin's log does not contain.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vsm_core::{Digest, LogId, Seq};

use super::{
    hello::Hello,
    key::{PublicKey, Signature, Signer, statement},
    refusal::Refusal,
};

/// The longest relayed message with its body, in bytes.
pub const RELAY_BYTES_MAX: usize = 1_280 * 1024;
/// About how many bytes of relays are put into one batch.
pub const BATCH_BYTES: usize = 512 * 1024;
/// The most relays that a destination accepts before it said that they are
/// durable.
pub const IN_FLIGHT_MAX: usize = 4_096;

/// A place in a log: the sequence, and the chain hash up to there. Sequence 0
/// with a zero hash stands before the first record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The record.
    pub seq: Seq,
    /// Its chain hash.
    pub chain: Digest,
}

/// Where an incarnation of a log began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkPoint {
    /// The incarnation.
    pub incarnation: u32,
    /// The last position that it shares with the one before.
    pub after: Position,
}

/// Up to where a destination has the relays of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The origin's log.
    pub log: LogId,
    /// The incarnation in which the relay came.
    pub incarnation: u32,
    /// The relay's position in the origin's log.
    pub at: Position,
}

impl Cursor {
    /// Where to go on in the log of an origin that says this of itself; see
    /// the rule above.
    ///
    /// # Errors
    /// When the origin's incarnation is older than the cursor's, or when it
    /// doesn't say where one of those between began.
    pub fn resume(&self, origin: &Hello) -> Result<Position, Refusal> {
        if self.log != origin.log {
            return Ok(Position::default());
        }
        if self.incarnation > origin.incarnation {
            let (seen, found) = (self.incarnation, origin.incarnation);
            return Err(Refusal::IncarnationWentBack { seen, found });
        }
        // At most as many as the hello's list is long, or the first is missing.
        let mut at = self.at;
        for incarnation in self.incarnation + 1..=origin.incarnation {
            let fork = origin.forks.iter().find(|it| it.incarnation == incarnation);
            let fork = fork.ok_or(Refusal::ForkPointUnknown(incarnation))?;
            if fork.after.seq < at.seq {
                at = fork.after;
            }
        }
        Ok(at)
    }
}

/// A relayed message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// Its sequence in the origin's log.
    pub seq: Seq,
    /// The origin's chain hash there.
    pub chain: Digest,
    /// The message and its body, as the nodes encode them; at most
    /// [`RELAY_BYTES_MAX`].
    pub message: Bytes,
}

impl Relay {
    /// Where it stands in the origin's log.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position {
            seq: self.seq,
            chain: self.chain,
        }
    }
}

/// Messages of one log for one node, in order, without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayBatch {
    /// The log they are from.
    pub origin: LogId,
    /// Its incarnation.
    pub incarnation: u32,
    /// The log they are for.
    pub destination: LogId,
    /// The last relay before them, or where the destination began.
    pub after: Position,
    /// The messages, never none.
    pub relays: Vec<Relay>,
    /// The origin's signature over all of the above.
    pub signature: Signature,
}

impl RelayBatch {
    pub(super) fn sign(
        origin: (LogId, u32),
        destination: LogId,
        after: Position,
        relays: Vec<Relay>,
        signer: &impl Signer,
    ) -> Self {
        let mut batch = Self {
            origin: origin.0,
            incarnation: origin.1,
            destination,
            after,
            relays,
            signature: Signature([0; 32], [0; 32]),
        };
        batch.signature = signer.sign(&batch.statement());
        batch
    }

    /// Whether the origin's key signed it. Auditors ask this again.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(&self.statement(), &self.signature)
    }

    /// The position of its last message, or where it begins without one.
    #[must_use]
    pub fn last(&self) -> Position {
        self.relays.last().map_or(self.after, Relay::position)
    }

    fn statement(&self) -> Vec<u8> {
        let messages: Vec<_> = self
            .relays
            .iter()
            .map(|relay| (relay.position(), Digest::of(&relay.message)))
            .collect();
        let place = (self.origin, self.incarnation, self.destination, self.after);
        statement("vsm-peer 1 relays", &(place, messages))
    }
}

/// That all relays up to a position are durable at their destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The log they came from.
    pub origin: LogId,
    /// Its incarnation.
    pub incarnation: u32,
    /// The last one's position there.
    pub upto: Position,
    /// The log that has them.
    pub destination: LogId,
    /// Its incarnation.
    pub destination_incarnation: u32,
    /// The destination's signature over all of the above.
    pub signature: Signature,
}

impl Receipt {
    pub(super) fn sign(
        origin: (LogId, u32),
        upto: Position,
        destination: (LogId, u32),
        signer: &impl Signer,
    ) -> Self {
        let mut receipt = Self {
            origin: origin.0,
            incarnation: origin.1,
            upto,
            destination: destination.0,
            destination_incarnation: destination.1,
            signature: Signature([0; 32], [0; 32]),
        };
        receipt.signature = signer.sign(&receipt.statement());
        receipt
    }

    /// Whether the destination's key signed it. Auditors ask this again.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(&self.statement(), &self.signature)
    }

    fn statement(&self) -> Vec<u8> {
        let origin = (self.origin, self.incarnation, self.upto);
        let destination = (self.destination, self.destination_incarnation);
        statement("vsm-peer 1 receipt", &(origin, destination))
    }
}
