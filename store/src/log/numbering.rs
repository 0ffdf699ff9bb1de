//! Numbering: the one place where sequence, time, stream version and chain
//! hash are decided. It runs on the appending thread, under one lock, and
//! leaves the numbered bytes where the writer takes them.

use crate::batch::{Batch, Digests};
use crate::digest::{BLOCK_LEN, Digest, LANES, chain_end, chain_starts};
use crate::format::entry;
use crate::format::header::{FLAG_HAS_BODY, FLAG_LAST_OF_GROUP, Header, RecordKind};
use crate::log::key_window::KeyWindow;
use crate::log::versions::Versions;

/// Numbered events that wait for the disk.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Entries, one after the other.
    pub(crate) entries: Vec<u8>,
    pub(crate) events: Vec<Numbered>,
    /// The sequence of the first of them.
    pub(crate) first_seq: u64,
    /// The chain hash before the first of them.
    pub(crate) previous: Digest,
}

/// Where a pending entry ends, its chain hash, and where its stream was before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbered {
    pub(crate) end: usize,
    pub(crate) hash: Digest,
    /// The sequence of the stream's event before it, 0 if there is none.
    pub(crate) stream_before: u64,
}

impl Pending {
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.events.clear();
    }

    /// Adds what comes right behind.
    pub(crate) fn append(&mut self, next: &Self) {
        let base = self.entries.len();
        self.entries.extend_from_slice(&next.entries);
        let moved = next.events.iter().map(|event| Numbered {
            end: base + event.end,
            ..*event
        });
        self.events.extend(moved);
    }
}

/// The end of the log as the next append sees it.
pub(crate) struct Numbering {
    pub(crate) next_seq: u64,
    pub(crate) last_hash: Digest,
    pub(crate) last_time: u64,
    pub(crate) versions: Versions,
    /// The idempotency keys that are in force.
    pub(crate) keys: KeyWindow,
    pub(crate) pending: Pending,
    /// Bytes that were taken and are not yet durable.
    pub(crate) in_flight_bytes: usize,
    /// No more appends are taken.
    pub(crate) closing: bool,
    /// Whether the journal is to be emptied.
    pub(crate) erase_asked: bool,
}

impl Numbering {
    /// Bytes that wait for the disk.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.pending.entries.len() + self.in_flight_bytes
    }

    /// Numbers a batch as one group. `now` is what the clock says. The last
    /// event ends the group unless `group_goes_on` (an import may cut a group
    /// into several calls). Returns the first sequence and the group's time.
    pub(crate) fn number(&mut self, batch: &Batch, now: u64, group_goes_on: bool) -> (u64, u64) {
        self.number_with(batch, &batch.tail(), now, group_goes_on)
    }

    /// The same with the [tail](Batch::tail) of the batch, which was hashed
    /// before the lock was taken.
    pub(crate) fn number_with(
        &mut self,
        batch: &Batch,
        tail: &[Digests],
        now: u64,
        group_goes_on: bool,
    ) -> (u64, u64) {
        let first_seq = self.next_seq;
        let time = now.max(self.last_time);
        if self.pending.events.is_empty() {
            self.pending.first_seq = first_seq;
            self.pending.previous = self.last_hash;
        }
        let base = self.pending.entries.len();
        self.pending.entries.extend_from_slice(&batch.entries);
        self.pending.events.reserve(batch.marks.len());
        let hashed = batch.marks.len() - tail.len();
        let digests = |index: usize| match index.checked_sub(hashed) {
            Some(unhashed) => tail[unhashed],
            None => batch.marks[index].digests,
        };
        for (mark, (_, commitment)) in batch.marks[hashed..].iter().zip(tail) {
            if !commitment.is_zero() {
                entry::commit(&mut self.pending.entries[base + mark.start..], commitment);
            }
        }
        let last = batch.marks.len() - 1;
        for first in (0..batch.marks.len()).step_by(LANES) {
            let marks = &batch.marks[first..batch.marks.len().min(first + LANES)];
            let mut halves = [[0; BLOCK_LEN]; LANES];
            let mut numbered = [(0, 0, 0); LANES];
            for (lane, mark) in marks.iter().enumerate() {
                let seq = self.next_seq + lane as u64;
                let (stream_version, stream_before) = match mark.kind {
                    RecordKind::Event => {
                        // Streams come from `&str`; the fallback can't be taken.
                        let stream = std::str::from_utf8(mark.stream(&batch.entries));
                        self.versions.next(stream.unwrap_or_default(), seq)
                    }
                    _ => (0, 0),
                };
                let mut flags = if mark.body_len > 0 { FLAG_HAS_BODY } else { 0 };
                if first + lane == last && !group_goes_on {
                    flags |= FLAG_LAST_OF_GROUP;
                }
                numbered[lane] = (flags, stream_version, stream_before);
                let header = Header {
                    record_kind: mark.kind,
                    flags,
                    body_len: mark.body_len,
                    seq,
                    time,
                    stream_version,
                    descriptor_digest: digests(first + lane).0,
                    body_commitment: Digest::ZERO,
                    previous: Digest::ZERO,
                };
                halves[lane] = header.first_half();
            }
            let mut starts = [[0; 8]; LANES];
            chain_starts(&halves[..marks.len()], &mut starts);
            for (lane, (mark, start)) in marks.iter().zip(&starts).enumerate() {
                let (flags, stream_version, stream_before) = numbered[lane];
                let hash = chain_end(start, &digests(first + lane).1, &self.last_hash);
                let stored = &mut self.pending.entries[base + mark.start..];
                entry::number(stored, flags, time, stream_version, &hash);
                self.pending.events.push(Numbered {
                    end: base + mark.end,
                    hash,
                    stream_before,
                });
                self.last_hash = hash;
            }
            self.next_seq += marks.len() as u64;
        }
        self.last_time = time;
        self.keys.note(&batch.keys, first_seq);
        (first_seq, time)
    }
}
