//! Where a pruned log begins: what a verifier has to know of the events that
//! are gone.

use super::OfflineLog;
use crate::digest::Digest;
use crate::error::ReadError;
use crate::log::identity::LogId;

/// The state of a log just before the first event that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// Which log.
    pub log_id: LogId,
    /// The incarnation under which the first kept volume was begun.
    pub incarnation: u32,
    /// The first sequence that the log holds.
    pub seq: u64,
    /// The time of the event before it, in microseconds since the epoch.
    pub time: u64,
    /// The chain hash of the event before it.
    pub chain_hash: Digest,
    /// The tree over everything before it: the roots of its complete subtrees,
    /// largest first (RFC 6962, section 2.1).
    pub frontier: Vec<Digest>,
}

impl OfflineLog {
    /// Where the log was pruned to; `None` if it begins with genesis.
    ///
    /// It is what the first volume's header says. [`verify`](crate::verify)
    /// compares that with the record of the pruning.
    pub fn boundary(&self) -> Result<Option<Boundary>, ReadError> {
        let first = self.first_seq();
        if first == 0 {
            return Ok(None);
        }
        let header = self.store.header(first)?;
        Ok(Some(Boundary {
            log_id: header.identity.log_id,
            incarnation: header.identity.incarnation,
            seq: header.first_seq,
            time: header.time_before,
            chain_hash: header.hash_before,
            frontier: header
                .frontier
                .hashes()
                .iter()
                .copied()
                .map(Digest)
                .collect(),
        }))
    }
}
