//! Who a certificate speaks of: the URI in its subject's alternative names.
//!
//! ```text
//!   vsm://CLUSTER/NODE                a member
//!   vsm://CLUSTER/NODE?role=auditor   may read logs, holds no documents
//! ```
//!
//! The certificate's key is the node's own Ed25519 key, the one in its log's
//! first record: whoever shows the certificate and signs the handshake is the
//! node whose log that is.

use std::{fmt, str::FromStr};

use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use vsm_core::Name;
use webpki::EndEntityCert;

/// What stands before an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const SCHEME: &str = "vsm://";
const ROLE: &str = "?role=";

/// What a node may do in its cluster.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum PeerRole {
    /// Everything that nodes do with each other.
    #[default]
    Member,
    /// Reads the others' logs.
    Auditor,
}

impl PeerRole {
    /// The role's name, as in flags, files and certificates.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for PeerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No role of a node has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role of a node; they are member and auditor")]
pub struct ParsePeerRoleError(String);

impl FromStr for PeerRole {
    type Err = ParsePeerRoleError;

    fn from_str(text: &str) -> Result<Self, ParsePeerRoleError> {
        [Self::Member, Self::Auditor]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| ParsePeerRoleError(text.into()))
    }
}

/// A node as its certificate names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its cluster.
    pub cluster: Name,
    /// Its name.
    pub node: Name,
    /// What it may do.
    pub role: PeerRole,
    /// Its Ed25519 key.
    pub key: [u8; 32],
    /// The certificate's serial number, big-endian, without leading zeros.
    pub serial: Vec<u8>,
}

/// A certificate names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are no certificate.
    #[error("it is no X.509 certificate: {0}")]
    Encoding(webpki::Error),
    /// It does not say which node, or says it twice.
    #[error(
        "a node's certificate has one name like vsm://CLUSTER/NODE, this one has {0}; it is not one that `vsm cluster join` got"
    )]
    Names(usize),
    /// The name can't be read.
    #[error("{0:?} names no node of a cluster; it is not of the form vsm://CLUSTER/NODE")]
    Malformed(String),
    /// Its key is of another kind.
    #[error("a node's certificate has an Ed25519 key, this one has another")]
    Key,
}

impl Identity {
    /// Reads it out of a certificate, without judging who signed that.
    ///
    /// # Errors
    /// When the certificate is none of a node.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let certificate = EndEntityCert::try_from(certificate).map_err(IdentityError::Encoding)?;
        let mut uris = certificate
            .valid_uri_names()
            .filter(|it| it.starts_with(SCHEME));
        let uri = uris.next().ok_or(IdentityError::Names(0))?;
        let more = uris.count();
        if more > 0 {
            return Err(IdentityError::Names(more + 1));
        }
        let (cluster, node, role) =
            parse(uri).ok_or_else(|| IdentityError::Malformed(uri.to_owned()))?;
        let key = ed25519(&certificate.subject_public_key_info()).ok_or(IdentityError::Key)?;
        let serial = certificate.serial();
        let zeros = serial.iter().take_while(|byte| **byte == 0).count();
        Ok(Self {
            cluster,
            node,
            role,
            key,
            serial: serial[zeros..].to_vec(),
        })
    }
}

/// The Ed25519 key of a certificate, an authority's too.
pub(super) fn key_of(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    ed25519(&certificate.subject_public_key_info())
}

fn ed25519(info: &[u8]) -> Option<[u8; 32]> {
    info.strip_prefix(&SPKI[..])?.try_into().ok()
}

/// The name that a certificate carries.
#[must_use]
pub(super) fn uri(cluster: &Name, node: &Name, role: PeerRole) -> String {
    match role {
        PeerRole::Member => format!("{SCHEME}{cluster}/{node}"),
        role => format!("{SCHEME}{cluster}/{node}{ROLE}{role}"),
    }
}

fn parse(uri: &str) -> Option<(Name, Name, PeerRole)> {
    let (cluster, rest) = uri.strip_prefix(SCHEME)?.split_once('/')?;
    // Names have neither '/' nor '?': there is one way to read it.
    let (node, role) = match rest.split_once(ROLE) {
        Some((node, role)) => (node, role.parse().ok()?),
        None => (rest, PeerRole::Member),
    };
    Some((cluster.parse().ok()?, node.parse().ok()?, role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_certificates_are_read_as_written() {
        let (cluster, node) = ("plant:a".parse().unwrap(), "node-2".parse().unwrap());
        for role in [PeerRole::Member, PeerRole::Auditor] {
            let written = uri(&cluster, &node, role);
            assert_eq!(parse(&written), Some((cluster.clone(), node.clone(), role)));
        }
        for text in [
            "vsm://plant",
            "vsm:///node",
            "vsm://plant/",
            "vsm://plant/a/b",
            "vsm://plant/a?role=admin",
            "vsm://plant/a?role=auditor?role=member",
            "https://plant/a",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
