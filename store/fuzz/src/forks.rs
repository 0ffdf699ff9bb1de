//! Evidence of a fork: as a text, and made of what was signed.

use arbitrary::{Result, Unstructured};
use vsm_store::note::ForkEvidence;

use super::proofs::{any_checkpoint, changed};
use super::world::WORLD;

/// Reads the bytes as evidence, and makes evidence of them.
pub fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        as_text(text);
    }
    let mut input = Unstructured::new(bytes);
    // An input that ends early makes no evidence.
    let _ = of_parts(&mut input);
}

fn as_text(text: &str) {
    if let Ok(evidence) = ForkEvidence::parse(text) {
        assert_eq!(evidence.to_string(), text, "evidence has one form");
        is_true(&evidence);
    }
}

fn of_parts(input: &mut Unstructured<'_>) -> Result<()> {
    let first = any_checkpoint(input)?;
    let second = any_checkpoint(input)?;
    let tree = &WORLD.trees[input.choose_index(2)?];
    let link = if input.ratio(3, 4)? {
        let size = input.choose_index(tree.roots.len())?;
        let old = input.choose_index(size + 1)?;
        let path = changed(tree.consistency[size][old].clone(), input)?;
        Some((tree.roots[old], path))
    } else {
        None
    };
    if let Ok(evidence) = ForkEvidence::of(&first, &second, WORLD.key(), link) {
        is_true(&evidence);
        let again = ForkEvidence::parse(&evidence.to_string());
        assert_eq!(again, Ok(evidence));
    }
    Ok(())
}

/// What passes has to show that the two logs are not one.
fn is_true(evidence: &ForkEvidence) {
    if evidence.check(WORLD.key()).is_err() {
        return;
    }
    let original = |signed| WORLD.original(signed).expect("it was signed");
    let (first, first_size) = original(evidence.first());
    let (second, second_size) = original(evidence.second());
    assert!(first_size <= second_size);
    assert_ne!(first.roots[first_size], second.roots[first_size]);
}
