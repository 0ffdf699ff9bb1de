//! Checkpoints and proofs, of a running node's log and of a log's files alike.

use vsm_store::{
    Digest, EventLog, LogIdentity, OfflineLog, ReadError,
    note::{Checkpoint, ConsistencyProof, EventProof, NoteSigner, ProveError, SignedCheckpoint},
};

/// A log that proves what it holds.
pub trait Provable {
    /// Which log.
    fn identity(&self) -> LogIdentity;

    /// A signed checkpoint of its end.
    ///
    /// # Errors
    /// When the key is not the log's, or the log can't be read.
    fn end(&self, signer: &NoteSigner) -> Result<SignedCheckpoint, ProveError>;

    /// The root of the tree over the first `size` events.
    ///
    /// # Errors
    /// When the log is not that long, or was pruned so that it can't be told.
    fn root(&self, size: u64) -> Result<Digest, ProveError>;

    /// The chain hash of an event; `None` when it is not there any more.
    ///
    /// # Errors
    /// When the log can't be read.
    fn chain_hash(&self, seq: u64) -> Result<Option<Digest>, ReadError>;

    /// Proves that an event is under a checkpoint of this log.
    ///
    /// # Errors
    /// When it is not, the checkpoint is of another tree, or the log can't be
    /// read.
    fn event(&self, seq: u64, under: &SignedCheckpoint) -> Result<EventProof, ProveError>;

    /// Proves that a checkpoint extends the tree over the first `old` events.
    ///
    /// # Errors
    /// As [`Provable::event`].
    fn consistency(
        &self,
        old: u64,
        under: &SignedCheckpoint,
    ) -> Result<ConsistencyProof, ProveError>;
}

impl Provable for EventLog {
    fn identity(&self) -> LogIdentity {
        Self::identity(self)
    }

    fn end(&self, signer: &NoteSigner) -> Result<SignedCheckpoint, ProveError> {
        self.checkpoint(signer)
    }

    fn root(&self, size: u64) -> Result<Digest, ProveError> {
        self.tree_root(size)
    }

    fn chain_hash(&self, seq: u64) -> Result<Option<Digest>, ReadError> {
        if seq < self.first_seq() {
            return Ok(None);
        }
        let event = self.read(seq).hashed(true).next().transpose()?;
        Ok(event.and_then(|event| event.chain_hash()))
    }

    fn event(&self, seq: u64, under: &SignedCheckpoint) -> Result<EventProof, ProveError> {
        self.prove_event(seq, under)
    }

    fn consistency(
        &self,
        old: u64,
        under: &SignedCheckpoint,
    ) -> Result<ConsistencyProof, ProveError> {
        self.prove_consistency(old, under)
    }
}

impl Provable for OfflineLog {
    fn identity(&self) -> LogIdentity {
        Self::identity(self)
    }

    fn end(&self, signer: &NoteSigner) -> Result<SignedCheckpoint, ProveError> {
        self.checkpoint(signer)
    }

    fn root(&self, size: u64) -> Result<Digest, ProveError> {
        self.tree_root(size)
    }

    fn chain_hash(&self, seq: u64) -> Result<Option<Digest>, ReadError> {
        if seq < self.first_seq() {
            return Ok(None);
        }
        let event = self.read(seq).next().transpose()?;
        Ok(event.and_then(|event| event.chain_hash()))
    }

    fn event(&self, seq: u64, under: &SignedCheckpoint) -> Result<EventProof, ProveError> {
        self.prove_event(seq, under)
    }

    fn consistency(
        &self,
        old: u64,
        under: &SignedCheckpoint,
    ) -> Result<ConsistencyProof, ProveError> {
        self.prove_consistency(old, under)
    }
}

/// A checkpoint of a log's end, or of its first `size` events. Of the same
/// size it is the same text each time, unless the last event was pruned since:
/// then the line with its chain hash is missing.
///
/// # Errors
/// When the log is not that long, the key is not the log's, or the log can't
/// be read.
pub fn checkpoint(
    log: &impl Provable,
    signer: &NoteSigner,
    size: Option<u64>,
) -> Result<SignedCheckpoint, ProveError> {
    // Also for a smaller size: this is what compares the key with the log's.
    let end = log.end(signer)?;
    let Some(size) = size.filter(|size| *size != end.size()) else {
        return Ok(end);
    };
    let mut checkpoint = Checkpoint::new(signer.origin(), size, log.root(size)?)?;
    if let Some(last) = size.checked_sub(1)
        && let Some(hash) = log.chain_hash(last)?
    {
        checkpoint = checkpoint.chain(hash)?;
    }
    Ok(signer.sign_checkpoint(checkpoint)?)
}
