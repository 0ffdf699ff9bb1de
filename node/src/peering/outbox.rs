//! Messages of this log for subsystems of another node: the log is the outbox.
//!
//! They are one stream, so that what comes next is found without reading what
//! lies between.

use bytes::Bytes;
use vsm_core::{Cause, Digest, Message, Name, Seq, codec};
use vsm_replication::peer::{Position, Relay};
use vsm_store::{EventLog, ReadError};

use crate::runtime::journal::{self, JournalError};

/// Why messages can't be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutboxError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event is no message.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What was read.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// The log does not have the place after which to read.
    Unknown,
    /// Messages, whether there are more, and where those begin or will.
    Relays(Vec<Relay>, bool, Continuation),
}

/// Where a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Continuation {
    after: Position,
    version: u64,
}

/// Reads messages for `node`, after a place: at most so many, and about so many
/// bytes, but one at least.
pub(super) fn read(
    log: &EventLog,
    (from, node): (&Name, &Name),
    after: Position,
    (count, bytes): (usize, usize),
    goes_on: Option<Continuation>,
) -> Result<Outgoing, OutboxError> {
    let stream = journal::stream_for(node);
    let version = match goes_on {
        Some(it) if it.after == after => it.version,
        _ if !holds(log, after)? => return Ok(Outgoing::Unknown),
        _ => first_after(log, &stream, after.seq)?,
    };
    let (mut relays, mut length) = (Vec::new(), 0);
    let mut next = Continuation { after, version };
    for event in log.read_stream(&stream, version).hashed(true) {
        let event = event?;
        if relays.len() == count {
            return Ok(Outgoing::Relays(relays, true, next));
        }
        let Some(record) = journal::record(&event)? else {
            continue;
        };
        // What this node got from others for itself is none of it.
        if let Some(message) = outgoing(record.message, from) {
            let message = Bytes::from(codec::encode(&message));
            length += message.len();
            if length > bytes && !relays.is_empty() {
                return Ok(Outgoing::Relays(relays, true, next));
            }
            let chain = event.chain_hash().unwrap_or_default();
            let relay = Relay {
                seq: Seq(event.seq()),
                chain: Digest(chain.0),
                message,
            };
            next.after = relay.position();
            relays.push(relay);
        }
        next.version = event.stream_version() + 1;
    }
    Ok(Outgoing::Relays(relays, false, next))
}

/// A message as the other node gets it: it comes from this node's subsystem.
pub(crate) fn outgoing(mut message: Message, from: &Name) -> Option<Message> {
    if !matches!(message.cause, Cause::Local { .. }) {
        return None;
    }
    message.from.instance = Some(from.clone());
    Some(message)
}

/// Whether the log has this place.
fn holds(log: &EventLog, place: Position) -> Result<bool, ReadError> {
    // What was pruned can't be compared; the destination has it, or it is gone.
    if place == Position::default() || place.seq.0 < log.first_seq() {
        return Ok(true);
    }
    let mut at = log.read(place.seq.0).hashed(true);
    let event = at.next().transpose()?;
    let chain = event
        .filter(|it| it.seq() == place.seq.0)
        .and_then(|it| it.chain_hash());
    Ok(chain.is_some_and(|chain| chain.0 == place.chain.0))
}

/// The version of a stream's first event after a place.
pub(crate) fn first_after(log: &EventLog, stream: &str, after: Seq) -> Result<u64, ReadError> {
    let mut version = log.stream_version(stream)?.map_or(1, |last| last + 1);
    for event in log.read_stream_back(stream, u64::MAX) {
        match event {
            Ok(event) if event.seq() > after.0 => version = event.stream_version(),
            Ok(_) | Err(ReadError::Pruned { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(version)
}
