//! Messages of one node for another: what left the one log is on the other.

use std::iter::Peekable;

use bytes::Bytes;
use vsm_core::{
    Cause, Digest, Message, Payload, Record, Seq, codec, matrix,
    payload::{Lifecycle, sharing::Place, sharing::Relayed},
};
use vsm_replication::peer::{Position, Relay, RelayBatch, Signature};
use vsm_store::{Event, ReadError};

use super::{
    super::OfflineError,
    BetweenError,
    finding::Finding,
    party::Party,
    report::{Findings, RelayCounts},
};
use crate::{peering::outgoing, runtime::journal};

/// A message on its origin's log.
struct Sent {
    at: Position,
    message: Message,
}

type Sending<'a> = Box<dyn Iterator<Item = Result<Sent, OfflineError>> + 'a>;

/// A batch as far as it was found on both logs.
struct Batch {
    place: (u32, Position),
    relays: Vec<Relay>,
    whole: bool,
    signature: Vec<u8>,
}

/// The messages of one log for the node of another, while that one is read.
pub(super) struct Relays<'a> {
    origin: &'a Party<'a>,
    destination: &'a Party<'a>,
    sent: Peekable<Sending<'a>>,
    counts: RelayCounts,
    /// The last that both have.
    last: Option<Seq>,
    /// Up to where the destination says that it has them, in what is the
    /// origin's history now.
    cursor: Seq,
    /// Those since the destination last said how far it has got.
    lot: Vec<Relay>,
    lot_count: u32,
    batch: Option<Batch>,
}

impl<'a> Relays<'a> {
    pub(super) fn between(origin: &'a Party<'a>, destination: &'a Party<'a>) -> Self {
        Self {
            origin,
            destination,
            sent: sent(origin, destination).peekable(),
            counts: RelayCounts::default(),
            last: None,
            cursor: Seq(0),
            lot: Vec::new(),
            lot_count: 0,
            batch: None,
        }
    }

    /// A message of the origin stands on the destination's log.
    pub(super) fn arrived(
        &mut self,
        record: &Record,
        (incarnation, seq): (u32, Seq),
        findings: &mut Findings,
    ) -> Result<(), BetweenError> {
        self.lot_count += 1;
        if seq > self.origin.shared_with(incarnation) {
            self.counts.lost += 1;
            return Ok(());
        }
        if seq.0 > self.origin.last {
            self.counts.ahead += 1;
            return Ok(());
        }
        if seq.0 < self.origin.first {
            self.counts.pruned += 1;
            return Ok(());
        }
        let (from, to) = (self.origin.node.clone(), self.destination.node.clone());
        let (at, number) = (record.seq.0, seq.0);
        if self.last.is_some_and(|last| last >= seq) {
            findings.add(Finding::RelayOrder {
                from,
                to,
                at,
                seq: number,
            });
            return Ok(());
        }
        // What the destination pruned of its own log is not missing.
        let begins = self.last.is_none() && self.destination.first > 0;
        self.pass_over(seq, !begins, findings)?;
        self.last = Some(seq);
        let Some(sent) = self.next_at(seq)? else {
            findings.add(Finding::RelayUnknown {
                from,
                to,
                at,
                seq: number,
            });
            return Ok(());
        };
        let message = Bytes::from(codec::encode(&sent.message));
        let expected = Message {
            cause: Cause::Remote {
                log: self.origin.log,
                incarnation,
                seq,
            },
            ..sent.message
        };
        if is_same(&expected, &record.message) {
            self.counts.agreed += 1;
        } else if is_refused(expected, &record.message) {
            self.counts.agreed += 1;
            self.counts.refused += 1;
        } else {
            findings.add(Finding::RelayDiffers {
                from,
                to,
                at,
                seq: number,
            });
        }
        self.lot.push(Relay {
            seq,
            chain: sent.at.chain,
            message,
        });
        Ok(())
    }

    /// The destination says how far it has got.
    pub(super) fn counted(&mut self, at: Seq, relayed: &Relayed, findings: &mut Findings) {
        let found = std::mem::take(&mut self.lot_count);
        let relays = std::mem::take(&mut self.lot);
        // The first that was kept may stand in the middle of what was pruned.
        let begins = self.destination.first > 0 && self.cursor == Seq(0);
        if found != relayed.messages && !begins {
            findings.add(Finding::RelayCount {
                from: self.origin.node.clone(),
                to: self.destination.node.clone(),
                at: at.0,
                said: relayed.messages,
                found,
            });
        }
        let shared = self.origin.shared_with(relayed.incarnation);
        self.cursor = relayed.upto.seq.min(shared);
        let whole = relays.len() == relayed.messages as usize;
        match &mut self.batch {
            Some(batch) if batch.signature == relayed.signature => {
                batch.relays.extend(relays);
                batch.whole &= whole;
            }
            _ => {
                self.close_batch();
                self.batch = Some(Batch {
                    place: (relayed.incarnation, position(relayed.after)),
                    relays,
                    whole,
                    signature: relayed.signature.clone(),
                });
            }
        }
    }

    /// Looks at the origin's signature over a batch. One that is not whole,
    /// because the destination stopped within it, says nothing.
    fn close_batch(&mut self) {
        let Some(batch) = self.batch.take() else {
            return;
        };
        let signed = Signature::from_bytes(&batch.signature).is_some_and(|signature| {
            let (incarnation, after) = batch.place;
            let batch = RelayBatch {
                origin: self.origin.log,
                incarnation,
                destination: self.destination.log,
                after,
                relays: batch.relays,
                signature,
            };
            batch.is_signed_by(&self.origin.key)
        });
        match batch.whole && signed {
            true => self.counts.batches_signed += 1,
            false => self.counts.batches_partial += 1,
        }
    }

    /// Passes over what stands before `seq` on the origin's log.
    fn pass_over(
        &mut self,
        seq: Seq,
        is_missing: bool,
        findings: &mut Findings,
    ) -> Result<(), BetweenError> {
        while let Some(sent) = self.next_if(|at| at < seq)? {
            if is_missing {
                findings.add(Finding::RelayMissing {
                    from: self.origin.node.clone(),
                    to: self.destination.node.clone(),
                    seq: sent.at.seq.0,
                });
            }
        }
        Ok(())
    }

    fn next_at(&mut self, seq: Seq) -> Result<Option<Sent>, BetweenError> {
        self.next_if(|at| at == seq)
    }

    fn next_if(&mut self, is: impl Fn(Seq) -> bool) -> Result<Option<Sent>, BetweenError> {
        let wanted = |sent: &Result<Sent, OfflineError>| match sent {
            Ok(sent) => is(sent.at.seq),
            Err(_) => true,
        };
        Ok(self.sent.next_if(wanted).transpose()?)
    }

    /// The destination's log ends.
    pub(super) fn finish(
        mut self,
        findings: &mut Findings,
    ) -> Result<(RelayCounts, Seq), BetweenError> {
        let begins = self.last.is_none() && self.destination.first > 0;
        let behind = Seq(self.cursor.0.saturating_add(1));
        self.pass_over(behind, !begins, findings)?;
        while self.next_if(|_| true)?.is_some() {
            self.counts.pending += 1;
        }
        self.close_batch();
        Ok((self.counts, self.cursor))
    }
}

fn is_same(expected: &Message, found: &Message) -> bool {
    codec::encode(expected) == codec::encode(found)
}

/// Whether the destination refused the message: that stands in its place.
fn is_refused(expected: Message, found: &Message) -> bool {
    let Payload::Lifecycle(Lifecycle::MessageRefused(refused)) = &found.payload else {
        return false;
    };
    is_same(&matrix::refused(expected, refused.reason, 0), found)
}

const fn position(place: Place) -> Position {
    Position {
        seq: place.seq,
        chain: place.chain,
    }
}

/// The messages on a log for the node of another, in order.
fn sent<'a>(origin: &'a Party<'_>, destination: &Party<'_>) -> Sending<'a> {
    let stream = journal::stream_for(&destination.node);
    let log = &origin.evidence.log;
    let events: Box<dyn Iterator<Item = Result<Event, ReadError>> + 'a> = match origin.first {
        0 => Box::new(log.read_stream(&stream, 1)),
        // A stream whose first events are gone can't be read from its first.
        first => Box::new(log.read(first).filter(move |event| match event {
            Ok(event) => event.stream() == stream,
            Err(_) => true,
        })),
    };
    Box::new(events.filter_map(|event| said(event, origin).transpose()))
}

fn said(event: Result<Event, ReadError>, origin: &Party<'_>) -> Result<Option<Sent>, OfflineError> {
    let event = event?;
    let Some(record) = journal::record(&event)? else {
        return Ok(None);
    };
    let chain = event.chain_hash().unwrap_or_default();
    let at = Position {
        seq: record.seq,
        chain: Digest(chain.0),
    };
    let message = outgoing(record.message, &origin.node);
    Ok(message.map(|message| Sent { at, message }))
}
