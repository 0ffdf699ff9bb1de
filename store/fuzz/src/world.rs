//! All that one key has signed about two logs, of which the second forked from
//! the first, and every proof there is about them.

use std::collections::HashMap;
use std::sync::LazyLock;

use vsm_store::Digest;
use vsm_store::note::{Checkpoint, NoteSigner, SignedCheckpoint, VerifierKey};

use super::fixture::{EVENTS, in_memory};

/// The name and origin that the key signs with.
pub const ORIGIN: &str = "log.example/fuzz";

/// Made once; making it again would give the same.
pub static WORLD: LazyLock<World> = LazyLock::new(World::new);

/// The key, and the two logs.
pub struct World {
    /// What signed it all.
    pub signer: NoteSigner,
    /// The log and the one that forked from it.
    pub trees: [Tree; 2],
    texts: HashMap<String, (usize, usize)>,
}

/// A log as its proofs show it.
pub struct Tree {
    /// The chain hashes of its events.
    pub chain: Vec<Digest>,
    /// Their headers.
    pub headers: Vec<[u8; 128]>,
    /// The roots by tree size.
    pub roots: Vec<Digest>,
    /// The signed checkpoints by tree size.
    pub checkpoints: Vec<SignedCheckpoint>,
    /// The paths of inclusion by tree size and index.
    pub inclusion: Vec<Vec<Vec<Digest>>>,
    /// The paths of consistency by the later and the earlier tree size.
    pub consistency: Vec<Vec<Vec<Digest>>>,
}

impl World {
    fn new() -> Self {
        let signer = NoteSigner::new(ORIGIN, &[7; 32]).expect("the name is good");
        let trees = [false, true].map(|forked| Tree::new(&signer, forked));
        let mut texts = HashMap::new();
        for (which, tree) in trees.iter().enumerate() {
            for (size, signed) in tree.checkpoints.iter().enumerate() {
                // What both logs have in common is the first one's.
                let text = signed.checkpoint().to_text();
                texts.entry(text).or_insert((which, size));
            }
        }
        Self {
            signer,
            trees,
            texts,
        }
    }

    /// The key to check with.
    pub fn key(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// The log and the size that a checkpoint is of, if it was signed.
    pub fn original(&self, signed: &SignedCheckpoint) -> Option<(&Tree, usize)> {
        let (which, size) = *self.texts.get(signed.note().text())?;
        Some((&self.trees[which], size))
    }

    /// Whether a checkpoint passes; what does was signed.
    pub fn passes(&self, signed: &SignedCheckpoint) -> bool {
        let passes = signed.verify(self.key(), ORIGIN).is_ok();
        assert!(!passes || self.original(signed).is_some(), "{signed}");
        passes
    }
}

impl Tree {
    fn new(signer: &NoteSigner, forked: bool) -> Self {
        let log = in_memory(forked);
        let events: Vec<_> = log
            .read(0)
            .hashed(true)
            .map(|event| event.expect("memory does not fail"))
            .collect();
        assert_eq!(events.len() as u64, EVENTS + 1);
        let chain: Vec<_> = events
            .iter()
            .map(|event| event.chain_hash().expect("it was hashed"))
            .collect();
        let headers = events
            .iter()
            .map(|event| *event.header().expect("it was hashed"))
            .collect();
        let sizes = || 0..=EVENTS + 1;
        let roots: Vec<_> = sizes()
            .map(|size| log.prover().tree_root(size).expect("it is durable"))
            .collect();
        let checkpoints = roots.iter().zip(sizes()).map(|(root, size)| {
            let checkpoint = Checkpoint::new(ORIGIN, size, *root).expect("it fits");
            let checkpoint = match size {
                0 => checkpoint,
                _ => {
                    let last = chain[usize::try_from(size - 1).expect("it is small")];
                    checkpoint.chain(last).expect("it fits")
                }
            };
            signer.sign_checkpoint(checkpoint).expect("it fits")
        });
        let inclusion = sizes().map(|size| {
            let path = |seq| log.prover().inclusion_path(seq, size).expect("it is there");
            (0..size).map(path).collect()
        });
        let consistency = sizes().map(|size| {
            let path = |old| {
                log.prover()
                    .consistency_path(old, size)
                    .expect("it is there")
            };
            (0..=size).map(path).collect()
        });
        Self {
            checkpoints: checkpoints.collect(),
            inclusion: inclusion.collect(),
            consistency: consistency.collect(),
            chain,
            headers,
            roots,
        }
    }
}
