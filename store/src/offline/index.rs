//! Checking index files: what the seal says against the events, and the files
//! against the seal.
//!
//! A seal that keeps another checksum than the events call for is corrupt. A
//! file that is missing or damaged is not: it is made again from its volume.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::volume::Checked;
use crate::backend::index_files;
use crate::backend::{Backend, BackendError};
use crate::digest::{Digest, record_checksum};
use crate::error::Fault;
use crate::format::{u32_at, u64_at};
use crate::index::StreamHash;
use crate::index::encode::{HEADER_LEN, IndexedVolume, RECORD_LEN, encode, file_checksum};
use crate::log::identity::LogId;

/// Where every stream of the volumes so far was last: 32 bytes each.
#[derive(Default)]
pub(super) struct KnownStreams {
    last: HashMap<StreamHash, (u64, u64)>,
    /// Whether streams of pruned volumes may be missing here.
    partial: bool,
}

impl KnownStreams {
    /// What the index files of pruned volumes say. Without one of them, the
    /// versions at which streams go on can't be known; that is a note.
    pub(super) fn of_pruned(
        backend: &dyn Backend,
        first_kept: u64,
    ) -> Result<(Self, Vec<String>), Fault> {
        let mut known = Self::default();
        let mut notes = Vec::new();
        let at = Fault::at(first_kept);
        let files = backend.indexes().map_err(&at)?;
        let mut next = 0;
        for first_seq in files
            .into_iter()
            .filter(|first_seq| *first_seq < first_kept)
        {
            let bytes = whole(backend, first_seq).map_err(&at)?;
            let bytes = bytes.filter(|bytes| is_whole(bytes) && first_seq == next);
            let records = bytes.as_deref().and_then(|bytes| records(bytes));
            let Some((last_seq, records)) = records else {
                break;
            };
            for (hash, version, last) in records {
                known.last.insert(hash, (version, last));
            }
            next = last_seq.saturating_add(1);
        }
        if next != first_kept {
            known.partial = true;
            notes.push(format!(
                "the index files of pruned volumes are missing or damaged from sequence {next} on; \
                 the versions of streams from before {first_kept} can't be known"
            ));
        }
        Ok((known, notes))
    }

    /// Checks that the streams of the next volume go on where they were, and
    /// that its seal keeps the checksum of the index that follows from them.
    pub(super) fn take_in(&mut self, log_id: LogId, volume: &Checked) -> Result<(), Fault> {
        let sorted = volume.streams.sorted();
        let wrong = sorted
            .iter()
            .filter(|(hash, stream)| match self.last.get(hash) {
                Some((version, _)) => stream.first_version != version + 1,
                None => !self.partial && stream.first_version != 1,
            })
            .map(|(_, stream)| stream.first_seq)
            .min();
        if let Some(seq) = wrong {
            return Err(Fault::corrupt(seq, "stream version does not follow"));
        }
        let first_seq = volume.header.first_seq;
        if let Some(expected) = volume.index_checksum.filter(|_| !self.partial) {
            let last_time = volume.end.chain.time;
            let indexed = IndexedVolume {
                log_id,
                first_seq,
                last_seq: volume.end.seq,
                first_time: volume.streams.first_time.unwrap_or(last_time),
                last_time,
            };
            let bytes = encode(&indexed, &sorted, |hash, _| {
                Ok::<_, Fault>(self.last.get(&hash).map_or(0, |(_, seq)| *seq))
            })?;
            if file_checksum(&bytes) != expected {
                let what = "seal does not fit the volume's stream index";
                return Err(Fault::corrupt(first_seq, what));
            }
        }
        let ends = sorted
            .iter()
            .map(|(hash, stream)| (*hash, (stream.last_version, stream.last_seq)));
        self.last.extend(ends);
        Ok(())
    }
}

/// What is wrong with the index file of a volume, if anything is.
pub(super) fn damage(
    backend: &dyn Backend,
    first_seq: u64,
    expected: &Digest,
) -> Result<Option<String>, Fault> {
    let found = whole(backend, first_seq);
    let what = match found.map_err(Fault::at(first_seq))? {
        None => "is missing",
        Some(bytes) if !is_whole(&bytes) => "is damaged",
        Some(bytes) if file_checksum(&bytes) != *expected => "is another one than the seal says",
        Some(_) => return Ok(None),
    };
    Ok(Some(format!(
        "index/{first_seq:020} {what}; it is made again when it is needed"
    )))
}

/// Notes on index files that belong to no sealed volume.
pub(super) fn strays(dir: &Path, volumes: &[u64]) -> io::Result<Vec<String>> {
    let kept = volumes.first().copied().unwrap_or(0);
    let strays = index_files::list(dir)?.into_iter().filter(|first_seq| {
        // Those of pruned volumes stay; a crash leaves one that waits for its
        // volume's seal.
        *first_seq >= kept && volumes.binary_search(first_seq).is_err()
    });
    let note = |first_seq| format!("index/{first_seq:020} belongs to no volume and means nothing");
    Ok(strays.map(note).collect())
}

fn whole(backend: &dyn Backend, first_seq: u64) -> Result<Option<Vec<u8>>, BackendError> {
    let Some(file) = backend.open_index(first_seq)? else {
        return Ok(None);
    };
    let len = usize::try_from(file.length()?)
        .map_err(|_| BackendError::Corrupt("index file is too long".to_owned()))?;
    let mut bytes = vec![0; len];
    file.read_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}

/// The last sequence that an index file covers, and of each stream its hash,
/// its last version and its last sequence.
fn records(bytes: &[u8]) -> Option<(u64, impl Iterator<Item = (StreamHash, u64, u64)>)> {
    let head = bytes.get(..HEADER_LEN)?;
    let (count, filter) = (u32_at(head, 56) as usize, u32_at(head, 60) as usize);
    let start = HEADER_LEN.checked_add(filter)?;
    let end = start.checked_add(count.checked_mul(RECORD_LEN)?)?;
    let records = bytes
        .get(start..end)?
        .chunks_exact(RECORD_LEN)
        .map(|record| {
            let mut hash = [0; 16];
            hash.copy_from_slice(&record[..16]);
            (StreamHash(hash), u64_at(record, 16), u64_at(record, 32))
        });
    Some((u64_at(head, 32), records))
}

fn is_whole(bytes: &[u8]) -> bool {
    bytes.len() >= 32 && record_checksum(&bytes[..bytes.len() - 32]) == file_checksum(bytes)
}

#[cfg(test)]
mod tests {
    use crate::backend::sled::SledBackend;
    use crate::backend::{Backend, index_files};
    use crate::format::keys;
    use crate::format::volume::Seal;
    use crate::{Batch, EventLog, NewEvent, Options, ReadError, VerifyOptions, verify};

    /// A log with an event per volume.
    fn log(dir: &std::path::Path) -> EventLog {
        let log = EventLog::open(dir, Options::new().volume_bytes(1)).expect("it opens");
        for stream in ["a", "b", "a", "a"] {
            let mut batch = Batch::new();
            let event = NewEvent {
                stream,
                kind: "k",
                key: None,
                meta: b"",
                body: None,
            };
            batch.push(&event).expect("the event fits");
            let ticket = log.append(&batch).expect("the log takes it");
            ticket.wait().expect("it is durable");
        }
        log
    }

    #[test]
    fn a_seal_that_keeps_the_checksum_of_another_index_is_corrupt() {
        let dir = tempfile::tempdir().expect("a directory");
        log(dir.path()).close().expect("it closes");
        verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
        let backend = SledBackend::new(dir.path(), 1 << 20);
        let volume = backend.open(3).expect("it opens");
        let seal = volume.value(keys::SEAL).expect("it reads");
        let mut seal = Seal::parse(&seal.expect("it is there")).expect("it is whole");
        seal.index_checksum.0[0] ^= 1;
        volume.put(keys::SEAL, &seal.encode()).expect("it writes");
        volume.sync().expect("it syncs");
        drop(volume);
        let error = verify(dir.path(), &VerifyOptions::new()).expect_err("the seal is wrong");
        assert_eq!(error.first_bad_seq(), Some(3), "{error}");
        // Nor is an index made again that the seal does not know.
        index_files::remove(dir.path(), 3).expect("it goes");
        let log = EventLog::open(dir.path(), Options::new()).expect("it opens");
        let refused = log.stream_version("c").expect_err("it can't be known");
        assert!(
            matches!(refused, ReadError::Corrupt { seq: 3, .. }),
            "{refused}"
        );
    }
}
