//! Documents in memory: for tests, examples, and as a pattern for others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use automerge::{ActorId, Automerge, Change, ChangeHash};

use super::{
    document_id::DocumentId,
    history::{History, HistoryError},
    library::{Access, Library, ProbeError},
    trial::{self, Trial},
};

/// A [`Library`] without a log: what is applied counts as durable.
#[derive(Debug, Default)]
pub struct MemoryLibrary {
    documents: BTreeMap<DocumentId, Shelf>,
    access: BTreeMap<(String, DocumentId), Access>,
    /// Actors of nodes, which no client may use.
    reserved: BTreeSet<ActorId>,
}

#[derive(Debug)]
struct Shelf {
    document: Automerge,
    history: History,
    /// Each change as it came. Automerge builds one anew whenever it is asked,
    /// which takes some 70 microseconds.
    changes: HashMap<ChangeHash, Change>,
    trial: Trial,
}

impl MemoryLibrary {
    /// Adds a document, or replaces it.
    ///
    /// # Errors
    /// When its history can't be read.
    pub fn insert(&mut self, id: DocumentId, document: Automerge) -> Result<(), HistoryError> {
        let shelf = Shelf {
            history: History::of(&document)?,
            changes: document
                .get_changes(&[])
                .into_iter()
                .map(|change| (change.hash(), change))
                .collect(),
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
    pub fn reserve(&mut self, actor: ActorId) {
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
        let change =
            Change::from_bytes(bytes.to_vec()).map_err(|error| invalid(error.to_string()))?;
        if shelf.history.contains(&change.hash()) {
            return Ok(false);
        }
        if change.seq() <= shelf.history.sequence(change.actor_id()) {
            return Err(invalid(format!(
                "actor {} has another change number {}",
                change.actor_id(),
                change.seq()
            )));
        }
        if let Some(parent) = change.deps().iter().find(|it| !shelf.history.contains(it)) {
            return Err(invalid(format!("change {parent} is missing")));
        }
        let document = std::mem::take(&mut shelf.document);
        let changes = std::slice::from_ref(&change);
        match trial::apply(document, changes) {
            Ok(document) => shelf.document = document,
            Err(error) => {
                shelf.trial.discard();
                let before: Vec<_> = (0..)
                    .map_while(|place| shelf.history.hash(place))
                    .filter_map(|hash| shelf.changes.get(&hash).cloned())
                    .collect();
                shelf.document = trial::apply(Automerge::new(), &before)?;
                return Err(error);
            }
        }
        shelf.trial.follow(&change);
        shelf
            .history
            .push(&change)
            .map_err(|error| invalid(error.to_string()))?;
        shelf.changes.insert(change.hash(), change);
        Ok(true)
    }
}

impl Library for MemoryLibrary {
    fn access(&self, principal: &str, document: &DocumentId) -> Access {
        if !self.documents.contains_key(document) {
            return Access::None;
        }
        self.access
            .get(&(principal.into(), *document))
            .copied()
            .unwrap_or(Access::None)
    }

    fn history(&self, document: &DocumentId) -> Option<&History> {
        self.documents.get(document).map(|shelf| &shelf.history)
    }

    fn change(&self, document: &DocumentId, hash: &ChangeHash) -> Option<Vec<u8>> {
        let change = self.documents.get(document)?.changes.get(hash)?;
        Some(change.raw_bytes().to_vec())
    }

    fn authorise(
        &self,
        _principal: &str,
        _document: &DocumentId,
        change: &Change,
    ) -> Result<(), String> {
        if self.reserved.contains(change.actor_id()) {
            return Err(format!("actor {} is a node's", change.actor_id()));
        }
        Ok(())
    }

    fn probe(&mut self, document: &DocumentId, changes: &[Change]) -> Result<(), ProbeError> {
        let shelf = self
            .documents
            .get_mut(document)
            .ok_or_else(|| ProbeError::Invalid(format!("no document {document}")))?;
        shelf.trial.probe(&shelf.document, changes)
    }
}
