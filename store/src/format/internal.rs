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
//!
//! redacted, 144 bytes and the reason    pruned, 152 bytes and the reason
//!   0  u32  format = 1                    0  u32  format = 1
//!   4  u32  length of the reason          4  u32  length of the reason
//!   8  u64  sequence of the event         8  u64  first sequence that is kept
//!  16  [32] its chain hash               16  u64  time of the event before
//!  48  [32] commitment to its body       24  [32] chain hash of the event before
//!  80       reason                       56  [32] tree root over all before
//!      [64] signature or zeros           88       reason
//!                                            [64] signature or zeros
//! ```
//!
//! A reason is UTF-8 of at most [`REASON_BYTES_MAX`] bytes. The signature is
//! Ed25519 (RFC 8032) with the log's node key over a fixed text for the kind,
//! the log id, and all of the meta before the signature; zeros in a log
//! without a node key.

use super::{Malformed, digest_at, u32_at, u64_at};
use crate::digest::Digest;
use crate::log::identity::{LogId, LogIdentity};

const INTERNAL_FORMAT: u32 = 1;
const GENESIS_LEN: usize = 104;
const RESUMED_LEN: usize = 56;
const REDACTED_FIXED: usize = 80;
const PRUNED_FIXED: usize = 88;
/// The length of a signature.
pub(crate) const SIGNATURE_LEN: usize = 64;
/// The longest reason of a redaction or a pruning, in bytes.
pub const REASON_BYTES_MAX: usize = 1024;

/// What genesis says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
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

/// What a record says about an event whose body it removes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redacted {
    /// The event's sequence.
    pub seq: u64,
    /// The event's chain hash.
    pub chain_hash: Digest,
    /// The commitment to the body, as the event's header has it.
    pub body_commitment: Digest,
    /// Why, in the words of whoever removed it.
    pub reason: String,
    /// The node's signature; zeros in a log without a node key.
    pub signature: [u8; SIGNATURE_LEN],
}

impl Redacted {
    /// What a signature is over, but for the log id.
    pub(crate) fn unsigned(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(REDACTED_FIXED + self.reason.len() + SIGNATURE_LEN);
        out.extend_from_slice(&INTERNAL_FORMAT.to_le_bytes());
        out.extend_from_slice(&reason_len(&self.reason).to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.chain_hash.0);
        out.extend_from_slice(&self.body_commitment.0);
        out.extend_from_slice(self.reason.as_bytes());
        out
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.unsigned();
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads the meta of a redacted record.
    pub(crate) fn parse(meta: &[u8]) -> Result<Self, Malformed> {
        let unknown = Malformed("redacted record is of an unknown form");
        let (reason, signature) = reason_and_signature(meta, REDACTED_FIXED).ok_or(unknown)?;
        Ok(Self {
            seq: u64_at(meta, 8),
            chain_hash: digest_at(meta, 16),
            body_commitment: digest_at(meta, 48),
            reason,
            signature,
        })
    }
}

/// What a record says about the events that it drops from the front of the
/// log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// The first sequence that is kept.
    pub first_kept: u64,
    /// The time of the event before it.
    pub time_before: u64,
    /// The chain hash of the event before it.
    pub hash_before: Digest,
    /// The root of the tree over everything before it.
    pub root_before: Digest,
    /// Why, in the words of whoever dropped them.
    pub reason: String,
    /// The node's signature; zeros in a log without a node key.
    pub signature: [u8; SIGNATURE_LEN],
}

impl Pruned {
    /// What a signature is over, but for the log id.
    pub(crate) fn unsigned(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PRUNED_FIXED + self.reason.len() + SIGNATURE_LEN);
        out.extend_from_slice(&INTERNAL_FORMAT.to_le_bytes());
        out.extend_from_slice(&reason_len(&self.reason).to_le_bytes());
        out.extend_from_slice(&self.first_kept.to_le_bytes());
        out.extend_from_slice(&self.time_before.to_le_bytes());
        out.extend_from_slice(&self.hash_before.0);
        out.extend_from_slice(&self.root_before.0);
        out.extend_from_slice(self.reason.as_bytes());
        out
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.unsigned();
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads the meta of a pruned record.
    pub(crate) fn parse(meta: &[u8]) -> Result<Self, Malformed> {
        let unknown = Malformed("pruned record is of an unknown form");
        let (reason, signature) = reason_and_signature(meta, PRUNED_FIXED).ok_or(unknown)?;
        Ok(Self {
            first_kept: u64_at(meta, 8),
            time_before: u64_at(meta, 16),
            hash_before: digest_at(meta, 24),
            root_before: digest_at(meta, 56),
            reason,
            signature,
        })
    }
}

fn reason_len(reason: &str) -> u32 {
    u32::try_from(reason.len()).expect("reasons are checked against their limit")
}

/// The reason behind the fixed part, and the signature behind the reason.
fn reason_and_signature(meta: &[u8], fixed: usize) -> Option<(String, [u8; SIGNATURE_LEN])> {
    if meta.len() < fixed || u32_at(meta, 0) != INTERNAL_FORMAT {
        return None;
    }
    let len = u32_at(meta, 4) as usize;
    let (reason, signature) = meta[fixed..].split_at_checked(len)?;
    if len > REASON_BYTES_MAX {
        return None;
    }
    let reason = std::str::from_utf8(reason).ok()?.to_owned();
    Some((reason, signature.try_into().ok()?))
}
