//! A log has only grown: the request body of a witness's `add-checkpoint`,
//! <https://c2sp.org/tlog-witness>.
//!
//! ```text
//! old <size of the earlier tree>
//! <base64 of a hash>             RFC 6962, section 2.1.2
//! …
//!
//! <checkpoint>
//! ```

use std::fmt;

use super::checkpoint::SignedCheckpoint;
use super::encoding::{after, check_path, check_text, number, path, push_path, split_at_blank};
use super::error::{CheckError, NoteError};
use super::key::VerifierKey;
use crate::digest::Digest;
use crate::tree::verify_consistency;

const OLD: &str = "old ";

/// That the tree of a checkpoint extends an earlier one. Nothing is known of
/// it before [`check`](Self::check).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    old_size: u64,
    path: Vec<Digest>,
    checkpoint: SignedCheckpoint,
}

impl ConsistencyProof {
    /// Puts a proof together; the path is at most 63 hashes long.
    pub fn new(
        old_size: u64,
        path: Vec<Digest>,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, NoteError> {
        check_path(&path)?;
        Ok(Self {
            old_size,
            path,
            checkpoint,
        })
    }

    /// Reads a proof.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        check_text(text)?;
        let (proof, checkpoint) = split_at_blank(text, "the blank line before the checkpoint")?;
        let mut lines = proof.split_terminator('\n');
        let old = after(lines.next().unwrap_or_default(), OLD, "the first line")?;
        Ok(Self {
            old_size: number(old, "the old size")?,
            path: path(lines)?,
            checkpoint: SignedCheckpoint::parse(checkpoint)?,
        })
    }

    /// Checks that the tree of the checkpoint extends that of `old`, and that
    /// `key` signed both for the log `origin`.
    pub fn check(
        &self,
        key: &VerifierKey,
        origin: &str,
        old: &SignedCheckpoint,
    ) -> Result<(), CheckError> {
        old.verify(key, origin)?;
        self.check_from(key, origin, old.size(), &old.root())
    }

    /// The same from a size and root that the caller believes for other
    /// reasons, as a witness does that keeps no more of a log.
    pub fn check_from(
        &self,
        key: &VerifierKey,
        origin: &str,
        old_size: u64,
        old_root: &Digest,
    ) -> Result<(), CheckError> {
        self.checkpoint.verify(key, origin)?;
        if self.old_size != old_size {
            return Err(CheckError::OldSize {
                expected: old_size,
                found: self.old_size,
            });
        }
        let (size, root) = (self.checkpoint.size(), self.checkpoint.root());
        Ok(verify_consistency(
            old_size, old_root, size, &root, &self.path,
        )?)
    }

    /// The size of the earlier tree.
    pub fn old_size(&self) -> u64 {
        self.old_size
    }

    /// The hashes.
    pub fn path(&self) -> &[Digest] {
        &self.path
    }

    /// The checkpoint of the later tree.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }
}

/// The proof as it travels.
impl fmt::Display for ConsistencyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{OLD}{}\n", self.old_size);
        push_path(&mut text, &self.path);
        write!(f, "{text}\n{}", self.checkpoint)
    }
}
