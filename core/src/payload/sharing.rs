//! Updates of the documents that nodes share.

use serde::{Deserialize, Serialize};

use crate::{
    id::{Digest, LogId, Seq},
    name::{Content, Name, Text},
};

channel_payload! {
    /// S1–S5 ↔ Shared ↔ Node ↔ Node.
    Sharing {
        /// A subsystem changes a shared entry.
        Update = "update",
        /// An entry, as it converged.
        View = "view",
        /// A document's change, as the documents' library encodes it.
        Change = "change",
        /// A node showed a certificate of this cluster's authority.
        Member = "member",
        /// Another node's log, as that node signs it.
        Witnessed = "witnessed",
        /// There is evidence against a node: nothing more is taken from it.
        Accused = "accused",
        /// An operator looked at the evidence; the node is talked to again.
        Readmit = "readmit",
        /// Another node's messages for subsystems here, which stand before this.
        Relayed = "relayed",
        /// Another node has this node's messages on its disk, and signed that.
        Receipted = "receipted",
        /// The cluster's authority revoked a node's key.
        Revoked = "revoked",
    }
}

/// A subsystem changes a shared entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Which document.
    pub topic: Name,
    /// Which entry.
    pub key: Text,
    /// Its new value; `None` removes it.
    pub value: Option<Content>,
}

/// An entry, as it converged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Which document.
    pub topic: Name,
    /// Which entry.
    pub key: Text,
    /// Its value; `None`: it was removed.
    pub value: Option<Content>,
    /// The node whose change made it read so; `None`: a client of some node.
    pub author: Option<Name>,
}

/// A document's change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which document.
    pub topic: Name,
    /// Which of the documents that follow one another under this topic.
    pub epoch: u32,
    /// The change's uncompressed bytes.
    pub bytes: Vec<u8>,
    /// Who made it. `None`: this node, in the run that the record is of.
    pub author: Option<Author>,
}

/// Who made a change, and how anybody can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The node.
    pub node: Name,
    /// The nonce of its run: with the node's name it gives the actor that the
    /// change names.
    pub run: Digest,
    /// The node's signature over topic, epoch and bytes, 64 bytes.
    pub signature: Vec<u8>,
}

/// A node showed a certificate of this cluster's authority, itself or through
/// another. Changes that it signed can be checked from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub node: Name,
    /// Its key. A node that was replaced has another than the one before.
    pub key: [u8; 32],
    /// The certificate, DER; at most [`Member::CERTIFICATE_MAX`] bytes.
    pub certificate: Vec<u8>,
    /// Whether it only reads logs.
    pub auditor: bool,
}

impl Member {
    /// The longest certificate, in bytes.
    pub const CERTIFICATE_MAX: usize = 4 * 1024;
}

/// Another node's log, as that node signs it: the checkpoint extends the one
/// that was witnessed before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witnessed {
    /// The node.
    pub node: Name,
    /// The signed checkpoint, as text.
    pub checkpoint: Content,
}

/// There is evidence against a node: nothing more is taken from it. The
/// evidence is the record's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accused {
    /// The node.
    pub node: Name,
    /// Of what.
    pub reason: Text,
}

/// The cluster's authority revoked a node's key: that node is gone for good, and
/// nothing is kept for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The node.
    pub node: Name,
    /// Its key. A node that replaced it has another.
    pub key: [u8; 32],
}

/// An operator looked at the evidence; the node is talked to again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readmit {
    /// The node.
    pub node: Name,
}

/// A place in another node's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The record; 0: before the first.
    pub seq: Seq,
    /// The chain hash up to there.
    pub chain: Digest,
}

/// Another node's messages for subsystems here were appended, in the same group
/// of records as this one: so far this log has that one's messages. There can't
/// be the one without the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relayed {
    /// The node that they come from.
    pub node: Name,
    /// Its log.
    pub log: LogId,
    /// That log's incarnation.
    pub incarnation: u32,
    /// Where they begin, in that log: behind this place.
    pub after: Place,
    /// The last one's place.
    pub upto: Place,
    /// How many there are.
    pub messages: u32,
    /// The origin's signature over the batch that they came in, 64 bytes.
    pub signature: Vec<u8>,
}

/// Another node has this node's messages on its disk, up to a place in this
/// log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipted {
    /// That node.
    pub node: Name,
    /// This log's incarnation.
    pub incarnation: u32,
    /// Up to where.
    pub upto: Place,
    /// The log that has them.
    pub log: LogId,
    /// That log's incarnation.
    pub log_incarnation: u32,
    /// That node's signature, 64 bytes.
    pub signature: Vec<u8>,
}
