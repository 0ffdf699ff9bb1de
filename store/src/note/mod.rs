//! Signed statements about a log, and proofs as texts that travel: what others
//! keep, compare and check without the log.
//!
//! | type                 | text                                                    |
//! |----------------------|---------------------------------------------------------|
//! | [`SignedNote`]       | any text with signature lines, <https://c2sp.org/signed-note> |
//! | [`SignedCheckpoint`] | origin, size and root of a tree, <https://c2sp.org/tlog-checkpoint> |
//! | [`InclusionProof`]   | a leaf is in that tree, <https://c2sp.org/tlog-proof>    |
//! | [`EventProof`]       | the same, with the event's header, so that the leaf can be recomputed |
//! | [`ConsistencyProof`] | that tree extends an earlier one, as <https://c2sp.org/tlog-witness> takes it |
//! | [`ForkEvidence`]     | two checkpoints by one key that can't both be right      |
//!
//! A key is pinned by its [`VerifierKey`], a log by its origin. Every text has
//! exactly one form: parsing is strict, so that whatever parses is written out
//! again byte for byte.

mod checkpoint;
mod consistency;
mod encoding;
mod error;
mod event;
mod fork;
mod inclusion;
mod key;
mod signed;
#[cfg(test)]
mod vectors;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use consistency::ConsistencyProof;
pub use error::{CheckError, NoteError, ProveError};
pub use event::{EventProof, ProvenEvent};
pub use fork::ForkEvidence;
pub use inclusion::InclusionProof;
pub use key::{NoteSigner, VerifierKey};
pub use signed::{NoteSignature, SignedNote};

/// The longest text that is parsed or written, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_000_000;
/// The most signature lines of a note.
pub const SIGNATURES_MAX: usize = 100;
/// The most hashes in a proof: one for each bit of a 64-bit size but the last.
pub const PATH_HASHES_MAX: usize = 63;
