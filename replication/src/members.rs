//! The nodes that this one knows, as its log tells.
//!
//! Whoever showed a certificate of the cluster's authority is known from then
//! on, with the key that its changes are signed with; so a change of a node
//! that is gone for good can still be checked by those that never met it. Keys
//! that a name had before stay, for the same reason.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vsm_core::{
    LogId, Machine, Name, Record, Seq, Text,
    codec::{DecodeError, decode_state},
    payload::{
        Payload, Sharing,
        sharing::{Place, Receipted, Relayed},
    },
};

use crate::{
    peer::{Cursor, Directory, Member, Position, PublicKey, Receipt, Signature},
    shared::state::State,
};

/// The most nodes that are kept in mind. An authority admits 1,000 at a time.
const NODES_MAX: usize = 2_000;
/// The most keys of one name.
const KEYS_MAX: usize = 16;

/// Why nothing is taken from a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accusation {
    /// What it did.
    pub reason: Text,
    /// The record with the evidence.
    pub evidence: Seq,
}

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its keys with the certificates that it showed, the present one last.
    certificates: Vec<([u8; 32], Vec<u8>)>,
    /// Whether it only reads logs.
    pub auditor: bool,
    /// Its log, as it signed it last.
    pub checkpoint: Option<String>,
    /// Whether the authority revoked the key that it has now: it is gone for
    /// good.
    pub revoked: bool,
    /// Whether it is in quarantine, and why.
    pub accused: Option<Accusation>,
    /// The last of its messages that this log has.
    pub relayed: Option<Relayed>,
    /// What it signed last to have of this log's messages.
    pub receipted: Option<Receipted>,
}

impl Known {
    /// The key that it has now.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        // There is one from the first record about it on.
        self.certificates
            .last()
            .map_or(PublicKey([0; 32]), |(key, _)| PublicKey(*key))
    }
}

/// The nodes that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    nodes: BTreeMap<Name, Known>,
}

impl Members {
    /// Those that a node's `Shared` knew when it had this state
    /// ([`Machine::state`]).
    ///
    /// # Errors
    /// When the bytes are no such state.
    pub fn restore(state: &[u8]) -> Result<Self, DecodeError> {
        let state: State = decode_state(&Machine::system_state(state)?)?;
        Ok(state.members)
    }

    /// Takes in a record that may say something of a node; whether it did.
    pub fn note(&mut self, record: &Record) -> bool {
        let Payload::Sharing(sharing) = &record.message.payload else {
            return false;
        };
        match sharing {
            Sharing::Member(it) => {
                if !self.nodes.contains_key(&it.node) && self.nodes.len() >= NODES_MAX {
                    return false;
                }
                let known = self.nodes.entry(it.node.clone()).or_insert_with(|| Known {
                    certificates: Vec::new(),
                    auditor: it.auditor,
                    revoked: false,
                    checkpoint: None,
                    accused: None,
                    relayed: None,
                    receipted: None,
                });
                let certificates = &mut known.certificates;
                if certificates.last().is_some_and(|(key, _)| *key != it.key) {
                    // Another node under its name, with another log. What was
                    // held against the first is its own.
                    known.revoked = false;
                    known.checkpoint = None;
                    known.accused = None;
                    known.relayed = None;
                    known.receipted = None;
                }
                known.auditor = it.auditor;
                certificates.retain(|(key, _)| *key != it.key);
                certificates.push((it.key, it.certificate.clone()));
                if certificates.len() > KEYS_MAX {
                    certificates.remove(0);
                }
                true
            }
            Sharing::Witnessed(it) => self.change(&it.node, |known| {
                known.checkpoint = Some(it.checkpoint.to_string());
            }),
            Sharing::Accused(it) => self.change(&it.node, |known| {
                known.accused = Some(Accusation {
                    reason: it.reason.clone(),
                    evidence: record.seq,
                });
            }),
            // It is taken as it is now: what contradicted it is on the log.
            Sharing::Readmit(it) => self.change(&it.node, |known| {
                known.accused = None;
                known.checkpoint = None;
            }),
            Sharing::Relayed(it) => self.change(&it.node, |known| {
                known.relayed = Some(it.clone());
            }),
            Sharing::Receipted(it) => self.change(&it.node, |known| {
                known.receipted = Some(it.clone());
            }),
            Sharing::Revoked(it) => self.change(&it.node, |known| {
                known.revoked |= known.key().0 == it.key;
            }),
            Sharing::Update(_) | Sharing::View(_) | Sharing::Change(_) => false,
        }
    }

    fn change(&mut self, node: &Name, change: impl FnOnce(&mut Known)) -> bool {
        self.nodes.get_mut(node).map(change).is_some()
    }

    /// What is known of a node.
    #[must_use]
    pub fn get(&self, node: &Name) -> Option<&Known> {
        self.nodes.get(node)
    }

    /// Where each node's messages were got to, in the terms of a session: the
    /// last that this log has.
    #[must_use]
    pub fn cursor(&self, node: &Name) -> Option<Cursor> {
        self.get(node)?.relayed.as_ref().map(cursor)
    }

    /// What a node signed last to have of this log's messages.
    #[must_use]
    pub fn receipt(&self, node: &Name, origin: LogId) -> Option<Receipt> {
        let receipted = self.get(node)?.receipted.as_ref()?;
        Some(Receipt {
            origin,
            incarnation: receipted.incarnation,
            upto: position(receipted.upto),
            destination: receipted.log,
            destination_incarnation: receipted.log_incarnation,
            signature: Signature::from_bytes(&receipted.signature)?,
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Name, &Known)> {
        self.nodes.iter()
    }

    /// Whether this certificate of a node is known.
    #[must_use]
    pub fn has(&self, node: &Name, certificate: &[u8]) -> bool {
        self.get(node)
            .is_some_and(|known| known.certificates.iter().any(|(_, it)| it == certificate))
    }

    /// Every certificate that is known, for nodes that may not know it; a
    /// name's present one behind those that it had before.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        let certificates = self.nodes.values().flat_map(|known| &known.certificates);
        certificates.map(|(_, certificate)| certificate.as_slice())
    }

    /// The nodes as a session wants to know them.
    #[must_use]
    pub fn directory(&self) -> Directory {
        let mut directory = Directory::default();
        for (node, known) in &self.nodes {
            let member = Member {
                key: known.key(),
                quarantined: known.accused.is_some(),
                auditor: known.auditor,
            };
            directory.insert(node.clone(), member);
            let former = known.certificates.iter().rev().skip(1);
            for (key, _) in former {
                directory.insert_former(node, PublicKey(*key));
            }
        }
        directory
    }
}

/// Where a node's messages were got to.
#[must_use]
pub fn cursor(relayed: &Relayed) -> Cursor {
    Cursor {
        log: relayed.log,
        incarnation: relayed.incarnation,
        at: position(relayed.upto),
    }
}

const fn position(place: Place) -> Position {
    Position {
        seq: place.seq,
        chain: place.chain,
    }
}

#[cfg(test)]
mod tests {
    use vsm_core::{
        Message, MessageId, Role, Timestamp,
        payload::sharing::{Accused, Member as Shown, Readmit, Revoked, Witnessed},
    };

    use super::*;

    fn record(seq: u64, payload: impl Into<Payload>) -> Record {
        let principal = "node".parse().expect("a name");
        let (from, to) = (Role::Node, Role::Shared);
        Record {
            seq: Seq(seq),
            time: Timestamp(seq),
            message: Message::root(
                MessageId([0; 16]),
                from,
                to,
                payload,
                Timestamp(seq),
                principal,
            ),
            body: None,
        }
    }

    fn shown(node: &str, key: u8) -> Shown {
        Shown {
            node: node.parse().expect("a name"),
            key: [key; 32],
            certificate: vec![key; 3],
            auditor: false,
        }
    }

    #[test]
    fn a_replaced_node_keeps_its_old_keys_and_not_its_accusation() {
        let node: Name = "a".parse().expect("a name");
        let mut members = Members::default();
        assert!(members.note(&record(1, shown("a", 1))));
        let reason = Text::cut("it forked");
        let accused = Accused {
            node: node.clone(),
            reason,
        };
        assert!(members.note(&record(2, accused)));
        let witnessed = Witnessed {
            node: node.clone(),
            checkpoint: "c".parse().expect("a content"),
        };
        assert!(members.note(&record(3, witnessed)));
        let known = members.get(&node).expect("it is known");
        assert_eq!(known.accused.as_ref().map(|it| it.evidence), Some(Seq(2)));
        assert_eq!(known.checkpoint.as_deref(), Some("c"));
        let directory = members.directory();
        assert!(directory.member(&node).is_some_and(|it| it.quarantined));

        let revoked = |key| Revoked {
            node: node.clone(),
            key: [key; 32],
        };
        members.note(&record(4, revoked(9)));
        assert!(!members.get(&node).expect("it is known").revoked);
        members.note(&record(4, revoked(1)));
        assert!(members.get(&node).expect("it is known").revoked);

        assert!(members.note(&record(5, shown("a", 2))));
        let known = members.get(&node).expect("it is known");
        assert_eq!((known.key(), &known.accused), (PublicKey([2; 32]), &None));
        assert_eq!(known.checkpoint, None);
        assert!(!known.revoked, "another node has the name now");
        let directory = members.directory();
        let keys: Vec<_> = directory.keys(&node).collect();
        assert_eq!(keys, [PublicKey([2; 32]), PublicKey([1; 32])]);
        assert!(members.has(&node, &[1; 3]) && members.has(&node, &[2; 3]));
    }

    #[test]
    fn an_operator_readmits_and_nobody_is_made_up() {
        let node: Name = "a".parse().expect("a name");
        let mut members = Members::default();
        let accused = || Accused {
            node: node.clone(),
            reason: Text::cut("it forked"),
        };
        assert!(!members.note(&record(1, accused())), "nobody knows it");
        members.note(&record(2, shown("a", 1)));
        members.note(&record(3, accused()));
        let readmit = Readmit { node: node.clone() };
        assert!(members.note(&record(4, readmit)));
        let known = members.get(&node).expect("it is known");
        assert_eq!(known.accused, None);
        for number in 0..NODES_MAX {
            members.note(&record(5, shown(&format!("n{number}"), 3)));
        }
        assert_eq!(members.iter().len(), NODES_MAX, "bounded");
        for key in 0..=255 {
            members.note(&record(6, shown("a", key)));
        }
        assert_eq!(members.directory().keys(&node).count(), KEYS_MAX);
    }
}
