//! The metas of the log's own records. Stream, type and key of such a record
//! are empty and its stream version is 0.
//!
//! ```text
//! genesis, 104 bytes                    resumed, 56 bytes
//!   0  u32  format = 1                    0  u32  format = 1
//!   4  u32  schema                        4  u32  new incarnation
//!   8  [16] log id                        8  u64  first lost sequence
//!  24  u32  incarnation = 1              16  u64  last lost sequence (as far as known)
//!  28  u32  reserved = 0                 24  [32] chain hash of the last lost sequence
//!  32  [32] node key or zeros
//!  64  u64  predecessor's sequence
//!  72  [32] predecessor's chain hash or zeros
//! ```

use super::{Malformed, digest_at, u32_at, u64_at};
use crate::digest::Digest;
use crate::log::identity::{LogId, LogIdentity};

const INTERNAL_FORMAT: u32 = 1;
const GENESIS_LEN: usize = 104;
const RESUMED_LEN: usize = 56;

/// What genesis says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Genesis {
    /// The log's name and its keeper.
    pub identity: LogIdentity,
    /// The head of the log that this one continues, if any.
    pub predecessor: Option<(u64, Digest)>,
}

impl Genesis {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(GENESIS_LEN);
        let (seq, hash) = self.predecessor.unwrap_or_default();
        out.extend_from_slice(&INTERNAL_FORMAT.to_le_bytes());
        out.extend_from_slice(&self.identity.schema.to_le_bytes());
        out.extend_from_slice(&self.identity.log_id.0);
        out.extend_from_slice(&self.identity.incarnation.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.identity.node_key);
        out.extend_from_slice(&seq.to_le_bytes());
        out.extend_from_slice(&hash.0);
        out
    }

    /// Reads the meta of a genesis record.
    pub(crate) fn parse(meta: &[u8]) -> Result<Self, Malformed> {
        if meta.len() != GENESIS_LEN || u32_at(meta, 0) != INTERNAL_FORMAT || u32_at(meta, 28) != 0
        {
            return Err(Malformed("genesis is of an unknown form"));
        }
        let mut log_id = [0; 16];
        log_id.copy_from_slice(&meta[8..24]);
        let hash = digest_at(meta, 72);
        Ok(Self {
            identity: LogIdentity {
                log_id: LogId(log_id),
                incarnation: u32_at(meta, 24),
                schema: u32_at(meta, 4),
                node_key: digest_at(meta, 32).0,
            },
            predecessor: (!hash.is_zero()).then(|| (u64_at(meta, 64), hash)),
        })
    }
}

/// What a resumed record says about the loss that came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// The incarnation that starts with this record.
    pub incarnation: u32,
    /// The first sequence that was lost.
    pub lost_from: u64,
    /// The last sequence that is known to have existed.
    pub lost_to: u64,
    /// The chain hash that `lost_to` had.
    pub lost_head: Digest,
}

impl Resumed {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(RESUMED_LEN);
        out.extend_from_slice(&INTERNAL_FORMAT.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        out.extend_from_slice(&self.lost_from.to_le_bytes());
        out.extend_from_slice(&self.lost_to.to_le_bytes());
        out.extend_from_slice(&self.lost_head.0);
        out
    }

    /// Reads the meta of a resumed record.
    pub(crate) fn parse(meta: &[u8]) -> Result<Self, Malformed> {
        if meta.len() != RESUMED_LEN || u32_at(meta, 0) != INTERNAL_FORMAT {
            return Err(Malformed("resumed record is of an unknown form"));
        }
        Ok(Self {
            incarnation: u32_at(meta, 4),
            lost_from: u64_at(meta, 8),
            lost_to: u64_at(meta, 16),
            lost_head: digest_at(meta, 24),
        })
    }
}
