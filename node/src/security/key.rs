//! The node's key: an Ed25519 seed of 32 bytes in `node.key`.
//!
//! Its public half is in the log's first record. Keys for other purposes are
//! derived from it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use vsm_store::{
    LogIdentity,
    note::{NoteError, NoteSigner},
};

use super::write_private;

/// The file's name in the node's directory.
const FILE: &str = "node.key";
/// What the key of request digests is derived with. Fixed: digests are on the log.
const REQUEST_CONTEXT: &str = "vsm 2026-11 idempotency request digest";

/// What stands before the seed in PKCS #8: version 0, the algorithm, and the
/// lengths of what follows.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The node's key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read or written.
    #[error("the key file {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the key file {} has {bytes} bytes, a key has 32; put the node's key back", path.display())]
    Length {
        /// Which file.
        path: PathBuf,
        /// How long it is.
        bytes: usize,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Random(getrandom::Error),
    /// There is a key already.
    #[error("there is a key in {} already", .0.display())]
    Exists(PathBuf),
}

/// The node's key.
pub struct NodeKey(SigningKey);

impl NodeKey {
    /// A key of fresh randomness.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn draw() -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Reads the key of the node in `directory`, if it has one.
    ///
    /// # Errors
    /// When the file can't be read or holds something else.
    pub fn read(directory: &Path) -> Result<Option<Self>, KeyError> {
        let path = directory.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeyError::File { path, source }),
        };
        let bytes: [u8; 32] = bytes
            .try_into()
            .map_err(|bytes: Vec<u8>| KeyError::Length {
                path,
                bytes: bytes.len(),
            })?;
        Ok(Some(Self(SigningKey::from_bytes(&bytes))))
    }

    /// Makes the key of the node in `directory`.
    ///
    /// # Errors
    /// When there is one, or the file can't be written.
    pub fn create(directory: &Path) -> Result<Self, KeyError> {
        let path = directory.join(FILE);
        if path.exists() {
            return Err(KeyError::Exists(path));
        }
        let key = Self::draw()?;
        write_private(&path, &key.0.to_bytes())
            .map_err(|source| KeyError::File { path, source })?;
        Ok(key)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// It for the records that a log's own maintenance signs.
    #[must_use]
    pub const fn signing(&self) -> &SigningKey {
        &self.0
    }

    /// It for TLS: PKCS #8 (RFC 5958) around the seed, as RFC 8410 has it.
    #[must_use]
    pub(super) fn pkcs8(&self) -> Vec<u8> {
        [&PKCS8[..], &self.0.to_bytes()].concat()
    }

    /// It for the checkpoints of a log: name and origin are the log's own.
    ///
    /// # Errors
    /// When the key is one that nobody should believe.
    pub fn signer(&self, log: &LogIdentity) -> Result<NoteSigner, NoteError> {
        NoteSigner::new(&log.origin(), &self.0.to_bytes())
    }

    /// The key of the digests that tell one request from another.
    #[must_use]
    pub fn request_key(&self) -> [u8; 32] {
        blake3::derive_key(REQUEST_CONTEXT, &self.0.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        assert!(NodeKey::read(dir.path()).unwrap().is_none());
        let made = NodeKey::create(dir.path()).unwrap();
        let read = NodeKey::read(dir.path()).unwrap().unwrap();
        assert_eq!(made.public(), read.public());
        assert_ne!(made.request_key(), read.public());
        assert!(matches!(
            NodeKey::create(dir.path()),
            Err(KeyError::Exists(_))
        ));
        fs::write(dir.path().join(FILE), b"short").unwrap();
        assert!(matches!(
            NodeKey::read(dir.path()),
            Err(KeyError::Length { bytes: 5, .. })
        ));
    }
}
