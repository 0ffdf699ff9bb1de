//! Who answers for a change.

use std::sync::Arc;

use vsm_core::{Digest, Name, payload::sharing::Author};

use crate::{actor::Actor, change::ChangeError, peer::Signature};

/// A node in one of its runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The node.
    pub node: Name,
    /// The nonce of its run.
    pub run: Digest,
}

impl Owner {
    /// Its actor: a change of this actor is its own, not a client's.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::of(&self.node, &self.run)
    }
}

/// An owner's word for a change. It is kept with each, so the owner is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// Who answers for the change.
    pub owner: Arc<Owner>,
    /// Its signature. `None`: this node made the change, and signs it when it
    /// leaves.
    pub signature: Option<Signature>,
}

impl Voucher {
    /// What a message says.
    ///
    /// # Errors
    /// When the signature has neither 64 bytes nor none.
    pub fn of(author: &Author) -> Result<Self, ChangeError> {
        let bytes = &author.signature;
        let signature = match Signature::from_bytes(bytes) {
            None if !bytes.is_empty() => return Err(ChangeError::SignatureLength(bytes.len())),
            signature => signature,
        };
        let owner = Owner {
            node: author.node.clone(),
            run: author.run,
        };
        Ok(Self {
            owner: Arc::new(owner),
            signature,
        })
    }

    /// The same as a message says it.
    #[must_use]
    pub fn author(&self) -> Author {
        let signature = self.signature.map(|it| it.to_bytes());
        Author {
            node: self.owner.node.clone(),
            run: self.owner.run,
            signature: signature.unwrap_or_default(),
        }
    }
}
