//! What a log says of its tree: <https://c2sp.org/tlog-checkpoint>.
//!
//! ```text
//! <origin>
//! <size>
//! <base64 of the root>
//! chain <base64 of the last event's chain hash>
//! ```
//!
//! The fourth line is ours; whoever does not know it passes over it. The last
//! leaf holds the same hash, so that the line claims nothing that the root
//! does not fix; it spares those who keep chain hashes a proof.

use std::fmt;
use std::fmt::Write as _;

use super::encoding::{after, check_origin, check_text, digest, number, to_base64};
use super::error::{CheckError, NoteError};
use super::key::VerifierKey;
use super::signed::SignedNote;
use crate::digest::Digest;
use crate::tree::empty_root;

/// What the line with the chain hash starts with.
const CHAIN: &str = "chain ";

/// A statement about a log's tree: nothing is known of it before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Digest,
    chain: Option<Digest>,
    /// All extension lines, that of the chain hash among them.
    extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extension lines. `size` counts leaves.
    pub fn new(origin: &str, size: u64, root: Digest) -> Result<Self, NoteError> {
        check_origin(origin)?;
        if size == 0 && root != empty_root() {
            return Err(NoteError::EmptyTree);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            chain: None,
            extensions: Vec::new(),
        })
    }

    /// Adds the chain hash of the last event, as an extension line.
    pub fn chain(self, chain_hash: Digest) -> Result<Self, NoteError> {
        self.extension(&format!("{CHAIN}{}", to_base64(chain_hash.0)))
    }

    /// Adds an extension line, without its newline.
    pub fn extension(mut self, line: &str) -> Result<Self, NoteError> {
        if line.is_empty() {
            return Err(NoteError::Missing("the content of an extension line"));
        }
        if let Some(byte) = line.bytes().find(|byte| *byte < 0x20) {
            return Err(NoteError::Control(byte));
        }
        if line.starts_with(CHAIN) {
            let hash = digest(after(line, CHAIN, "the chain line")?, "the chain hash")?;
            if self.chain.replace(hash).is_some() {
                let (what, max) = ("chain lines", 1);
                return Err(NoteError::TooMany { what, max });
            }
        }
        self.extensions.push(line.to_owned());
        Ok(self)
    }

    /// Reads the text of a checkpoint, without signatures.
    pub fn parse_text(text: &str) -> Result<Self, NoteError> {
        check_text(text)?;
        let mut lines = text.split_terminator('\n');
        let mut line = |what| lines.next().ok_or(NoteError::Missing(what));
        let origin = line("the origin")?;
        let size = number(line("the tree size")?, "the tree size")?;
        let root = digest(line("the root")?, "the root")?;
        let checkpoint = Self::new(origin, size, root)?;
        lines.try_fold(checkpoint, Self::extension)
    }

    /// The text that is signed.
    pub fn to_text(&self) -> String {
        let root = to_base64(self.root.0);
        let mut text = format!("{}\n{}\n{root}\n", self.origin, self.size);
        for line in &self.extensions {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// Which log it is about.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves: the last event's sequence and one.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// The chain hash of the last event, if the checkpoint has it.
    pub fn chain_hash(&self) -> Option<Digest> {
        self.chain
    }

    /// The extension lines, that of the chain hash among them.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

/// A checkpoint and its signatures. Believe nothing of it before
/// [`verify`](Self::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: SignedNote,
}

impl SignedCheckpoint {
    pub(super) fn from_parts(checkpoint: Checkpoint, note: SignedNote) -> Self {
        Self { checkpoint, note }
    }

    /// Reads a signed checkpoint.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let note = SignedNote::parse(text)?;
        let checkpoint = Checkpoint::parse_text(note.text())?;
        Ok(Self { checkpoint, note })
    }

    /// Checks that it is of the log `origin`, signed by `key`.
    pub fn verify(&self, key: &VerifierKey, origin: &str) -> Result<(), CheckError> {
        if self.checkpoint.origin != origin {
            return Err(CheckError::Origin {
                expected: origin.to_owned(),
                found: self.checkpoint.origin.clone(),
            });
        }
        Ok(self.note.verify(key)?)
    }

    /// What is signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Which log it is about.
    pub fn origin(&self) -> &str {
        self.checkpoint.origin()
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The root of the tree.
    pub fn root(&self) -> Digest {
        self.checkpoint.root
    }

    /// The note with all its signatures.
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// Adds the signature lines that a witness answered, unchecked.
    pub fn add_signatures(&mut self, lines: &str) -> Result<(), NoteError> {
        self.note.add_signatures(lines)
    }
}

/// The checkpoint as it travels.
impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}
