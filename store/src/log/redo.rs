//! Putting into the last volume what only the journal holds, as a crash leaves
//! it.
//!
//! First it is found out, without changing anything, which of the journal's
//! records go on from the end of the volume: their entries are hashed, and
//! count up to the last end of a group. Then they are put there. All of it can
//! be done again.

use crate::backend::{Backend, Volume};
use crate::digest::Digest;
use crate::error::{Fault, OpenError};
use crate::format::FORMAT_VERSION;
use crate::format::frame::{Frame, FrameEncoder, PLAIN_BYTES_MAX};
use crate::format::header::FLAG_LAST_OF_GROUP;
use crate::format::journal::{Record, newer_format};
use crate::format::slot::Slot;
use crate::log::identity::LogId;
use crate::log::recover::End;
use crate::log::writer::put_frame;
use crate::tree::CompletedRoots;

/// How many plain bytes go into a frame.
const FRAME_PLAIN_BYTES: usize = PLAIN_BYTES_MAX / 2;

/// The files of a journal, as they were found.
pub(crate) struct Found {
    files: Vec<Vec<u8>>,
}

/// Events of the journal that go on from where a volume ends.
pub(crate) struct Redo {
    entries: Vec<u8>,
    /// Where each of them ends in `entries`, and its chain hash.
    events: Vec<(usize, Digest)>,
    /// The volume's end without them.
    pub(crate) before: End,
    /// Its end with them.
    pub(crate) end: End,
}

impl Found {
    pub(crate) fn read(backend: &dyn Backend) -> Result<Self, OpenError> {
        let files = backend.journaled().map_err(Fault::at(0))?;
        match files.iter().find_map(|file| newer_format(file)) {
            None => Ok(Self { files }),
            Some(found) => Err(OpenError::NewerFormat {
                found,
                supported: FORMAT_VERSION,
            }),
        }
    }

    /// The records of a log, by sequence.
    pub(crate) fn records(&self, log_id: LogId) -> Vec<Record<'_>> {
        let all = |file| Record::all_in(file, log_id);
        let mut records: Vec<_> = self.files.iter().flat_map(|file| all(file)).collect();
        records.sort_by_key(|record| record.header.first_seq);
        records
    }
}

impl Redo {
    /// What the records have behind `before`, where a volume ends; `None` if
    /// that is nothing. `slot` is what the head file names.
    pub(crate) fn plan(
        records: &[Record<'_>],
        before: &End,
        slot: Option<&Slot>,
    ) -> Result<Option<Self>, Fault> {
        let mut redo = Self {
            entries: Vec::new(),
            events: Vec::new(),
            before: before.clone(),
            end: before.clone(),
        };
        let mut now = before.clone();
        for record in records {
            let next = now.seq.wrapping_add(1);
            if record.header.first_seq > next {
                break;
            }
            if record.header.last_seq() >= next {
                // One that does not fit is of a write that was cut short, or
                // of a tail that was given up.
                if let Ok(end) = redo.follow(record, now.clone(), slot) {
                    now = end;
                }
            }
        }
        let kept = redo.end.seq.wrapping_sub(before.seq);
        redo.events
            .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        let len = redo.events.last().map_or(0, |(end, _)| *end);
        redo.entries.truncate(len);
        Ok((kept > 0).then_some(redo))
    }

    /// Takes over the entries of a record that come after `now`; on an error
    /// none of them.
    fn follow(
        &mut self,
        record: &Record<'_>,
        mut now: End,
        slot: Option<&Slot>,
    ) -> Result<End, Fault> {
        let (len, count) = (self.entries.len(), self.events.len());
        let mut complete = None;
        let mut taken_from = None;
        let first = now.seq.wrapping_add(1);
        let followed = record.for_each(|seq, entry| {
            if seq < first {
                return Ok(());
            }
            let start = *taken_from.get_or_insert(entry.start());
            now.chain.follow(record.entries, seq, entry, true)?;
            now.frontier.push(&now.chain.hash);
            now.seq = seq;
            self.events
                .push((len + entry.end() - start, now.chain.hash));
            if slot.is_some_and(|slot| slot.seq == seq && slot.chain_hash != now.chain.hash) {
                let what = "chain hash is not the one in the head file";
                return Err(Fault::corrupt(seq, what));
            }
            if entry.flags & FLAG_LAST_OF_GROUP != 0 {
                complete = Some(now.clone());
            }
            Ok::<(), Fault>(())
        });
        let ends = now.chain.hash == record.header.last;
        if followed.is_err() || !ends {
            self.events.truncate(count);
            followed?;
            return Err(Fault::corrupt(now.seq, "record does not end as it says"));
        }
        self.entries
            .extend_from_slice(&record.entries[taken_from.unwrap_or(0)..]);
        if let Some(complete) = complete {
            self.end = complete;
        }
        Ok(now)
    }

    /// Notes which subtrees the events complete.
    pub(crate) fn complete(&self, completed: &mut CompletedRoots) {
        let mut frontier = self.before.frontier.clone();
        for (_, hash) in &self.events {
            frontier.push_with(hash, |height, root| completed.note(height, root));
        }
    }

    /// Puts the events into the volume; `visit` gets each frame and the length
    /// of its value.
    pub(crate) fn put(
        &self,
        volume: &dyn Volume,
        mut visit: impl FnMut(&Frame, u64) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut encoder = FrameEncoder::default();
        let mut previous = self.before.chain.hash;
        let mut first_seq = self.before.seq.wrapping_add(1);
        let (mut start, mut count) = (0, 0);
        for (index, (end, hash)) in self.events.iter().enumerate() {
            count += 1;
            let next = self.events.get(index + 1);
            if next.is_some_and(|(next, _)| next - start <= FRAME_PLAIN_BYTES) {
                continue;
            }
            let plain = &self.entries[start..*end];
            let value = encoder.encode(plain, count, first_seq, (previous, *hash), true);
            let at = Fault::at(first_seq);
            put_frame(volume, first_seq, value).map_err(at)?;
            let value = bytes::Bytes::copy_from_slice(value);
            let frame = Frame::decode(&value).map_err(|bad| Fault::from((first_seq, bad)))?;
            visit(&frame, value.len() as u64)?;
            first_seq += u64::from(count);
            (start, count, previous) = (*end, 0, *hash);
        }
        Ok(())
    }
}
