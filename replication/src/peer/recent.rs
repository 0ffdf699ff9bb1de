//! The changes that came last from the peer.
//!
//! They need not be pushed back to where they came from, and two different
//! ones under one number are evidence against their owner. The documents find
//! every such fork in the end; here it is found, with both signatures, while
//! both changes are still at hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use vsm_core::Digest;

use super::changes::{CheckedChange, DocumentId, SignedChange};
use crate::actor::Actor;

/// The most changes that are remembered.
const CHANGES_MAX: usize = 1_024;
/// The most bytes that they have together.
const BYTES_MAX: usize = 1 << 20;

/// The most changes that were known already of which that is remembered.
const PASSED_OVER_MAX: usize = 16_384;

type Key = (DocumentId, Actor, u64);

#[derive(Debug, Default)]
pub(super) struct Recent {
    changes: BTreeMap<Key, CheckedChange>,
    /// Digests of their bytes.
    digests: BTreeSet<Digest>,
    order: VecDeque<Key>,
    bytes: usize,
    /// Digests of changes that were known already, in the order in which they
    /// came.
    passed_over: VecDeque<Digest>,
    known: BTreeSet<Digest>,
}

impl Recent {
    /// The peer has a change that this node has too.
    pub(super) fn passed_over(&mut self, change: &SignedChange) {
        let digest = Digest::of(&change.bytes);
        if self.known.insert(digest) {
            self.passed_over.push_back(digest);
        }
        if self.passed_over.len() > PASSED_OVER_MAX
            && let Some(oldest) = self.passed_over.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Remembers a change. Gives another one under the same number, if that is
    /// remembered.
    pub(super) fn insert(&mut self, change: &CheckedChange) -> Option<SignedChange> {
        let key = (change.change.document, change.actor, change.number);
        if let Some(known) = self.changes.get(&key) {
            let forked = known.hash != change.hash;
            return forked.then(|| known.change.clone());
        }
        self.bytes += change.change.bytes.len();
        self.digests.insert(Digest::of(&change.change.bytes));
        self.changes.insert(key, change.clone());
        self.order.push_back(key);
        while self.order.len() > CHANGES_MAX || self.bytes > BYTES_MAX {
            let oldest = self.order.pop_front();
            let Some(gone) = oldest.and_then(|key| self.changes.remove(&key)) else {
                break;
            };
            self.bytes -= gone.change.bytes.len();
            self.digests.remove(&Digest::of(&gone.change.bytes));
        }
        None
    }

    /// Whether the peer sent this change lately.
    pub(super) fn came_from_peer(&self, change: &SignedChange) -> bool {
        let digest = Digest::of(&change.bytes);
        self.digests.contains(&digest) || self.known.contains(&digest)
    }
}
