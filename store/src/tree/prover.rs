//! What a log says about itself to others: checkpoints, and proofs under them.
//! None is given out that does not lead to the root the log is known to have.

use std::fmt;
use std::sync::Arc;

use crate::digest::{Digest, chain_hash};
use crate::error::{Fault, ReadError};
use crate::event::Event;
use crate::format::header::HEADER_LEN;
use crate::log::EventLog;
use crate::log::identity::LogIdentity;
use crate::log::progress::Progress;
use crate::log::shared::Head;
use crate::log::store::Store;
use crate::note::{
    Checkpoint, ConsistencyProof, EventProof, ForkEvidence, InclusionProof, NoteSigner, ProveError,
    SignedCheckpoint, VerifierKey,
};
use crate::offline::OfflineLog;
use crate::reader::Reader;

/// Signs checkpoints of a log and proves what is in it, up to the end that the
/// log had when [`EventLog::prover`] or [`OfflineLog::prover`] was called.
///
/// It is pinned to that end: what is appended meanwhile is not in it, so that
/// two calls never speak of different sizes. A checkpoint and the proofs under
/// it come from one prover; what came since takes another one. Making one waits
/// for what is durable to be readable, some milliseconds at most, and any
/// number may be in use.
///
/// What the log no longer has is not pinned. Events that are pruned meanwhile
/// can't be proven any more, and a running log that is closed answers
/// [`ReadError::Closed`].
pub struct Prover<'a> {
    pub(super) store: &'a Arc<Store>,
    identity: LogIdentity,
    pub(super) head: Head,
}

impl EventLog {
    /// What signs checkpoints and makes proofs of all that is durable now.
    pub fn prover(&self) -> Prover<'_> {
        let shared = self.shared();
        Prover {
            store: &shared.store,
            identity: shared.identity,
            head: shared.head(),
        }
    }
}

impl OfflineLog {
    /// What signs checkpoints and makes proofs of the log. Its tile files are
    /// used where they are right; nothing is written.
    pub fn prover(&self) -> Prover<'_> {
        Prover {
            store: &self.store,
            identity: self.identity(),
            head: self.head(),
        }
    }
}

impl Prover<'_> {
    /// The end of the log that all of this is about.
    pub fn head(&self) -> Head {
        self.head
    }

    /// A signed checkpoint of the log up to [`head`](Self::head).
    ///
    /// A log that went on after its tail was lost has another tree from there
    /// on. If checkpoints of what was lost are about, sign for another origin
    /// from then on: together with them, its checkpoints are evidence of a
    /// fork.
    ///
    /// # Errors
    /// [`ProveError::WrongKey`] if genesis names a key and it is another one.
    pub fn checkpoint(&self, signer: &NoteSigner) -> Result<SignedCheckpoint, ProveError> {
        let head = &self.head;
        self.sign(
            signer,
            head.tree_size,
            head.tree_root,
            Some(head.chain_hash),
        )
    }

    /// A signed checkpoint of the first `size` events: the same, byte for byte,
    /// that [`checkpoint`](Self::checkpoint) gave when the log was that long.
    /// Only if the last of these events was pruned, the line with its chain
    /// hash is missing.
    ///
    /// # Errors
    /// [`ProveError::NotDurable`] if the log is not that long,
    /// [`ProveError::Pruned`] if the root can't be told any more,
    /// [`ProveError::WrongKey`] as with `checkpoint`.
    pub fn checkpoint_at(
        &self,
        size: u64,
        signer: &NoteSigner,
    ) -> Result<SignedCheckpoint, ProveError> {
        if size == self.head.tree_size {
            return self.checkpoint(signer);
        }
        let root = self.tree_root(size)?;
        let chain_hash = match size.checked_sub(1) {
            Some(last) => self.chain_hash(last)?,
            None => None,
        };
        self.sign(signer, size, root, chain_hash)
    }

    /// The root of the tree over the first `size` events, genesis included.
    ///
    /// # Errors
    /// [`ProveError::NotDurable`] if the log is not that long,
    /// [`ProveError::Pruned`] if the root can't be told any more.
    pub fn tree_root(&self, size: u64) -> Result<Digest, ProveError> {
        self.root_at(size)
    }

    /// The path from leaf `seq` to the root of the tree over the first `size`
    /// events, the leaf's sibling first (RFC 6962, section 2.1.1). For
    /// [`verify_inclusion`](crate::verify_inclusion).
    ///
    /// # Errors
    /// As [`prove_inclusion`](Self::prove_inclusion).
    pub fn inclusion_path(&self, seq: u64, size: u64) -> Result<Vec<Digest>, ProveError> {
        let (proven, _) = self.inclusion_with_cost(seq, size)?;
        Ok(proven.path)
    }

    /// The proof that the tree over the first `new_size` events extends the
    /// one over the first `old_size` (RFC 6962, section 2.1.2). For
    /// [`verify_consistency`](crate::verify_consistency).
    ///
    /// # Errors
    /// As [`prove_consistency`](Self::prove_consistency).
    pub fn consistency_path(
        &self,
        old_size: u64,
        new_size: u64,
    ) -> Result<Vec<Digest>, ProveError> {
        let (proven, _) = self.consistency_with_cost(old_size, new_size)?;
        Ok(proven.path)
    }

    /// Proves that the chain hash of event `seq` is in the tree of a
    /// checkpoint of this log, which may be an earlier one.
    ///
    /// # Errors
    /// [`ProveError::NotDurable`] if the checkpoint is beyond
    /// [`head`](Self::head), [`ProveError::OtherTree`] if it is not of this
    /// log, [`ProveError::Proof`] if it does not reach to the event,
    /// [`ProveError::Pruned`] if the hashes that it takes were pruned.
    pub fn prove_inclusion(
        &self,
        seq: u64,
        checkpoint: &SignedCheckpoint,
    ) -> Result<InclusionProof, ProveError> {
        let (proven, _) = self.inclusion_with_cost(seq, checkpoint.size())?;
        let path = proven.under(checkpoint)?;
        Ok(InclusionProof::new(seq, path, checkpoint.clone())?)
    }

    /// Proves that event `seq` is in the tree of a checkpoint of this log, for
    /// somebody who has nothing but the proof and perhaps the event.
    ///
    /// # Errors
    /// As [`prove_inclusion`](Self::prove_inclusion).
    pub fn prove_event(
        &self,
        seq: u64,
        checkpoint: &SignedCheckpoint,
    ) -> Result<EventProof, ProveError> {
        let proof = self.prove_inclusion(seq, checkpoint)?;
        let header = self.header(seq)?;
        Ok(EventProof::new(&header, proof)?)
    }

    /// Proves that the tree of a checkpoint of this log extends the one over
    /// the first `old_size` events.
    ///
    /// # Errors
    /// [`ProveError::NotDurable`] if the checkpoint is beyond
    /// [`head`](Self::head), [`ProveError::OtherTree`] if it is not of this
    /// log, [`ProveError::Proof`] if it is of less than `old_size`,
    /// [`ProveError::Pruned`] if the hashes that it takes were pruned.
    pub fn prove_consistency(
        &self,
        old_size: u64,
        checkpoint: &SignedCheckpoint,
    ) -> Result<ConsistencyProof, ProveError> {
        let (proven, _) = self.consistency_with_cost(old_size, checkpoint.size())?;
        let path = proven.under(checkpoint)?;
        Ok(ConsistencyProof::new(old_size, path, checkpoint.clone())?)
    }

    /// Evidence that `theirs`, signed by the same key for the same origin, is
    /// not of this log's history, against a checkpoint of [`head`](Self::head)
    /// that is signed for it.
    ///
    /// # Errors
    /// [`ProveError::Check`] with [`CheckError::NoFork`](crate::note::CheckError::NoFork) if the checkpoint does
    /// belong to this log, with others if it is of another origin or key;
    /// [`ProveError::NotDurable`] if it is beyond `head`: only the log it is of
    /// can tell what it extends.
    pub fn fork_evidence(
        &self,
        theirs: &SignedCheckpoint,
        signer: &NoteSigner,
    ) -> Result<ForkEvidence, ProveError> {
        let ours = self.checkpoint(signer)?;
        self.fork_evidence_between(theirs, &ours, signer.verifier())
    }

    /// The same for who has no private key: `ours` is a checkpoint of this
    /// log, of at least the size of `theirs`, that `key` signed before.
    ///
    /// # Errors
    /// As [`fork_evidence`](Self::fork_evidence), and
    /// [`ProveError::OtherTree`] if `ours` is not of this log.
    pub fn fork_evidence_between(
        &self,
        theirs: &SignedCheckpoint,
        ours: &SignedCheckpoint,
        key: &VerifierKey,
    ) -> Result<ForkEvidence, ProveError> {
        let (old, new) = (theirs.size(), ours.size());
        if old > new {
            return Err(ProveError::NotDurable {
                size: old,
                tree_size: new,
            });
        }
        let (proven, _) = self.consistency_with_cost(old, new)?;
        let path = proven.under(ours)?;
        let link = match old < new {
            true => Some((self.tree_root(old)?, path)),
            false => None,
        };
        Ok(ForkEvidence::of(theirs, ours, key, link)?)
    }

    fn sign(
        &self,
        signer: &NoteSigner,
        size: u64,
        root: Digest,
        chain_hash: Option<Digest>,
    ) -> Result<SignedCheckpoint, ProveError> {
        let expected = self.identity.node_key;
        let found = signer.public_key();
        if expected != [0; 32] && expected != found {
            return Err(ProveError::WrongKey {
                expected: Digest(expected),
                found: Digest(found),
            });
        }
        let mut checkpoint = Checkpoint::new(signer.origin(), size, root)?;
        if let Some(hash) = chain_hash {
            checkpoint = checkpoint.chain(hash)?;
        }
        Ok(signer.sign_checkpoint(checkpoint)?)
    }

    /// The chain hash of event `seq`; `None` if it was pruned.
    fn chain_hash(&self, seq: u64) -> Result<Option<Digest>, ProveError> {
        let header = match self.header(seq) {
            Err(ReadError::Pruned { .. }) => return Ok(None),
            header => header?,
        };
        // A root may be known from tiles while the event is another one. There
        // is no path from it then.
        self.inclusion_path(seq, seq + 1)?;
        Ok(Some(chain_hash(&header)))
    }

    fn header(&self, seq: u64) -> Result<[u8; HEADER_LEN], ReadError> {
        let progress = Arc::new(Progress::new(self.head.seq));
        let mut reader = Reader::new(Arc::clone(self.store), progress, seq).hashed(true);
        let event = reader.next().transpose()?;
        let header = event.as_ref().and_then(Event::header).copied();
        header.ok_or_else(|| Fault::corrupt(seq, "event is missing").into())
    }
}

impl fmt::Debug for Prover<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prover")
            .field("identity", &self.identity)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}
