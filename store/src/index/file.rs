//! Looking into an index file: its header and filter are read once and kept,
//! records and frame lists are read where they lie.
//!
//! Whatever is read is checked before it is believed; what does not pass is
//! [`BackendError::Corrupt`].

use std::cmp::Ordering;

use super::encode::{HEADER_FIXED, HEADER_LEN, INDEX_MAGIC, RECORD_LEN, header_checksum};
use super::encode::{IndexedVolume, record_check};
use super::filter::Filter;
use super::frames::read_list;
use super::{StreamHash, StreamRecord};
use crate::backend::{BackendError, ReadAt};
use crate::digest::{Digest, record_checksum};
use crate::format::{FORMAT_VERSION, digest_at, u16_at, u32_at, u64_at};
use crate::log::identity::LogId;

/// Guesses by interpolation before a search goes on by halves. Hashes spread
/// evenly, so that three or four are enough.
const GUESSES_MAX: u32 = 6;

/// What is kept in memory of an index file.
#[derive(Debug)]
pub(crate) struct IndexHead {
    pub(crate) volume: IndexedVolume,
    count: u32,
    lists_len: u64,
    filter: Filter,
    checksum: Digest,
}

impl IndexHead {
    /// Reads header and filter of the index of the volume at `first_seq`.
    pub(crate) fn load(
        file: &dyn ReadAt,
        log_id: LogId,
        first_seq: u64,
    ) -> Result<Self, BackendError> {
        let len = file.length()?;
        let mut fixed = [0; HEADER_LEN];
        if len < HEADER_LEN as u64 {
            return Err(damaged("it is too short"));
        }
        file.read_at(&mut fixed, 0)?;
        if &fixed[..4] != INDEX_MAGIC
            || u16_at(&fixed, 4) != FORMAT_VERSION
            || u16_at(&fixed, 6) != 0
        {
            return Err(damaged("it is of another format"));
        }
        let mut id = [0; 16];
        id.copy_from_slice(&fixed[8..24]);
        let volume = IndexedVolume {
            log_id: LogId(id),
            first_seq: u64_at(&fixed, 24),
            last_seq: u64_at(&fixed, 32),
            first_time: u64_at(&fixed, 40),
            last_time: u64_at(&fixed, 48),
        };
        let count = u32_at(&fixed, 56);
        let filter_len = u32_at(&fixed, 60);
        let lists_len = u64_at(&fixed, 64);
        // Lengths before anything is reserved for them.
        let expected = (HEADER_LEN as u64 + 32 + u64::from(count) * RECORD_LEN as u64)
            .checked_add(u64::from(filter_len))
            .and_then(|sum| sum.checked_add(lists_len));
        if expected != Some(len) || u64::from(filter_len) != Filter::bytes_for(count) {
            return Err(damaged("it is not as long as it says"));
        }
        let mut filter = vec![0; filter_len as usize];
        file.read_at(&mut filter, HEADER_LEN as u64)?;
        let checksum = digest_at(&fixed, HEADER_FIXED);
        if header_checksum(&fixed[..HEADER_FIXED], &filter) != checksum {
            return Err(damaged("its header or filter does not fit the checksum"));
        }
        if volume.log_id != log_id || volume.first_seq != first_seq {
            return Err(damaged("it belongs to another volume"));
        }
        let ascends = volume.first_seq <= volume.last_seq && volume.last_seq < u64::MAX;
        if !ascends || volume.first_time > volume.last_time {
            return Err(damaged("it ends before it starts"));
        }
        Ok(Self {
            volume,
            count,
            lists_len,
            filter: Filter::from_bytes(filter),
            checksum,
        })
    }

    /// Whether the stream may be in the volume; if not, it is not.
    pub(crate) fn may_hold(&self, hash: StreamHash) -> bool {
        self.filter.may_hold(hash)
    }

    /// The record of a stream.
    pub(crate) fn find(
        &self,
        file: &dyn ReadAt,
        hash: StreamHash,
    ) -> Result<Option<StreamRecord>, BackendError> {
        // Records `low..high` are still in question; their hashes' ranks lie
        // from `low_rank` to `high_rank`.
        let (mut low, mut high) = (0, self.count);
        let (mut low_rank, mut high_rank) = (0, u64::MAX);
        let mut guesses = 0;
        while low < high {
            let middle = if guesses < GUESSES_MAX {
                guess(hash.rank(), (low, low_rank), (high, high_rank))
            } else {
                low + (high - low) / 2
            };
            guesses += 1;
            let (found, record) = self.record(file, middle)?;
            match found.cmp(&hash) {
                Ordering::Equal => return Ok(Some(record)),
                Ordering::Less => (low, low_rank) = (middle + 1, found.rank()),
                Ordering::Greater => (high, high_rank) = (middle, found.rank()),
            }
        }
        Ok(None)
    }

    fn record(
        &self,
        file: &dyn ReadAt,
        number: u32,
    ) -> Result<(StreamHash, StreamRecord), BackendError> {
        let at = self.records_at() + u64::from(number) * RECORD_LEN as u64;
        let mut raw = [0; RECORD_LEN];
        file.read_at(&mut raw, at)?;
        if record_check(&self.checksum, number, &raw) != raw[60..] {
            return Err(damaged("a record does not fit its checksum"));
        }
        let mut hash = [0; 16];
        hash.copy_from_slice(&raw[..16]);
        let list_len = u16_at(&raw, 54);
        let mut list_check = [0; 4];
        list_check.copy_from_slice(&raw[56..60]);
        let record = StreamRecord {
            last_version: u64_at(&raw, 16),
            first_seq: u64_at(&raw, 24),
            last_seq: u64_at(&raw, 32),
            seq_before: u64_at(&raw, 40),
            list_at: u64_at(&raw, 48) & 0xffff_ffff_ffff,
            list_len,
            list_check,
        };
        // Whoever damages it on purpose can make the checksums fit.
        let volume = &self.volume;
        let within = volume.first_seq <= record.first_seq
            && record.first_seq <= record.last_seq
            && record.last_seq <= volume.last_seq
            && record.last_version <= record.last_seq
            && (record.seq_before < volume.first_seq || record.seq_before == 0);
        if !within {
            return Err(damaged("a record has sequences of other volumes"));
        }
        Ok((StreamHash(hash), record))
    }

    /// The first sequences of the frames that hold the stream; `None` if the
    /// list was left out.
    pub(crate) fn frames(
        &self,
        file: &dyn ReadAt,
        record: &StreamRecord,
    ) -> Result<Option<Vec<u64>>, BackendError> {
        if record.list_len == 0 {
            return Ok(None);
        }
        if record.list_at + u64::from(record.list_len) > self.lists_len {
            return Err(damaged("a frame list lies outside of it"));
        }
        let mut list = vec![0; usize::from(record.list_len)];
        let records = u64::from(self.count) * RECORD_LEN as u64;
        file.read_at(&mut list, self.records_at() + records + record.list_at)?;
        if record_checksum(&list).0[..4] != record.list_check {
            return Err(damaged("a frame list does not fit its checksum"));
        }
        let frames = read_list(&list, self.volume.first_seq);
        frames.map(Some).map_err(|bad| damaged(bad.0))
    }

    fn records_at(&self) -> u64 {
        HEADER_LEN as u64 + self.filter.as_bytes().len() as u64
    }
}

/// Where between two records a hash should be if all are spread evenly.
fn guess(rank: u64, (low, low_rank): (u32, u64), (high, high_rank): (u32, u64)) -> u32 {
    let span = u128::from(high_rank.saturating_sub(low_rank)) + 1;
    let into = u128::from(rank.saturating_sub(low_rank));
    let steps = into * u128::from(high - low) / span;
    low + u32::try_from(steps).unwrap_or(u32::MAX).min(high - low - 1)
}

fn damaged(what: &str) -> BackendError {
    BackendError::Corrupt(what.to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::index::active::{Sighting, VolumeStreams};
    use crate::index::encode::encode;

    const LOG: LogId = LogId([3; 16]);

    fn name(n: u64) -> String {
        format!("stream/{n}")
    }

    /// An index of so many streams, each with two events.
    fn index(count: u64) -> Vec<u8> {
        let mut streams = VolumeStreams::starting(100);
        for seq in 100..100 + 2 * count {
            streams.note(&Sighting {
                name: &name((seq - 100) % count),
                version: 8 + (seq - 100) / count,
                seq,
                frame: seq - seq % 5,
                before: Some(seq % 100),
            });
        }
        let volume = IndexedVolume {
            log_id: LOG,
            first_seq: 100,
            last_seq: 99 + 2 * count,
            first_time: 1,
            last_time: 2,
        };
        let sorted = streams.sorted();
        let before = |_, stream: &crate::index::active::StreamInVolume| {
            Ok::<_, ()>(stream.seq_before.unwrap_or_default())
        };
        encode(&volume, &sorted, before).expect("all is known")
    }

    /// First sequence, last sequence and frames of a stream, if it is found.
    type Seen = Option<(u64, u64, Option<Vec<u64>>)>;

    fn see(file: &Bytes, n: u64) -> Result<Seen, BackendError> {
        let head = IndexHead::load(file, LOG, 100)?;
        let hash = StreamHash::of(&name(n));
        if !head.may_hold(hash) {
            return Ok(None);
        }
        let Some(record) = head.find(file, hash)? else {
            return Ok(None);
        };
        let frames = head.frames(file, &record)?;
        Ok(Some((record.first_seq, record.last_seq, frames)))
    }

    fn expected(n: u64, count: u64) -> Seen {
        let (first, last) = (100 + n, 100 + n + count);
        let mut frames = vec![first - first % 5, last - last % 5];
        frames.dedup();
        (n < count).then_some((first, last, Some(frames)))
    }

    #[test]
    fn every_stream_is_found_and_no_other() {
        for count in [1, 2, 3, 20, 5_000] {
            let file = Bytes::from(index(count));
            for n in (0..count + 300).step_by(1 + usize::try_from(count / 500).expect("it fits")) {
                assert_eq!(see(&file, n).expect("it is whole"), expected(n, count));
            }
        }
        let none = Bytes::from(index_of_nothing());
        assert_eq!(see(&none, 0).expect("it is whole"), None);
    }

    fn index_of_nothing() -> Vec<u8> {
        let volume = IndexedVolume {
            log_id: LOG,
            first_seq: 100,
            last_seq: 100,
            first_time: 1,
            last_time: 1,
        };
        encode(&volume, &[], |_, _| Ok::<_, ()>(0)).expect("there is nothing to ask for")
    }

    #[test]
    fn a_flipped_or_missing_byte_is_an_error_or_changes_nothing() {
        let good = index(20);
        let mut refused = 0;
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            let cut = Bytes::copy_from_slice(&good[..at]);
            assert!(IndexHead::load(&cut, LOG, 100).is_err(), "cut at {at}");
            let bad = Bytes::from(bad);
            for n in 0..30 {
                match see(&bad, n) {
                    Ok(seen) => assert_eq!(seen, expected(n, 20), "flipped at {at}"),
                    Err(BackendError::Corrupt(_)) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(refused > 0);
    }
}
