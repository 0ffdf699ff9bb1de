//! Who said something: Ed25519 keys (RFC 8032), and what they sign.
//!
//! A node has one key for everything, so every signed statement begins with
//! what it is about. No statement of one kind can then be shown as another,
//! and none can be mistaken for a checkpoint, whose text begins with a log's
//! name and a line's end.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::frame::encode;

/// The public half of a node's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Whether the owner of this key signed `statement`. Keys of small order
    /// and ambiguous signatures are refused: they would make a signature that
    /// says nothing about who gave it.
    #[must_use]
    pub fn verifies(&self, statement: &[u8], signature: &Signature) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else {
            return false;
        };
        key.verify_strict(statement, &signature.into()).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// An Ed25519 signature: its point and its scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature(pub [u8; 32], pub [u8; 32]);

impl Signature {
    /// A signature as messages carry it; `None` unless there are 64 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (point, scalar) = bytes.split_first_chunk::<32>()?;
        Some(Self(*point, scalar.try_into().ok()?))
    }

    /// Its 64 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.0, self.1].concat()
    }
}

impl From<&Signature> for ed25519_dalek::Signature {
    fn from(signature: &Signature) -> Self {
        Self::from_components(signature.0, signature.1)
    }
}

/// What signs for a node. The session never sees the private key.
pub trait Signer {
    /// The public half of the key that signs.
    fn public_key(&self) -> PublicKey;

    /// Signs a statement.
    fn sign(&self, statement: &[u8]) -> Signature;
}

impl Signer for SigningKey {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.verifying_key().to_bytes())
    }

    fn sign(&self, statement: &[u8]) -> Signature {
        let signature = self.try_sign(statement);
        let signature = signature.expect("a key in memory always signs");
        Signature(*signature.r_bytes(), *signature.s_bytes())
    }
}

/// The bytes that are signed: what they are about, a zero byte, and the
/// encoding of what is said.
pub(super) fn statement(about: &'static str, said: &impl Serialize) -> Vec<u8> {
    let mut bytes = about.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend(encode(said));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_one_key_and_one_statement() {
        let (key, other) = (
            SigningKey::from_bytes(&[1; 32]),
            SigningKey::from_bytes(&[2; 32]),
        );
        let said = statement("one", &7u64);
        let signature = Signer::sign(&key, &said);
        assert!(key.public_key().verifies(&said, &signature));
        assert!(!other.public_key().verifies(&said, &signature));
        assert!(
            !key.public_key()
                .verifies(&statement("two", &7u64), &signature)
        );
        // A key of small order verifies nothing.
        let mut point = [0; 32];
        point[0] = 1;
        assert!(!PublicKey(point).verifies(&said, &Signature([0; 32], [0; 32])));
    }
}
