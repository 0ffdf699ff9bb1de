//! The canonical header: the only bytes of an event that the chain hashes.
//!
//! Exactly 128 bytes, little-endian, frozen:
//!
//! ```text
//!   0  u8   version            1
//!   1  u8   kind               0 event, 1 genesis, 2 resumed, 3 redacted, 4 pruned
//!   2  u16  flags              bit 0 last of its group, bit 1 has a body
//!   4  u32  body length        bytes
//!   8  u64  sequence           0 is genesis, then without a gap
//!  16  u64  time               microseconds since the epoch, never decreasing
//!  24  u64  stream version     from 1 within the stream, 0 for the log's own records
//!  32  [32] descriptor digest  BLAKE3 derive_key over the descriptor as stored
//!  64  [32] body commitment    BLAKE3 derive_key over salt, body; zeros without a body
//!  96  [32] previous           chain hash of sequence - 1; zeros for genesis
//! ```
//!
//! The chain hash is BLAKE3 `derive_key` over these 128 bytes. Stream, type,
//! key and meta are in the chain through the descriptor digest, the body
//! through its commitment; both lengths are fixed by what is hashed.

use super::{digest_at, u16_at, u32_at, u64_at};
use crate::digest::{Digest, chain_hash};

/// The header's length.
pub const HEADER_LEN: usize = 128;
/// The header's version byte.
pub const HEADER_VERSION: u8 = 1;
/// Flag: the last event of the group that was appended together.
pub const FLAG_LAST_OF_GROUP: u16 = 1;
/// Flag: the event has a body (which may since have been removed).
pub const FLAG_HAS_BODY: u16 = 2;
/// All flags this version knows.
pub const FLAGS_KNOWN: u16 = FLAG_LAST_OF_GROUP | FLAG_HAS_BODY;

/// What a record is to the log itself. Numbers are appended, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum RecordKind {
    /// An event that a user appended.
    Event = 0,
    /// The first record of every log: it names the log.
    Genesis = 1,
    /// The log went on after it had lost its tail: it names the loss.
    Resumed = 2,
    /// The body of an event was removed: it names the event and the reason.
    Redacted = 3,
    /// Everything before a sequence was dropped: it names what stood there.
    Pruned = 4,
}

impl RecordKind {
    /// The kind of a number, if this version knows it.
    pub fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Event),
            1 => Some(Self::Genesis),
            2 => Some(Self::Resumed),
            3 => Some(Self::Redacted),
            4 => Some(Self::Pruned),
            _ => None,
        }
    }
}

/// The fields of a canonical header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the record is to the log.
    pub record_kind: RecordKind,
    /// See [`FLAG_LAST_OF_GROUP`] and [`FLAG_HAS_BODY`].
    pub flags: u16,
    /// The body's length in bytes.
    pub body_len: u32,
    /// Position in the log; genesis is 0.
    pub seq: u64,
    /// Microseconds since the epoch, never decreasing.
    pub time: u64,
    /// Position in the stream, from 1; 0 for the log's own records.
    pub stream_version: u64,
    /// The [digest](crate::descriptor_digest) of the descriptor.
    pub descriptor_digest: Digest,
    /// The [commitment](crate::body_commitment) to the body; zeros without one.
    pub body_commitment: Digest,
    /// Chain hash of the event before, or zeros.
    pub previous: Digest,
}

impl Header {
    /// The first 64 bytes, which do not depend on the event before.
    #[inline]
    pub(crate) fn first_half(&self) -> [u8; HEADER_LEN / 2] {
        let mut out = [0; HEADER_LEN / 2];
        out[0] = HEADER_VERSION;
        out[1] = self.record_kind as u8;
        out[2..4].copy_from_slice(&self.flags.to_le_bytes());
        out[4..8].copy_from_slice(&self.body_len.to_le_bytes());
        out[8..16].copy_from_slice(&self.seq.to_le_bytes());
        out[16..24].copy_from_slice(&self.time.to_le_bytes());
        out[24..32].copy_from_slice(&self.stream_version.to_le_bytes());
        out[32..64].copy_from_slice(&self.descriptor_digest.0);
        out
    }

    /// The 128 bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..64].copy_from_slice(&self.first_half());
        out[64..96].copy_from_slice(&self.body_commitment.0);
        out[96..128].copy_from_slice(&self.previous.0);
        out
    }

    /// Reads the 128 bytes; `None` if this version does not know what they say.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let header = Self {
            record_kind: RecordKind::from_u8(bytes[1])?,
            flags: u16_at(bytes, 2),
            body_len: u32_at(bytes, 4),
            seq: u64_at(bytes, 8),
            time: u64_at(bytes, 16),
            stream_version: u64_at(bytes, 24),
            descriptor_digest: digest_at(bytes, 32),
            body_commitment: digest_at(bytes, 64),
            previous: digest_at(bytes, 96),
        };
        (bytes[0] == HEADER_VERSION && header.flags & !FLAGS_KNOWN == 0).then_some(header)
    }

    /// The chain hash of this header.
    pub fn chain_hash(&self) -> Digest {
        chain_hash(&self.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_frozen() {
        let header = Header {
            record_kind: RecordKind::Resumed,
            flags: 0x0203,
            body_len: 0x0405_0607,
            seq: 0x1112_1314_1516_1718,
            time: 0x2122_2324_2526_2728,
            stream_version: 0x3132_3334_3536_3738,
            descriptor_digest: Digest([0xdd; 32]),
            body_commitment: Digest([0xbb; 32]),
            previous: Digest([0xcc; 32]),
        };
        let mut expected = vec![1, 2, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04];
        expected.extend([0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        expected.extend([0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21]);
        expected.extend([0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31]);
        expected.extend([0xdd; 32]);
        expected.extend([0xbb; 32]);
        expected.extend([0xcc; 32]);
        assert_eq!(header.encode().as_slice(), expected);
        assert_eq!(Header::decode(&header.encode()), None, "unknown flags");
        let known = Header { flags: 3, ..header };
        assert_eq!(Header::decode(&known.encode()), Some(known));
    }
}
