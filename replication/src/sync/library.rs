//! What a session sees of the documents.

use automerge::ChangeHash;
use bytes::Bytes;

use super::document_id::DocumentId;
use crate::{actor::Actor, change::Checked, history::History};

/// What a principal may do with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing; the document seems not to be there.
    None,
    /// See it, and take part in its ephemeral messages.
    Read,
    /// Change it.
    Write,
}

/// A change that passed every check and is to be logged, then applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedChange {
    /// Its hash.
    pub hash: ChangeHash,
    /// Who wrote it.
    pub actor: Actor,
    /// Its number among its actor's changes.
    pub number: u64,
    /// What it builds on; each is in the document or was handed out before.
    pub parents: Vec<ChangeHash>,
    /// Its raw, uncompressed bytes.
    pub bytes: Bytes,
}

impl From<&Checked> for VerifiedChange {
    fn from(change: &Checked) -> Self {
        Self {
            hash: change.hash(),
            actor: change.actor(),
            number: change.number(),
            parents: change.change().deps().to_vec(),
            bytes: change.bytes().clone(),
        }
    }
}

/// A fork did not take changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Automerge refused them, or does not give them back as they were.
    #[error("{0}")]
    Invalid(String),
    /// Automerge panicked. The fork must not be used again.
    #[error("automerge panicked")]
    Panicked,
}

/// Read access to documents, and trying changes on a fork of one.
///
/// A library shows only what is durable: sessions tell clients what it shows.
pub trait Library {
    /// What the histories keep with each change.
    type Note;

    /// What a principal may do. [`Access::None`] for documents that are not
    /// there.
    fn access(&self, principal: &str, document: &DocumentId) -> Access;

    /// The document's history, the skeleton included. `None` when there is no
    /// such document.
    fn history(&self, document: &DocumentId) -> Option<&History<Self::Note>>;

    /// Whether the node's rules let a principal make this change; asked once
    /// per change, after its form is known to be good. Refuse here the actors
    /// of the cluster's nodes, and entries that only their owners write.
    ///
    /// # Errors
    /// The reason for the operator.
    fn authorise(
        &self,
        principal: &str,
        document: &DocumentId,
        change: &Checked,
    ) -> Result<(), String>;

    /// Applies changes to a fork that is never read from. Changes tried
    /// earlier and not yet logged are on it as well. [`Trial`](super::Trial)
    /// does the work.
    ///
    /// # Errors
    /// When the fork does not take them; the document itself is untouched.
    fn probe(&mut self, document: &DocumentId, changes: &[Checked]) -> Result<(), ProbeError>;
}
