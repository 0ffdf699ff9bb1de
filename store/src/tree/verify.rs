//! Checking proofs, for whoever has nothing but hashes.
//!
//! The algorithms are those of RFC 9162, sections 2.1.3.2 and 2.1.4.2: they
//! walk the bits of the index or sizes and know nothing of how the proof was
//! made. The trees and proofs are the same as those of RFC 6962.

use sha2::{Digest as _, Sha256};

use super::node;
use crate::digest::Digest;

/// Why a proof does not prove what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The leaf is not in a tree of that size.
    #[error("leaf {index} is outside of a tree of {size} leaves")]
    IndexOutside {
        /// The leaf's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The tree that should be the later one is the smaller one.
    #[error("the old size {old} is above the new size {new}; give the smaller tree first")]
    SizesReversed {
        /// The size given as the old one.
        old: u64,
        /// The size given as the new one.
        new: u64,
    },
    /// The path has fewer hashes than a tree of that size needs.
    #[error("the path is too short: it ends after {found} hashes, below the root")]
    PathTooShort {
        /// The hashes there are.
        found: usize,
    },
    /// The path has more hashes than a tree of that size can use.
    #[error("the path is too long: it has {found} hashes and reaches the root with {used}")]
    PathTooLong {
        /// The hashes there are.
        found: usize,
        /// The hashes that lead to the root.
        used: usize,
    },
    /// The path leads to another root than that of the (new) tree.
    #[error("the path leads to another root than the tree's")]
    RootMismatch,
    /// The path leads to another root than that of the old tree.
    #[error("the path leads to another root than the old tree's")]
    OldRootMismatch,
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Digest {
    Digest(Sha256::digest([]).into())
}

/// Checks that `leaf` (see [`leaf_hash`](crate::leaf_hash)) is leaf number
/// `index`, counted from 0, of the tree with `size` leaves and root `root`.
/// The path starts with the leaf's sibling. RFC 9162, section 2.1.3.2.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Digest,
    root: &Digest,
    path: &[Digest],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutside { index, size });
    }
    let mut walk = Walk::new(index, size - 1);
    let mut hash = leaf.0;
    for (step, sibling) in path.iter().enumerate() {
        walk.below_root(path.len(), step)?;
        if walk.sibling_is_left() {
            hash = node(&sibling.0, &hash);
            walk.skip_missing_siblings();
        } else {
            hash = node(&hash, &sibling.0);
        }
        walk.up();
    }
    walk.at_root(path.len())?;
    if hash != root.0 {
        return Err(ProofError::RootMismatch);
    }
    Ok(())
}

/// Checks that the tree with `new_size` leaves and root `new_root` holds the
/// first `old_size` leaves as the tree with root `old_root` does. RFC 9162,
/// section 2.1.4.2.
///
/// Everything extends the tree without leaves, and every tree itself; both
/// have an empty path.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    path: &[Digest],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::SizesReversed {
            old: old_size,
            new: new_size,
        });
    }
    if old_size == 0 && *old_root != empty_root() {
        return Err(ProofError::OldRootMismatch);
    }
    if old_size == new_size && old_root != new_root {
        return Err(ProofError::RootMismatch);
    }
    if old_size == 0 || old_size == new_size {
        return match path.len() {
            0 => Ok(()),
            found => Err(ProofError::PathTooLong { found, used: 0 }),
        };
    }
    let mut walk = Walk::new(old_size - 1, new_size - 1);
    walk.skip_right_turns();
    // A complete old tree is a node of the new one; its root is known and so
    // not in the path.
    let (start, rest) = if old_size.is_power_of_two() {
        (old_root, path)
    } else {
        let split = path.split_first();
        split.ok_or(ProofError::PathTooShort { found: 0 })?
    };
    let used_before = path.len() - rest.len();
    let (mut old, mut new) = (start.0, start.0);
    for (step, sibling) in rest.iter().enumerate() {
        walk.below_root(path.len(), used_before + step)?;
        if walk.sibling_is_left() {
            old = node(&sibling.0, &old);
            new = node(&sibling.0, &new);
            walk.skip_missing_siblings();
        } else {
            new = node(&new, &sibling.0);
        }
        walk.up();
    }
    walk.at_root(path.len())?;
    if new != new_root.0 {
        return Err(ProofError::RootMismatch);
    }
    if old != old_root.0 {
        return Err(ProofError::OldRootMismatch);
    }
    Ok(())
}

/// A way up from a leaf: its place, and that of the last leaf of the tree, in
/// the level that was reached.
struct Walk {
    at: u64,
    last: u64,
}

impl Walk {
    fn new(at: u64, last: u64) -> Self {
        Self { at, last }
    }

    fn up(&mut self) {
        self.at >>= 1;
        self.last >>= 1;
    }

    fn below_root(&self, found: usize, used: usize) -> Result<(), ProofError> {
        if self.last == 0 {
            return Err(ProofError::PathTooLong { found, used });
        }
        Ok(())
    }

    fn at_root(&self, found: usize) -> Result<(), ProofError> {
        if self.last != 0 {
            return Err(ProofError::PathTooShort { found });
        }
        Ok(())
    }

    /// The last node of a level has no right sibling: it waits, unchanged, for
    /// a left one further up.
    fn sibling_is_left(&self) -> bool {
        self.at & 1 == 1 || self.at == self.last
    }

    /// Goes up to the level in which the last node has a left sibling; the
    /// caller then goes past it.
    fn skip_missing_siblings(&mut self) {
        while self.at & 1 == 0 && self.at != 0 {
            self.up();
        }
    }

    /// Goes up for as long as the place is the right one of its pair: the
    /// largest complete subtree that ends the old tree starts there.
    fn skip_right_turns(&mut self) {
        while self.at & 1 == 1 {
            self.up();
        }
    }
}
