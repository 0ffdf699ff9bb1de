//! Who writes: one Automerge actor per node *and run*.
//!
//! Automerge numbers an actor's changes. A node whose log lost its tail would
//! give a number out twice, and convergence would stop for good; so every run
//! writes under an actor of its own.
//!
//! Actors of nodes begin with four fixed bytes. Those of other clients do not,
//! so that nobody can let in a change as a client's that a node would have
//! had to sign.

use std::fmt;

use automerge::ActorId;
use serde::{Deserialize, Serialize};
use vsm_core::{Digest, Name};

/// What the actors of nodes begin with.
const NODE: [u8; 4] = *b"vsm\0";

/// Who writes a document, as Automerge names it. Automerge takes names of any
/// length; here they have 16 bytes, which is what its own clients draw.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Actor(pub [u8; 16]);

/// An actor's name has another length than 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an actor has 16 bytes, this one has {0}; let the library draw it")]
pub struct ActorLength(pub usize);

impl Actor {
    /// Who makes the skeleton of every document, and nothing else.
    pub const SKELETON: Self = Self(*b"vsm-genesis-0001");

    /// The actor of a node in a run, the nonce of its `started` record.
    #[must_use]
    pub fn of(node: &Name, run: &Digest) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("vsm-replication 1 automerge actor");
        hasher.update(&run.0);
        hasher.update(node.as_bytes());
        let mut actor = [0; 16];
        actor[..4].copy_from_slice(&NODE);
        actor[4..].copy_from_slice(&hasher.finalize().as_bytes()[..12]);
        Self(actor)
    }

    /// Whether it is a node's, of whichever node and run.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.0.starts_with(&NODE)
    }

    /// Whether no client may write as it.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.is_node() || *self == Self::SKELETON
    }

    /// Its name in Automerge.
    #[must_use]
    pub fn id(&self) -> ActorId {
        ActorId::from(self.0)
    }
}

impl TryFrom<&ActorId> for Actor {
    type Error = ActorLength;

    fn try_from(id: &ActorId) -> Result<Self, ActorLength> {
        let bytes = id.to_bytes();
        let named = bytes.try_into().map_err(|_| ActorLength(bytes.len()))?;
        Ok(Self(named))
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_of_every_node_is_another_actor() {
        let actor = |node: &str, run| Actor::of(&node.parse().unwrap(), &Digest([run; 32]));
        assert_eq!(actor("a", 1), actor("a", 1));
        assert_ne!(actor("a", 1), actor("a", 2));
        assert_ne!(actor("a", 1), actor("b", 1));
        assert!(actor("a", 1).is_node());
        assert!(!Actor([7; 16]).is_node() && !Actor([7; 16]).is_reserved());
        assert!(!Actor::SKELETON.is_node() && Actor::SKELETON.is_reserved());
    }

    #[test]
    fn an_actor_has_16_bytes() {
        let actor = Actor([7; 16]);
        assert_eq!(Actor::try_from(&actor.id()), Ok(actor));
        let long = ActorId::from(&[7; 17][..]);
        assert_eq!(Actor::try_from(&long), Err(ActorLength(17)));
    }
}
