//! Why a text is not what it should be, a proof does not hold, or none can be
//! made.

use crate::digest::Digest;
use crate::error::ReadError;
use crate::tree::ProofError;

/// Why a text, a name or a key can't be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// The text is longer than [`TEXT_BYTES_MAX`](super::TEXT_BYTES_MAX).
    #[error("the text is {len} bytes long, the limit is {max}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A line, or the blank line between two parts, is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// There is something that does not belong there.
    #[error("{0} is followed by something else")]
    Trailing(&'static str),
    /// The text does not end with a newline.
    #[error("the text does not end with a newline")]
    Unterminated,
    /// The text holds a control character other than newline.
    #[error("the text holds the control character {0:#04x}")]
    Control(u8),
    /// A name or origin is empty or holds what it may not.
    #[error("{what} {name:?} is not valid: it must not be empty nor hold {forbidden}")]
    Name {
        /// Which one.
        what: &'static str,
        /// The name.
        name: String,
        /// What it may not hold.
        forbidden: &'static str,
    },
    /// A number is not decimal without leading zeros, or is above 2^64 - 1.
    #[error("{what} {found:?} is not a decimal number without leading zeros below 2^64")]
    Number {
        /// Which one.
        what: &'static str,
        /// What was found.
        found: String,
    },
    /// Base64 that is not the one form its bytes have (RFC 4648, section 4,
    /// with padding), or of the wrong length.
    #[error("{what} is not base64 of {expected}")]
    Base64 {
        /// Which one.
        what: &'static str,
        /// What it should be of.
        expected: &'static str,
    },
    /// A line does not start as it must.
    #[error("{what} is {found:?}, expected it to start with {expected:?}")]
    Line {
        /// Which one.
        what: &'static str,
        /// What it should start with.
        expected: &'static str,
        /// The line.
        found: String,
    },
    /// There are more of something than there may be.
    #[error("there are more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The key id is not that of the name and key.
    #[error("the key id {found} is not {expected}, which the name and key give")]
    KeyId {
        /// The id that name and key give.
        expected: String,
        /// The id that stands there.
        found: String,
    },
    /// The key is of a type other than Ed25519 (1).
    #[error("keys of type {0:#04x} are not known, only Ed25519 (0x01)")]
    KeyType(u8),
    /// The 32 bytes are not an Ed25519 public key.
    #[error("the bytes are not an Ed25519 public key")]
    PublicKey,
    /// No signature is by the key.
    #[error("the note is not signed by {0}")]
    Unsigned(String),
    /// A signature that says it is by the key is not.
    #[error("the signature by {0} is wrong")]
    BadSignature(String),
    /// The tree without leaves has only one root.
    #[error("a checkpoint of size 0 has the root of another tree than the empty one")]
    EmptyTree,
}

/// Why a proof or evidence does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The text can't be read, or its signature is wrong or missing.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The hashes do not lead where they should.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The checkpoint is of another log.
    #[error("the checkpoint is of {found:?}, expected {expected:?}")]
    Origin {
        /// The origin that was asked for.
        expected: String,
        /// The checkpoint's origin.
        found: String,
    },
    /// The proof starts from another tree than the one given.
    #[error("the proof starts from a tree of size {found}, the old checkpoint has size {expected}")]
    OldSize {
        /// The old checkpoint's size.
        expected: u64,
        /// The size the proof starts from.
        found: u64,
    },
    /// The header that the proof carries can't be one.
    #[error("the proof's extra data are not the 128-byte header of an event")]
    Header,
    /// The header is of another event than the one the proof is of.
    #[error("the header has sequence {header}, the proof is of leaf {index}")]
    Sequence {
        /// The header's sequence.
        header: u64,
        /// The proof's index.
        index: u64,
    },
    /// The chain hash in the checkpoint is not that of the last leaf.
    #[error("the checkpoint's chain hash is not that of its last event")]
    Chain,
    /// The descriptor is not the one in the header.
    #[error("the descriptor is not the one that the header has the digest of")]
    Descriptor,
    /// Salt and body are not those in the header.
    #[error("salt and body are not those that the header commits to")]
    Body,
    /// The two checkpoints can both be right.
    #[error("the checkpoints agree with each other; this is no evidence of a fork")]
    NoFork,
    /// The evidence needs the later tree's root at the earlier size, and the
    /// proof of it.
    #[error("checkpoints of different sizes are evidence only with the root between them")]
    NoLink,
    /// The evidence has a root between checkpoints of the same size.
    #[error("checkpoints of the same size need no root between them")]
    NeedlessLink,
}

/// Why a log gives no checkpoint or proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The tree is not that large (yet).
    #[error("a tree of size {size} is beyond what is durable: the tree has size {tree_size}")]
    NotDurable {
        /// The size that was asked for.
        size: u64,
        /// The size of the durable tree.
        tree_size: u64,
    },
    /// Hashes that are needed are of events that were pruned.
    #[error("the proof needs events before sequence {kept_from}, which were pruned")]
    Pruned {
        /// The first sequence that is kept.
        kept_from: u64,
    },
    /// The signer's key is not the one that genesis names.
    #[error("wrong key: genesis names the key {expected}, the signer has {found}")]
    WrongKey {
        /// The public key in genesis.
        expected: Digest,
        /// The signer's public key.
        found: Digest,
    },
    /// The checkpoint has another root than this log's tree of that size.
    #[error("the checkpoint of size {size} is not of this log: its root differs")]
    OtherTree {
        /// The checkpoint's size.
        size: u64,
    },
    /// What was asked for can't be proven.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// There is no evidence, or the checkpoint given can't be used for it.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A name is not valid, or a text too long.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}
