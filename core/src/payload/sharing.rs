//! Updates of the documents that nodes share.

use serde::{Deserialize, Serialize};

use crate::{
    id::Digest,
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
