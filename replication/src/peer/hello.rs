//! Who is at the other end.
//!
//! ```text
//!   dialer                                 listener
//!     │ ── Hello{…, nonce d} ─────────────────► │
//!     │ ◄───────────────── Hello{…, nonce l} ── │
//!     │ ── Proof: sign(dialer, both hellos) ──► │
//!     │ ◄ Proof: sign(listener, both hellos) ── │
//! ```
//!
//! A proof signs the whole of both hellos and which side signs. So it can't be
//! replayed (both nonces are in it), not be reflected (the side is in it), and
//! nobody in between can change a name, a log or the list of versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vsm_core::{Digest, LogId, Name, Role};

use super::{
    frame::{VERSIONS, encode},
    key::{PublicKey, Signature, Signer, statement},
    refusal::Refusal,
    relay::ForkPoint,
};

/// The most versions in a hello.
const VERSIONS_MAX: usize = 16;
/// The most fork points in a hello.
pub const FORKS_MAX: usize = 64;

/// This node, as it introduces itself.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub node: Name,
    /// Its log.
    pub log: LogId,
    /// The log's incarnation.
    pub incarnation: u32,
    /// Where each incarnation but the first began, the latest
    /// [`FORKS_MAX`] of them in ascending order.
    pub forks: Vec<ForkPoint>,
    /// The nonce of this run's `started` record.
    pub run: Digest,
    /// The subsystems it hosts.
    pub roles: Vec<Role>,
}

/// Which end of the connection one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// The one that connected.
    Dialer,
    /// The one that was connected to.
    Listener,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }
}

/// Whom the transport authenticated, from a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// The name in the certificate.
    pub node: Name,
    /// The node's key in it.
    pub key: PublicKey,
}

/// A node that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its key.
    pub key: PublicKey,
    /// It misbehaved: nothing is taken from it.
    pub quarantined: bool,
    /// It may read ranges of this node's log.
    pub auditor: bool,
}

/// The nodes that are known, by name. Whoever keeps it bounds it.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    members: BTreeMap<Name, Member>,
    /// Keys that a name had before: what they signed then is still theirs.
    former: BTreeMap<Name, Vec<PublicKey>>,
}

impl Directory {
    /// Adds a member, or replaces what was known of it.
    pub fn insert(&mut self, node: Name, member: Member) {
        self.members.insert(node, member);
    }

    /// Adds a key that a member's name had before.
    pub fn insert_former(&mut self, node: &Name, key: PublicKey) {
        self.former.entry(node.clone()).or_default().push(key);
    }

    /// Forgets a member.
    pub fn remove(&mut self, node: &Name) {
        self.members.remove(node);
        self.former.remove(node);
    }

    /// The keys that a name has had, the present one first.
    pub fn keys(&self, node: &Name) -> impl Iterator<Item = PublicKey> + '_ {
        let present = self.member(node).map(|member| member.key);
        let former = self.former.get(node).into_iter().flatten().copied();
        present.into_iter().chain(former)
    }

    /// A member.
    #[must_use]
    pub fn member(&self, node: &Name) -> Option<&Member> {
        self.members.get(node)
    }

    fn owner(&self, key: &PublicKey) -> Option<&Name> {
        let mut members = self.members.iter();
        members.find(|(_, it)| it.key == *key).map(|(node, _)| node)
    }
}

/// A hello. Its encoding is frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The versions that the node speaks.
    pub versions: Vec<u8>,
    /// Its name.
    pub node: Name,
    /// Its key.
    pub key: PublicKey,
    /// Its log.
    pub log: LogId,
    /// The log's incarnation.
    pub incarnation: u32,
    /// Where incarnations began; see [`super::relay`].
    pub forks: Vec<ForkPoint>,
    /// The nonce of its run.
    pub run: Digest,
    /// What the other side must sign: random, drawn for this connection.
    pub nonce: [u8; 32],
}

impl Hello {
    pub(super) fn of(identity: &Identity, key: PublicKey, nonce: [u8; 32]) -> Self {
        Self {
            versions: VERSIONS.to_vec(),
            node: identity.node.clone(),
            key,
            log: identity.log,
            incarnation: identity.incarnation,
            forks: identity.forks.clone(),
            run: identity.run,
            nonce,
        }
    }

    /// The other side's hello, checked against this one. Gives the version.
    pub(super) fn meet(
        &self,
        peer: &Self,
        authenticated: Option<&Authenticated>,
        directory: &Directory,
    ) -> Result<u8, Refusal> {
        let count = peer.versions.len();
        if count > VERSIONS_MAX {
            let (what, max) = ("versions", VERSIONS_MAX);
            return Err(Refusal::TooMany { what, count, max });
        }
        let spoken = |version: &&u8| peer.versions.contains(version);
        let version = self.versions.iter().find(spoken).copied();
        let version = version.ok_or_else(|| Refusal::Versions {
            theirs: peer.versions.clone(),
        })?;
        let same = peer.node == self.node || peer.key == self.key || peer.log == self.log;
        if same || peer.nonce == self.nonce {
            return Err(Refusal::Oneself(peer.node.clone()));
        }
        peer.check_forks()?;
        peer.check_member(authenticated, directory)?;
        Ok(version)
    }

    fn check_member(
        &self,
        authenticated: Option<&Authenticated>,
        directory: &Directory,
    ) -> Result<(), Refusal> {
        let said = self.node.clone();
        if let Some(it) = authenticated
            && (it.node != self.node || it.key != self.key)
        {
            let authenticated = it.node.clone();
            return Err(Refusal::NotAuthenticated {
                said,
                authenticated,
            });
        }
        match (directory.member(&said), directory.owner(&self.key)) {
            (Some(member), _) if member.key != self.key => Err(Refusal::KeyMismatch {
                node: said,
                known: member.key,
                shown: self.key,
            }),
            (Some(member), _) if member.quarantined => Err(Refusal::Quarantined(said)),
            (Some(_), _) => Ok(()),
            (None, Some(known)) => Err(Refusal::KeyOfAnother {
                said,
                known: known.clone(),
            }),
            (None, None) if authenticated.is_none() => Err(Refusal::UnknownNode(said)),
            (None, None) => Ok(()),
        }
    }

    fn check_forks(&self) -> Result<(), Refusal> {
        let count = self.forks.len();
        if count > FORKS_MAX {
            let (what, max) = ("fork points", FORKS_MAX);
            return Err(Refusal::TooMany { what, count, max });
        }
        let ascending = |pair: &[ForkPoint]| pair[0].incarnation < pair[1].incarnation;
        if !self.forks.windows(2).all(ascending) {
            return Err(Refusal::Hello("its fork points are not in order"));
        }
        let last = self.forks.last().map(|fork| fork.incarnation);
        if last.is_some_and(|last| last > self.incarnation) {
            return Err(Refusal::Hello("a fork point is of a later incarnation"));
        }
        Ok(())
    }
}

/// Both hellos as the two sides know them.
#[derive(Clone, Debug)]
pub(super) struct Meeting {
    side: Side,
    transcript: Digest,
}

impl Meeting {
    pub(super) fn new(side: Side, own: &Hello, peer: &Hello) -> Self {
        let (dialer, listener) = match side {
            Side::Dialer => (own, peer),
            Side::Listener => (peer, own),
        };
        let transcript = Digest::of(&encode(&(dialer, listener)));
        Self { side, transcript }
    }

    fn statement(&self, side: Side) -> Vec<u8> {
        statement("vsm-peer 1 hello", &(side, self.transcript))
    }

    pub(super) fn prove(&self, signer: &impl Signer) -> Signature {
        signer.sign(&self.statement(self.side))
    }

    pub(super) fn check(&self, peer: &Hello, proof: &Signature) -> Result<(), Refusal> {
        let statement = self.statement(self.side.other());
        if peer.key.verifies(&statement, proof) {
            Ok(())
        } else {
            Err(Refusal::Unproven(peer.node.clone()))
        }
    }
}
