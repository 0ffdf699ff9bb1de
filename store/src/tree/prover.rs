//! Proofs about a log. None is given out that does not lead to the root the
//! log is known to have.
//!
//! The root at the head is known. That of an earlier size is computed, and
//! proven to belong to the head's tree before it is used. What does not fit
//! may be a wrong tile: the tiles are then computed again from the events. If
//! it still does not fit, the events are not what was written.

use std::sync::Arc;

use super::nodes::{Cost, LogNodes};
use super::proof::{Nodes, consistency, inclusion, root};
use super::{ProofError, verify_consistency, verify_inclusion};
use crate::digest::Digest;
use crate::error::{Fault, ReadError};
use crate::event::Event;
use crate::format::header::HEADER_LEN;
use crate::log::identity::LogIdentity;
use crate::log::progress::Progress;
use crate::log::shared::Head;
use crate::log::store::Store;
use crate::note::{
    Checkpoint, ConsistencyProof, EventProof, ForkEvidence, InclusionProof, NoteSigner, ProveError,
    SignedCheckpoint, VerifierKey,
};
use crate::reader::Reader;

/// Makes proofs about the log up to `head`.
pub(crate) struct Prover<'a> {
    pub(crate) store: &'a Arc<Store>,
    pub(crate) identity: LogIdentity,
    pub(crate) head: Head,
}

/// A path that leads to a root of this log.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) root: Digest,
    pub(crate) path: Vec<Digest>,
}

impl Proven {
    /// The path, if that is the root of the checkpoint: proofs are made only
    /// for checkpoints of this log.
    fn under(self, checkpoint: &SignedCheckpoint) -> Result<Vec<Digest>, ProveError> {
        if self.root != checkpoint.root() {
            return Err(ProveError::OtherTree {
                size: checkpoint.size(),
            });
        }
        Ok(self.path)
    }
}

/// Why an attempt gave no proof.
enum Miss {
    /// It does not lead to the known root.
    Misfit,
    Failed(ProveError),
}

impl From<ProveError> for Miss {
    fn from(error: ProveError) -> Self {
        Self::Failed(error)
    }
}

impl From<ProofError> for Miss {
    fn from(_: ProofError) -> Self {
        Self::Misfit
    }
}

impl Prover<'_> {
    /// A checkpoint of the head.
    pub(crate) fn checkpoint(&self, signer: &NoteSigner) -> Result<SignedCheckpoint, ProveError> {
        let expected = self.identity.node_key;
        let found = signer.public_key();
        if expected != [0; 32] && expected != found {
            return Err(ProveError::WrongKey {
                expected: Digest(expected),
                found: Digest(found),
            });
        }
        let head = &self.head;
        let checkpoint = Checkpoint::new(signer.origin(), head.tree_size, head.tree_root)?
            .chain(head.chain_hash)?;
        Ok(signer.sign_checkpoint(checkpoint)?)
    }

    /// The root of the tree over the first `size` events.
    pub(crate) fn tree_root(&self, size: u64) -> Result<Digest, ProveError> {
        self.reaches(size)?;
        self.attempt(|nodes| self.known_root(nodes, size))
            .map(|(root, _)| root)
    }

    /// See [`EventLog::inclusion_path`](crate::EventLog::inclusion_path).
    pub(crate) fn inclusion_path(&self, seq: u64, size: u64) -> Result<Vec<Digest>, ProveError> {
        let (proven, _) = self.inclusion_with_cost(seq, size)?;
        Ok(proven.path)
    }

    pub(crate) fn inclusion_with_cost(
        &self,
        seq: u64,
        size: u64,
    ) -> Result<(Proven, Cost), ProveError> {
        self.reaches(size)?;
        if seq >= size {
            return Err(ProofError::IndexOutside { index: seq, size }.into());
        }
        self.attempt(|nodes| {
            let root = self.known_root(nodes, size)?;
            let leaf = Digest(nodes.subtree(seq, 0)?);
            let path = inclusion(nodes, seq, size)?;
            verify_inclusion(seq, size, &leaf, &root, &path)?;
            Ok(Proven { root, path })
        })
    }

    /// See [`EventLog::consistency_path`](crate::EventLog::consistency_path).
    pub(crate) fn consistency_path(&self, old: u64, new: u64) -> Result<Vec<Digest>, ProveError> {
        let (proven, _) = self.consistency_with_cost(old, new)?;
        Ok(proven.path)
    }

    pub(crate) fn consistency_with_cost(
        &self,
        old: u64,
        new: u64,
    ) -> Result<(Proven, Cost), ProveError> {
        self.reaches(new)?;
        if old > new {
            return Err(ProofError::SizesReversed { old, new }.into());
        }
        self.attempt(|nodes| {
            let old_root = self.known_root(nodes, old)?;
            let new_root = self.known_root(nodes, new)?;
            let path = consistency(nodes, old, new)?;
            verify_consistency(old, &old_root, new, &new_root, &path)?;
            Ok(Proven {
                root: new_root,
                path,
            })
        })
    }

    pub(crate) fn prove_inclusion(
        &self,
        seq: u64,
        checkpoint: &SignedCheckpoint,
    ) -> Result<InclusionProof, ProveError> {
        let (proven, _) = self.inclusion_with_cost(seq, checkpoint.size())?;
        let path = proven.under(checkpoint)?;
        Ok(InclusionProof::new(seq, path, checkpoint.clone())?)
    }

    pub(crate) fn prove_event(
        &self,
        seq: u64,
        checkpoint: &SignedCheckpoint,
    ) -> Result<EventProof, ProveError> {
        let proof = self.prove_inclusion(seq, checkpoint)?;
        let header = self.header(seq)?;
        Ok(EventProof::new(&header, proof)?)
    }

    pub(crate) fn prove_consistency(
        &self,
        old_size: u64,
        checkpoint: &SignedCheckpoint,
    ) -> Result<ConsistencyProof, ProveError> {
        let (proven, _) = self.consistency_with_cost(old_size, checkpoint.size())?;
        let path = proven.under(checkpoint)?;
        Ok(ConsistencyProof::new(old_size, path, checkpoint.clone())?)
    }

    pub(crate) fn fork_evidence(
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

    fn header(&self, seq: u64) -> Result<[u8; HEADER_LEN], ProveError> {
        let progress = Arc::new(Progress::new(self.head.seq));
        let mut reader = Reader::new(Arc::clone(self.store), progress, seq).hashed(true);
        let event = reader.next().transpose()?;
        let header = event.as_ref().and_then(Event::header).copied();
        let missing = || ReadError::from(Fault::corrupt(seq, "event is missing"));
        Ok(header.ok_or_else(missing)?)
    }

    fn reaches(&self, size: u64) -> Result<(), ProveError> {
        let tree_size = self.head.tree_size;
        if size > tree_size {
            return Err(ProveError::NotDurable { size, tree_size });
        }
        Ok(())
    }

    /// The root at `size`, which the head's tree was shown to extend.
    fn known_root(&self, nodes: &mut LogNodes, size: u64) -> Result<Digest, Miss> {
        let head = &self.head;
        if size == head.tree_size {
            return Ok(head.tree_root);
        }
        let found = root(nodes, size)?;
        let path = consistency(nodes, size, head.tree_size)?;
        verify_consistency(size, &found, head.tree_size, &head.tree_root, &path)?;
        Ok(found)
    }

    fn attempt<T>(
        &self,
        work: impl Fn(&mut LogNodes) -> Result<T, Miss>,
    ) -> Result<(T, Cost), ProveError> {
        let mut cost = Cost::default();
        let mut kept_from = 0;
        // As it is; with what the events say in place of tiles; without tiles
        // about events that are no longer there.
        for attempt in 0..3 {
            if attempt > 0 {
                let leaves = if attempt == 1 { kept_from } else { 0 };
                tracing::warn!(
                    from = leaves,
                    "a proof does not fit the log's root, computing its tiles again"
                );
                self.store.tiles.cut(leaves);
            }
            let mut nodes = LogNodes::new(self.store, self.head.tree_size)?;
            kept_from = nodes.kept_from();
            let outcome = work(&mut nodes);
            cost.events += nodes.cost.events;
            cost.roots += nodes.cost.roots;
            match outcome {
                Ok(made) => return Ok((made, cost)),
                Err(Miss::Failed(error)) => return Err(error),
                Err(Miss::Misfit) if attempt == 1 && kept_from == 0 => break,
                Err(Miss::Misfit) => {}
            }
        }
        let what = format!(
            "the events do not give the root of the head, sequence {}; verify the log",
            self.head.seq
        );
        Err(ReadError::from(Fault::corrupt(kept_from, what)).into())
    }
}
