//! Frames: one binary message of the WebSocket each.
//!
//! ```text
//!   version  u8     0: a greeting, whose encoding never changes
//!                   else: the version that both agreed on
//!   content         bincode's legacy encoding of `Greeting` or `Frame`
//! ```
//!
//! Greetings are frozen, so that nodes of any two versions can say why they
//! don't speak with each other. The tags of `Frame` are append-only: a change
//! of an existing frame is a new tag, and what an older node must not get is
//! held back by the version agreed on.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use vsm_core::{Role, Seq, Text};

use super::{
    catch_up::LogPage,
    changes::SignedChange,
    hello::Hello,
    key::Signature,
    refusal::Refusal,
    relay::{Position, Receipt, RelayBatch},
    summary::Summary,
};

/// What a WebSocket between nodes is asked to speak.
pub const SUBPROTOCOL: &str = "vsm-peer.v1";

/// The longest frame, in bytes. A transport refuses longer ones unread.
pub const FRAME_BYTES_MAX: usize = 2 << 20;

/// The most certificates in a frame.
pub const CERTIFICATES_MAX: usize = 64;

/// The versions that this program speaks, the best first.
pub const VERSIONS: &[u8] = &[1];

/// The version byte of greetings.
const GREETING: u8 = 0;

/// What is said before a version is agreed on. Frozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Greeting {
    /// Who one is.
    Hello(Hello),
    /// That one is who one says: see [`super::hello`].
    Proof(Signature),
    /// Why one hangs up: the refusal's code and its text.
    Refused {
        /// [`Refusal::code`].
        code: u16,
        /// For people.
        text: Text,
    },
}

/// What is said once both know each other. Tags are on the wire: append only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Frame {
    /// The first one of each side: what it hosts, and where the other's relays
    /// shall go on.
    Opening {
        /// The subsystems that the sender hosts.
        roles: Vec<Role>,
        /// The last position of the receiver's log that the sender appended.
        resume: Position,
        /// What of that is durable.
        receipt: Receipt,
    },
    /// Nothing, but the sender is there.
    Heartbeat,
    /// The other side shall state its summary: something may be missing there.
    SummaryRequest,
    /// Which changes the sender has.
    Summary(Summary),
    /// Changes of shared documents.
    Changes(Vec<SignedChange>),
    /// Messages for subsystems at the receiver.
    Relays(RelayBatch),
    /// Relays are durable at the sender.
    Receipt(Receipt),
    /// The sender's log, as it signs it.
    Checkpoint(String),
    /// The receiver shall prove that its second checkpoint extends the first.
    ConsistencyRequest {
        /// The earlier checkpoint.
        old: String,
        /// The later one.
        new: String,
    },
    /// That proof, or that there is none.
    Consistency(Option<String>),
    /// A range of the receiver's log.
    LogRequest {
        /// The first position wanted.
        from: Seq,
        /// How many records at most.
        records: u32,
    },
    /// That range, or the beginning of it.
    LogPage(LogPage),
    /// Certificates of nodes whose changes the receiver may be shown. The node
    /// checks them; the session knows nothing of certificates.
    Members(Vec<Bytes>),
}

/// What came.
pub(super) enum Received {
    Greeting(Greeting),
    Frame(Frame),
}

/// The encoding of what is signed or sent.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    vsm_core::codec::encode(value)
}

impl Greeting {
    /// The frame's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        versioned(GREETING, self)
    }
}

impl Frame {
    /// The frame's bytes in a version that both speak.
    #[must_use]
    pub fn to_bytes(&self, version: u8) -> Vec<u8> {
        versioned(version, self)
    }
}

fn versioned(version: u8, value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![version];
    vsm_core::codec::encode_into(value, &mut bytes);
    bytes
}

/// Reads a frame; `version` is the one agreed on, if there is one yet.
pub(super) fn read(bytes: &[u8], version: Option<u8>) -> Result<Received, Refusal> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(Refusal::FrameLength(bytes.len()));
    }
    match bytes.split_first() {
        None => Err(Refusal::Malformed("it is empty".into())),
        Some((&GREETING, content)) => decode(content).map(Received::Greeting),
        Some((&found, content)) if Some(found) == version => decode(content).map(Received::Frame),
        Some((&found, _)) => Err(Refusal::FrameVersion {
            found,
            agreed: version,
        }),
    }
}

/// Limited in every count, so that a hostile length allocates nothing.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let config = bincode::config::legacy().with_limit::<FRAME_BYTES_MAX>();
    let (value, read) = bincode::serde::decode_from_slice(bytes, config)
        .map_err(|error| Refusal::Malformed(error.to_string()))?;
    match bytes.len() - read {
        0 => Ok(value),
        rest => Err(Refusal::Malformed(format!("{rest} bytes follow it"))),
    }
}
