//! Evidence that a key has signed two histories.
//!
//! ```text
//! vsm-store/fork-evidence@v1
//! root <base64>                  ┐ only for checkpoints of different sizes
//! <base64 of a hash> …           ┘
//!
//! <checkpoint>                   the smaller one
//!
//! <checkpoint>
//! ```
//!
//! Two checkpoints of the same origin and size that differ in root (or in the
//! chain hash of the last event) contradict each other as they stand. For
//! sizes m < n, `root` is that of the first m leaves *of the second
//! checkpoint's tree*, which the hashes prove (RFC 6962, section 2.1.2). If it
//! is not the first checkpoint's root, then the first m events of the second
//! history are others than those the first checkpoint stands for.

use std::fmt;

use super::checkpoint::SignedCheckpoint;
use super::encoding::{after, check_path, check_text, digest, path, push_path, to_base64};
use super::error::{CheckError, NoteError};
use super::key::VerifierKey;
use crate::digest::Digest;
use crate::tree::verify_consistency;

const FIRST_LINE: &str = "vsm-store/fork-evidence@v1";
const ROOT: &str = "root ";

/// Two checkpoints that can't both be right. Anybody can check it with the
/// verifier key alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkEvidence {
    first: SignedCheckpoint,
    second: SignedCheckpoint,
    link: Option<Link>,
}

/// What the second tree was at the first one's size.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    root: Digest,
    path: Vec<Digest>,
}

impl ForkEvidence {
    /// Evidence from two checkpoints that `key` signed, the smaller one first.
    /// For different sizes the `link` is the root that the second log's tree
    /// has at the first one's size, and the consistency proof from there to
    /// the second checkpoint. Checkpoints that agree are refused.
    pub fn of(
        first: &SignedCheckpoint,
        second: &SignedCheckpoint,
        key: &VerifierKey,
        link: Option<(Digest, Vec<Digest>)>,
    ) -> Result<Self, CheckError> {
        if let Some((_, path)) = &link {
            check_path(path)?;
        }
        let evidence = Self {
            first: first.clone(),
            second: second.clone(),
            link: link.map(|(root, path)| Link { root, path }),
        };
        evidence.check(key)?;
        check_text(&evidence.to_string())?;
        Ok(evidence)
    }

    /// Checks that the key has signed both checkpoints, and that they can't
    /// both be right.
    pub fn check(&self, key: &VerifierKey) -> Result<(), CheckError> {
        let (first, second) = (&self.first, &self.second);
        first.verify(key, second.origin())?;
        second.verify(key, first.origin())?;
        let forked = match &self.link {
            Some(_) if first.size() == second.size() => return Err(CheckError::NeedlessLink),
            None if first.size() != second.size() => return Err(CheckError::NoLink),
            Some(Link { root, path }) => {
                let (old, new) = (first.size(), second.size());
                verify_consistency(old, root, new, &second.root(), path)?;
                *root != first.root()
            }
            None => {
                let chains = [first, second].map(|it| it.checkpoint().chain_hash());
                let other_chain = chains[0].zip(chains[1]).is_some_and(|(a, b)| a != b);
                first.root() != second.root() || other_chain
            }
        };
        if !forked {
            return Err(CheckError::NoFork);
        }
        Ok(())
    }

    /// Reads evidence.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        check_text(text)?;
        // A checkpoint has one blank line in it, before its signatures.
        let mut parts = text.split("\n\n");
        let mut part = |what| parts.next().ok_or(NoteError::Missing(what));
        let head = part("the first line")?;
        let first = [part("the first checkpoint")?, part("its signatures")?];
        let second = [part("the second checkpoint")?, part("its signatures")?];
        if parts.next().is_some() {
            return Err(NoteError::Trailing("the second checkpoint"));
        }
        let mut lines = head.split('\n');
        let rest = after(
            lines.next().unwrap_or_default(),
            FIRST_LINE,
            "the first line",
        )?;
        if !rest.is_empty() {
            return Err(NoteError::Trailing("the first line"));
        }
        let root = lines.next().map(|line| {
            let root = after(line, ROOT, "the root line")?;
            digest(root, "the root line")
        });
        let path = path(lines)?;
        let link = root.transpose()?.map(|root| Link { root, path });
        // Splitting took the newline of the first one's last line.
        let [text, signatures] = first;
        let first = SignedCheckpoint::parse(&format!("{text}\n\n{signatures}\n"))?;
        let [text, signatures] = second;
        let second = SignedCheckpoint::parse(&format!("{text}\n\n{signatures}"))?;
        Ok(Self {
            first,
            second,
            link,
        })
    }

    /// The smaller checkpoint.
    pub fn first(&self) -> &SignedCheckpoint {
        &self.first
    }

    /// The larger checkpoint.
    pub fn second(&self) -> &SignedCheckpoint {
        &self.second
    }

    /// The root of the second tree at the first one's size, if the sizes
    /// differ.
    pub fn root_between(&self) -> Option<Digest> {
        self.link.as_ref().map(|link| link.root)
    }
}

/// The evidence as it travels.
impl fmt::Display for ForkEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(Link { root, path }) = &self.link {
            let mut hashes = String::new();
            push_path(&mut hashes, path);
            write!(f, "{ROOT}{}\n{hashes}", to_base64(root.0))?;
        }
        write!(f, "\n{}\n{}", self.first, self.second)
    }
}
