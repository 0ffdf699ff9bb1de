//! Numbering: the one place where sequence, time, stream version and chain
//! hash are decided. It runs on the appending thread, under one lock, and
//! leaves the numbered bytes where the writer takes them.

use crate::batch::Batch;
use crate::digest::Digest;
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
        let first_seq = self.next_seq;
        let time = now.max(self.last_time);
        if self.pending.events.is_empty() {
            self.pending.first_seq = first_seq;
            self.pending.previous = self.last_hash;
        }
        let base = self.pending.entries.len();
        self.pending.entries.extend_from_slice(&batch.entries);
        self.pending.events.reserve(batch.marks.len());
        let last = batch.marks.len() - 1;
        for (index, mark) in batch.marks.iter().enumerate() {
            let seq = self.next_seq;
            let (stream_version, stream_before) = match mark.kind {
                RecordKind::Event => {
                    // Streams come from `&str`; the fallback can't be taken.
                    let stream = std::str::from_utf8(mark.stream(&batch.entries));
                    self.versions.next(stream.unwrap_or_default(), seq)
                }
                _ => (0, 0),
            };
            let mut flags = if mark.body_len > 0 { FLAG_HAS_BODY } else { 0 };
            if index == last && !group_goes_on {
                flags |= FLAG_LAST_OF_GROUP;
            }
            let header = Header {
                record_kind: mark.kind,
                flags,
                body_len: mark.body_len,
                seq,
                time,
                stream_version,
                descriptor_digest: mark.descriptor,
                body_commitment: mark.body,
                previous: self.last_hash,
            };
            let hash = header.chain_hash();
            let stored = &mut self.pending.entries[base + mark.start..];
            entry::number(stored, flags, time, stream_version, &hash);
            self.pending.events.push(Numbered {
                end: base + mark.end,
                hash,
                stream_before,
            });
            self.last_hash = hash;
            self.next_seq += 1;
        }
        self.last_time = time;
        self.keys.note(&batch.keys, first_seq);
        (first_seq, time)
    }
}
