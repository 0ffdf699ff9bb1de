//! Who writes: one Automerge actor per node *and run*.
//!
//! Automerge numbers an actor's changes. A node whose log lost its tail would
//! give a number out twice, and convergence would stop for good; so every run
//! writes under an actor of its own.

use automerge::ActorId;
use vsm_core::{Digest, Name};

/// The actor of `node` in `run`, the nonce of its `started` record.
#[must_use]
pub fn actor_of(node: &Name, run: &Digest) -> ActorId {
    let mut hasher = blake3::Hasher::new_derive_key("vsm-replication 1 automerge actor");
    hasher.update(&run.0);
    hasher.update(node.as_bytes());
    ActorId::from(&hasher.finalize().as_bytes()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_of_every_node_is_another_actor() {
        let actor = |node: &str, run| actor_of(&node.parse().unwrap(), &Digest([run; 32]));
        assert_eq!(actor("a", 1), actor("a", 1));
        assert_ne!(actor("a", 1), actor("a", 2));
        assert_ne!(actor("a", 1), actor("b", 1));
    }
}
