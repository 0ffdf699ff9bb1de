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
//! | `proven`   | gives no path that does not lead to a log's known root      |
//! | `prover`   | signs checkpoints of a log and makes proofs about it        |

mod frontier;
mod nodes;
mod proof;
mod proven;
mod prover;
#[cfg(test)]
mod prover_tests;
mod tiles;
mod verify;

use sha2::compress256;
use sha2::digest::consts::U64;
use sha2::digest::generic_array::GenericArray;

pub(crate) use frontier::Frontier;
pub use prover::Prover;
pub(crate) use tiles::{CompletedRoots, TREE_DIR, Tiles};
pub use verify::{ProofError, empty_root, verify_consistency, verify_inclusion};

use crate::digest::Digest;

type Hash = [u8; 32];

/// The leaf of an event in the log's tree: `SHA-256(00 ‖ chain hash)`, as
/// RFC 6962, section 2.1, has it for an entry of 32 bytes.
pub fn leaf_hash(chain_hash: &Digest) -> Digest {
    Digest(leaf(&chain_hash.0))
}

/// How SHA-256 starts.
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const BLOCK_LEN: usize = 64;

// A leaf and a node are always as long, so that where SHA-256 fills up and what
// it writes there is known: its blocks are put together here, and nothing is
// buffered.

fn leaf(chain_hash: &Hash) -> Hash {
    let mut block = [0; BLOCK_LEN];
    block[1..33].copy_from_slice(chain_hash);
    end_message(&mut block, 33, 33);
    sha256(&[block.into()])
}

/// An inner node: `SHA-256(01 ‖ left ‖ right)`.
fn node(left: &Hash, right: &Hash) -> Hash {
    let mut first = [1; BLOCK_LEN];
    first[1..33].copy_from_slice(left);
    first[33..].copy_from_slice(&right[..31]);
    let mut second = [0; BLOCK_LEN];
    second[0] = right[31];
    end_message(&mut second, 1, 65);
    sha256(&[first.into(), second.into()])
}

/// Fills the last block of a message up: a one bit behind what it uses, and the
/// message's length in bits at its end.
fn end_message(block: &mut [u8; BLOCK_LEN], used: usize, message_len: u64) {
    block[used] = 0x80;
    block[BLOCK_LEN - 8..].copy_from_slice(&(8 * message_len).to_be_bytes());
}

fn sha256(blocks: &[GenericArray<u8, U64>]) -> Hash {
    let mut state = START;
    compress256(&mut state, blocks);
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn leaves_and_nodes_are_what_sha_256_makes_of_them() {
        let mut left = Hash::from(Sha256::digest(b"left"));
        let mut right = Hash::from(Sha256::digest(b"right"));
        for _ in 0..1000 {
            let expected: Hash = Sha256::digest([&[0][..], &left].concat()).into();
            assert_eq!(leaf_hash(&Digest(left)).0, expected);
            left = expected;
            let expected: Hash = Sha256::digest([&[1][..], &left, &right].concat()).into();
            assert_eq!(node(&left, &right), expected);
            right = expected;
        }
    }
}
