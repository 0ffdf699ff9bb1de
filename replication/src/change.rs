//! The one place where a change's bytes are looked at, whoever sent them.
//!
//! ```text
//!   85 6f 4a 83 │ checksum 4 │ type 1 │ length LEB128 │ contents
//! ```
//!
//! The checksum is the first bytes of the change's hash, the SHA-256 over the
//! type, the length and the contents
//! (<https://automerge.org/automerge-binary-format-spec/>). It is compared
//! before anything else, and how much the contents unfold to is found out
//! before Automerge unfolds them.

use std::panic::catch_unwind;

use automerge::{AutomergeError, Change, ChangeHash};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{
    actor::{Actor, ActorLength},
    columns::{self, ColumnError},
    history::HistoryError,
    reader::{ReadError, Reader, write_unsigned},
};

/// The most bytes of one change, uncompressed. With its author it has to fit
/// into a message.
pub const CHANGE_BYTES_MAX: usize = 48 * 1024;

/// What a chunk begins with, and the types of a plain and of a compressed
/// change.
pub(crate) const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
pub(crate) const CHUNK_CHANGE: u8 = 1;

/// Bytes are not those of a change, in the one form that a change has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Longer than [`CHANGE_BYTES_MAX`].
    #[error("a change has {0} bytes uncompressed, or more; the most is {CHANGE_BYTES_MAX}")]
    Length(usize),
    /// Not a chunk.
    #[error("malformed chunk: {0}")]
    Chunk(#[from] ReadError),
    /// The first bytes are wrong.
    #[error("a chunk does not begin with Automerge's magic bytes")]
    Magic,
    /// Another kind of chunk. A compressed change could become a thousand
    /// times as long, so it isn't one here.
    #[error("a chunk has type {0}; an uncompressed change has type 1")]
    Type(u8),
    /// Something follows the change.
    #[error("{0} bytes follow the change")]
    Trailing(usize),
    /// The contents are others than the checksum is of.
    #[error("a change's checksum is wrong")]
    Checksum,
    /// It unfolds to too much.
    #[error(transparent)]
    Columns(#[from] ColumnError),
    /// Automerge can't read it.
    #[error("malformed change: {0}")]
    Malformed(String),
    /// Automerge panicked over it.
    #[error("a change can't be read")]
    Panicked,
    /// The same change has another form.
    #[error("a change is not in its canonical form")]
    Form,
    /// Its actor's name has another length.
    #[error(transparent)]
    ActorLength(#[from] ActorLength),
    /// Changes are numbered from 1.
    #[error("a change has number 0; changes are numbered from 1")]
    Number,
}

/// A change was not made or not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Its bytes are no change's.
    #[error(transparent)]
    Form(#[from] FormError),
    /// The entry would make the change too long.
    #[error("the key and the value have {0} bytes, the most is {max}", max = CHANGE_BYTES_MAX / 2)]
    EntryLength(usize),
    /// Its owner's signature has another length.
    #[error("the owner's signature has {0} bytes, an Ed25519 signature has 64")]
    SignatureLength(usize),
    /// A node's actor, and not that of the node that answers for the change.
    #[error("actor {actor} is not that of {owner} in the run it names")]
    ForeignActor {
        /// Which actor.
        actor: Actor,
        /// Who answers for it.
        owner: String,
    },
    /// It builds on changes that are not here, and too many others wait for
    /// some already.
    #[error(
        "the change builds on {} changes that are not here, and too many wait already: send those first", .0.len()
    )]
    Missing(Vec<ChangeHash>),
    /// Its actor left a number out.
    #[error("the change is number {number} of actor {actor}, whose last number here is {last}")]
    Gap {
        /// Which actor.
        actor: Actor,
        /// The change's number.
        number: u64,
        /// The last one here.
        last: u64,
    },
    /// Its operations have counters that no honest writer uses. Automerge
    /// could not load again what begins below what it builds on, and counters
    /// are finite: one change could use them all up for everybody.
    #[error(
        "the change has operations {start} to {end}, where {least} to {most} are possible; when none are left a new epoch begins"
    )]
    Counter {
        /// Its first operation.
        start: u64,
        /// Its last operation.
        end: u64,
        /// One above what it builds on.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// An actor used a number twice: a cloned node, or one that lost its tail
    /// and went on under the same actor.
    #[error("actor {actor} has two changes number {number}; nothing more is taken of it")]
    Forked {
        /// Which actor.
        actor: Actor,
        /// Which number.
        number: u64,
    },
    /// It is of this node's present run, which did not make it: a clone.
    #[error(
        "change number {number} is of this node's own actor {actor}, and this node did not make it"
    )]
    NotOurs {
        /// Which actor.
        actor: Actor,
        /// Which number.
        number: u64,
    },
    /// Its actor has used a number twice before.
    #[error("nothing is taken of actor {0}, which has used a number twice")]
    Quarantined(Actor),
    /// It is a kept state's, and does not follow those before it.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// It says not who answers for it, or no run has begun.
    #[error("nobody answers for it")]
    Unowned,
    /// There is no such document.
    #[error("no document has this topic and epoch")]
    NoDocument,
    /// Automerge refuses it.
    #[error(transparent)]
    Automerge(#[from] AutomergeError),
}

/// A change whose bytes are those of a change. Who answers for it, and whether
/// it belongs to what is here, is not known yet.
#[derive(Clone, Debug)]
pub struct Checked {
    change: Change,
    bytes: Bytes,
    actor: Actor,
}

impl From<ActorLength> for ChangeError {
    fn from(length: ActorLength) -> Self {
        Self::Form(length.into())
    }
}

impl Checked {
    /// Looks at the bytes of a change.
    ///
    /// # Errors
    /// When they are not the uncompressed bytes of one change in its canonical
    /// form, or of one that unfolds to too much.
    pub fn new(bytes: Bytes) -> Result<Self, FormError> {
        if bytes.len() > CHANGE_BYTES_MAX {
            return Err(FormError::Length(bytes.len()));
        }
        let mut reader = Reader::new(&bytes);
        if reader.take(4)? != MAGIC {
            return Err(FormError::Magic);
        }
        let checksum = reader.take(4)?;
        let kind = reader.byte()?;
        if kind != CHUNK_CHANGE {
            return Err(FormError::Type(kind));
        }
        let contents = reader.prefixed()?;
        if !reader.is_empty() {
            return Err(FormError::Trailing(reader.len()));
        }
        let mut head = vec![CHUNK_CHANGE];
        write_unsigned(&mut head, contents.len() as u64);
        // The length can be written in more than one way.
        if bytes.len() != MAGIC.len() + checksum.len() + head.len() + contents.len() {
            return Err(FormError::Form);
        }
        let hash = Sha256::new().chain_update(&head).chain_update(contents);
        let hash = ChangeHash(hash.finalize().into());
        if hash.0[..4] != *checksum {
            return Err(FormError::Checksum);
        }
        columns::check(contents)?;
        // Well-formed on the outside and wrong inside, it may still panic.
        let copy = bytes.to_vec();
        let change = catch_unwind(move || Change::from_bytes(copy))
            .map_err(|_| FormError::Panicked)?
            .map_err(|error| FormError::Malformed(error.to_string()))?;
        let is_canonical =
            change.hash() == hash && change.raw_bytes() == bytes && change.extra_bytes().is_empty();
        if !is_canonical {
            return Err(FormError::Form);
        }
        if change.seq() == 0 {
            return Err(FormError::Number);
        }
        let actor = Actor::try_from(change.actor_id())?;
        Ok(Self {
            change,
            bytes,
            actor,
        })
    }

    /// A change that Automerge has just made or given out.
    ///
    /// # Errors
    /// When its actor's name has another length than 16 bytes.
    pub fn made(change: Change) -> Result<Self, ActorLength> {
        let actor = Actor::try_from(change.actor_id())?;
        let bytes = Bytes::copy_from_slice(change.raw_bytes());
        Ok(Self {
            change,
            bytes,
            actor,
        })
    }

    /// What Automerge makes of it.
    #[must_use]
    pub const fn change(&self) -> &Change {
        &self.change
    }

    /// Its uncompressed bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> ChangeHash {
        self.change.hash()
    }

    /// Its actor.
    #[must_use]
    pub const fn actor(&self) -> Actor {
        self.actor
    }

    /// Its number among its actor's changes, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.change.seq()
    }

    /// Whether it touches marks of rich text.
    #[must_use]
    pub fn has_marks(&self) -> bool {
        let mut reader = Reader::new(&self.bytes);
        let contents = reader.take(MAGIC.len() as u64 + 5);
        let shape = contents.and_then(|_| reader.prefixed()).map(columns::check);
        // What can't be walked may hold anything.
        !matches!(shape, Ok(Ok(shape)) if !shape.marks)
    }
}
