//! Proofs of inclusion and of consistency: as texts, and made of the parts of
//! good ones.

use arbitrary::{Result, Unstructured};
use vsm_store::Digest;
use vsm_store::note::{ConsistencyProof, EventProof, InclusionProof, SignedCheckpoint};

use super::world::{ORIGIN, Tree, WORLD, World};

/// Reads the bytes as proofs, and makes proofs of them.
pub fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        as_text(text);
    }
    let mut input = Unstructured::new(bytes);
    // An input that ends early makes no proof.
    let _ = of_parts(&mut input);
}

fn as_text(text: &str) {
    if let Ok(proof) = InclusionProof::parse(text) {
        assert_eq!(proof.to_string(), text, "a proof has one form");
        inclusion(&proof);
    }
    if let Ok(proof) = EventProof::parse(text) {
        assert_eq!(proof.to_string(), text, "a proof has one form");
        event(&proof);
    }
    if let Ok(proof) = ConsistencyProof::parse(text) {
        assert_eq!(proof.to_string(), text, "a proof has one form");
        consistency(&proof);
    }
}

fn of_parts(input: &mut Unstructured<'_>) -> Result<()> {
    let signed = any_checkpoint(input)?;
    let tree = &WORLD.trees[input.choose_index(2)?];
    let size = input.choose_index(tree.roots.len())?;
    if input.arbitrary()? {
        let old = input.choose_index(size + 1)?;
        let path = changed(tree.consistency[size][old].clone(), input)?;
        let old = number(old, input)?;
        if let Ok(proof) = ConsistencyProof::new(old, path, signed) {
            as_text(&proof.to_string());
            consistency(&proof);
        }
        return Ok(());
    }
    let index = input.choose_index(size.max(1))?;
    let path = tree.inclusion[size].get(index).cloned();
    let path = changed(path.unwrap_or_default(), input)?;
    let number = number(index, input)?;
    let Ok(proof) = InclusionProof::new(number, path, signed) else {
        return Ok(());
    };
    as_text(&proof.to_string());
    inclusion(&proof);
    let mut header = tree.headers[index];
    if input.ratio(1, 4)? {
        header[input.choose_index(128)?] ^= 1 << input.int_in_range(0..=7)?;
    }
    if let Ok(proof) = EventProof::new(&header, proof) {
        as_text(&proof.to_string());
        event(&proof);
    }
    Ok(())
}

/// A checkpoint that was signed, or a signature under another text.
pub(super) fn any_checkpoint(input: &mut Unstructured<'_>) -> Result<SignedCheckpoint> {
    let tree = &WORLD.trees[input.choose_index(2)?];
    let signed = &tree.checkpoints[input.choose_index(tree.checkpoints.len())?];
    if !input.ratio(1, 4)? {
        return Ok(signed.clone());
    }
    let mut text = signed.to_string().into_bytes();
    let at = input.choose_index(text.len())?;
    text[at] = input.arbitrary()?;
    let changed = String::from_utf8(text).ok();
    let changed = changed.and_then(|text| SignedCheckpoint::parse(&text).ok());
    Ok(changed.unwrap_or_else(|| signed.clone()))
}

/// A number of the logs, now and then another one.
fn number(good: usize, input: &mut Unstructured<'_>) -> Result<u64> {
    Ok(if input.ratio(1, 8)? {
        input.arbitrary()?
    } else {
        good as u64
    })
}

/// A path with some hashes taken out, added, exchanged or changed.
pub(super) fn changed(mut path: Vec<Digest>, input: &mut Unstructured<'_>) -> Result<Vec<Digest>> {
    for _ in 0..input.int_in_range(0..=3)? {
        let at = input.choose_index(path.len() + 1)?;
        let other = input.choose_index(path.len() + 1)?;
        match input.int_in_range(0..=3)? {
            0 if at < path.len() => drop(path.remove(at)),
            1 if at < path.len() => path[at].0[input.choose_index(32)?] ^= 1,
            2 if at.max(other) < path.len() => path.swap(at, other),
            _ => {
                let roots = &WORLD.trees[input.choose_index(2)?].roots;
                path.insert(at, roots[input.choose_index(roots.len())?]);
            }
        }
    }
    Ok(path)
}

fn position(index: u64, chain: &[Digest]) -> Option<usize> {
    usize::try_from(index).ok().filter(|at| *at < chain.len())
}

fn inclusion(proof: &InclusionProof) {
    let World { trees, .. } = &*WORLD;
    let signed = WORLD.passes(proof.checkpoint());
    for tree in trees {
        let named = position(proof.index(), &tree.chain).map(|at| tree.chain[at]);
        for chain_hash in [named.unwrap_or_default(), tree.chain[0], tree.chain[5]] {
            let passes = proof.check(WORLD.key(), ORIGIN, &chain_hash).is_ok();
            assert!(!passes || signed);
            if passes {
                is_true(proof, &chain_hash);
            }
        }
    }
}

/// What a proof of inclusion shows has to be so.
fn is_true(proof: &InclusionProof, chain_hash: &Digest) {
    let (tree, size) = WORLD.original(proof.checkpoint()).expect("it was signed");
    let index = position(proof.index(), &tree.chain).expect("the event is in the log");
    assert_eq!(tree.chain[index], *chain_hash);
    assert_eq!(tree.inclusion[size][index], proof.path());
}

fn event(proof: &EventProof) {
    if let Ok(proven) = proof.check(WORLD.key(), ORIGIN) {
        is_true(proof.inclusion(), &proven.chain_hash);
        let (tree, _) = WORLD
            .original(proof.inclusion().checkpoint())
            .expect("it was signed");
        let index = position(proven.header.seq, &tree.chain).expect("it is in the log");
        assert_eq!(proven.header.seq, proof.inclusion().index());
        assert_eq!(proven.header.encode(), tree.headers[index]);
        proven.check_descriptor(b"another").expect_err("it differs");
        proven.check_body(&[0; 16], b"").expect_err("it differs");
    }
}

fn consistency(proof: &ConsistencyProof) {
    let signed = WORLD.passes(proof.checkpoint());
    for old_tree in &WORLD.trees {
        let old = old_tree
            .checkpoints
            .iter()
            .find(|old| old.size() == proof.old_size());
        let Some(old) = old else { continue };
        if proof.check(WORLD.key(), ORIGIN, old).is_ok() {
            assert!(signed);
            let (tree, size) = WORLD.original(proof.checkpoint()).expect("it was signed");
            let old_size = position(old.size(), &tree.roots).expect("it was signed");
            assert_eq!(tree.roots[old_size], old.root(), "the logs agree so far");
            assert_eq!(path_of(tree, size, old_size), proof.path());
        }
    }
}

fn path_of(tree: &Tree, size: usize, old_size: usize) -> &[Digest] {
    &tree.consistency[size][old_size]
}
