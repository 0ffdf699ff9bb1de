//! Paths that lead to a known root.
//!
//! The root at the head is known. That of an earlier size is computed, and
//! proven to belong to the head's tree before it is used. What does not fit
//! may be a wrong tile: the tiles are then computed again from the events. If
//! it still does not fit, the events are not what was written.

use super::nodes::{Cost, LogNodes};
use super::proof::{Nodes, consistency, inclusion, root};
use super::{ProofError, Prover, verify_consistency, verify_inclusion};
use crate::digest::Digest;
use crate::error::{Fault, ReadError};
use crate::note::{ProveError, SignedCheckpoint};

/// A path that leads to a root of this log.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) root: Digest,
    pub(super) path: Vec<Digest>,
}

impl Proven {
    /// The path, if that is the root of the checkpoint: proofs are made only
    /// for checkpoints of this log.
    pub(super) fn under(self, checkpoint: &SignedCheckpoint) -> Result<Vec<Digest>, ProveError> {
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
    /// The root of the tree over the first `size` events.
    pub(super) fn root_at(&self, size: u64) -> Result<Digest, ProveError> {
        self.reaches(size)?;
        self.attempt(|nodes| self.known_root(nodes, size))
            .map(|(root, _)| root)
    }

    pub(super) fn inclusion_with_cost(
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

    pub(super) fn consistency_with_cost(
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
