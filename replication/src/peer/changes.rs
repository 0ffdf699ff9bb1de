//! Changes of shared documents as they travel, and their checks.
//!
//! A change's owner is a node in one of its runs. The owner's signature covers
//! the document, the owner and its run; from these follows the actor that must
//! stand in the change's bytes ([`Actor::of`]). So no table of actors has to
//! travel or be believed: the only thing to know of an owner is its key.
//!
//! What a client of a node wrote has an actor that no node has. The node that
//! let it in signs for it: it says that the change came by this way, not that
//! the client is honest.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vsm_core::{Digest, Name};

use super::{
    hello::Directory,
    key::{PublicKey, Signature, Signer, statement},
    refusal::Refusal,
};
use crate::{
    actor::Actor,
    change::{CHANGE_BYTES_MAX, Checked},
    topic::Topic,
};

/// How many bytes of changes are asked for at a time, and about how many are
/// put into one frame.
pub const CHANGES_BYTES: usize = 256 * 1024;

/// A shared document: what it is about, and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "NamedDocument", into = "NamedDocument")]
pub struct DocumentId {
    /// What it is about.
    pub topic: Topic,
    /// Which of the documents that were, one after another, about that.
    pub epoch: u32,
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} epoch {}", self.topic, self.epoch)
    }
}

/// The form on the wire: topics by name, which no reordering of them changes.
#[derive(Serialize, Deserialize)]
struct NamedDocument {
    topic: Name,
    epoch: u32,
}

impl TryFrom<NamedDocument> for DocumentId {
    type Error = crate::topic::ParseTopicError;

    fn try_from(named: NamedDocument) -> Result<Self, Self::Error> {
        let topic = named.topic.parse()?;
        Ok(Self {
            topic,
            epoch: named.epoch,
        })
    }
}

impl From<DocumentId> for NamedDocument {
    fn from(document: DocumentId) -> Self {
        let topic = document.topic.name().parse();
        Self {
            topic: topic.expect("the names of topics are names"),
            epoch: document.epoch,
        }
    }
}

/// A change and its owner's word for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedChange {
    /// The document it changes.
    pub document: DocumentId,
    /// The node that made it, or that let it in from a client.
    pub owner: Name,
    /// The run in which it did.
    pub run: Digest,
    /// Its uncompressed bytes, at most [`CHANGE_BYTES_MAX`].
    pub bytes: Bytes,
    /// The owner's signature over all of the above.
    pub signature: Signature,
}

/// A change that was checked: its owner answers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedChange {
    /// The change.
    pub change: SignedChange,
    /// Its actor.
    pub actor: Actor,
    /// Its number among the actor's changes in the document, from 1.
    pub number: u64,
    /// Its hash, as Automerge computes it.
    pub hash: Digest,
}

impl SignedChange {
    /// Signs a change of this node.
    #[must_use]
    pub fn sign(
        document: DocumentId,
        owner: Name,
        run: Digest,
        bytes: Bytes,
        signer: &impl Signer,
    ) -> Self {
        let signature = signer.sign(&said(document, &owner, &run, &bytes));
        Self {
            document,
            owner,
            run,
            bytes,
            signature,
        }
    }

    fn is_signed_by(&self, key: &PublicKey) -> bool {
        let said = said(self.document, &self.owner, &self.run, &self.bytes);
        key.verifies(&said, &self.signature)
    }

    /// Checks that the owner, whose key this is, answers for the change.
    ///
    /// # Errors
    /// When it does not, or when the bytes are no change.
    pub fn check(self, key: &PublicKey) -> Result<CheckedChange, Refusal> {
        let (document, owner) = (self.document, self.owner.clone());
        if self.bytes.len() > CHANGE_BYTES_MAX {
            let bytes = self.bytes.len();
            return Err(Refusal::ChangeLength {
                owner,
                document,
                bytes,
            });
        }
        if !self.is_signed_by(key) {
            return Err(Refusal::ChangeSignature { owner, document });
        }
        let checked = match Checked::new(self.bytes.clone()) {
            Ok(checked) => checked,
            Err(error) => {
                return Err(Refusal::ChangeMalformed {
                    owner,
                    document,
                    reason: error.to_string(),
                });
            }
        };
        let actor = checked.actor();
        if actor.is_node() && actor != Actor::of(&owner, &self.run) {
            return Err(Refusal::ForeignActor {
                owner,
                document,
                actor,
            });
        }
        Ok(CheckedChange {
            actor,
            number: checked.number(),
            hash: Digest(checked.hash().0),
            change: self,
        })
    }
}

fn said(document: DocumentId, owner: &Name, run: &Digest, bytes: &[u8]) -> Vec<u8> {
    let said = (document, owner, run, Digest::of(bytes));
    statement("vsm-peer 1 change", &said)
}

/// What became of changes that came in one frame.
#[derive(Debug, Default)]
pub(super) struct CheckedFrame {
    pub(super) good: Vec<CheckedChange>,
    /// Owners whose keys are not known here, each once.
    pub(super) unknown: Vec<Name>,
    /// The first that is not its owner's, and why. Nothing after it is looked
    /// at.
    pub(super) bad: Option<(SignedChange, Refusal)>,
}

/// Checks changes by the keys of their owners. Those of unknown owners and of
/// owners in quarantine are left out: they are the owner's fault, or nobody's,
/// not the sender's. The summaries bring them again once the owner is known.
pub(super) fn check_all(
    changes: Vec<SignedChange>,
    own: (&Name, PublicKey),
    peer: (&Name, PublicKey),
    directory: &Directory,
) -> CheckedFrame {
    let mut checked = CheckedFrame::default();
    for change in changes {
        let known = directory.member(&change.owner);
        let key = if change.owner == *own.0 {
            own.1
        } else if known.is_some_and(|member| member.quarantined) {
            continue;
        } else if let Some(key) = signer_of(&change, directory) {
            key
        } else if change.owner == *peer.0 {
            peer.1
        } else {
            if !checked.unknown.contains(&change.owner) && checked.unknown.len() < UNKNOWN_MAX {
                checked.unknown.push(change.owner);
            }
            continue;
        };
        match change.clone().check(&key) {
            Ok(good) => checked.good.push(good),
            Err(refusal) => {
                checked.bad = Some((change, refusal));
                break;
            }
        }
    }
    checked
}

/// Which of the keys that its owner has had signed a change; the present one
/// if none did.
fn signer_of(change: &SignedChange, directory: &Directory) -> Option<PublicKey> {
    let mut keys = directory.keys(&change.owner);
    let present = keys.next()?;
    let signed = |key: &PublicKey| change.is_signed_by(key);
    // Nearly always there is one key, which is looked at once, below.
    let former: Vec<_> = keys.collect();
    if former.is_empty() || signed(&present) {
        return Some(present);
    }
    Some(former.into_iter().find(signed).unwrap_or(present))
}

/// How many unknown owners one frame can bring up.
const UNKNOWN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use vsm_core::Timestamp;

    use super::*;
    use crate::{Document, Owner};

    fn signed(owner: &str, run: u8, actor: &str, key: &SigningKey) -> SignedChange {
        let name: Name = actor.parse().unwrap();
        let by = Owner {
            node: name,
            run: Digest([run; 32]),
        };
        let mut document = Document::new(Topic::Units, 1, by).unwrap();
        let made = document.set("k", Some("v"), Timestamp(1)).unwrap().unwrap();
        let bytes = made.bytes;
        let topic = Topic::Units;
        let (id, owner) = (DocumentId { topic, epoch: 1 }, owner.parse().unwrap());
        SignedChange::sign(id, owner, Digest([run; 32]), bytes, key)
    }

    #[test]
    fn a_change_is_its_owners() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let good = signed("a", 1, "a", &key).check(&key.public_key()).unwrap();
        assert_eq!(good.number, 1);
        let foreign = signed("a", 1, "b", &key).check(&key.public_key());
        assert!(matches!(foreign, Err(Refusal::ForeignActor { .. })));
        let mut other_run = signed("a", 1, "a", &key);
        other_run.run = Digest([2; 32]);
        let refused = other_run.check(&key.public_key());
        assert!(matches!(refused, Err(Refusal::ChangeSignature { .. })));
    }

    /// Every byte of a change, changed in several ways and signed by its
    /// owner all the same: refused, without a panic getting out.
    #[test]
    fn no_mutated_change_passes() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let good = signed("a", 1, "a", &key);
        let mut bytes = good.bytes.to_vec();
        bytes.push(0);
        let longer = sign_again(&good, bytes, &key);
        assert!(longer.check(&key.public_key()).is_err());
        for at in 0..good.bytes.len() {
            for mask in [1, 0x80, 0xff] {
                let mut bytes = good.bytes.to_vec();
                bytes[at] ^= mask;
                let refused = sign_again(&good, bytes, &key).check(&key.public_key());
                assert!(
                    matches!(refused, Err(Refusal::ChangeMalformed { .. })),
                    "{at}"
                );
            }
        }
    }

    fn sign_again(good: &SignedChange, bytes: Vec<u8>, key: &SigningKey) -> SignedChange {
        let owner = good.owner.clone();
        SignedChange::sign(good.document, owner, good.run, bytes.into(), key)
    }
}
