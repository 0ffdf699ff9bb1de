//! Where the streams are: one file beside each sealed volume.
//!
//! `index/<first sequence>`, 20 decimal digits, is written when the volume is
//! sealed, before its seal, and never changes. The seal keeps the file's
//! checksum, so that the file is derived data: one that is missing or damaged
//! is written again from its volume. Streams are known by a hash of their
//! names; the names themselves stay in the events.
//!
//! ```text
//!   0  [4]  "VSMI"
//!   4  u16  format = 1
//!   6  u16  reserved = 0
//!   8  [16] log id
//!  24  u64  first sequence of the volume
//!  32  u64  last sequence
//!  40  u64  time of the first event
//!  48  u64  time of the last event
//!  56  u32  streams n
//!  60  u32  bytes of the filter m = ⌈10 n / 8⌉
//!  64  u64  bytes of the frame lists l
//!  72  [32] record checksum over the 72 bytes before ‖ filter
//! 104       filter, m bytes
//!           records, n × 64, ascending by stream hash
//!           frame lists, l bytes
//!      [32] record checksum over all before; the seal keeps it
//!
//! record
//!   0  [16] stream hash
//!  16  u64  version of the stream's last event in the volume
//!  24  u64  its first sequence in the volume
//!  32  u64  its last sequence in the volume
//!  40  u64  its last sequence before the volume, 0 if there is none
//!  48  u48  where its frame list starts, from the first list
//!  54  u16  length of its frame list, 0 if it is left out
//!  56  [4]  start of the record checksum over its frame list
//!  60  [4]  start of the record checksum over the checksum at 72 ‖ u32 number
//!           of the record, from 0 ‖ the 60 bytes before
//! ```
//!
//! The **stream hash** is the first 16 bytes of BLAKE3 `derive_key` with the
//! context `vsm-store v1 hash of a stream name` over the name.
//!
//! A **frame list** has the first sequence of each frame of the volume that
//! holds an event of the stream, as LEB128 variable-length integers: the first
//! one less the volume's first sequence, each next one less the one before. A
//! list of more than [`LIST_BYTES_MAX`] bytes is left out, which means that the
//! stream is in many of the frames between its first and last sequence.
//!
//! The **filter** is a Bloom filter (B. H. Bloom, 1970) of 10 bits and 7 probes
//! a stream, by double hashing (Kirsch and Mitzenmacher, 2006): with `a` and
//! `b` the two halves of the hash as integers, `b` made odd, probe *i* from 0
//! looks at bit `⌊((a + i b) mod 2⁶⁴) · 8m / 2⁶⁴⌋`, counted from the lowest bit
//! of the first byte.
//!
//! "Last sequence before the volume" makes a list of each stream through the
//! volumes, newest first: reading a stream opens the volumes that hold it and
//! no others.
//!
//! Each record has a check of its own, so that a look-up reads the few records
//! that it needs and never trusts one that is damaged.
//!
//! | module       | what                                                  |
//! |--------------|-------------------------------------------------------|
//! | [`active`]   | the streams of the volume being written, in memory    |
//! | [`encode`]   | the bytes of an index file                            |
//! | [`file`]     | looking into an index file                            |
//! | [`filter`]   | the Bloom filter                                      |
//! | [`frames`]   | frame lists                                           |
//! | [`files`]    | all index files of a log, and what is kept of them    |
//! | [`lookup`]   | where a stream was last before a sequence             |
//! | [`repair`]   | writing an index file again from its volume           |
//! | [`time`]     | the first event at or after a time                    |
//! | [`walk`]     | a stream's volumes, and its frames within one         |

pub(crate) mod active;
pub(crate) mod encode;
pub(crate) mod file;
pub(crate) mod files;
pub(crate) mod filter;
pub(crate) mod frames;
pub(crate) mod lookup;
pub(crate) mod repair;
pub(crate) mod time;
pub(crate) mod walk;

/// The longest frame list that is stored. A stream with a longer one is in a
/// thousand frames or more, so that reading those between costs little.
pub(crate) const LIST_BYTES_MAX: usize = 2048;

/// Streams after which a volume is sealed, at the next end of a group. It
/// bounds what the active volume costs in memory (about 150 bytes a stream and
/// its name twice) and the time that sealing takes.
pub(crate) const STREAMS_PER_VOLUME: usize = 128 * 1024;

/// A stream, by the hash of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StreamHash(pub(crate) [u8; 16]);

impl StreamHash {
    pub(crate) fn of(name: &str) -> Self {
        let digest = crate::digest::stream_digest(name);
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest.0[..16]);
        Self(hash)
    }

    /// The two halves as little-endian integers.
    fn halves(self) -> (u64, u64) {
        (
            crate::format::u64_at(&self.0, 0),
            crate::format::u64_at(&self.0, 8),
        )
    }

    /// Where the hash lies among all hashes: what records are sorted by first.
    fn rank(self) -> u64 {
        self.halves().0.swap_bytes()
    }
}

/// A stream within one sealed volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamRecord {
    pub(crate) last_version: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    /// The stream's last sequence before the volume; 0 if there is none.
    pub(crate) seq_before: u64,
    list_at: u64,
    list_len: u16,
    list_check: [u8; 4],
}
