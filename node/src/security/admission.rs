//! Letting nodes in: what a new node asks with, and what the authority answers.

use std::{path::Path, time::Duration};

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use vsm_core::{Name, Timestamp};

use super::{
    authority::{Authority, AuthorityError, HOSTS_MAX, Subject, after},
    identity::PeerRole,
    join_token::{JoinToken, ParseJoinTokenError},
    key::NodeKey,
    membership::{Membership, MembershipError, hex, pem, unhex},
    register::{Member, Register, RegisterError},
    revocation::{RevocationError, Revocations, SignedList},
};
use crate::telemetry::time::Rfc3339;

/// What a joining node signs begins with this, so that the signature is good
/// for nothing else.
const CONTEXT: &str = "vsm 2026-11 cluster join";

/// What a new node asks with: the body of `POST /v1/cluster/join`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The join token.
    pub token: String,
    /// The node's name.
    pub name: Name,
    /// Its Ed25519 key, hexadecimal.
    pub key: String,
    /// Hosts that it is reached as.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The key's signature over all that, hexadecimal.
    pub signature: String,
}

/// What a node gets: its certificate and what it needs to judge the others'.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Admission {
    /// Its certificate, PEM.
    pub certificate: String,
    /// The authority's, PEM.
    pub authority: String,
    /// The latest revocation list.
    pub revocations: SignedList,
}

/// A node is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The token can't be read.
    #[error(transparent)]
    Token(#[from] ParseJoinTokenError),
    /// It is another cluster's.
    #[error("the join token is for the cluster {0:?}, which this node's authority is not of")]
    Cluster(String),
    /// The register refuses.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The key is no key.
    #[error("key: an Ed25519 key has 64 hexadecimal digits")]
    Key,
    /// Whoever asks does not have the key.
    #[error(
        "signature: it is not the key's over this request; the node must have the key that it names"
    )]
    Signature,
    /// The key is on the revocation list.
    #[error(
        "the key was revoked with the node {0:?}; a node that was revoked comes back with a new directory and a new key"
    )]
    Revoked(Name),
    /// Too many hosts, or one that makes no sense; or the authority's files.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The revocation list can't be used.
    #[error(transparent)]
    Revocations(#[from] RevocationError),
    /// The membership can't be used.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// What came is not what a node gets.
    #[error("the answer holds no certificate; is it a VSM node of the same version?")]
    Answer,
}

impl AdmissionError {
    /// A name for it that clients can rely on, where the asking side is at
    /// fault.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::Token(_) => "token-damaged",
            Self::Cluster(_) => "token-unknown",
            Self::Register(error) => return error.reason(),
            Self::Key => "key-malformed",
            Self::Signature => "signature-wrong",
            Self::Revoked(_) => "key-revoked",
            Self::Authority(AuthorityError::Host(_) | AuthorityError::Hosts(_)) => "host-refused",
            _ => return None,
        })
    }
}

/// What is signed: each part with its length before it, so that parts can't
/// be shifted.
fn transcript(token: &JoinToken, name: &Name, key: &[u8; 32], hosts: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let hash = token.hash();
    let fixed = [CONTEXT.as_bytes(), &hash.0, key, name.as_bytes()];
    let parts = fixed.into_iter().chain(hosts.iter().map(String::as_bytes));
    for part in parts {
        bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

impl JoinRequest {
    /// The request of a node with this key.
    #[must_use]
    pub fn new(token: &JoinToken, name: Name, key: &NodeKey, hosts: Vec<String>) -> Self {
        let signed = transcript(token, &name, &key.public(), &hosts);
        Self {
            token: token.to_string(),
            key: hex(&key.public()),
            signature: hex(&key.signing().sign(&signed).to_bytes()),
            name,
            hosts,
        }
    }

    /// Checks that whoever asks has the key it names; the answer is token and
    /// key.
    fn check(&self) -> Result<(JoinToken, [u8; 32]), AdmissionError> {
        if self.hosts.len() > HOSTS_MAX {
            return Err(AuthorityError::Hosts(self.hosts.len()).into());
        }
        let token: JoinToken = self.token.parse()?;
        let key = unhex(&self.key).ok_or(AdmissionError::Key)?;
        let signature = unhex(&self.signature).ok_or(AdmissionError::Signature)?;
        let signed = transcript(&token, &self.name, &key, &self.hosts);
        VerifyingKey::from_bytes(&key)
            .map_err(|_| AdmissionError::Key)?
            .verify_strict(&signed, &Signature::from_bytes(&signature))
            .map_err(|_| AdmissionError::Signature)?;
        Ok((token, key))
    }
}

impl Admission {
    fn new(certificate: &CertificateDer<'_>, authority: &Authority, list: &Revocations) -> Self {
        Self {
            certificate: pem(certificate),
            authority: pem(authority.certificate()),
            revocations: list.signed().clone(),
        }
    }

    /// What the node with this key got, checked: the certificate is its own.
    /// Whether the authority is the one it meant, the connection has shown.
    ///
    /// # Errors
    /// When the answer makes no sense.
    pub fn open(self, key: &[u8; 32]) -> Result<(Membership, Revocations), AdmissionError> {
        let read = |pem: &str| {
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| AdmissionError::Answer)
        };
        let membership = Membership::new(read(&self.certificate)?, read(&self.authority)?, key)?;
        let list = Revocations::check(
            self.revocations,
            &membership.identity.cluster,
            &membership.authority,
        )?;
        Ok((membership, list))
    }
}

/// The authority at work, in the folder of its cluster.
pub struct Desk<'a> {
    /// The authority.
    pub authority: &'a Authority,
    /// The cluster's folder.
    pub folder: &'a Path,
    /// How long certificates are valid.
    pub life: Duration,
}

impl Desk<'_> {
    fn revocations(&self) -> Result<Revocations, RevocationError> {
        Revocations::read(
            self.folder,
            self.authority.cluster(),
            self.authority.certificate(),
        )
    }

    /// Lets a node in: uses the token up, enters the member, signs its
    /// certificate. When anything is refused, nothing is changed.
    ///
    /// # Errors
    /// When the node is not let in.
    pub fn join(&self, request: &JoinRequest, now: Timestamp) -> Result<Admission, AdmissionError> {
        let (token, key) = request.check()?;
        if token.cluster != *self.authority.cluster() {
            return Err(AdmissionError::Cluster(token.cluster.to_string()));
        }
        let list = self.revocations()?;
        Register::change(self.folder, |register| {
            register.accept(&token, &request.name, now)?;
            if let Some(revoked) = list.revoked(&key) {
                return Err(AdmissionError::Revoked(revoked.node.clone()));
            }
            let (name, hosts) = (&request.name, &request.hosts);
            let certificate = self.enter(register, name, key, token.role, hosts, now)?;
            Ok(Admission::new(&certificate, self.authority, &list))
        })
    }

    /// A new certificate for a member that showed its present one.
    ///
    /// # Errors
    /// When it is no member any more.
    pub fn renew(
        &self,
        name: &Name,
        key: [u8; 32],
        now: Timestamp,
    ) -> Result<Admission, AdmissionError> {
        let list = self.revocations()?;
        Register::change(self.folder, |register| {
            if let Some(revoked) = list.revoked(&key) {
                return Err(AdmissionError::Revoked(revoked.node.clone()));
            }
            let member = match register.members.get(name) {
                Some(member) if member.key == hex(&key) => member.clone(),
                _ => return Err(RegisterError::Unknown(name.to_string()).into()),
            };
            let certificate = self.enter(register, name, key, member.role, &member.hosts, now)?;
            Ok(Admission::new(&certificate, self.authority, &list))
        })
    }

    /// Signs a certificate and enters it.
    ///
    /// # Errors
    /// When the register refuses it, or it can't be made.
    pub fn enter(
        &self,
        register: &mut Register,
        node: &Name,
        key: [u8; 32],
        role: PeerRole,
        hosts: &[String],
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, AdmissionError> {
        let until = after(now, self.life);
        let issued = self.authority.issue(&Subject {
            node,
            role,
            key,
            hosts,
            from: now,
            until,
        })?;
        let member = Member {
            key: hex(&key),
            role,
            hosts: hosts.to_vec(),
            serial: hex(&issued.serial),
            expires: Rfc3339(until),
        };
        register.enter(node, member)?;
        Ok(issued.certificate)
    }

    /// Revokes a member: its certificates are no longer good wherever the new
    /// list arrives, and its name is free. The answer is that list.
    ///
    /// # Errors
    /// When there is no such member, or the files can't be written.
    pub fn revoke(&self, name: &Name, now: Timestamp) -> Result<Revocations, AdmissionError> {
        Register::change(self.folder, |register| {
            let member = register.remove(name)?;
            let key = unhex(&member.key).ok_or(AdmissionError::Key)?;
            let list = self
                .revocations()?
                .revoke(name, &key, now, self.authority)?;
            // First: a register that still has a revoked member is put right
            // by revoking again; the other way round nobody would know.
            list.write(self.folder)?;
            Ok(list)
        })
    }
}
