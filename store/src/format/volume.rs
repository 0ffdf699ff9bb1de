//! What frames a volume: its header, its seal and its stream index.
//!
//! ```text
//! volume header                         seal
//!   0  [4]  "VSMV"                        0  [4]  "VSMS"
//!   4  u16  format = 1                    4  u16  format = 1
//!   6  u8   frontier count n              6  u8   frontier count n
//!   7  u8   reserved = 0                  7  u8   1: the index names every stream of the log
//!   8  [16] log id                        8  u64  first sequence
//!  24  u32  incarnation                  16  u64  last sequence
//!  28  u32  schema                       24  u64  time of the last event
//!  32  [32] node key                     32  [32] chain hash of the last event
//!  64  u64  first sequence               64  [32] checksum over the index parts in key order
//!  72  u64  time of the event before     96       frontier, n × 32
//!  80  [32] chain hash before                [32] checksum over all before
//! 112       frontier, n × 32
//!      [32] checksum over all before
//! ```
//!
//! The frontier is the tree over everything before the volume (header) or up
//! to its end (seal): the roots of its complete subtrees, largest first. The
//! stream index is sorted by name and cut into values of at most
//! [`VALUE_BYTES_MAX`](super::frame::VALUE_BYTES_MAX) bytes, each a run of:
//!
//! ```text
//!   0  u8  name length, then the name
//!      u64 stream version of its last event
//!      u64 its first sequence in this volume, 0 if it has none here
//!      u64 its last sequence
//! ```

use super::frame::VALUE_BYTES_MAX;
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
    pub(crate) index_complete: bool,
    pub(crate) index_checksum: Digest,
    pub(crate) frontier: Frontier,
}

impl Seal {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEAL_FIXED + 32 * (self.frontier.hashes().len() + 1));
        out.extend_from_slice(SEAL_MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[self.frontier.count(), u8::from(self.index_complete)]);
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
            index_complete: bytes[7] == 1,
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
    if bytes.len() < fixed + 32 || &bytes[..4] != magic || u16_at(bytes, 4) != FORMAT_VERSION {
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

/// One stream in a volume's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamEntry {
    pub(crate) last_version: u64,
    /// 0 if the stream has no event in this volume.
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// Cuts a sorted index into values; each comes with the name it starts with.
pub(crate) fn encode_index(sorted: &[(&str, StreamEntry)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut parts: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (name, entry) in sorted {
        let len = 1 + name.len() + 24;
        if parts
            .last()
            .is_none_or(|(_, part)| part.len() + len > VALUE_BYTES_MAX)
        {
            parts.push((
                name.as_bytes().to_vec(),
                Vec::with_capacity(VALUE_BYTES_MAX),
            ));
        }
        if let Some((_, part)) = parts.last_mut() {
            part.push(u8::try_from(name.len()).expect("stream names fit 255 bytes"));
            part.extend_from_slice(name.as_bytes());
            part.extend_from_slice(&entry.last_version.to_le_bytes());
            part.extend_from_slice(&entry.first_seq.to_le_bytes());
            part.extend_from_slice(&entry.last_seq.to_le_bytes());
        }
    }
    parts
}

/// Visits the streams of one index value.
pub(crate) fn for_each_stream(
    part: &[u8],
    mut visit: impl FnMut(&str, StreamEntry),
) -> Result<(), Malformed> {
    let bad = Malformed("stream index is damaged");
    let mut rest = part;
    while let Some((&len, after)) = rest.split_first() {
        let len = usize::from(len);
        if after.len() < len + 24 {
            return Err(bad);
        }
        let name = std::str::from_utf8(&after[..len]).map_err(|_| bad)?;
        visit(
            name,
            StreamEntry {
                last_version: u64_at(after, len),
                first_seq: u64_at(after, len + 8),
                last_seq: u64_at(after, len + 16),
            },
        );
        rest = &after[len + 24..];
    }
    Ok(())
}
