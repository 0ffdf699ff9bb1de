//! Updates of the documents that nodes share.

use serde::{Deserialize, Serialize};

use crate::name::{Name, Text};

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
    pub value: Option<Text>,
}

/// An entry, as it converged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Which document.
    pub topic: Name,
    /// Which entry.
    pub key: Text,
    /// Its value; `None`: it was removed.
    pub value: Option<Text>,
}

/// A document's change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which document.
    pub topic: Name,
    /// The change's uncompressed bytes.
    pub bytes: Vec<u8>,
}
