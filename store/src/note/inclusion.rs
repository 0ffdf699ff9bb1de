//! A leaf is in a log: <https://c2sp.org/tlog-proof>.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>                 may be left out
//! index <number of the leaf>
//! <base64 of a hash>             the path, from the leaf's sibling up
//! …
//!
//! <checkpoint>
//! ```

use std::fmt;
use std::fmt::Write as _;

use super::checkpoint::SignedCheckpoint;
use super::encoding::{after, check_path, check_text, from_base64, number, path, push_path};
use super::encoding::{split_at_blank, to_base64};
use super::error::{CheckError, NoteError};
use super::key::VerifierKey;
use crate::digest::Digest;
use crate::tree::{leaf_hash, verify_inclusion};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
const EXTRA: &str = "extra ";
const INDEX: &str = "index ";

/// That a leaf is in the tree of a checkpoint. Nothing is known of it before
/// [`check`](Self::check).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    extra: Option<Vec<u8>>,
    index: u64,
    path: Vec<Digest>,
    checkpoint: SignedCheckpoint,
}

impl InclusionProof {
    /// Puts a proof together; the path is at most 63 hashes long.
    pub fn new(
        index: u64,
        path: Vec<Digest>,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, NoteError> {
        check_path(&path)?;
        Ok(Self {
            extra: None,
            index,
            path,
            checkpoint,
        })
    }

    /// Adds data that travel with the proof. Nothing vouches for them: they
    /// may be replaced by anybody who passes the proof on.
    pub fn with_extra(mut self, extra: Vec<u8>) -> Result<Self, NoteError> {
        self.extra = Some(extra);
        check_text(&self.to_string())?;
        Ok(self)
    }

    /// Reads a proof.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        check_text(text)?;
        let (proof, checkpoint) = split_at_blank(text, "the blank line before the checkpoint")?;
        let mut lines = proof.split_terminator('\n').peekable();
        let first = lines.next().unwrap_or_default();
        let rest = after(first, FIRST_LINE, "the first line")?;
        if !rest.is_empty() {
            return Err(NoteError::Trailing("the first line"));
        }
        let extra = lines.next_if(|line| line.starts_with(EXTRA));
        let extra = extra.map(|line| {
            let extra = after(line, EXTRA, "the extra line")?;
            from_base64(extra, "the extra line", "any bytes")
        });
        let index = lines.next().ok_or(NoteError::Missing("the index line"))?;
        let index = number(after(index, INDEX, "the index line")?, "the index")?;
        Ok(Self {
            extra: extra.transpose()?,
            index,
            path: path(lines)?,
            checkpoint: SignedCheckpoint::parse(checkpoint)?,
        })
    }

    /// Checks that the event with this chain hash is event number
    /// [`index`](Self::index) of the log `origin`, which is what `key` signed.
    pub fn check(
        &self,
        key: &VerifierKey,
        origin: &str,
        chain_hash: &Digest,
    ) -> Result<(), CheckError> {
        self.checkpoint.verify(key, origin)?;
        let (index, size) = (self.index, self.checkpoint.size());
        let leaf = leaf_hash(chain_hash);
        verify_inclusion(index, size, &leaf, &self.checkpoint.root(), &self.path)?;
        let said = self.checkpoint.checkpoint().chain_hash();
        if index + 1 == size && said.is_some_and(|said| said != *chain_hash) {
            return Err(CheckError::Chain);
        }
        Ok(())
    }

    /// The leaf's number from 0: the event's sequence.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The path from the leaf's sibling up.
    pub fn path(&self) -> &[Digest] {
        &self.path
    }

    /// The data that travel with the proof; nothing vouches for them.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }
}

/// The proof as it travels.
impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{FIRST_LINE}\n");
        if let Some(extra) = &self.extra {
            writeln!(text, "{EXTRA}{}", to_base64(extra))?;
        }
        writeln!(text, "{INDEX}{}", self.index)?;
        push_path(&mut text, &self.path);
        write!(f, "{text}\n{}", self.checkpoint)
    }
}
