//! Sync messages: what a client has, what it needs, and changes.
//!
//! ```text
//!   42 │ heads │ need │ have │ changes │ flags?
//!   hashes  = count, 32 bytes each        have = count, (hashes, filter) each
//!   changes = count, bytes each           filter = bytes, empty or
//!   flags   = bytes                                entries, 10, 7, bits
//! ```
//!
//! Counts and lengths are LEB128. The filter's two parameters are in the
//! message; others than Automerge's own can make it divide by zero or ask for
//! gigabytes, so they are checked before the filter is made.

use automerge::{ChangeHash, sync::BloomFilter};
use bytes::Bytes;

use crate::reader::{ReadError, Reader, write_unsigned};

const VERSION_1: u8 = 0x42;
const VERSION_2: u8 = 0x43;
const BITS_PER_ENTRY: u64 = 10;
const PROBES: u64 = 7;
/// A bit field among the flags.
const FLAG_FIELD: u8 = 0x80;
/// In the field: the sender threw away what it was sent.
const FLAG_RESET: u8 = 1;
/// The most hashes of one list.
const HASHES_MAX: u64 = 4_096;
/// The most summaries of one message; clients send one.
const HAVE_MAX: u64 = 8;
/// The most changes of one message. A change has a good hundred bytes, so the
/// frame's length is met first.
const CHANGES_MAX: u64 = 1 << 16;

/// A sync message is malformed or out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It ends early.
    #[error(transparent)]
    Malformed(#[from] ReadError),
    /// Another version.
    #[error("a sync message of type {0:#x}; version 1 is 0x42")]
    Version(u8),
    /// Too many items in a list.
    #[error("{0} items in {1}, the most is {2}")]
    Count(u64, &'static str, u64),
    /// A filter with other parameters than Automerge's.
    #[error(
        "a bloom filter with {bits_per_entry} bits per entry and {probes} probes; 10 and 7 it must be"
    )]
    Filter {
        /// Bits per entry.
        bits_per_entry: u64,
        /// Probes.
        probes: u64,
    },
    /// A filter whose bits are not as many as its entries need.
    #[error("a bloom filter with {bytes} bytes for {entries} entries")]
    FilterLength {
        /// Its entries.
        entries: u64,
        /// Its bytes.
        bytes: usize,
    },
}

/// What a client says it has: everything up to some heads, and what a filter
/// holds of the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Have {
    /// The heads.
    pub last_sync: Vec<ChangeHash>,
    /// The rest; it may claim too much.
    pub filter: BloomFilter,
}

/// A sync message as a client sent it, checked in form.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncMessage<'a> {
    /// The client's version of the document.
    pub heads: Vec<ChangeHash>,
    /// Changes that it asks for by name.
    pub need: Vec<ChangeHash>,
    /// What it has; empty when it wants no other changes than those.
    pub have: Vec<Have>,
    /// Changes, as chunks that nobody has looked at.
    pub chunks: Vec<&'a [u8]>,
    /// Whether it threw away what it was sent.
    pub reset: bool,
}

impl<'a> SyncMessage<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is malformed or out of bounds.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            VERSION_1 | VERSION_2 => {}
            other => return Err(MessageError::Version(other)),
        }
        let heads = hashes(&mut reader, "heads")?;
        let need = hashes(&mut reader, "need")?;
        let have = (0..count(&mut reader, "have", HAVE_MAX)?)
            .map(|_| {
                Ok(Have {
                    last_sync: hashes(&mut reader, "lastSync")?,
                    filter: filter(reader.prefixed()?)?,
                })
            })
            .collect::<Result<_, MessageError>>()?;
        let chunks = (0..count(&mut reader, "changes", CHANGES_MAX)?)
            .map(|_| reader.prefixed())
            .collect::<Result<_, _>>()?;
        let flags = if reader.is_empty() {
            &[]
        } else {
            reader.prefixed()?
        };
        let reset = flags
            .iter()
            .any(|flag| flag & FLAG_FIELD != 0 && flag & FLAG_RESET != 0);
        Ok(Self {
            heads,
            need,
            have,
            chunks,
            reset,
        })
    }
}

fn count(reader: &mut Reader<'_>, list: &'static str, most: u64) -> Result<u64, MessageError> {
    let count = reader.unsigned()?;
    if count > most {
        return Err(MessageError::Count(count, list, most));
    }
    Ok(count)
}

fn hashes(reader: &mut Reader<'_>, list: &'static str) -> Result<Vec<ChangeHash>, MessageError> {
    let bytes = count(reader, list, HASHES_MAX)? * 32;
    let (hashes, _) = reader.take(bytes)?.as_chunks::<32>();
    Ok(hashes.iter().map(|hash| ChangeHash(*hash)).collect())
}

fn filter(bytes: &[u8]) -> Result<BloomFilter, MessageError> {
    if bytes.is_empty() {
        return Ok(BloomFilter::default());
    }
    let mut reader = Reader::new(bytes);
    let entries = reader.unsigned()?;
    let (bits_per_entry, probes) = (reader.unsigned()?, reader.unsigned()?);
    if (bits_per_entry, probes) != (BITS_PER_ENTRY, PROBES) {
        return Err(MessageError::Filter {
            bits_per_entry,
            probes,
        });
    }
    let needed = entries.saturating_mul(BITS_PER_ENTRY).div_ceil(8);
    let bytes_of_filter = MessageError::FilterLength {
        entries,
        bytes: bytes.len(),
    };
    if entries == 0 || needed > bytes.len() as u64 {
        return Err(bytes_of_filter);
    }
    reader.take(needed)?;
    if !reader.is_empty() {
        return Err(bytes_of_filter);
    }
    BloomFilter::try_from(bytes).map_err(|_| MessageError::Malformed(ReadError))
}

/// Writes a message without flags, so that the client answers with single
/// changes. `have` is what the client should take into account when it chooses
/// changes; `None` asks for no others than those of `need`. Lists of hashes
/// must be in order.
#[must_use]
pub fn encode(
    heads: &[ChangeHash],
    need: &[ChangeHash],
    have: Option<(&[ChangeHash], &BloomFilter)>,
    changes: &[Bytes],
) -> Vec<u8> {
    let length: usize = changes.iter().map(|change| change.len() + 4).sum();
    let mut out = Vec::with_capacity(length + 64 * (heads.len() + need.len() + 2));
    out.push(VERSION_1);
    write_hashes(&mut out, heads);
    write_hashes(&mut out, need);
    write_unsigned(&mut out, u64::from(have.is_some()));
    if let Some((last_sync, filter)) = have {
        write_hashes(&mut out, last_sync);
        write_bytes(&mut out, &filter.to_bytes());
    }
    write_unsigned(&mut out, changes.len() as u64);
    for change in changes {
        write_bytes(&mut out, change);
    }
    out
}

fn write_hashes(out: &mut Vec<u8>, hashes: &[ChangeHash]) {
    write_unsigned(out, hashes.len() as u64);
    for hash in hashes {
        out.extend_from_slice(&hash.0);
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use automerge::sync;

    use super::*;

    fn hash(byte: u8) -> ChangeHash {
        ChangeHash([byte; 32])
    }

    /// What is written here, Automerge reads, and the other way round.
    #[test]
    fn automerge_reads_and_writes_the_same() {
        let filter = BloomFilter::from_hashes([hash(1), hash(2)].iter());
        let changes = [b"one".to_vec(), vec![7; 200]].map(Bytes::from);
        let bytes = encode(
            &[hash(3), hash(4)],
            &[hash(5)],
            Some((&[hash(6)], &filter)),
            &changes,
        );
        let read = sync::Message::decode(&bytes).unwrap();
        assert_eq!(read.heads, [hash(3), hash(4)]);
        assert_eq!(read.need, [hash(5)]);
        assert_eq!(read.have[0].last_sync, [hash(6)]);
        assert_eq!(read.have[0].bloom, filter);
        assert_eq!(read.flags, None);
        assert_eq!(read.clone().encode(), bytes);
        let own = SyncMessage::decode(&bytes).unwrap();
        assert_eq!(own.heads, read.heads);
        assert_eq!(own.have[0].filter, filter);
        assert!(own.chunks.iter().copied().eq(read.changes.iter()));
    }

    #[test]
    fn filters_with_other_parameters_are_refused_by_name() {
        let with = |filter: &[u8]| {
            let mut bytes = vec![VERSION_1, 0, 0, 1, 0];
            write_bytes(&mut bytes, filter);
            bytes.push(0);
            SyncMessage::decode(&bytes).map(|_| ())
        };
        assert_eq!(with(&[]), Ok(()));
        assert_eq!(with(&[1, 10, 7, 0, 0]), Ok(()));
        for filter in [
            &[1, 0, 7][..],
            &[1, 10, 0, 0, 0],
            &[1, 10, 8, 0, 0],
            &[1, 11, 7, 0, 0],
        ] {
            assert!(matches!(with(filter), Err(MessageError::Filter { .. })));
        }
        // 2³² − 1 entries and no bits; bits without entries; a byte too many.
        for filter in [
            &[0xff, 0xff, 0xff, 0xff, 0x0f, 10, 7][..],
            &[0, 10, 7, 0],
            &[1, 10, 7, 0, 0, 0],
        ] {
            assert!(matches!(
                with(filter),
                Err(MessageError::FilterLength { .. })
            ));
        }
    }

    #[test]
    fn counts_beyond_the_bounds_are_refused_before_anything_is_allocated() {
        let mut bytes = vec![VERSION_1];
        write_unsigned(&mut bytes, u64::MAX);
        assert!(matches!(
            SyncMessage::decode(&bytes),
            Err(MessageError::Count(u64::MAX, "heads", HASHES_MAX))
        ));
        assert_eq!(
            SyncMessage::decode(&[0x44]),
            Err(MessageError::Version(0x44))
        );
        assert_eq!(
            SyncMessage::decode(&[VERSION_1, 0, 0, 0, 2, 5]),
            Err(MessageError::Malformed(ReadError))
        );
    }
}
