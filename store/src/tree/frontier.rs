//! The frontier: the roots of the complete subtrees, largest first, one per
//! set bit of the size. It is enough to grow the tree and to compute its root.

use super::{Hash, empty_root, leaf_hash, node};
use crate::digest::Digest;

/// The compact form of the tree over the first `size` events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// Puts a stored frontier together, if the number of hashes fits the size.
    pub(crate) fn from_parts(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        (hashes.len() == size.count_ones() as usize).then_some(Self { size, hashes })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The number of hashes, as the format stores it.
    pub(crate) fn count(&self) -> u8 {
        u8::try_from(self.hashes.len()).expect("a 64-bit size has at most 64 bits set")
    }

    /// Adds the next event.
    pub(crate) fn push(&mut self, chain_hash: &Digest) {
        self.push_with(chain_hash, |_, _| {});
    }

    /// Adds the next event, and tells `completed` the height and the root of
    /// every subtree of two leaves or more that it completes, lowest first.
    /// Such a subtree ends with the new leaf.
    pub(crate) fn push_with(&mut self, chain_hash: &Digest, mut completed: impl FnMut(u32, &Hash)) {
        let mut hash: Hash = leaf_hash(chain_hash).0;
        // Each trailing one bit of the size is a complete subtree that the new
        // leaf closes.
        for height in 1..=self.size.trailing_ones() {
            if let Some(left) = self.hashes.pop() {
                hash = node(&left, &hash);
                completed(height, &hash);
            }
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// The root of the complete subtree of `2^height` leaves that starts at
    /// leaf `start`, if it is one of those kept.
    pub(crate) fn subtree(&self, start: u64, height: u32) -> Option<&Hash> {
        if height >= u64::BITS || self.size >> height & 1 == 0 {
            return None;
        }
        // The subtrees that stand before it are those of the higher bits.
        let higher = self.size.checked_shr(height + 1).unwrap_or(0);
        let starts_at = higher.checked_shl(height + 1).unwrap_or(0);
        (starts_at == start).then(|| &self.hashes[higher.count_ones() as usize])
    }

    /// The root; that of the empty tree is SHA-256 of nothing.
    pub(crate) fn root(&self) -> Digest {
        let mut subtrees = self.hashes.iter().rev();
        let Some(&smallest) = subtrees.next() else {
            return empty_root();
        };
        Digest(subtrees.fold(smallest, |right, left| node(left, &right)))
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn index(number: u64) -> usize {
        usize::try_from(number).expect("tests are small")
    }

    /// RFC 6962, section 2.1, as it is written there.
    fn by_definition(leaves: &[Digest]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => Sha256::digest([&[0][..], &one.0].concat()).into(),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node(
                    &by_definition(&leaves[..split]),
                    &by_definition(&leaves[split..]),
                )
            }
        }
    }

    #[test]
    fn the_root_is_that_of_the_definition_at_every_size() {
        let leaves: Vec<_> = (0..70u8).map(|n| Digest([n; 32])).collect();
        let mut frontier = Frontier::default();
        for size in 0..=leaves.len() {
            assert_eq!(
                frontier.root().0,
                by_definition(&leaves[..size]),
                "size {size}"
            );
            assert!(Frontier::from_parts(frontier.size(), frontier.hashes().to_vec()).is_some());
            if let Some(leaf) = leaves.get(size) {
                frontier.push(leaf);
            }
        }
    }

    #[test]
    fn completed_subtrees_are_told_lowest_first_and_found_again() {
        let mut frontier = Frontier::default();
        let leaves: Vec<_> = (0..64u8).map(|n| Digest([n; 32])).collect();
        for (leaf, size) in leaves.iter().zip(1usize..) {
            let mut told = Vec::new();
            frontier.push_with(leaf, |height, root| told.push((height, *root)));
            let heights: Vec<_> = (1..=size.trailing_zeros()).collect();
            assert_eq!(told.iter().map(|it| it.0).collect::<Vec<_>>(), heights);
            for (height, root) in told {
                let range = size - (1 << height)..size;
                assert_eq!(root, by_definition(&leaves[range]), "{height} at {size}");
            }
            for height in 0..7 {
                for start in (0..64u64).step_by(1 << height) {
                    let end = start + (1 << height);
                    let kept =
                        size as u64 >> height & 1 == 1 && end == size as u64 >> height << height;
                    let found = frontier.subtree(start, height);
                    assert_eq!(found.is_some(), kept, "{start} {height} {size}");
                    if let Some(root) = found {
                        let range = &leaves[index(start)..index(end)];
                        assert_eq!(*root, by_definition(range));
                    }
                }
            }
        }
    }
}
