//! What frames a volume: its header and its seal.
//!
//! ```text
//! volume header                         seal
//!   0  [4]  "VSMV"                        0  [4]  "VSMS"
//!   4  u16  format = 1                    4  u16  format = 1
//!   6  u8   frontier count n              6  u8   frontier count n
//!   7  u8   reserved = 0                  7  u8   reserved = 0
//!   8  [16] log id                        8  u64  first sequence
//!  24  u32  incarnation                  16  u64  last sequence
//!  28  u32  schema                       24  u64  time of the last event
//!  32  [32] node key                     32  [32] chain hash of the last event
//!  64  u64  first sequence               64  [32] checksum of the index file
//!  72  u64  time of the event before     96       frontier, n × 32
//!  80  [32] chain hash before                [32] checksum over all before
//! 112       frontier, n × 32
//!      [32] checksum over all before
//! ```
//!
//! The frontier is the tree over everything before the volume (header) or up
//! to its end (seal): the roots of its complete subtrees, largest first. The
//! checksum of the index file is its last 32 bytes; see [`index`](crate::index).

use super::{FORMAT_VERSION, Malformed, digest_at, u16_at, u32_at, u64_at};
use crate::digest::{Digest, record_checksum};
use crate::log::identity::{LogId, LogIdentity};
use crate::tree::Frontier;

const HEADER_MAGIC: &[u8; 4] = b"VSMV";
const SEAL_MAGIC: &[u8; 4] = b"VSMS";
const HEADER_FIXED: usize = 112;
const SEAL_FIXED: usize = 96;

/// The state of the log where a volume starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeHeader {
    pub(crate) identity: LogIdentity,
    pub(crate) first_seq: u64,
    pub(crate) time_before: u64,
    pub(crate) hash_before: Digest,
    pub(crate) frontier: Frontier,
}

impl VolumeHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_FIXED + 32 * (self.frontier.hashes().len() + 1));
        out.extend_from_slice(HEADER_MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[self.frontier.count(), 0]);
        out.extend_from_slice(&self.identity.log_id.0);
        out.extend_from_slice(&self.identity.incarnation.to_le_bytes());
        out.extend_from_slice(&self.identity.schema.to_le_bytes());
        out.extend_from_slice(&self.identity.node_key);
        out.extend_from_slice(&self.first_seq.to_le_bytes());
        out.extend_from_slice(&self.time_before.to_le_bytes());
        out.extend_from_slice(&self.hash_before.0);
        finish(out, &self.frontier)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        check(
            bytes,
            HEADER_MAGIC,
            HEADER_FIXED,
            "volume header is damaged",
        )?;
        let first_seq = u64_at(bytes, 64);
        let mut log_id = [0; 16];
        log_id.copy_from_slice(&bytes[8..24]);
        Ok(Self {
            identity: LogIdentity {
                log_id: LogId(log_id),
                incarnation: u32_at(bytes, 24),
                schema: u32_at(bytes, 28),
                node_key: digest_at(bytes, 32).0,
            },
            first_seq,
            time_before: u64_at(bytes, 72),
            hash_before: digest_at(bytes, 80),
            frontier: read_frontier(bytes, HEADER_FIXED, first_seq)?,
        })
    }
}

/// The state of the log where a sealed volume ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) last_time: u64,
    pub(crate) last_hash: Digest,
    pub(crate) index_checksum: Digest,
    pub(crate) frontier: Frontier,
}

impl Seal {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEAL_FIXED + 32 * (self.frontier.hashes().len() + 1));
        out.extend_from_slice(SEAL_MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[self.frontier.count(), 0]);
        out.extend_from_slice(&self.first_seq.to_le_bytes());
        out.extend_from_slice(&self.last_seq.to_le_bytes());
        out.extend_from_slice(&self.last_time.to_le_bytes());
        out.extend_from_slice(&self.last_hash.0);
        out.extend_from_slice(&self.index_checksum.0);
        finish(out, &self.frontier)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        check(bytes, SEAL_MAGIC, SEAL_FIXED, "seal is damaged")?;
        let last_seq = u64_at(bytes, 16);
        Ok(Self {
            first_seq: u64_at(bytes, 8),
            last_seq,
            last_time: u64_at(bytes, 24),
            last_hash: digest_at(bytes, 32),
            index_checksum: digest_at(bytes, 64),
            frontier: read_frontier(bytes, SEAL_FIXED, last_seq.saturating_add(1))?,
        })
    }
}

fn finish(mut out: Vec<u8>, frontier: &Frontier) -> Vec<u8> {
    for hash in frontier.hashes() {
        out.extend_from_slice(hash);
    }
    let checksum = record_checksum(&out);
    out.extend_from_slice(&checksum.0);
    out
}

fn check(bytes: &[u8], magic: &[u8; 4], fixed: usize, what: &'static str) -> Result<(), Malformed> {
    if bytes.len() < fixed + 32
        || &bytes[..4] != magic
        || u16_at(bytes, 4) != FORMAT_VERSION
        || bytes[7] != 0
    {
        return Err(Malformed(what));
    }
    let (content, checksum) = bytes.split_at(bytes.len() - 32);
    if content.len() != fixed + 32 * usize::from(bytes[6]) || record_checksum(content).0 != checksum
    {
        return Err(Malformed(what));
    }
    Ok(())
}

fn read_frontier(bytes: &[u8], at: usize, size: u64) -> Result<Frontier, Malformed> {
    let hashes = bytes[at..bytes.len() - 32]
        .chunks_exact(32)
        .map(|chunk| digest_at(chunk, 0).0);
    Frontier::from_parts(size, hashes.collect()).ok_or(Malformed("frontier does not fit its size"))
}
