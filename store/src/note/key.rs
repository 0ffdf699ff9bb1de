//! The keys of signed notes: who signs, and who may be believed.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::checkpoint::{Checkpoint, SignedCheckpoint};
use super::encoding::{check_name, check_origin, check_text, from_base64, to_base64};
use super::error::NoteError;
use super::signed::{NoteSignature, SignedNote};

/// The type byte of Ed25519 in keys and key ids.
const ED25519: u8 = 1;

/// A public key under the name it signs with: what a reader pins.
///
/// Its text is `<name>+<key id in hexadecimal>+<base64 of 01 ‖ public key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key_id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    /// The key with these 32 bytes (RFC 8032), under a name that is not empty
    /// and holds neither whitespace nor `+`.
    pub fn new(name: &str, public_key: &[u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        let key = VerifyingKey::from_bytes(public_key).map_err(|_| NoteError::PublicKey)?;
        // Under such a key anything is signed.
        if key.is_weak() {
            return Err(NoteError::PublicKey);
        }
        Ok(Self {
            name: name.to_owned(),
            key_id: key_id(name, public_key),
            key,
        })
    }

    /// Reads a key's text.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let mut part = |what| parts.next().ok_or(NoteError::Missing(what));
        let (name, id) = (part("the key's name")?, part("the key's id")?);
        let key = part("the key itself")?;
        let what = "the key";
        let expected = "a type and 32 bytes";
        let bytes = from_base64(key, what, expected)?;
        let (kind, key) = match bytes.split_first() {
            Some((kind, key)) => (*kind, key),
            None => return Err(NoteError::Base64 { what, expected }),
        };
        if kind != ED25519 {
            return Err(NoteError::KeyType(kind));
        }
        let key = key
            .try_into()
            .map_err(|_| NoteError::Base64 { what, expected });
        let key = Self::new(name, key?)?;
        if id != hexadecimal(key.key_id) {
            return Err(NoteError::KeyId {
                expected: hexadecimal(key.key_id),
                found: id.to_owned(),
            });
        }
        Ok(key)
    }

    /// The name it signs with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of `SHA-256(name ‖ 0A ‖ 01 ‖ public key)`. It finds
    /// the key of a signature; it is too short to tell keys apart for sure.
    pub fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// The 32 bytes of the key.
    pub fn public_key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    pub(super) fn made(&self, text: &str, signature: &[u8]) -> bool {
        let signature = Signature::from_slice(signature);
        // Strict: no signature has a second form, and no key a second meaning.
        signature.is_ok_and(|it| self.key.verify_strict(text.as_bytes(), &it).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [ED25519; 33];
        bytes[1..].copy_from_slice(&self.public_key());
        let id = hexadecimal(self.key_id);
        write!(f, "{}+{id}+{}", self.name, to_base64(bytes))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        Self::parse(text)
    }
}

/// A private key under the name it signs with, and the origin it signs
/// checkpoints for. Dropping it wipes the key from memory.
#[derive(Clone)]
pub struct NoteSigner {
    key: SigningKey,
    verifier: VerifierKey,
    origin: String,
}

impl NoteSigner {
    /// The signer with an Ed25519 seed, the 32 bytes that RFC 8032 calls the
    /// private key. The origin is the name, until
    /// [`with_origin`](Self::with_origin) says otherwise.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let key = SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, key.verifying_key().as_bytes())?;
        Ok(Self {
            key,
            verifier,
            origin: name.to_owned(),
        })
    }

    /// The signer with a key, such as that of the log's node key.
    pub fn from_key(name: &str, key: &SigningKey) -> Result<Self, NoteError> {
        Self::new(name, key.as_bytes())
    }

    /// Signs checkpoints for another origin than the name.
    pub fn with_origin(mut self, origin: &str) -> Result<Self, NoteError> {
        check_origin(origin)?;
        origin.clone_into(&mut self.origin);
        Ok(self)
    }

    /// The origin of the checkpoints that it signs.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The key that others check its signatures with.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The 32 bytes of the public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.verifier.public_key()
    }

    /// Signs a text, which ends with a newline.
    pub fn sign(&self, text: &str) -> Result<SignedNote, NoteError> {
        check_text(text)?;
        SignedNote::new(text.to_owned(), vec![self.signature(text)])
    }

    /// Signs a checkpoint. Sign none that is not of a tree that extends all
    /// those signed before for the same origin.
    pub fn sign_checkpoint(&self, checkpoint: Checkpoint) -> Result<SignedCheckpoint, NoteError> {
        let note = self.sign(&checkpoint.to_text())?;
        Ok(SignedCheckpoint::from_parts(checkpoint, note))
    }

    fn signature(&self, text: &str) -> NoteSignature {
        NoteSignature {
            name: self.verifier.name.clone(),
            key_id: self.verifier.key_id,
            signature: self.key.sign(text.as_bytes()).to_bytes().to_vec(),
        }
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteSigner")
            .field("verifier", &self.verifier.to_string())
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

fn key_id(name: &str, public_key: &[u8; 32]) -> [u8; 4] {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([b'\n', ED25519]);
    hash.update(public_key);
    let hash = hash.finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn hexadecimal(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}
