//! Frames: the messages of the wire protocol, in CBOR.
//!
//! A frame is a map with a `type`. Fields that are not known are skipped
//! without being stored, texts and lists are bounded, and nesting is cut off,
//! so that reading a frame takes no more memory than the frame itself.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor},
};

/// The version of the protocol.
pub const PROTOCOL_VERSION: &str = "1";
/// How deep a frame may nest. The protocol needs four levels.
const DEPTH_MAX: usize = 16;
/// The most bytes of an id.
const TEXT_BYTES_MAX: usize = 256;
/// The most protocol versions that a client may offer.
const VERSIONS_MAX: usize = 16;

/// A frame can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not CBOR, or not a message's map.
    #[error("malformed frame: {0}")]
    Malformed(String),
    /// Bytes after the message.
    #[error("a frame has bytes after its message")]
    Trailing,
    /// A type that the protocol doesn't have.
    #[error("unknown message type {0:?}")]
    Type(String),
    /// A field is missing.
    #[error("a message of type {0} lacks {1}")]
    Missing(&'static str, &'static str),
    /// A text is too long.
    #[error("{0} is longer than {TEXT_BYTES_MAX} bytes")]
    Text(&'static str),
}

/// An ephemeral message, which is passed on and never kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ephemeral {
    /// The document that it is about, as on the wire.
    pub document: String,
    /// The peer that wrote it.
    pub sender: String,
    /// The sender's run.
    pub session: String,
    /// The message's number in the run; receivers drop what doesn't rise.
    pub count: u64,
    /// Anything; the stock client puts CBOR in it.
    pub data: Vec<u8>,
}

/// A message of the protocol, without sender and target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A client says who it is.
    Join {
        /// The protocol versions it speaks; `None` means version 1.
        versions: Option<Vec<String>>,
    },
    /// A sync message; `request` is the first one of a client that lacks the
    /// document.
    Sync {
        /// Whether it was a `request`.
        request: bool,
        /// The document, as on the wire.
        document: String,
        /// The sync message.
        data: Vec<u8>,
    },
    /// See [`Ephemeral`].
    Ephemeral(Ephemeral),
    /// The client doesn't have a document.
    Unavailable {
        /// The document, as on the wire.
        document: String,
    },
    /// Gossip about other clients' heads, or a wish for it.
    Gossip,
    /// The client ends the connection because of this.
    Error(String),
    /// The client is about to go.
    Leave,
}

/// A message with its sender and, apart from `join` and `leave`, its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The sender's peer id.
    pub sender: String,
    /// The target's peer id.
    pub target: Option<String>,
    /// What it says.
    pub body: Body,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    selected_protocol_version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    peer_metadata: Option<Metadata>,
    #[serde(skip_serializing)]
    supported_protocol_versions: Option<Versions>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    storage_id: String,
    is_ephemeral: bool,
}

/// A byte string. (Serde's own lists of bytes would be arrays of numbers.)
struct Bytes(Vec<u8>);

/// Protocol versions.
struct Versions(Vec<String>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl Visitor<'_> for BytesVisitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

impl<'de> Deserialize<'de> for Versions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VersionsVisitor;
        impl<'de> Visitor<'de> for VersionsVisitor {
            type Value = Versions;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of protocol versions")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Versions, A::Error> {
                let mut versions = Vec::new();
                while let Some(version) = list.next_element()? {
                    if versions.len() == VERSIONS_MAX {
                        return Err(A::Error::custom("too many protocol versions"));
                    }
                    versions.push(version);
                }
                Ok(Versions(versions))
            }
        }
        deserializer.deserialize_seq(VersionsVisitor)
    }
}

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    /// When it is malformed, or lacks what its type needs.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut rest = bytes;
        let wire: Wire = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH_MAX)
            .map_err(|error| FrameError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(FrameError::Trailing);
        }
        wire.into_frame()
    }

    fn to_bytes(wire: &Wire) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(wire, &mut bytes)
            .expect("a vector takes every byte, and these types are all of CBOR");
        bytes
    }

    fn wire(kind: &str, sender: &str, target: &str) -> Wire {
        Wire {
            kind: kind.into(),
            sender_id: Some(sender.into()),
            target_id: Some(target.into()),
            ..Wire::default()
        }
    }

    /// The server's answer to `join`.
    #[must_use]
    pub fn peer(sender: &str, target: &str, storage: &str) -> Vec<u8> {
        Self::to_bytes(&Wire {
            selected_protocol_version: Some(PROTOCOL_VERSION),
            peer_metadata: Some(Metadata {
                storage_id: storage.into(),
                is_ephemeral: false,
            }),
            ..Self::wire("peer", sender, target)
        })
    }

    /// A sync message about a document.
    #[must_use]
    pub fn sync(sender: &str, target: &str, document: String, data: Vec<u8>) -> Vec<u8> {
        Self::to_bytes(&Wire {
            document_id: Some(document),
            data: Some(Bytes(data)),
            ..Self::wire("sync", sender, target)
        })
    }

    /// The server doesn't have the document, or not for this client.
    #[must_use]
    pub fn unavailable(sender: &str, target: &str, document: String) -> Vec<u8> {
        Self::to_bytes(&Wire {
            document_id: Some(document),
            ..Self::wire("doc-unavailable", sender, target)
        })
    }

    /// Passes an ephemeral message on; its sender is who wrote it.
    #[must_use]
    pub fn ephemeral(target: &str, message: &Ephemeral) -> Vec<u8> {
        Self::to_bytes(&Wire {
            document_id: Some(message.document.clone()),
            session_id: Some(message.session.clone()),
            count: Some(message.count),
            data: Some(Bytes(message.data.clone())),
            ..Self::wire("ephemeral", &message.sender, target)
        })
    }

    /// Why the server ends the connection.
    #[must_use]
    pub fn error(sender: &str, target: &str, message: String) -> Vec<u8> {
        Self::to_bytes(&Wire {
            message: Some(message),
            ..Self::wire("error", sender, target)
        })
    }
}

impl Wire {
    fn into_frame(self) -> Result<Frame, FrameError> {
        for (name, text) in [
            ("senderId", &self.sender_id),
            ("targetId", &self.target_id),
            ("documentId", &self.document_id),
            ("sessionId", &self.session_id),
        ] {
            if text.as_ref().is_some_and(|it| it.len() > TEXT_BYTES_MAX) {
                return Err(FrameError::Text(name));
            }
        }
        let document = self.document_id;
        let sender = self.sender_id;
        let body = match self.kind.as_str() {
            "join" => Body::Join {
                versions: self.supported_protocol_versions.map(|it| it.0),
            },
            kind @ ("request" | "sync") => Body::Sync {
                request: kind == "request",
                document: document.ok_or(FrameError::Missing("sync", "documentId"))?,
                data: self.data.ok_or(FrameError::Missing("sync", "data"))?.0,
            },
            "ephemeral" => Body::Ephemeral(Ephemeral {
                document: document.ok_or(FrameError::Missing("ephemeral", "documentId"))?,
                sender: sender
                    .clone()
                    .ok_or(FrameError::Missing("ephemeral", "senderId"))?,
                session: self
                    .session_id
                    .ok_or(FrameError::Missing("ephemeral", "sessionId"))?,
                count: self
                    .count
                    .ok_or(FrameError::Missing("ephemeral", "count"))?,
                data: self.data.ok_or(FrameError::Missing("ephemeral", "data"))?.0,
            }),
            "doc-unavailable" => Body::Unavailable {
                document: document.ok_or(FrameError::Missing("doc-unavailable", "documentId"))?,
            },
            "remote-subscription-change" | "remote-heads-changed" => Body::Gossip,
            "error" => Body::Error(shortened(self.message.unwrap_or_default())),
            "leave" => Body::Leave,
            _ => return Err(FrameError::Type(shortened(self.kind))),
        };
        let sender = sender.ok_or(FrameError::Missing("any", "senderId"));
        Ok(Frame {
            // An error needs no sender; the README leaves it out.
            sender: if matches!(body, Body::Error(_)) {
                sender.unwrap_or_default()
            } else {
                sender?
            },
            target: self.target_id,
            body,
        })
    }
}

/// A stranger's text, short enough to be told again.
fn shortened(text: String) -> String {
    text.chars().take(TEXT_BYTES_MAX).collect()
}
