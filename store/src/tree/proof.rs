//! Making proofs, as RFC 6962, sections 2.1, 2.1.1 and 2.1.2, defines them: by
//! recursion over ranges of leaves, down to complete subtrees.

use super::{Hash, empty_root, node};
use crate::digest::Digest;

/// Whatever can give the roots of complete subtrees.
pub(super) trait Nodes {
    type Error;

    /// The root of the subtree over the leaves from `start`, a multiple of
    /// `2^height`, to before `start + 2^height`; all of them are in the tree.
    fn subtree(&mut self, start: u64, height: u32) -> Result<Hash, Self::Error>;
}

/// The root of the tree over the first `size` leaves.
pub(super) fn root<N: Nodes>(nodes: &mut N, size: u64) -> Result<Digest, N::Error> {
    if size == 0 {
        return Ok(empty_root());
    }
    range(nodes, 0, size).map(Digest)
}

/// The path from leaf `index` to the root over the first `size` leaves, the
/// leaf's sibling first. `index` is below `size`.
pub(super) fn inclusion<N: Nodes>(
    nodes: &mut N,
    index: u64,
    size: u64,
) -> Result<Vec<Digest>, N::Error> {
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    // From the root down; the path is told from the leaf up.
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(Digest(range(nodes, middle, end)?));
            end = middle;
        } else {
            path.push(Digest(range(nodes, start, middle)?));
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree over the first `new` leaves extends the one over
/// the first `old`; `old` is at most `new`.
pub(super) fn consistency<N: Nodes>(
    nodes: &mut N,
    old: u64,
    new: u64,
) -> Result<Vec<Digest>, N::Error> {
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut start, mut end) = (0, new);
    let mut path = Vec::new();
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(Digest(range(nodes, middle, end)?));
            end = middle;
        } else {
            path.push(Digest(range(nodes, start, middle)?));
            start = middle;
        }
    }
    // What is left ends the old tree. If it is all of it, its root is known.
    if start != 0 {
        path.push(Digest(range(nodes, start, end)?));
    }
    path.reverse();
    Ok(path)
}

/// The largest power of two below `len`, which is at least 2.
fn split(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}

/// The hash over a range that ends with the tree, or is a subtree of it.
fn range<N: Nodes>(nodes: &mut N, start: u64, end: u64) -> Result<Hash, N::Error> {
    let len = end - start;
    if len.is_power_of_two() {
        return nodes.subtree(start, len.trailing_zeros());
    }
    let middle = start + split(len);
    let left = nodes.subtree(start, (middle - start).trailing_zeros())?;
    let right = range(nodes, middle, end)?;
    Ok(node(&left, &right))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::tree::{ProofError, leaf_hash, verify_consistency, verify_inclusion};

    /// Leaf hashes; subtrees are computed as RFC 6962 defines them.
    struct Plain(Vec<Hash>);

    impl Nodes for Plain {
        type Error = Infallible;

        fn subtree(&mut self, start: u64, height: u32) -> Result<Hash, Infallible> {
            let start = usize::try_from(start).expect("tests are small");
            Ok(mth(&self.0[start..start + (1 << height)]))
        }
    }

    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            _ => {
                let middle = leaves.len().next_power_of_two() / 2;
                node(&mth(&leaves[..middle]), &mth(&leaves[middle..]))
            }
        }
    }

    /// `PATH(m, D[n])`.
    fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (mut found, sibling) = if m < k {
            (path(m, &leaves[..k]), mth(&leaves[k..]))
        } else {
            (path(m - k, &leaves[k..]), mth(&leaves[..k]))
        };
        found.push(sibling);
        found
    }

    /// `SUBPROOF(m, D[n], b)`.
    fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { vec![mth(leaves)] };
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (mut found, sibling) = if m <= k {
            (subproof(m, &leaves[..k], whole), mth(&leaves[k..]))
        } else {
            (subproof(m - k, &leaves[k..], false), mth(&leaves[..k]))
        };
        found.push(sibling);
        found
    }

    fn leaves(count: u16) -> Vec<Hash> {
        let entry = |n: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&n.to_be_bytes());
            leaf_hash(&Digest(bytes)).0
        };
        (0..count).map(entry).collect()
    }

    fn digests(hashes: Vec<Hash>) -> Vec<Digest> {
        hashes.into_iter().map(Digest).collect()
    }

    #[test]
    fn inclusion_is_that_of_the_definition_for_all_trees_up_to_256() {
        let all = leaves(256);
        let mut nodes = Plain(all.clone());
        for size in 1..=256u64 {
            let tree = &all[..usize::try_from(size).expect("small")];
            let whole = Digest(mth(tree));
            assert_eq!(root(&mut nodes, size), Ok(whole));
            for index in 0..size {
                let made = inclusion(&mut nodes, index, size).expect("can't fail");
                let at = usize::try_from(index).expect("small");
                assert_eq!(made, digests(path(at, tree)), "{index} of {size}");
                let leaf = Digest(tree[at]);
                assert_eq!(verify_inclusion(index, size, &leaf, &whole, &made), Ok(()));
                let other = Digest(all[(at + 1) % 256]);
                let wrong = verify_inclusion(index, size, &other, &whole, &made);
                assert_eq!(wrong, Err(ProofError::RootMismatch), "{index} of {size}");
            }
        }
    }

    #[test]
    fn consistency_is_that_of_the_definition_for_all_pairs_up_to_256() {
        let all = leaves(256);
        let mut nodes = Plain(all.clone());
        let roots: Vec<_> = (0..=256).map(|size| Digest(mth(&all[..size]))).collect();
        for (new, new_root) in (0..=256u64).zip(&roots) {
            let tree = &all[..usize::try_from(new).expect("small")];
            for (old, old_root) in (0..=new).zip(&roots) {
                let made = consistency(&mut nodes, old, new).expect("can't fail");
                if old > 0 {
                    let at = usize::try_from(old).expect("small");
                    assert_eq!(made, digests(subproof(at, tree, true)), "{old} to {new}");
                }
                let check = |old_root, new_root, path: &[Digest]| {
                    verify_consistency(old, old_root, new, new_root, path)
                };
                assert_eq!(check(old_root, new_root, &made), Ok(()), "{old} to {new}");
                let other = Digest([1; 32]);
                assert!(check(&other, new_root, &made).is_err(), "{old} to {new}");
                if old > 0 {
                    assert!(check(old_root, &other, &made).is_err(), "{old} to {new}");
                }
                let longer = [&made[..], &[other]].concat();
                let refused = check(old_root, new_root, &longer);
                assert!(matches!(refused, Err(ProofError::PathTooLong { .. })));
                if let Some((_, shorter)) = made.split_last() {
                    let refused = check(old_root, new_root, shorter);
                    assert!(refused.is_err(), "{old} to {new}");
                }
            }
        }
    }

    #[test]
    fn no_proof_fits_another_index_or_size() {
        let all = leaves(40);
        let mut nodes = Plain(all.clone());
        for size in 1..=40u64 {
            let whole = root(&mut nodes, size).expect("can't fail");
            for index in 0..size {
                let made = inclusion(&mut nodes, index, size).expect("can't fail");
                let leaf = Digest(all[usize::try_from(index).expect("small")]);
                for at in 0..=41 {
                    let wrong = verify_inclusion(at, size, &leaf, &whole, &made);
                    assert_eq!(wrong.is_ok(), at == index, "{index} as {at} of {size}");
                }
            }
            for old in 1..size {
                let made = consistency(&mut nodes, old, size).expect("can't fail");
                let old_root = root(&mut nodes, old).expect("can't fail");
                for at in 0..=41 {
                    let wrong = verify_consistency(at, &old_root, size, &whole, &made);
                    assert_eq!(wrong.is_ok(), at == old, "{old} as {at} to {size}");
                }
            }
        }
    }

    /// The tree that Certificate Transparency's implementations test with:
    /// eight entries, and the root over them.
    #[test]
    fn the_known_tree_of_eight_entries_has_its_known_root() {
        let entries = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let leaf = |entry: &str| -> Hash {
            let bytes = (0..entry.len()).step_by(2);
            let bytes = bytes.map(|at| u8::from_str_radix(&entry[at..at + 2], 16));
            let bytes: Vec<u8> = bytes.map(|byte| byte.expect("hexadecimal")).collect();
            Sha256::digest([&[0][..], &bytes].concat()).into()
        };
        let mut nodes = Plain(entries.map(leaf).to_vec());
        let root = root(&mut nodes, 8).expect("can't fail").to_string();
        let known = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
        assert_eq!(root, known);
    }
}
