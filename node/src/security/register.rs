//! What the authority keeps: who the members are, and which join tokens may
//! still come.
//!
//! Both are in one file, `cluster/register.json`, so that using a token up and
//! entering the member it let in are one step.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use vsm_core::{Digest, Name, Timestamp};

use super::{
    identity::PeerRole,
    join_token::{JoinToken, JoinTokenError},
    membership::hex,
    write_private,
};
use crate::telemetry::time::Rfc3339;

const FILE: &str = "register.json";
/// Whoever changes the file holds a lock on this one.
const LOCK: &str = "register.lock";
/// The most join tokens that are remembered.
const TOKENS_MAX: usize = 1_000;
/// The most members of a cluster.
const MEMBERS_MAX: usize = 1_000;
/// So long after its expiry a join token is told from one that never was.
const REMEMBERED_MICROS: u64 = 7 * 86_400 * 1_000_000;

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its Ed25519 key, hexadecimal.
    pub key: String,
    /// What it may do.
    pub role: PeerRole,
    /// Hosts in its certificate.
    pub hosts: Vec<String>,
    /// The serial number of its latest certificate, hexadecimal.
    pub serial: String,
    /// Until when that is valid.
    pub expires: Rfc3339,
}

/// A join token, as the authority remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The token's digest.
    pub hash: Digest,
    /// From when on it is refused.
    pub expires: Rfc3339,
    /// Who was let in with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<Name>,
}

/// The authority's book.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The members, by name.
    pub members: BTreeMap<Name, Member>,
    /// The join tokens.
    pub invitations: Vec<Invitation>,
}

/// The register can't be read, written or changed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The file can't be read or written.
    #[error("the cluster's file {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no register.
    #[error("the cluster's register {}: {source}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The token can't be made.
    #[error(transparent)]
    Token(#[from] JoinTokenError),
    /// Too many tokens.
    #[error("{TOKENS_MAX} join tokens may be open at a time; wait until some expire")]
    Full,
    /// Too many members.
    #[error("a cluster has at most {MEMBERS_MAX} members; revoke those that are gone")]
    Members,
    /// The authority never made it, or it expired long ago.
    #[error(
        "the join token is unknown: it was altered, or is not of this cluster; make one with `vsm cluster join-token`"
    )]
    TokenUnknown,
    /// It let somebody in.
    #[error(
        "the join token was used by {0}; a token is good for one node, make another with `vsm cluster join-token`"
    )]
    TokenUsed(Name),
    /// It came too late.
    #[error("the join token expired at {0}; make another with `vsm cluster join-token`")]
    TokenExpired(Rfc3339),
    /// Another node has the name.
    #[error(
        "a node with another key is called {0:?} in this cluster; choose another node.name, or revoke that node if it is gone"
    )]
    NameTaken(String),
    /// The node has another name.
    #[error("a node with this key is called {0:?} in this cluster; a log keeps its node's name")]
    KeyTaken(String),
    /// Another node has the host.
    #[error("{host:?} is in the certificate of {node}; a host belongs to one node")]
    HostTaken {
        /// Which host.
        host: String,
        /// Whose it is.
        node: Name,
    },
    /// There is no such member.
    #[error("no member is called {0:?}; `vsm cluster members` shows them")]
    Unknown(String),
}

impl RegisterError {
    /// A name for it that clients can rely on, where the asking side is at
    /// fault.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::TokenUnknown => "token-unknown",
            Self::TokenUsed(_) => "token-used",
            Self::TokenExpired(_) => "token-expired",
            Self::NameTaken(_) => "name-taken",
            Self::KeyTaken(_) => "key-taken",
            Self::HostTaken { .. } => "host-taken",
            Self::Members => "cluster-full",
            Self::Unknown(_) => "not-a-member",
            _ => return None,
        })
    }
}

impl Register {
    /// Reads the register in a cluster's folder.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(folder: &Path) -> Result<Self, RegisterError> {
        let path = folder.join(FILE);
        let text = fs::read(&path).map_err(|source| RegisterError::File {
            path: path.clone(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|source| RegisterError::Malformed { path, source })
    }

    /// Writes it into a cluster's folder.
    ///
    /// # Errors
    /// When it can't be written; it is then as it was.
    pub fn write(&self, folder: &Path) -> Result<(), RegisterError> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(|source| RegisterError::Malformed {
            path: path.clone(),
            source,
        })?;
        write_private(&path, &text).map_err(|source| RegisterError::File { path, source })
    }

    /// Reads, changes and writes the register while nobody else does.
    ///
    /// # Errors
    /// When it can't be read or written, or the change fails; it is then as it
    /// was.
    pub fn change<T, E: From<RegisterError>>(
        folder: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let path = folder.join(LOCK);
        let mut options = fs::OpenOptions::new();
        options.create(true).write(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options
            .open(&path)
            .and_then(|file| file.lock().map(|()| file));
        let _lock = lock.map_err(|source| RegisterError::File { path, source })?;
        let mut register = Self::read(folder)?;
        let changed = change(&mut register)?;
        register.write(folder)?;
        Ok(changed)
    }

    /// Remembers a join token that was made.
    ///
    /// # Errors
    /// When the token makes no sense, or there are too many.
    pub fn invite(&mut self, token: &JoinToken, now: Timestamp) -> Result<(), RegisterError> {
        token.check()?;
        self.invitations
            .retain(|it| it.expires.0.0.saturating_add(REMEMBERED_MICROS) > now.0);
        if self.invitations.len() >= TOKENS_MAX {
            return Err(RegisterError::Full);
        }
        self.invitations.push(Invitation {
            hash: token.hash(),
            expires: Rfc3339(token.expires),
            used_by: None,
        });
        Ok(())
    }

    /// Uses a join token up.
    ///
    /// # Errors
    /// When it is unknown, was used, or has expired.
    pub fn accept(
        &mut self,
        token: &JoinToken,
        by: &Name,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        let hash = token.hash();
        // The secret is in the hash: where the comparison ends tells nothing.
        let invitation = self.invitations.iter_mut().find(|it| it.hash == hash);
        let invitation = invitation.ok_or(RegisterError::TokenUnknown)?;
        if let Some(node) = &invitation.used_by {
            return Err(RegisterError::TokenUsed(node.clone()));
        }
        if invitation.expires.0 <= now {
            return Err(RegisterError::TokenExpired(invitation.expires));
        }
        invitation.used_by = Some(by.clone());
        Ok(())
    }

    /// Enters a member, or its new certificate.
    ///
    /// # Errors
    /// When name, key or a host is another's.
    pub fn enter(&mut self, name: &Name, member: Member) -> Result<(), RegisterError> {
        if self
            .members
            .get(name)
            .is_some_and(|it| it.key != member.key)
        {
            return Err(RegisterError::NameTaken(name.to_string()));
        }
        for (other, theirs) in self.members.iter().filter(|(other, _)| *other != name) {
            if theirs.key == member.key {
                return Err(RegisterError::KeyTaken(other.to_string()));
            }
            let theirs = |host: &&String| !is_loopback(host) && theirs.hosts.contains(host);
            if let Some(host) = member.hosts.iter().find(theirs) {
                return Err(RegisterError::HostTaken {
                    host: host.clone(),
                    node: other.clone(),
                });
            }
        }
        if self.members.len() >= MEMBERS_MAX && !self.members.contains_key(name) {
            return Err(RegisterError::Members);
        }
        self.members.insert(name.clone(), member);
        Ok(())
    }

    /// Takes a member out.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn remove(&mut self, name: &Name) -> Result<Member, RegisterError> {
        self.members
            .remove(name)
            .ok_or_else(|| RegisterError::Unknown(name.to_string()))
    }

    /// Whether a member of this name and key is in it.
    #[must_use]
    pub fn has(&self, name: &Name, key: &[u8; 32]) -> bool {
        self.members.get(name).is_some_and(|it| it.key == hex(key))
    }
}

/// Every machine is that to itself.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|it| it.to_canonical().is_loopback())
}
