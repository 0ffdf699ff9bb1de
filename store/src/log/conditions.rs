//! What decides whether a batch is appended: expected versions, and whether it
//! is a repeat of an earlier one.
//!
//! A repeat is found by a key in force and confirmed by comparing the batch
//! with the group that was appended then, event by event, as it is stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Ticket;
use crate::batch::{Batch, BatchKey};
use crate::error::{AppendError, Fault, ReadError};
use crate::event::Event;
use crate::format::entry::Entry;
use crate::log::numbering::Numbering;
use crate::log::shared::Shared;
use crate::reader::Reader;

/// Batches with more keys are sorted to find a key that stands twice.
const KEYS_COMPARED_MAX: usize = 16;

/// Refuses a batch in which a key stands twice.
pub(super) fn check_keys(batch: &Batch) -> Result<(), AppendError> {
    let keys = &batch.keys;
    let twice = if keys.len() <= KEYS_COMPARED_MAX {
        let mut rest = &keys[..];
        loop {
            let Some((key, others)) = rest.split_first() else {
                break None;
            };
            if others.iter().any(|other| other.hash == key.hash) {
                break Some(key.index);
            }
            rest = others;
        }
    } else {
        let mut sorted: Vec<_> = keys.iter().map(|key| (key.hash, key.index)).collect();
        sorted.sort_unstable();
        let mut pairs = sorted.windows(2);
        pairs
            .find(|pair| pair[0].0 == pair[1].0)
            .map(|pair| pair[0].1)
    };
    match twice {
        None => Ok(()),
        Some(index) => Err(AppendError::KeyTwice {
            key: key_of(batch, index),
        }),
    }
}

/// Refuses a batch that expects another version of a stream than it has. Its
/// streams are known.
pub(super) fn check_versions(
    shared: &Shared,
    numbering: &mut Numbering,
    batch: &Batch,
) -> Result<(), AppendError> {
    for condition in &batch.conditions {
        let stream = &*condition.stream;
        let actual = numbering.versions.current(stream);
        if !condition.expected.is_met_by(actual) {
            forget_unneeded(shared, numbering);
            return Err(AppendError::WrongVersion {
                stream: stream.into(),
                expected: condition.expected,
                actual,
            });
        }
    }
    Ok(())
}

/// A look-up remembers the stream; asking for many may not take more and more
/// memory.
fn forget_unneeded(shared: &Shared, numbering: &mut Numbering) {
    let active = shared.active_first_seq.load(Ordering::Relaxed);
    numbering.versions.trim(active);
}

/// The ticket of the group that a batch repeats, given that `seq` has one of
/// its keys. Waits until that group is durable; called without any lock.
pub(super) fn repeated(
    shared: &Shared,
    batch: &Batch,
    key: BatchKey,
    seq: u64,
) -> Result<Ticket, AppendError> {
    let reused = || AppendError::KeyReused {
        key: key_of(batch, key.index),
        seq,
    };
    // A batch that starts before the first event that anybody appended repeats
    // nothing.
    let first = seq.checked_sub(key.index as u64).filter(|first| *first > 0);
    let first = first.ok_or_else(reused)?;
    // Groups become durable as a whole.
    shared.progress.wait(seq)?;
    let last = first + (batch.len() as u64 - 1);
    if last > shared.progress.durable() {
        return Err(reused());
    }
    match group_equals(shared, batch, first) {
        Ok(Some(time)) => Ok(Ticket {
            first,
            last,
            time,
            repeat: true,
            progress: Arc::clone(&shared.progress),
        }),
        Ok(None) => Err(reused()),
        Err(ReadError::Closed) => Err(AppendError::Closed),
        Err(source) => Err(AppendError::Repeat {
            seq,
            source: Arc::new(source),
        }),
    }
}

/// The time of the group that starts at `first` if it is equal to the batch.
fn group_equals(shared: &Shared, batch: &Batch, first: u64) -> Result<Option<u64>, ReadError> {
    // The event before shows whether a group starts here. Without a volume for
    // it this one's volume is the first, and groups never span volumes.
    let before = first - 1;
    let from = if shared.store.holding(before).is_some() {
        before
    } else {
        first
    };
    let progress = Arc::clone(&shared.progress);
    let mut reader = Reader::new(Arc::clone(&shared.store), progress, from);
    if from == before && !next(&mut reader)?.is_last_of_group() {
        return Ok(None);
    }
    let mut time = 0;
    for index in 0..batch.len() {
        let event = next(&mut reader)?;
        let ends = index + 1 == batch.len();
        if event.is_last_of_group() != ends || !event_equals(&event, batch, index) {
            return Ok(None);
        }
        time = event.time();
    }
    Ok(Some(time))
}

fn next(reader: &mut Reader) -> Result<Event, ReadError> {
    let seq = (*reader).position();
    let event = reader.next().transpose()?;
    event.ok_or_else(|| Fault::corrupt(seq, "event is missing").into())
}

/// Whether a stored event is what the batch has at `index`. A body that was
/// removed since is taken for equal if it was as long.
fn event_equals(event: &Event, batch: &Batch, index: usize) -> bool {
    let entry = entry_of(batch, index);
    let body = entry.body(&batch.entries);
    event.record_kind() == entry.kind
        && event.descriptor() == entry.descriptor_bytes(&batch.entries)
        && event.body_len() as usize == body.len()
        && event.body().bytes().is_none_or(|stored| stored == body)
}

fn entry_of(batch: &Batch, index: usize) -> Entry {
    Entry::parse(&batch.entries, batch.marks[index].start)
        .expect("a batch holds what it has encoded itself")
}

fn key_of(batch: &Batch, index: usize) -> Arc<[u8]> {
    let entry = entry_of(batch, index);
    let key = entry.descriptor.key(entry.descriptor_bytes(&batch.entries));
    key.unwrap_or_default().into()
}
