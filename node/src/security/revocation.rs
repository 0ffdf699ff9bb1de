//! The list of nodes whose certificates are no longer good, signed by the
//! authority.
//!
//! It names keys, not serial numbers: a node's key is in every certificate it
//! ever gets, so one entry ends them all, also those that a lost register
//! forgot. The name of a revoked node is free again for another key.
//!
//! The list travels as it is: a joining or renewing node gets the latest with
//! its certificate, `GET /v1/cluster/revocations` shows a node's, and the file
//! `cluster/revoked.json` may be copied from node to node by any means. Every
//! list has a number; a node takes a list that the authority signed and whose
//! number is higher than that of its own, so that nobody can bring an old one
//! back.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use ed25519_dalek::{Signature, VerifyingKey};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use vsm_core::{Name, Timestamp};

use super::{
    authority::Authority,
    identity::key_of,
    membership::{hex, unhex},
    write_private,
};
use crate::telemetry::time::Rfc3339;

/// The file's name in the cluster's folder.
const FILE: &str = "revoked.json";
/// What is signed begins with this, so that a signature is good for a list
/// only.
const CONTEXT: &[u8] = b"vsm 2026-11 revocation list\n";
/// The most entries; a list is read into memory.
const ENTRIES_MAX: usize = 10_000;
/// The longest file, in bytes.
pub(crate) const BYTES_MAX: u64 = 4 << 20;

/// A node whose certificates are no longer good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// What it was called.
    pub node: Name,
    /// Since when.
    pub since: Rfc3339,
}

/// What the authority signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    cluster: Name,
    number: u64,
    keys: BTreeMap<String, Revoked>,
}

/// A list as it travels: its text, byte for byte as signed, and the signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedList {
    list: String,
    signature: String,
}

/// The list can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// The file can't be read or written.
    #[error("the revocation list {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no list.
    #[error("the revocation list can't be read: {0}; copy cluster/revoked.json from another node")]
    Malformed(String),
    /// Nobody, or somebody else, signed it.
    #[error(
        "the revocation list is not signed by this cluster's authority; copy cluster/revoked.json from another node"
    )]
    Signature,
    /// It is another cluster's.
    #[error("the revocation list is that of the cluster {0:?}; copy this cluster's")]
    Cluster(String),
    /// There are too many entries.
    #[error("a revocation list has at most {ENTRIES_MAX} entries; found another cluster")]
    Full,
}

/// The keys that are no longer good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocations {
    content: Content,
    signed: SignedList,
}

impl Revocations {
    /// The first list of a cluster: nobody.
    #[must_use]
    pub fn none(authority: &Authority) -> Self {
        let content = Content {
            cluster: authority.cluster().clone(),
            number: 0,
            keys: BTreeMap::new(),
        };
        Self::sign(content, authority)
    }

    fn sign(content: Content, authority: &Authority) -> Self {
        // Names and numbers are always JSON.
        let list = serde_json::to_string(&content).unwrap_or_default();
        let signature = hex(&authority.sign(&message(&list)));
        let signed = SignedList { list, signature };
        Self { content, signed }
    }

    /// Checks a list that came from anywhere.
    ///
    /// # Errors
    /// When the authority did not sign it, or it is no list of this cluster.
    pub fn check(
        signed: SignedList,
        cluster: &Name,
        authority: &CertificateDer<'_>,
    ) -> Result<Self, RevocationError> {
        let key = key_of(authority)
            .and_then(|key| VerifyingKey::from_bytes(&key).ok())
            .ok_or(RevocationError::Signature)?;
        let signature = unhex(&signed.signature).ok_or(RevocationError::Signature)?;
        key.verify_strict(&message(&signed.list), &Signature::from_bytes(&signature))
            .map_err(|_| RevocationError::Signature)?;
        let content: Content = serde_json::from_str(&signed.list)
            .map_err(|error| RevocationError::Malformed(error.to_string()))?;
        if content.cluster != *cluster {
            return Err(RevocationError::Cluster(content.cluster.to_string()));
        }
        Ok(Self { content, signed })
    }

    /// Reads the list in a cluster's folder.
    ///
    /// # Errors
    /// When it can't be read or is not the authority's.
    pub fn read(
        folder: &Path,
        cluster: &Name,
        authority: &CertificateDer<'_>,
    ) -> Result<Self, RevocationError> {
        let path = folder.join(FILE);
        let failed = |source| RevocationError::File {
            path: path.clone(),
            source,
        };
        let length = fs::metadata(&path).map_err(failed)?.len();
        if length > BYTES_MAX {
            return Err(RevocationError::Malformed(format!(
                "{length} bytes are more than {BYTES_MAX}"
            )));
        }
        let text = fs::read(&path).map_err(failed)?;
        let signed = serde_json::from_slice(&text)
            .map_err(|error| RevocationError::Malformed(error.to_string()))?;
        Self::check(signed, cluster, authority)
    }

    /// Takes a list that came from another node, if it is later than that in
    /// the folder. The answer is whether it was.
    ///
    /// # Errors
    /// When the present one can't be read or the new one not be written.
    pub fn take(
        &self,
        folder: &Path,
        authority: &CertificateDer<'_>,
    ) -> Result<bool, RevocationError> {
        let present = Self::read(folder, &self.content.cluster, authority)?;
        if self.content.number <= present.content.number {
            return Ok(false);
        }
        self.write(folder)?;
        Ok(true)
    }

    /// Writes it into a cluster's folder.
    ///
    /// # Errors
    /// When the file can't be written; it is then as it was.
    pub fn write(&self, folder: &Path) -> Result<(), RevocationError> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec_pretty(&self.signed)
            .map_err(|error| RevocationError::Malformed(error.to_string()))?;
        write_private(&path, &text).map_err(|source| RevocationError::File { path, source })
    }

    /// The next list, with one more node on it.
    ///
    /// # Errors
    /// When the list is full.
    pub fn revoke(
        &self,
        node: &Name,
        key: &[u8; 32],
        now: Timestamp,
        authority: &Authority,
    ) -> Result<Self, RevocationError> {
        let mut content = self.content.clone();
        if content.keys.len() >= ENTRIES_MAX {
            return Err(RevocationError::Full);
        }
        content.number = content.number.saturating_add(1);
        content.keys.entry(hex(key)).or_insert_with(|| Revoked {
            node: node.clone(),
            since: Rfc3339(now),
        });
        Ok(Self::sign(content, authority))
    }

    /// Whether a key's certificates are no longer good, and since when.
    #[must_use]
    pub fn revoked(&self, key: &[u8; 32]) -> Option<&Revoked> {
        self.content.keys.get(&hex(key))
    }

    /// Everybody who is on it, in the order of their keys.
    pub fn entries(&self) -> impl Iterator<Item = &Revoked> {
        self.content.keys.values()
    }

    /// The list's number: a higher one is later.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.content.number
    }

    /// The list as it travels.
    #[must_use]
    pub const fn signed(&self) -> &SignedList {
        &self.signed
    }
}

fn message(list: &str) -> Vec<u8> {
    [CONTEXT, list.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    #[test]
    fn only_the_authority_revokes() {
        let cluster: Name = "plant".parse().unwrap();
        let authority = Authority::draw(cluster.clone(), NOW).unwrap();
        let node = "node-2".parse().unwrap();
        let list = Revocations::none(&authority);
        assert_eq!(list.revoked(&[1; 32]), None);
        let list = list.revoke(&node, &[1; 32], NOW, &authority).unwrap();
        assert_eq!((list.number(), list.entries().count()), (1, 1));
        let check = |signed: SignedList, cluster: &Name, of: &Authority| {
            Revocations::check(signed, cluster, of.certificate())
        };
        let read = check(list.signed().clone(), &cluster, &authority).unwrap();
        assert_eq!(read, list);
        assert_eq!(read.revoked(&[1; 32]).unwrap().node, node);
        let mut altered = list.signed().clone();
        altered.list = altered.list.replace("node-2", "node-3");
        let refused = check(altered, &cluster, &authority).unwrap_err();
        assert!(matches!(refused, RevocationError::Signature));
        let other = Authority::draw(cluster.clone(), NOW).unwrap();
        let refused = check(list.signed().clone(), &cluster, &other).unwrap_err();
        assert!(matches!(refused, RevocationError::Signature));
        let elsewhere = "elsewhere".parse().unwrap();
        let refused = check(list.signed().clone(), &elsewhere, &authority).unwrap_err();
        assert!(matches!(refused, RevocationError::Cluster(_)));
    }
}
