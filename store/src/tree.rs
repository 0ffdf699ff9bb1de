//! The Merkle tree over the log: RFC 6962 with SHA-256, one leaf per event,
//! the leaf's entry being the event's 32-byte chain hash.
//!
//! ```text
//! leaf = SHA-256(00 ‖ chain hash)        node = SHA-256(01 ‖ left ‖ right)
//! ```
//!
//! Only the frontier is kept: the roots of the complete subtrees, largest
//! first, one per set bit of the size. It is enough to grow the tree and to
//! compute its root.

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

type Hash = [u8; 32];

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
        let mut leaf = [0; 33];
        leaf[1..].copy_from_slice(&chain_hash.0);
        let mut hash: Hash = Sha256::digest(leaf).into();
        // Each trailing one bit of the size is a complete subtree that the new
        // leaf closes.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.hashes.pop() {
                hash = node(&left, &hash);
            }
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// The root; that of the empty tree is SHA-256 of nothing.
    pub(crate) fn root(&self) -> Digest {
        let mut subtrees = self.hashes.iter().rev();
        let Some(&smallest) = subtrees.next() else {
            return Digest(Sha256::digest([]).into());
        };
        Digest(subtrees.fold(smallest, |right, left| node(left, &right)))
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
