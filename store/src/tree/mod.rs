//! The Merkle tree over the log: RFC 6962 with SHA-256, one leaf per event,
//! the leaf's entry being the event's 32-byte chain hash.
//!
//! ```text
//! leaf = SHA-256(00 ‖ chain hash)        node = SHA-256(01 ‖ left ‖ right)
//! ```
//!
//! | module     | what it does                                                |
//! |------------|-------------------------------------------------------------|
//! | `frontier` | grows the tree and gives its root                           |
//! | `tiles`    | keeps the roots of complete subtrees of 256^k leaves        |
//! | `nodes`    | gives any complete subtree's root, from tiles and events    |
//! | `proof`    | makes inclusion and consistency proofs                      |
//! | `verify`   | checks them, sharing nothing with what makes them           |
//! | `prover`   | makes proofs about a log and gives none that does not check |

mod frontier;
mod nodes;
mod proof;
mod prover;
#[cfg(test)]
mod prover_tests;
mod tiles;
mod verify;

use sha2::{Digest as _, Sha256};

pub(crate) use frontier::Frontier;
pub(crate) use prover::Prover;
pub(crate) use tiles::{CompletedRoots, TREE_DIR, Tiles};
pub use verify::{ProofError, empty_root, verify_consistency, verify_inclusion};

use crate::digest::Digest;

type Hash = [u8; 32];

/// The leaf of an event in the log's tree: `SHA-256(00 ‖ chain hash)`, as
/// RFC 6962, section 2.1, has it for an entry of 32 bytes.
pub fn leaf_hash(chain_hash: &Digest) -> Digest {
    let mut bytes = [0; 33];
    bytes[1..].copy_from_slice(&chain_hash.0);
    Digest(Sha256::digest(bytes).into())
}

/// An inner node: `SHA-256(01 ‖ left ‖ right)`.
fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}
