//! A slot of the head file: what the log is known to hold, kept outside the
//! volumes so that a lost tail is noticed.
//!
//! The file has two slots of 4096 bytes, written in turn; the valid one with
//! the higher generation counts.
//!
//! ```text
//!    0  [8]  "VSMHEAD\0"
//!    8  u16  format = 1
//!   10  u8   frontier count n
//!   11  [5]  reserved = 0
//!   16  u64  generation           grows with every write; even in slot 0, odd in slot 1
//!   24  [16] log id
//!   40  u32  incarnation
//!   44  u32  reserved = 0
//!   48  u64  first sequence of the volume that holds the head
//!   56  u64  sequence of the head
//!   64  u64  time of the head
//!   72  u64  tree size            sequence + 1
//!   80  [32] chain hash of the head
//!  112  [32] tree root
//!  144       frontier, n × 32, then zeros
//! 4064  [32] checksum over all before
//! ```

use super::{FORMAT_VERSION, digest_at, u16_at, u32_at, u64_at};
use crate::digest::{Digest, record_checksum};
use crate::log::identity::LogId;
use crate::tree::Frontier;

/// The length of a slot.
pub(crate) const SLOT_LEN: usize = 4096;
const MAGIC: &[u8; 8] = b"VSMHEAD\0";
const FRONTIER_AT: usize = 144;
const CHECKSUM_AT: usize = SLOT_LEN - 32;

/// What a slot names: all of it was synced, in the journal or in
/// a volume, before the slot was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) generation: u64,
    pub(crate) log_id: LogId,
    pub(crate) incarnation: u32,
    pub(crate) volume: u64,
    pub(crate) seq: u64,
    pub(crate) time: u64,
    pub(crate) chain_hash: Digest,
    pub(crate) root: Digest,
    pub(crate) frontier: Frontier,
}

/// Why a slot can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotError {
    /// The first bytes are not those of a slot of any format.
    Foreign,
    /// A format that this version does not know.
    Newer(u16),
    /// The checksum does not fit, as after a torn write.
    Damaged,
}

impl Slot {
    pub(crate) fn encode(&self) -> [u8; SLOT_LEN] {
        let mut out = [0; SLOT_LEN];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[10] = self.frontier.count();
        out[16..24].copy_from_slice(&self.generation.to_le_bytes());
        out[24..40].copy_from_slice(&self.log_id.0);
        out[40..44].copy_from_slice(&self.incarnation.to_le_bytes());
        out[48..56].copy_from_slice(&self.volume.to_le_bytes());
        out[56..64].copy_from_slice(&self.seq.to_le_bytes());
        out[64..72].copy_from_slice(&self.time.to_le_bytes());
        out[72..80].copy_from_slice(&self.frontier.size().to_le_bytes());
        out[80..112].copy_from_slice(&self.chain_hash.0);
        out[112..144].copy_from_slice(&self.root.0);
        for (index, hash) in self.frontier.hashes().iter().enumerate() {
            let at = FRONTIER_AT + 32 * index;
            out[at..at + 32].copy_from_slice(hash);
        }
        let checksum = record_checksum(&out[..CHECKSUM_AT]);
        out[CHECKSUM_AT..].copy_from_slice(&checksum.0);
        out
    }

    pub(crate) fn parse(bytes: &[u8; SLOT_LEN]) -> Result<Self, SlotError> {
        if &bytes[..8] != MAGIC || u16_at(bytes, 8) == 0 {
            return Err(SlotError::Foreign);
        }
        if u16_at(bytes, 8) > FORMAT_VERSION {
            return Err(SlotError::Newer(u16_at(bytes, 8)));
        }
        if record_checksum(&bytes[..CHECKSUM_AT]).0 != bytes[CHECKSUM_AT..] {
            return Err(SlotError::Damaged);
        }
        let (seq, size) = (u64_at(bytes, 56), u64_at(bytes, 72));
        let zeros = |from: usize, to: usize| bytes[from..to].iter().all(|byte| *byte == 0);
        let end = FRONTIER_AT + 32 * usize::from(bytes[10]);
        let hashes = bytes
            .get(FRONTIER_AT..end.min(CHECKSUM_AT))
            .unwrap_or_default();
        let hashes = hashes
            .chunks_exact(32)
            .map(|chunk| digest_at(chunk, 0).0)
            .collect();
        let frontier = Frontier::from_parts(size, hashes).ok_or(SlotError::Damaged)?;
        let root = digest_at(bytes, 112);
        let unused = zeros(11, 16) && zeros(44, 48) && zeros(end.min(CHECKSUM_AT), CHECKSUM_AT);
        if seq.checked_add(1) != Some(size) || frontier.root() != root || !unused {
            return Err(SlotError::Damaged);
        }
        let mut log_id = [0; 16];
        log_id.copy_from_slice(&bytes[24..40]);
        Ok(Self {
            generation: u64_at(bytes, 16),
            log_id: LogId(log_id),
            incarnation: u32_at(bytes, 40),
            volume: u64_at(bytes, 48),
            seq,
            time: u64_at(bytes, 64),
            chain_hash: digest_at(bytes, 80),
            root,
            frontier,
        })
    }
}
