//! Who writes: one Automerge actor per node *and run*.
//!
//! Automerge numbers an actor's changes. A node whose log lost its tail would
//! give a number out twice, and convergence would stop for good; so every run
//! writes under an actor of its own.
//!
//! Actors of nodes begin with four fixed bytes. Those of other clients do not,
//! so that nobody can let in a change as a client's that a node would have
//! had to sign.

use automerge::ActorId;
use vsm_core::{Digest, Name};

/// What the actors of nodes begin with.
const NODE: [u8; 4] = *b"vsm\0";

/// The actor of `node` in `run`, the nonce of its `started` record.
#[must_use]
pub fn actor_of(node: &Name, run: &Digest) -> ActorId {
    let mut hasher = blake3::Hasher::new_derive_key("vsm-replication 1 automerge actor");
    hasher.update(&run.0);
    hasher.update(node.as_bytes());
    let mut actor = [0; 16];
    actor[..4].copy_from_slice(&NODE);
    actor[4..].copy_from_slice(&hasher.finalize().as_bytes()[..12]);
    ActorId::from(actor)
}

/// Whether an actor is a node's, of whichever node and run.
#[must_use]
pub fn is_node(actor: &ActorId) -> bool {
    actor.to_bytes().starts_with(&NODE)
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
        assert!(is_node(&actor("a", 1)));
        assert!(!is_node(&ActorId::from([7; 16])));
    }
}
