//! A change that somebody else made, checked before a document sees it.

use std::ops::Range;

use automerge::{ActorId, AutomergeError, Change, ChangeHash};
use vsm_core::payload::sharing::Author;

use crate::actor::{actor_of, is_node};

/// The most bytes of one change, uncompressed. With its author it has to fit
/// into a message.
pub const CHANGE_BYTES_MAX: usize = 48 * 1024;

/// Where a chunk has its checksum, the first bytes of its hash, and behind it
/// names its type, and the type of a plain change
/// (<https://automerge.org/automerge-binary-format-spec/>).
const CHECKSUM: Range<usize> = 4..8;
const CHUNK_TYPE_AT: usize = 8;
const CHUNK_CHANGE: u8 = 1;

/// A change was not made or not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Longer than [`CHANGE_BYTES_MAX`].
    #[error("a change has {0} bytes, the most is {CHANGE_BYTES_MAX}")]
    Length(usize),
    /// Not the uncompressed bytes of one change.
    #[error("malformed change: {0}")]
    Malformed(String),
    /// A node's actor, and not that of the node that answers for the change.
    #[error("actor {actor} is not that of {author} in the run it names")]
    ForeignActor {
        /// Which actor.
        actor: ActorId,
        /// Who answers for it.
        author: String,
    },
    /// It builds on changes that are not here, and too many others wait for
    /// some already.
    #[error(
        "the change builds on {} changes that are not here, and too many wait already: send those first", .0.len()
    )]
    Missing(Vec<ChangeHash>),
    /// An actor used a number twice: a cloned node, or one that lost its tail
    /// and went on under the same actor.
    #[error("actor {actor} has two changes number {number}; nothing more is taken of it")]
    Forked {
        /// Which actor.
        actor: ActorId,
        /// Which number.
        number: u64,
    },
    /// Its actor has used a number twice before.
    #[error("nothing is taken of actor {0}, which has used a number twice")]
    Quarantined(ActorId),
    /// Automerge refuses it.
    #[error(transparent)]
    Automerge(#[from] AutomergeError),
}

/// A change whose bytes are those of a change, made by whom they say.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) change: Change,
    pub(crate) bytes: Vec<u8>,
    pub(crate) author: Author,
}

impl Checked {
    /// Looks at the bytes of a change that `author` answers for. The signature
    /// was looked at where the change came in.
    pub(crate) fn new(bytes: Vec<u8>, author: Author) -> Result<Self, ChangeError> {
        if bytes.len() > CHANGE_BYTES_MAX {
            return Err(ChangeError::Length(bytes.len()));
        }
        let malformed = |what: &str| ChangeError::Malformed(what.to_owned());
        // A compressed one could become a thousand times as long.
        if bytes.get(CHUNK_TYPE_AT) != Some(&CHUNK_CHANGE) {
            return Err(malformed("it is not an uncompressed change"));
        }
        let change = Change::from_bytes(bytes.clone())
            .map_err(|error| ChangeError::Malformed(error.to_string()))?;
        if change.raw_bytes() != bytes {
            return Err(malformed("something follows it"));
        }
        // Automerge does not look: one change would have many forms.
        if change.hash().0[..4] != bytes[CHECKSUM] {
            return Err(malformed("its checksum is not that of its content"));
        }
        if change.seq() == 0 {
            return Err(malformed("changes are numbered from 1"));
        }
        let actor = change.actor_id();
        if is_node(actor) && *actor != actor_of(&author.node, &author.run) {
            return Err(ChangeError::ForeignActor {
                actor: actor.clone(),
                author: author.node.to_string(),
            });
        }
        Ok(Self {
            change,
            bytes,
            author,
        })
    }

    pub(crate) fn hash(&self) -> ChangeHash {
        self.change.hash()
    }
}
