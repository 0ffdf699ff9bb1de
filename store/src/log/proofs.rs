//! Checkpoints and proofs of a running log, about what is durable.

use super::EventLog;
use crate::digest::Digest;
use crate::note::{
    ConsistencyProof, EventProof, ForkEvidence, InclusionProof, NoteSigner, ProveError,
    SignedCheckpoint, VerifierKey,
};
use crate::tree::Prover;

impl EventLog {
    pub(crate) fn prover(&self) -> Prover<'_> {
        let shared = self.shared();
        Prover {
            store: &shared.store,
            identity: shared.identity,
            head: shared.head(),
        }
    }

    /// A signed checkpoint of the durable end of the log. If genesis names a
    /// key, no other key is let sign.
    ///
    /// A log that went on after its tail was lost has another tree from there
    /// on. If checkpoints of what was lost are about, sign for another origin
    /// from then on: together with them, its checkpoints are evidence of a
    /// fork.
    pub fn checkpoint(&self, signer: &NoteSigner) -> Result<SignedCheckpoint, ProveError> {
        self.prover().checkpoint(signer)
    }

    /// The root of the tree over the first `size` events, genesis included.
    pub fn tree_root(&self, size: u64) -> Result<Digest, ProveError> {
        self.prover().tree_root(size)
    }

    /// The path from leaf `seq` to the root of the tree over the first `size`
    /// events, the leaf's sibling first (RFC 6962, section 2.1.1). For
    /// [`verify_inclusion`](crate::verify_inclusion).
    pub fn inclusion_path(&self, seq: u64, size: u64) -> Result<Vec<Digest>, ProveError> {
        self.prover().inclusion_path(seq, size)
    }

    /// The proof that the tree over the first `new_size` events extends the
    /// one over the first `old_size` (RFC 6962, section 2.1.2). For
    /// [`verify_consistency`](crate::verify_consistency).
    pub fn consistency_path(
        &self,
        old_size: u64,
        new_size: u64,
    ) -> Result<Vec<Digest>, ProveError> {
        self.prover().consistency_path(old_size, new_size)
    }

    /// Proves that the chain hash of event `seq` is in the tree of a
    /// checkpoint of this log.
    pub fn prove_inclusion(
        &self,
        seq: u64,
        checkpoint: &SignedCheckpoint,
    ) -> Result<InclusionProof, ProveError> {
        self.prover().prove_inclusion(seq, checkpoint)
    }

    /// Proves that event `seq` is in the tree of a checkpoint of this log, for
    /// somebody who has nothing but the proof and perhaps the event.
    pub fn prove_event(
        &self,
        seq: u64,
        checkpoint: &SignedCheckpoint,
    ) -> Result<EventProof, ProveError> {
        self.prover().prove_event(seq, checkpoint)
    }

    /// Proves that the tree of a checkpoint of this log extends the one over
    /// the first `old_size` events.
    pub fn prove_consistency(
        &self,
        old_size: u64,
        checkpoint: &SignedCheckpoint,
    ) -> Result<ConsistencyProof, ProveError> {
        self.prover().prove_consistency(old_size, checkpoint)
    }

    /// Evidence that `theirs`, signed by the same key for the same origin, is
    /// not of this log's history, against a checkpoint of the head that is
    /// signed for it. A checkpoint that does belong to this log is refused,
    /// and one that is beyond its head: only the log it is of can tell what it
    /// extends.
    pub fn fork_evidence(
        &self,
        theirs: &SignedCheckpoint,
        signer: &NoteSigner,
    ) -> Result<ForkEvidence, ProveError> {
        let prover = self.prover();
        let ours = prover.checkpoint(signer)?;
        prover.fork_evidence(theirs, &ours, signer.verifier())
    }

    /// The same for who has no private key: `ours` is a checkpoint of this
    /// log, of at least the size of `theirs`, that `key` signed before.
    pub fn fork_evidence_between(
        &self,
        theirs: &SignedCheckpoint,
        ours: &SignedCheckpoint,
        key: &VerifierKey,
    ) -> Result<ForkEvidence, ProveError> {
        self.prover().fork_evidence(theirs, ours, key)
    }
}
