//! Documents in memory: for tests, examples, and as a pattern for others.

use std::{
    collections::{BTreeMap, BTreeSet},
    slice,
};

use automerge::Automerge;
use bytes::Bytes;

use super::{
    document_id::DocumentId,
    library::{Access, Library, ProbeError},
    trial::{self, Trial},
};
use crate::{
    actor::Actor,
    change::{ChangeError, Checked},
    history::History,
};

/// A [`Library`] without a log: what is applied counts as durable.
#[derive(Debug, Default)]
pub struct MemoryLibrary {
    documents: BTreeMap<DocumentId, Shelf>,
    access: BTreeMap<(String, DocumentId), Access>,
    /// Actors of nodes, which no client may use.
    reserved: BTreeSet<Actor>,
}

#[derive(Debug)]
struct Shelf {
    document: Automerge,
    /// Each change as it came. Automerge builds one anew whenever it is asked,
    /// which takes some 70 microseconds.
    history: History<()>,
    trial: Trial,
}

impl MemoryLibrary {
    /// Adds a document, or replaces it.
    ///
    /// # Errors
    /// When its history can't be read.
    pub fn insert(&mut self, id: DocumentId, document: Automerge) -> Result<(), ChangeError> {
        let mut history = History::default();
        for change in document.get_changes(&[]) {
            history.push(&Checked::made(change)?, ())?;
        }
        let shelf = Shelf {
            history,
            document,
            trial: Trial::default(),
        };
        self.documents.insert(id, shelf);
        Ok(())
    }

    /// Lets a principal do something with a document; nobody may do anything
    /// before.
    pub fn grant(&mut self, principal: &str, document: DocumentId, access: Access) {
        self.access.insert((principal.into(), document), access);
    }

    /// Keeps an actor for the nodes.
    pub fn reserve(&mut self, actor: Actor) {
        self.reserved.insert(actor);
    }

    /// A document.
    #[must_use]
    pub fn document(&self, id: &DocumentId) -> Option<&Automerge> {
        self.documents.get(id).map(|shelf| &shelf.document)
    }

    /// Applies a change that counts, as a log's reader would. The answer says
    /// whether it was new. If Automerge fails over it, the document is built
    /// anew from the changes before.
    ///
    /// # Errors
    /// When there is no such document, or the change can't be applied.
    pub fn apply(&mut self, id: &DocumentId, bytes: &[u8]) -> Result<bool, ProbeError> {
        let invalid = |reason: String| ProbeError::Invalid(reason);
        let shelf = self
            .documents
            .get_mut(id)
            .ok_or_else(|| invalid(format!("no document {id}")))?;
        let history = &shelf.history;
        let change = Checked::new(Bytes::copy_from_slice(bytes))
            .map_err(|error| invalid(error.to_string()))?;
        if history.contains(&change.hash()) {
            return Ok(false);
        }
        let (actor, number) = (change.actor(), change.number());
        let next = history.last_of(&actor) + 1;
        if number != next {
            let reason = format!("number {number} of actor {actor}, of which {next} is next");
            return Err(invalid(reason));
        }
        let mut parents = change.change().deps().iter();
        if let Some(parent) = parents.find(|it| !history.contains(it)) {
            return Err(invalid(format!("change {parent} is missing")));
        }
        let document = std::mem::take(&mut shelf.document);
        match trial::apply(document, slice::from_ref(&change)) {
            Ok(document) => shelf.document = document,
            Err(error) => {
                shelf.trial.discard();
                let before = history
                    .changes()
                    .map(|it| Checked::new(it.bytes.clone()))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| invalid(error.to_string()))?;
                shelf.document = trial::apply(Automerge::new(), &before)?;
                return Err(error);
            }
        }
        shelf.trial.follow(&change);
        shelf
            .history
            .push(&change, ())
            .map_err(|error| invalid(error.to_string()))?;
        Ok(true)
    }
}

impl Library for MemoryLibrary {
    type Note = ();

    fn access(&self, principal: &str, document: &DocumentId) -> Access {
        if !self.documents.contains_key(document) {
            return Access::None;
        }
        self.access
            .get(&(principal.into(), *document))
            .copied()
            .unwrap_or(Access::None)
    }

    fn history(&self, document: &DocumentId) -> Option<&History<()>> {
        self.documents.get(document).map(|shelf| &shelf.history)
    }

    fn authorise(
        &self,
        _principal: &str,
        _document: &DocumentId,
        change: &Checked,
    ) -> Result<(), String> {
        if self.reserved.contains(&change.actor()) {
            return Err(format!("actor {} is a node's", change.actor()));
        }
        Ok(())
    }

    fn probe(&mut self, document: &DocumentId, changes: &[Checked]) -> Result<(), ProbeError> {
        let shelf = self
            .documents
            .get_mut(document)
            .ok_or_else(|| ProbeError::Invalid(format!("no document {document}")))?;
        shelf.trial.probe(&shelf.document, changes)
    }
}
