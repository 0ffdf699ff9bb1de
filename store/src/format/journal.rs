//! A record of the journal: events that are durable before they are in a
//! volume.
//!
//! A journal file is a run of records, each at a multiple of 4096 bytes:
//!
//! ```text
//!    0  [8]  "VSMJRNL\0"
//!    8  u16  format = 1
//!   10  [6]  reserved = 0
//!   16  [16] log id
//!   32  u64  first sequence
//!   40  u64  length of the entries
//!   48  u32  count                entries, at least 1
//!   52  [4]  reserved = 0
//!   56  [32] previous             chain hash before the first entry
//!   88  [32] last                 chain hash after the last entry
//!  120  [32] checksum over all before
//!  152       entries, then zeros up to the next multiple of 4096
//! ```
//!
//! The checksum only covers the fixed part: that the entries are whole shows
//! when they are hashed and have to end with `last`. Files are written again
//! from their start, so that behind the last record may stand what is left of
//! older ones. A record counts only if it continues the chain, which those
//! can't.

use super::entry::{self, Entry};
use super::{FORMAT_VERSION, Malformed, digest_at, u16_at, u32_at, u64_at};
use crate::digest::{Digest, record_checksum};
use crate::log::identity::LogId;

/// What records start at multiples of. It is what disks write at once: a write
/// that is torn harms no record before it.
pub(crate) const RECORD_ALIGN: usize = 4096;
/// The length of the fixed part.
pub(crate) const RECORD_FIXED: usize = 152;
const MAGIC: &[u8; 8] = b"VSMJRNL\0";
const CHECKSUM_AT: usize = RECORD_FIXED - 32;

/// The fixed part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) log_id: LogId,
    pub(crate) first_seq: u64,
    pub(crate) count: u32,
    /// The length of the entries in bytes.
    pub(crate) len: u64,
    pub(crate) previous: Digest,
    pub(crate) last: Digest,
}

/// A record and its entries, which are not looked at yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) header: RecordHeader,
    /// Entries, one after the other.
    pub(crate) entries: &'a [u8],
}

impl RecordHeader {
    pub(crate) fn encode(&self) -> [u8; RECORD_FIXED] {
        let mut out = [0; RECORD_FIXED];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[16..32].copy_from_slice(&self.log_id.0);
        out[32..40].copy_from_slice(&self.first_seq.to_le_bytes());
        out[40..48].copy_from_slice(&self.len.to_le_bytes());
        out[48..52].copy_from_slice(&self.count.to_le_bytes());
        out[56..88].copy_from_slice(&self.previous.0);
        out[88..120].copy_from_slice(&self.last.0);
        let checksum = record_checksum(&out[..CHECKSUM_AT]);
        out[CHECKSUM_AT..].copy_from_slice(&checksum.0);
        out
    }

    /// Parses a fixed part; `None` where no record of this format starts.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < RECORD_FIXED || &bytes[..8] != MAGIC {
            return None;
        }
        if record_checksum(&bytes[..CHECKSUM_AT]) != digest_at(bytes, CHECKSUM_AT)
            || u16_at(bytes, 8) != FORMAT_VERSION
        {
            return None;
        }
        let reserved = bytes[10..16].iter().chain(&bytes[52..56]);
        let mut log_id = LogId([0; 16]);
        log_id.0.copy_from_slice(&bytes[16..32]);
        let found = Self {
            log_id,
            first_seq: u64_at(bytes, 32),
            len: u64_at(bytes, 40),
            count: u32_at(bytes, 48),
            previous: digest_at(bytes, 56),
            last: digest_at(bytes, 88),
        };
        let possible = found.count > 0
            && found
                .first_seq
                .checked_add(u64::from(found.count))
                .is_some()
            && reserved.into_iter().all(|byte| *byte == 0);
        possible.then_some(found)
    }

    /// The sequence of the last entry.
    pub(crate) fn last_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count) - 1
    }
}

impl<'a> Record<'a> {
    /// Parses the entries in order; `visit` gets the sequence and the entry.
    pub(crate) fn for_each<E: From<(u64, Malformed)>>(
        &self,
        visit: impl FnMut(u64, &Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        let header = &self.header;
        entry::for_each(self.entries, header.first_seq, header.count, visit)
    }

    /// The records that a file starts with.
    pub(crate) fn all_in(file: &'a [u8], log_id: LogId) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut rest = file;
        while let Some(header) = RecordHeader::parse(rest) {
            let behind = &rest[RECORD_FIXED..];
            let len = usize::try_from(header.len).unwrap_or(usize::MAX);
            let next = found.last().map(|record| record.header);
            let follows = next.is_none_or(|before| {
                before.last_seq() + 1 == header.first_seq && before.last == header.previous
            });
            if len > behind.len() || header.log_id != log_id || !follows {
                break;
            }
            found.push(Self {
                header,
                entries: &behind[..len],
            });
            rest = rest.get(padded(len)..).unwrap_or_default();
        }
        found
    }
}

/// The format of a file, if it is one that this version does not know.
pub(crate) fn newer_format(file: &[u8]) -> Option<u16> {
    let is_journal = file.len() >= RECORD_FIXED && &file[..8] == MAGIC;
    Some(u16_at(file.get(..10).filter(|_| is_journal)?, 8)).filter(|found| *found > FORMAT_VERSION)
}

/// How much room a record with so many bytes of entries takes.
pub(crate) fn padded(entries: usize) -> usize {
    (RECORD_FIXED + entries).next_multiple_of(RECORD_ALIGN)
}
