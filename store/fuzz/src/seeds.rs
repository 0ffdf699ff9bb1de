//! Inputs to start from, for all targets.

use vsm_store::fuzzing;

use super::world::WORLD;
use vsm_store::note::{EventProof, ForkEvidence, InclusionProof, NoteSigner};

/// Inputs by the target's name.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut found = fuzzing::seeds();
    let texts = texts();
    for (target, text) in &texts {
        found.push((target, text.clone().into_bytes()));
        found.push((target, text.as_bytes()[..text.len() - 20].to_vec()));
    }
    // Bytes without a form of their own: every target makes something of them.
    for target in ["proofs", "forks", "import", "recovery", "directory"] {
        for n in 0..12_u8 {
            let len = 40 * (usize::from(n) + 1);
            found.push((target, noise(u64::from(n), len)));
        }
        found.push((target, Vec::new()));
    }
    found
}

fn texts() -> Vec<(&'static str, String)> {
    let [tree, forked] = &WORLD.trees;
    let mut found = vec![("notes", WORLD.key().to_string())];
    for size in [0, 1, 24] {
        found.push(("notes", tree.checkpoints[size].to_string()));
        let unsigned = tree.checkpoints[size].checkpoint();
        found.push(("notes", unsigned.to_text()));
    }
    let witness = NoteSigner::new("witness.example", &[9; 32]).expect("the name is good");
    let note = witness.sign("text\n\nmore of it\n").expect("it fits");
    found.push(("notes", note.to_string()));
    found.push(("notes", format!("{}\n", note.signatures()[0])));
    let mut cosigned = tree.checkpoints[20].clone();
    let checkpoint = cosigned.checkpoint().clone();
    let other = witness.sign_checkpoint(checkpoint).expect("it fits");
    let line = format!("{}\n", other.note().signatures()[0]);
    cosigned.add_signatures(&line).expect("it fits");
    found.push(("notes", cosigned.to_string()));

    for (index, size) in [(0, 1), (5, 24), (23, 24), (3, 16)] {
        let (path, signed) = (&tree.inclusion[size][index], &tree.checkpoints[size]);
        let proof = InclusionProof::new(index as u64, path.clone(), signed.clone());
        let proof = proof.expect("it fits");
        found.push(("proofs", proof.to_string()));
        let proof = EventProof::new(&tree.headers[index], proof).expect("it fits");
        found.push(("proofs", proof.to_string()));
    }
    for (old, size) in [(0, 24), (9, 24), (24, 24), (8, 16)] {
        let (path, signed) = (&tree.consistency[size][old], &tree.checkpoints[size]);
        let proof =
            vsm_store::note::ConsistencyProof::new(old as u64, path.clone(), signed.clone());
        found.push(("proofs", proof.expect("it fits").to_string()));
    }
    for (old, size) in [(12, 24), (15, 16), (20, 20)] {
        let (first, second) = (&tree.checkpoints[old], &forked.checkpoints[size]);
        let link = (old < size).then(|| {
            let path = forked.consistency[size][old].clone();
            (forked.roots[old], path)
        });
        let evidence = ForkEvidence::of(first, second, WORLD.key(), link);
        found.push(("forks", evidence.expect("they forked").to_string()));
    }
    found
}

/// Bytes that look like chance and are the same in every run.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut byte = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).to_le_bytes()[3]
    };
    (0..len).map(|_| byte()).collect()
}
